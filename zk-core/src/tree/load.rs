//! The tree from disk: a snapshot's parts, then the log's records after it.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use zk_proto::{
    Acl, Id, Perms, SessionId, SnapshotNode, SnapshotSession, Txn, TxnDigest, TxnRecord, Zxid,
};

use super::acl::AclId;
use super::{Fuzzy, Judged, ROOT, Tree, TreeOptions, split};

/// Why what is on disk is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// A snapshot starts with another node than the root.
    #[error("snapshot starts with {path:?}, expected the root")]
    NoRoot {
        /// The first path; `None` when there is no node at all.
        path: Option<String>,
    },
    /// A node comes without or before its parent.
    #[error("snapshot has {path:?} before its parent")]
    NoParent {
        /// The node's path.
        path: String,
    },
    /// A path comes twice.
    #[error("snapshot has {path:?} twice")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// Transactions may be missing in the log: numbers are, and no digest proves that nothing else
    /// is. Or the numbers go back.
    #[error("log goes on with {seen} after {after}")]
    Gap {
        /// The transaction before.
        after: Zxid,
        /// The transaction that follows in the log.
        seen: Zxid,
    },
    /// Transactions are missing in the log: the first digest behind the hole is not the tree's,
    /// while all before it were.
    #[error(
        "log goes on with {seen} after {after}, and its digest shows that what was between is lost"
    )]
    Lost {
        /// The transaction before.
        after: Zxid,
        /// The transaction that follows in the log.
        seen: Zxid,
    },
}

/// Builds a tree from a snapshot, given in the order of the file: sessions, ACLs, nodes.
#[derive(Debug)]
pub struct Loader {
    tree: Tree,
    sessions: BTreeMap<SessionId, i32>,
    /// By number in the snapshot. The loader counts as one user of each, so that none goes before
    /// the nodes come.
    acls: BTreeMap<i64, AclId>,
    /// What nodes get whose number is not there, with the loader as one user.
    denied: Option<AclId>,
    /// Path of the node last added.
    path: String,
    /// That node and its ancestors.
    trail: Vec<Step>,
    /// Nodes from this number on cannot be found by their names yet.
    indexed: u32,
}

/// A node on the way from the root to the node last added.
#[derive(Debug)]
struct Step {
    /// Where its path ends in [`Loader::path`].
    end: usize,
    id: u32,
    /// What was added below it since it is on the trail, as far as it was left since.
    below: Below,
}

#[derive(Debug, Default)]
struct Below {
    nodes: u32,
    bytes: u64,
}

impl Step {
    fn new(end: usize, id: u32) -> Self {
        let below = Below::default();
        Self { end, id, below }
    }
}

/// Replays a log on top of a snapshot.
#[derive(Debug)]
pub struct Replay {
    recovered: Recovered,
    denied: Option<AclId>,
    snapshot_zxid: Zxid,
    /// Where the tree may show changes of later transactions.
    fuzzy: Option<Fuzzy>,
    accepts_holes: bool,
}

/// What digests say of the tree after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checked {
    /// There are none to compare.
    Unknown,
    Equal,
    Differs,
}

/// What recovery found on disk.
#[derive(Debug)]
pub struct Recovered {
    /// The tree after the last transaction. No ephemeral is left of a session that is not open.
    pub tree: Tree,
    /// Timeouts, in ms, of the sessions that are open.
    pub sessions: BTreeMap<SessionId, i32>,
    /// The last transaction.
    pub last_zxid: Zxid,
    /// Nodes whose ACL was not in the snapshot, as in a fuzzy one it may not be, nor came with the
    /// log. Their ACL permits nothing to anybody.
    pub nodes_without_acl: usize,
    /// Digests on disk that differ from the tree's.
    pub digest_mismatches: u64,
    /// The transaction after which the first digest differed.
    pub first_digest_mismatch: Option<Zxid>,
    /// Holes in the numbers of the log that were passed.
    pub holes: u64,
    /// Between which transactions the first hole is.
    pub first_hole: Option<(Zxid, Zxid)>,
    /// Where the tree may show later transactions already, in part or whole.
    pub fuzzy: Option<Fuzzy>,
}

impl Loader {
    /// Begins with no session, no ACL and no node.
    #[must_use]
    pub fn new(options: TreeOptions) -> Self {
        Self {
            tree: Tree::bare(options),
            sessions: BTreeMap::new(),
            acls: BTreeMap::new(),
            denied: None,
            path: String::new(),
            trail: Vec::new(),
            indexed: ROOT + 1,
        }
    }

    /// Adds an open session.
    pub fn session(&mut self, session: SnapshotSession) {
        self.sessions.insert(session.id, session.timeout_ms);
    }

    /// Adds an ACL under its number in the snapshot.
    pub fn acl(&mut self, number: i64, list: &[Acl]) {
        let id = self.tree.acls.acquire(list);
        if let Some(replaced) = self.acls.insert(number, id) {
            self.tree.acls.release(replaced);
        }
    }

