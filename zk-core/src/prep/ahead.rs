//! The tree as it will be when every pending transaction is applied (the outstanding changes of
//! `ZooKeeperServer`, 3.9.5).
//!
//! A change is the newest pending state of one path. It is dropped when the transaction that made it
//! is applied; one that a later transaction replaced went with its replacement. A multi that fails is
//! taken back whole.

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
    owner: Option<SessionId>,
}

#[derive(Debug)]
pub(super) struct Ahead {
    changes: HashMap<SmolStr, Change>,
    steps: VecDeque<Step>,
    /// Pending creations of ephemerals, counted, since a path can be created again.
    created: BTreeMap<(SessionId, SmolStr), usize>,
    digest: u64,
    /// What the changes of the multi under way replaced, and the digest before it.
    undo: Option<Undo>,
}

#[derive(Debug)]
struct Undo {
    digest: u64,
    replaced: Vec<Option<Change>>,
}

impl Ahead {
    /// With nothing pending.
    pub(super) fn new(tree: &Tree) -> Self {
        Self {
            changes: HashMap::new(),
            steps: VecDeque::new(),
            created: BTreeMap::new(),
            digest: tree.digest(),
            undo: None,
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
            stat: *node.persisted(),
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
        self.put(zxid, path, Some(node), owner);
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
        self.put(zxid, path, Some(node), None);
    }

    /// Deletes a znode, which is as [`node`](Self::node) gave it.
    pub(super) fn delete(&mut self, zxid: Zxid, path: &str, node: &Node) {
        self.digest = self.digest.wrapping_sub(node.digest().into());
        self.put(zxid, path, None, None);
    }

    fn put(&mut self, zxid: Zxid, path: &str, node: Option<Node>, owner: Option<SessionId>) {
        let path = SmolStr::new(path);
        if let Some(session) = owner {
            *self.created.entry((session, path.clone())).or_default() += 1;
        }
        self.steps.push_back(Step {
            zxid,
            path: path.clone(),
            owner,
        });
        let replaced = self.changes.insert(path, Change { zxid, node });
        if let Some(undo) = &mut self.undo {
            undo.replaced.push(replaced);
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
        self.undo = Some(Undo {
            digest: self.digest,
            replaced: Vec::new(),
        });
    }

    /// Keeps the changes since [`begin`](Self::begin).
    pub(super) fn keep(&mut self) {
        self.undo = None;
    }

    /// Takes back the changes since [`begin`](Self::begin).
    pub(super) fn take_back(&mut self) {
        let Some(undo) = self.undo.take() else {
            return;
        };
        self.digest = undo.digest;
        for replaced in undo.replaced.into_iter().rev() {
            let step = self.steps.pop_back().expect("each change is a step");
            match replaced {
                Some(change) => self.changes.insert(step.path.clone(), change),
                None => self.changes.remove(&step.path),
            };
            self.uncount(step);
        }
    }

    fn uncount(&mut self, step: Step) {
        let Some(session) = step.owner else {
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
