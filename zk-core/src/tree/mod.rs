//! The data tree: znodes, their ACLs, ephemerals, quotas and digest, and what a transaction does to
//! them (`DataTree`, 3.9.5).
//!
//! The tree knows neither sessions nor watches nor who may do what: transactions that come here were
//! checked, and what they changed is told so that watches can fire.
//!
//! ```text
//! Tree ── nodes ──> pages of Records, linked parent, first child, siblings
//!  ├── lookup ────> (parent, name) → node
//!  ├── acls ──────> number → list
//!  └── ephemerals, containers, ttls: numbers of nodes
//! TreeView = the pages of nodes and ACLs as they were; a page is copied at its next write
//! ```

mod acl;
mod apply;
mod arena;
mod digest;
mod fuzzy;
mod hash;
mod load;
mod lookup;
mod node;
mod quota;
mod read;
mod view;

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;

use zk_proto::{Acl, EphemeralOwner, Id, Perms, SessionId, StatPersisted, Zxid};

use acl::{AclId, Acls};
use arena::NIL;
use hash::HashKey;
use lookup::{Lookup, Place};
use node::{NAME_BYTES_MAX, NodeArena, Record};
use quota::QUOTA_PATH;

pub use apply::{Applied, Change, ChangeKind, Outcome};
pub(crate) use digest::ContentDigest;
pub use digest::node_digest;
pub use fuzzy::Fuzzy;
pub(crate) use fuzzy::Judged;
pub use load::{Loader, Recovered, RecoveryError, Replay};
pub(crate) use quota::QuotaNode;
pub use quota::{Quota, QuotaFigures};
pub use read::Node;
pub(crate) use read::ReapPlace;
pub use view::{NodeWalk, TreeView};

/// Where the membership of the ensemble is to be read.
pub(crate) const CONFIG_PATH: &str = "/zookeeper/config";

/// The root is the first node that a tree ever has.
const ROOT: u32 = 0;

/// What a tree is told at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TreeOptions {
    /// Whether znodes with a time to live exist (`zookeeper.extendedTypesEnabled`).
    pub extended_types: bool,
    /// Key of the hash tables. It never shows; clients must not be able to guess it, or they could
    /// choose names that collide.
    pub hash_seed: u64,
}

/// The data tree.
pub struct Tree {
    options: TreeOptions,
    nodes: NodeArena,
    lookup: Lookup,
    acls: Acls,
    ephemerals: BTreeMap<SessionId, BTreeSet<u32>>,
    ephemeral_count: usize,
    containers: BTreeSet<u32>,
    ttls: BTreeSet<u32>,
    /// `/zookeeper/quota`.
    quotas: Option<u32>,
    digest: u64,
    /// Sum over all nodes of the path's length in UTF-16 units and the data's in bytes.
    content_size: u64,
    last_zxid: Zxid,
}

impl Tree {
    /// The tree of an ensemble that has seen no transaction: the root, `/zookeeper` and in it `quota`
    /// and `config`.
    #[must_use]
    pub fn new(options: TreeOptions) -> Self {
        let stat = StatPersisted::default();
        let mut tree = Self::bare(options);
        tree.insert_root(Some(&[]), AclId::OPEN, stat);
        let readable = [Acl::new(Perms::READ, Id::anyone())];
        let config = StatPersisted {
            aversion: -1,
            ..stat
        };
        for (path, acl, stat) in [
            ("/zookeeper", AclId::OPEN, stat),
            ("/zookeeper/quota", AclId::OPEN, stat),
            (CONFIG_PATH, tree.acls.acquire(&readable), config),
        ] {
            let place = split(path).and_then(|(parent, name)| Some((tree.find(parent)?, name)));
            let (parent, name) = place.expect("parents come first");
            let place = tree.lookup.place(parent, name);
            tree.insert(path, place, Some(&[]), acl, stat);
        }
        tree
    }

    /// A tree without even a root.
    fn bare(options: TreeOptions) -> Self {
        let key = HashKey::new(options.hash_seed);
        Self {
            options,
            nodes: NodeArena::new(),
            lookup: Lookup::new(key.clone()),
            acls: Acls::new(key),
            ephemerals: BTreeMap::new(),
            ephemeral_count: 0,
            containers: BTreeSet::new(),
            ttls: BTreeSet::new(),
            quotas: None,
            digest: 0,
            content_size: 0,
            last_zxid: Zxid::ZERO,
        }
    }