    /// Adds a node. Nodes in pre-order, as all snapshots have them, find their parent without a
    /// walk from the root.
    ///
    /// # Errors
    /// [`RecoveryError`] when the node cannot stand at its path.
    pub fn node(&mut self, node: &SnapshotNode<'_>) -> Result<(), RecoveryError> {
        if self.trail.is_empty() {
            return self.root(node);
        }
        let (parent, name) = match split(node.path) {
            Some((parent_path, name)) => (self.parent(parent_path)?, name),
            None => (None, ""),
        };
        let parent = parent.ok_or_else(|| RecoveryError::NoParent {
            path: node.path.to_owned(),
        })?;
        let acl = self.node_acl(node.acl);
        let id = self
            .tree
            .add(node.path, parent, name, node.data, acl, node.stat);
        self.path.truncate(node.path.len() - name.len() - 1);
        self.path.push('/');
        self.path.push_str(name);
        let above = self.trail.last_mut().expect("the parent is on the trail");
        above.below.nodes += 1;
        above.below.bytes += node.data.map_or(0, <[u8]>::len) as u64;
        self.trail.push(Step::new(node.path.len(), id));
        Ok(())
    }

    fn root(&mut self, node: &SnapshotNode<'_>) -> Result<(), RecoveryError> {
        if !node.path.is_empty() {
            let path = Some(node.path.to_owned());
            return Err(RecoveryError::NoRoot { path });
        }
        let acl = self.node_acl(node.acl);
        self.tree.insert_root(node.data, acl, node.stat);
        self.trail.push(Step::new(0, ROOT));
        Ok(())
    }

    /// The node at `path`, leaving `self.path` and `self.trail` at it.
    fn parent(&mut self, path: &str) -> Result<Option<u32>, RecoveryError> {
        while let Some(&Step { end, id, .. }) = self.trail.last()
            && end >= path.len()
        {
            if self.path.get(..end) == Some(path) {
                return Ok(Some(id));
            }
            self.leave();
        }
        self.index()?;
        let found = self.tree.find(path);
        if let Some(id) = found {
            while self.leave() {}
            path.clone_into(&mut self.path);
            let (mut at, mut end) = (id, path.len());
            while at != ROOT {
                self.trail.push(Step::new(end, at));
                let record = self.tree.nodes.get(at);
                end -= 1 + record.name_len();
                at = record.parent;
            }
            self.trail.push(Step::new(0, ROOT));
            self.trail.reverse();
        }
        Ok(found)
    }

    /// Makes the nodes added so far known by their names. They seldom have to be before the last:
    /// in pre-order the parent is on the trail.
    fn index(&mut self) -> Result<(), RecoveryError> {
        let nodes = &self.tree.nodes;
        let added = self.indexed..nodes.end();
        self.indexed = nodes.end();
        let extended = self.tree.lookup.extend(nodes.pages(), added);
        extended.map_err(|twice| RecoveryError::Duplicate {
            path: self.tree.path(twice),
        })
    }

    /// Leaves the last node of the trail, which counts what was added below it; so does the node
    /// above it. `false` when the trail is empty.
    fn leave(&mut self) -> bool {
        let Some(Step { id, below, .. }) = self.trail.pop() else {
            return false;
        };
        if below.nodes > 0 {
            let record = self.tree.nodes.get_mut(id);
            record.nodes_below += below.nodes;
            record.bytes_below += below.bytes;
            if let Some(above) = self.trail.last_mut() {
                above.below.nodes += below.nodes;
                above.below.bytes += below.bytes;
            }
        }
        true
    }

    fn node_acl(&mut self, number: i64) -> AclId {
        if number == AclId::OPEN.to_snapshot() {
            return AclId::OPEN;
        }
        if let Some(&id) = self.acls.get(&number) {
            self.tree.acls.acquire_again(id);
            return id;
        }
        let nobody = [Acl::new(Perms::default(), Id::anyone())];
        let acls = &mut self.tree.acls;
        let denied = *self.denied.get_or_insert_with(|| acls.acquire(&nobody));
        acls.acquire_again(denied);
        denied
    }

    /// Ends the snapshot, whose last transaction is `zxid`: replay starts after it. `digest` is what
    /// the snapshot says of itself: the tree's digest after the transaction given with it. Zxid 0
    /// there stands for no digest, as in Apache's snapshots of an empty tree.
    ///
    /// # Errors
    /// [`RecoveryError::NoRoot`] when the snapshot holds no node, [`RecoveryError::Duplicate`] when it
    /// holds one twice.
    pub fn finish_snapshot(
        mut self,
        zxid: Zxid,
        digest: Option<(Zxid, TxnDigest)>,
    ) -> Result<Replay, RecoveryError> {
        if self.trail.is_empty() {
            return Err(RecoveryError::NoRoot { path: None });
        }
        self.index()?;
        for &id in self.acls.values() {
            self.tree.acls.release(id);
        }
        while self.leave() {}
        self.tree.recount_quotas();
        self.tree.last_zxid = zxid;
        let mut replay = Replay {
            recovered: Recovered {
                tree: self.tree,
                sessions: self.sessions,
                last_zxid: zxid,
                nodes_without_acl: 0,
                digest_mismatches: 0,
                first_digest_mismatch: None,
                holes: 0,
                first_hole: None,
                fuzzy: None,
            },
            denied: self.denied,
            snapshot_zxid: zxid,
            fuzzy: Some(Fuzzy::new(digest)),
            accepts_holes: false,
        };
        replay.check_digest(zxid, None);
        Ok(replay)
    }
}

