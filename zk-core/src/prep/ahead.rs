//! The tree as it will be when every pending transaction is applied (the outstanding changes of
//! `ZooKeeperServer`, 3.9.5).
//!
//! A change is the newest pending state of one path. It is dropped when the transaction that made it
//! is applied; one that a later transaction replaced went with its replacement. The changes of a
//! request that fails half-way, as a multi may, are taken back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;
use smol_str::SmolStr;
use zk_proto::{Acl, SessionId, StatPersisted, Zxid};

use crate::tree::{ContentDigest, Tree};

/// A znode as it will be.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) stat: StatPersisted,
    pub(super) children: usize,
    pub(super) acl: Arc<[Acl]>,
    pub(super) content: ContentDigest,
    pub(super) data_bytes: usize,
}

#[derive(Debug)]
struct Change {
    zxid: Zxid,
    /// `None` when the znode will be gone.
    node: Option<Node>,
}

/// One entry of the order in which changes were made.
#[derive(Debug)]
struct Step {
    zxid: Zxid,
    path: SmolStr,
    /// The owner of the ephemeral that it creates.
    created: Option<SessionId>,
    /// The owner of the ephemeral that it deletes.
    deleted: Option<SessionId>,
}

#[derive(Debug)]
pub(super) struct Ahead {
    changes: HashMap<SmolStr, Change>,
    steps: VecDeque<Step>,
    /// Pending creations of ephemerals, counted, since a path can be created again.
    created: BTreeMap<(SessionId, SmolStr), usize>,
    /// What the paths of a session's ephemerals, all that it will own, take in its closeSession.
    owned_bytes: BTreeMap<SessionId, usize>,
    digest: u64,
    undo: Undo,
}

/// What the changes of the request under way replaced, and the digest before it.
#[derive(Debug, Default)]
struct Undo {
    is_kept: bool,
    digest: u64,
    replaced: Vec<Option<Change>>,
}

impl Ahead {
    /// With nothing pending.
    pub(super) fn new(tree: &Tree) -> Self {
        let owned_bytes = tree.sessions_with_ephemerals().map(|session| {
            let paths = tree.ephemerals_of(session);
            (session, paths.map(|path| listed_bytes(&path)).sum())
        });
        Self {
            changes: HashMap::new(),
            steps: VecDeque::new(),
            created: BTreeMap::new(),
            owned_bytes: owned_bytes.collect(),
            digest: tree.digest(),
            undo: Undo::default(),
        }
    }