    /// The node at `path`, both `"/"` and `""` being the root.
    fn find(&self, path: &str) -> Option<u32> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        path.strip_prefix('/')?
            .split('/')
            .try_fold(ROOT, |parent, name| self.child(parent, name))
    }

    fn child(&self, parent: u32, name: &str) -> Option<u32> {
        let place = self.lookup.place(parent, name);
        self.lookup.find(self.nodes.pages(), place)
    }

    fn insert_root(&mut self, data: Option<&[u8]>, acl: AclId, stat: StatPersisted) {
        let root = self.nodes.insert(Record::new("", "", data, acl, stat, NIL));
        assert_eq!(root, ROOT, "the root is the first node");
        self.count("", root);
    }

    /// Adds a node that is not there, in the name of an ACL that was acquired for it.
    fn insert(
        &mut self,
        path: &str,
        place: Place<'_>,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
    ) -> u32 {
        let Place { parent, name, .. } = place;
        let id = self.add(path, parent, name, data, acl, stat);
        self.lookup.insert(self.nodes.pages(), place, id);
        let bytes = self.nodes.get(id).data_len() as i64;
        self.count_above(id, 1, bytes);
        id
    }

    /// Adds a node that its ancestors do not count and that cannot be found by its name before it
    /// is in `lookup`.
    fn add(
        &mut self,
        path: &str,
        parent: u32,
        name: &str,
        data: Option<&[u8]>,
        acl: AclId,
        stat: StatPersisted,
    ) -> u32 {
        let record = Record::new(path, name, data, acl, stat, parent);
        let id = node::insert(&mut self.nodes, record);
        match self.owner(id) {
            EphemeralOwner::Persistent => {}
            EphemeralOwner::Container => {
                self.containers.insert(id);
            }
            EphemeralOwner::Ttl(_) => {
                self.ttls.insert(id);
            }
            EphemeralOwner::Session(session) => {
                self.ephemerals.entry(session).or_default().insert(id);
                self.ephemeral_count += 1;
            }
        }
        self.count(path, id);
        id
    }

    fn count(&mut self, path: &str, id: u32) {
        if path == QUOTA_PATH {
            self.quotas = Some(id);
        }
        let record = self.nodes.get(id);
        self.digest = self.digest.wrapping_add(record.digest().into());
        self.content_size += (utf16_len(path) + record.data_len()) as u64;
    }

    /// Counts a change of a node in its ancestors.
    fn count_above(&mut self, id: u32, nodes: i32, bytes: i64) {
        let mut at = id;
        while at != ROOT {
            at = self.nodes.get(at).parent;
            let record = self.nodes.get_mut(at);
            record.nodes_below = record.nodes_below.wrapping_add_signed(nodes);
            record.bytes_below = record.bytes_below.wrapping_add_signed(bytes);
        }
    }

    /// Removes a node without children.
    fn remove(&mut self, path_utf16_len: usize, id: u32) {
        let bytes = self.nodes.get(id).data_len() as i64;
        self.count_above(id, -1, -bytes);
        let record = self.nodes.get(id);
        assert_eq!(record.child_count, 0, "only a leaf is removed");
        self.digest = self.digest.wrapping_sub(record.digest().into());
        self.content_size -= (path_utf16_len + record.data_len()) as u64;
        let place = self.lookup.place(record.parent, record.name());
        self.lookup.remove(self.nodes.pages(), place);
        match self.owner(id) {
            EphemeralOwner::Persistent => {}
            EphemeralOwner::Container => {
                self.containers.remove(&id);
            }
            EphemeralOwner::Ttl(_) => {
                self.ttls.remove(&id);
            }
            EphemeralOwner::Session(session) => {
                let owned = self.ephemerals.get_mut(&session);
                let owned = owned.expect("an ephemeral's session is in the index");
                owned.remove(&id);
                if owned.is_empty() {
                    self.ephemerals.remove(&session);
                }
                self.ephemeral_count -= 1;
            }
        }
        if self.quotas == Some(id) {
            self.quotas = None;
        }
        let removed = node::remove(&mut self.nodes, id);
        self.acls.release(removed.acl);
    }

    /// Changes a node's stat or data.
    fn change(&mut self, id: u32, change: impl FnOnce(&mut Record)) {
        let record = self.nodes.get_mut(id);
        let bytes_before = record.data_len();
        self.digest = self.digest.wrapping_sub(record.digest().into());
        change(record);
        self.digest = self.digest.wrapping_add(record.digest().into());
        let bytes = record.data_len() as i64 - bytes_before as i64;
        if bytes != 0 {
            self.content_size = self.content_size.wrapping_add_signed(bytes);
            self.count_above(id, 0, bytes);
        }
    }

    fn owner(&self, id: u32) -> EphemeralOwner {
        let raw = self.nodes.get(id).stat.ephemeral_owner;
        EphemeralOwner::from_raw(raw, self.options.extended_types)
    }
}

/// Counts, not contents.
impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree")
            .field("last_zxid", &self.last_zxid)
            .field("nodes", &self.nodes.len())
            .field("digest", &format_args!("{:#x}", self.digest))
            .finish_non_exhaustive()
    }
}

/// The parent's path and the name; `None` for the root and for text that no node can have as path.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    (1..=NAME_BYTES_MAX)
        .contains(&name.len())
        .then_some((parent, name))
}

/// Java counts a path's length in UTF-16 units.
fn utf16_len(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.encode_utf16().count()
    }
}

#[cfg(test)]
mod tests;