impl Replay {
    /// Begins with the empty tree, where there is no snapshot.
    #[must_use]
    pub fn empty(options: TreeOptions) -> Self {
        Self {
            recovered: Recovered {
                tree: Tree::new(options),
                sessions: BTreeMap::new(),
                last_zxid: Zxid::ZERO,
                nodes_without_acl: 0,
                digest_mismatches: 0,
                first_digest_mismatch: None,
                holes: 0,
                first_hole: None,
                fuzzy: None,
            },
            denied: None,
            snapshot_zxid: Zxid::ZERO,
            fuzzy: None,
            accepts_holes: false,
        }
    }

    /// Passes holes in the numbers of the log also where no digest shows that nothing is lost.
    pub const fn accept_holes(&mut self) {
        self.accepts_holes = true;
    }

    /// The last transaction so far.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.recovered.tree.last_zxid()
    }

    /// Applies the next record of the log. Records up to the snapshot's zxid are passed over.
    ///
    /// Apache's server sometimes takes a zxid and logs nothing under it. Such a hole is passed when
    /// the record after it carries a digest that the tree has, or when [that is
    /// accepted](Self::accept_holes) and no digest says otherwise.
    ///
    /// # Errors
    /// [`RecoveryError::Gap`] when transactions may be missing before this one, and
    /// [`RecoveryError::Lost`] when they are. The tree is of no use then.
    pub fn replay(&mut self, record: &TxnRecord) -> Result<(), RecoveryError> {
        let header = &record.header;
        let (after, seen) = (self.last_zxid(), header.zxid);
        if seen <= self.snapshot_zxid {
            return Ok(());
        }
        if seen <= after {
            return Err(RecoveryError::Gap { after, seen });
        }
        let begins_epoch = seen.epoch() > after.epoch() && seen.counter() == 1;
        let follows = seen == after.next() || begins_epoch;
        match record.txn {
            Txn::CreateSession { timeout_ms } => {
                self.recovered.sessions.insert(header.session, timeout_ms);
            }
            Txn::CloseSession { .. } => {
                self.recovered.sessions.remove(&header.session);
            }
            _ => {}
        }
        let differed = self.recovered.digest_mismatches > 0;
        self.recovered.tree.replay(header, &record.txn);
        let checked = self.check_digest(seen, record.digest);
        if follows {
            return Ok(());
        }
        match checked {
            // One that differs from here on tells that something is lost here.
            Checked::Differs if !differed => return Err(RecoveryError::Lost { after, seen }),
            Checked::Unknown | Checked::Differs if !self.accepts_holes => {
                return Err(RecoveryError::Gap { after, seen });
            }
            _ => {}
        }
        self.recovered.holes += 1;
        self.recovered.first_hole.get_or_insert((after, seen));
        Ok(())
    }

    /// Ends the recovery.
    #[must_use]
    pub fn finish(mut self) -> Recovered {
        let recovered = &mut self.recovered;
        let sessions = &recovered.sessions;
        recovered
            .tree
            .delete_orphans(|session| sessions.contains_key(&session));
        if let Some(denied) = self.denied {
            recovered.tree.acls.release(denied);
            recovered.nodes_without_acl = recovered.tree.acls.uses(denied);
        }
        recovered.last_zxid = recovered.tree.last_zxid();
        recovered.fuzzy = self.fuzzy;
        self.recovered
    }

    /// Compares digests where they mean something: from where the tree is no longer fuzzy.
    fn check_digest(&mut self, zxid: Zxid, of_record: Option<TxnDigest>) -> Checked {
        let found = self.recovered.tree.digest();
        let of_record = of_record.filter(|digest| digest.version == TxnDigest::VERSION);
        let of_record = of_record.map(|digest| digest.tree_digest);
        let differs_at = match self.fuzzy.take() {
            Some(fuzzy) => match fuzzy.judge(zxid, found, of_record) {
                Judged::Fuzzy(still) => {
                    self.fuzzy = Some(still);
                    return Checked::Unknown;
                }
                Judged::Exact => return Checked::Equal,
                Judged::Differs(at) => at,
            },
            None => match of_record {
                None => return Checked::Unknown,
                Some(expected) if expected == found => return Checked::Equal,
                Some(_) => zxid,
            },
        };
        let recovered = &mut self.recovered;
        recovered.digest_mismatches += 1;
        recovered.first_digest_mismatch.get_or_insert(differs_at);
        Checked::Differs
    }
}

impl Recovered {
    /// The transaction after which the tree is another one than its digest says. Where it may show
    /// transactions that are still to come, those can clear the suspicion.
    #[must_use]
    pub fn differs_at(&self) -> Option<Zxid> {
        let suspected = self.fuzzy.and_then(|fuzzy| fuzzy.differs_at());
        self.first_digest_mismatch.or(suspected)
    }
}