    /// Digest of the whole tree as it will be.
    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }

    /// The znode at `path`, which is `/` for the root.
    pub(super) fn node(&self, tree: &Tree, path: &str) -> Option<Node> {
        if let Some(change) = self.changes.get(path) {
            return change.node.clone();
        }
        tree.get(path).map(|node| Node {
            stat: node.persisted(),
            children: node.num_children(),
            acl: Arc::clone(node.acl()),
            content: node.content_digest(),
            data_bytes: node.data().map_or(0, <[u8]>::len),
        })
    }

    /// Whether there will be a znode at `path`.
    pub(super) fn contains(&self, tree: &Tree, path: &str) -> bool {
        match self.changes.get(path) {
            Some(change) => change.node.is_some(),
            None => tree.get(path).is_some(),
        }
    }

    /// Creates a znode. `owner` is the session of an ephemeral.
    pub(super) fn create(&mut self, zxid: Zxid, path: &str, node: Node, owner: Option<SessionId>) {
        self.digest = self.digest.wrapping_add(node.digest().into());
        if let Some(session) = owner {
            self.own(session, path);
        }
        let path = SmolStr::new(path);
        if let Some(session) = owner {
            *self.created.entry((session, path.clone())).or_default() += 1;
        }
        let step = Step {
            zxid,
            path,
            created: owner,
            deleted: None,
        };
        self.put(step, Some(node));
    }

    /// Changes a znode, which is as [`node`](Self::node) gave it.
    pub(super) fn change(
        &mut self,
        zxid: Zxid,
        path: &str,
        mut node: Node,
        change: impl FnOnce(&mut Node),
    ) {
        self.digest = self.digest.wrapping_sub(node.digest().into());
        change(&mut node);
        self.digest = self.digest.wrapping_add(node.digest().into());
        let step = Step {
            zxid,
            path: SmolStr::new(path),
            created: None,
            deleted: None,
        };
        self.put(step, Some(node));
    }

    /// Deletes a znode, which is as [`node`](Self::node) gave it. `owner` is the session of an
    /// ephemeral.
    pub(super) fn delete(&mut self, zxid: Zxid, path: &str, node: &Node, owner: Option<SessionId>) {
        self.digest = self.digest.wrapping_sub(node.digest().into());
        if let Some(session) = owner {
            self.disown(session, path);
        }
        let step = Step {
            zxid,
            path: SmolStr::new(path),
            created: None,
            deleted: owner,
        };
        self.put(step, None);
    }

    fn put(&mut self, step: Step, node: Option<Node>) {
        let change = Change {
            zxid: step.zxid,
            node,
        };
        let replaced = self.changes.insert(step.path.clone(), change);
        self.steps.push_back(step);
        if self.undo.is_kept {
            self.undo.replaced.push(replaced);
        }
    }

    /// Bytes that the paths of the session's ephemerals will take in its closeSession.
    pub(super) fn owned_bytes(&self, session: SessionId) -> usize {
        self.owned_bytes.get(&session).copied().unwrap_or(0)
    }

    fn own(&mut self, session: SessionId, path: &str) {
        *self.owned_bytes.entry(session).or_default() += listed_bytes(path);
    }

    fn disown(&mut self, session: SessionId, path: &str) {
        let bytes = self.owned_bytes.get_mut(&session);
        let bytes = bytes.expect("the paths of every ephemeral are counted");
        *bytes -= listed_bytes(path);
        if *bytes == 0 {
            self.owned_bytes.remove(&session);
        }
    }

    /// Drops what the transaction and those before it will change: the tree has it now.
    pub(super) fn on_applied(&mut self, zxid: Zxid) {
        while let Some(step) = self.steps.pop_front_if(|step| step.zxid <= zxid) {
            if self
                .changes
                .get(&step.path)
                .is_some_and(|change| change.zxid == step.zxid)
            {
                self.changes.remove(&step.path);
            }
            self.uncount(step);
        }
    }

    /// Begins changes that may be taken back.
    pub(super) fn begin(&mut self) {
        self.undo.is_kept = true;
        self.undo.digest = self.digest;
    }

    /// Ends what [`begin`](Self::begin) began; the changes stay.
    pub(super) fn keep(&mut self) {
        self.undo.is_kept = false;
        self.undo.replaced.clear();
    }

    /// Takes back the changes since [`begin`](Self::begin).
    pub(super) fn take_back(&mut self) {
        self.digest = self.undo.digest;
        while let Some(replaced) = self.undo.replaced.pop() {
            let step = self.steps.pop_back().expect("each change is a step");
            match replaced {
                Some(change) => self.changes.insert(step.path.clone(), change),
                None => self.changes.remove(&step.path),
            };
            if let Some(session) = step.created {
                self.disown(session, &step.path);
            }
            if let Some(session) = step.deleted {
                self.own(session, &step.path);
            }
            self.uncount(step);
        }
    }

    fn uncount(&mut self, step: Step) {
        let Some(session) = step.created else {
            return;
        };
        let key = (session, step.path);
        let count = self.created.get_mut(&key).expect("steps are counted");
        *count -= 1;
        if *count == 0 {
            self.created.remove(&key);
        }
    }

    /// Paths of the ephemerals that the session will own.
    pub(super) fn ephemerals_of(&self, tree: &Tree, session: SessionId) -> Vec<String> {
        let is_changed = |path: &str| self.changes.contains_key(path);
        let will_own = |path: &str| {
            let node = self
                .changes
                .get(path)
                .and_then(|change| change.node.as_ref());
            node.is_some_and(|node| node.stat.ephemeral_owner == session.0)
        };
        let mut owned: Vec<String> = tree
            .ephemerals_of(session)
            .filter(|path| !is_changed(path) || will_own(path))
            .collect();
        let is_in_tree = |path: &str| {
            let node = tree.get(path);
            node.is_some_and(|node| node.persisted().ephemeral_owner == session.0)
        };
        owned.extend(
            self.created
                .range((session, SmolStr::default())..)
                .map_while(|((owner, path), _)| (*owner == session).then_some(path.as_str()))
                .filter(|path| will_own(path) && !is_in_tree(path))
                .map(String::from),
        );
        owned
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.steps.is_empty() && self.created.is_empty()
    }
}

impl Node {
    fn digest(&self) -> u32 {
        self.content.with(&self.stat)
    }
}

/// A path's encoding in a list.
const fn listed_bytes(path: &str) -> usize {
    4 + path.len()
}
