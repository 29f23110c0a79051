//! The tree that recovery makes, and what is asked of it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use zk_core::tree::{Loader, Recovered, Replay, TreeOptions, TreeView, node_digest};
use zk_proto::{Acl, SessionId, SnapshotNode, SnapshotSession, StatPersisted, TxnRecord, Zxid};
use zk_storage::{Restore, RestoreError, SnapshotSource, SnapshotTrailer};

const OPTIONS: TreeOptions = TreeOptions {
    extended_types: true,
    hash_seed: 5,
};

/// Takes what is read back.
#[derive(Debug, Default)]
pub struct State {
    loader: Option<Loader>,
    replay: Option<Replay>,
    last: Zxid,
}

/// Everything that a state holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// Data, ACL and stat by path.
    pub nodes: BTreeMap<String, (Option<Vec<u8>>, Vec<Acl>, StatPersisted)>,
    /// Timeouts of the open sessions.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The newest transaction.
    pub last_zxid: Zxid,
}

impl State {
    /// The tree.
    #[must_use]
    pub fn finish(self) -> Recovered {
        self.replay
            .unwrap_or_else(|| Replay::empty(OPTIONS))
            .finish()
    }
}

impl Restore for State {
    fn begin(&mut self) {
        *self = Self {
            loader: Some(Loader::new(OPTIONS)),
            ..Self::default()
        };
    }

    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError> {
        self.loader.as_mut().expect("it began").session(session);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError> {
        self.loader.as_mut().expect("it began").acl(id, &acl);
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        Ok(self.loader.as_mut().expect("it began").node(&node)?)
    }

    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError> {
        let loader = self.loader.take().expect("it began, and ends once");
        self.replay = Some(loader.finish_snapshot(zxid, trailer.digest)?);
        self.last = zxid;
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        let zxid = record.header.zxid;
        let opens_epoch = zxid.epoch() > self.last.epoch() && zxid.counter() == 1;
        assert!(
            zxid == self.last.next() || opens_epoch,
            "{zxid} comes after {}",
            self.last
        );
        self.last = zxid;
        let replay = self.replay.get_or_insert_with(|| Replay::empty(OPTIONS));
        Ok(replay.replay(record)?)
    }
}

impl Image {
    /// Reads the whole tree, and checks that it agrees with itself.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn of(recovered: &Recovered) -> Self {
        let tree = &recovered.tree;
        let view = tree.view();
        let acls: BTreeMap<i64, Vec<Acl>> = view
            .acls()
            .map(|(number, acl)| (number, acl.to_vec()))
            .collect();
        let mut nodes = BTreeMap::new();
        let mut digest = 0_u64;
        let mut walk = view.nodes();
        while let Some(node) = walk.next_node() {
            let acl = if node.acl == -1 {
                vec![Acl::open()]
            } else {
                acls[&node.acl].clone()
            };
            digest = digest.wrapping_add(node_digest(node.path, node.data, &node.stat).into());
            let seen = tree
                .get(node.path)
                .expect("what is walked over can be found");
            assert_eq!(seen.data(), node.data);
            assert_eq!((seen.persisted(), &seen.acl()[..]), (node.stat, &acl[..]));
            let twice = nodes.insert(
                node.path.to_owned(),
                (node.data.map(Into::into), acl, node.stat),
            );
            assert_eq!(twice, None);
        }
        assert_eq!(digest, tree.digest());
        assert_eq!(nodes.len(), view.node_count());
        for session in tree.sessions_with_ephemerals() {
            assert!(
                recovered.sessions.contains_key(&session),
                "nobody owns the ephemerals of {session:?}"
            );
        }
        let (sessions, last_zxid) = (recovered.sessions.clone(), recovered.last_zxid);
        Self {
            nodes,
            sessions,
            last_zxid,
        }
    }
}

/// What a snapshot is written from.
#[derive(Debug)]
pub struct Source<'a> {
    view: TreeView,
    sessions: &'a BTreeMap<SessionId, i32>,
}

impl<'a> Source<'a> {
    /// The state as it is.
    #[must_use]
    pub fn of(recovered: &'a Recovered) -> Self {
        Self {
            view: recovered.tree.view(),
            sessions: &recovered.sessions,
        }
    }
}

impl SnapshotSource for Source<'_> {
    fn sessions(&self) -> Vec<SnapshotSession> {
        let sessions = self.sessions.iter();
        sessions
            .map(|(&id, &timeout_ms)| SnapshotSession { id, timeout_ms })
            .collect()
    }

    fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        self.view
            .acls()
            .map(|(number, acl)| (number, acl.to_vec()))
            .collect()
    }

    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>) {
        let mut walk = self.view.nodes();
        while let Some(node) = walk.next_node() {
            if visit(node).is_break() {
                return;
            }
        }
    }
}
