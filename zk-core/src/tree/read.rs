//! What can be asked of the tree.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use zk_proto::{Acl, EphemeralOwner, SessionId, Stat, StatPersisted, Zxid};

use super::arena::NIL;
use super::digest::ContentDigest;
use super::node::{self, Record};
use super::{ROOT, Tree};

/// Data up to this size is copied for a reply rather than shared: as cheap, and it lets the old
/// data go when it is replaced.
const COPIED_BYTES_MAX: usize = 1024;

/// Where a walk over containers and znodes with a time to live stands: at the first, unless a walk
/// gave it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReapPlace {
    is_in_ttls: bool,
    next: u32,
}

impl Tree {
    /// The znode at `path`; `"/"` and its alias `""` are the root. Text that is no valid path names
    /// no znode.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<Node<'_>> {
        self.find(path).map(|id| self.node(id))
    }

    /// The newest transaction applied.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// The digest of the whole tree, of version 2.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Number of znodes as Apache's server counts them: the root twice, for it has two paths.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.nodes.len() + 1
    }

    /// Length of all paths, in UTF-16 units, and of all data, in bytes.
    #[must_use]
    pub const fn approximate_data_size(&self) -> u64 {
        self.content_size + 1
    }

    /// Number of znodes below `path`; `None` without such a znode.
    #[must_use]
    pub fn descendant_count(&self, path: &str) -> Option<usize> {
        let top = self.find(path)?;
        Some(self.nodes.get(top).nodes_below as usize)
    }

    /// Number of ephemeral znodes.
    #[must_use]
    pub const fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// Sessions that own ephemeral znodes, in order of their ids.
    pub fn sessions_with_ephemerals(&self) -> impl Iterator<Item = SessionId> {
        self.ephemerals.keys().copied()
    }

    /// Paths of the session's ephemeral znodes, in an order that only the tree's history decides.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = String> {
        let owned = self.ephemerals.get(&session).into_iter().flatten();
        owned.map(|&id| self.path(id))
    }

    /// The containers and znodes with a time to live from a place on, each with the place after it.
    /// A walk may go on at its last place though the tree has changed.
    pub(crate) fn reapable_from(
        &self,
        from: ReapPlace,
    ) -> impl Iterator<Item = (ReapPlace, Node<'_>)> {
        let ReapPlace { is_in_ttls, next } = from;
        let containers = (!is_in_ttls).then(|| self.containers.range(next..));
        let containers = containers.into_iter().flatten().map(|&id| (false, id));
        let first_ttl = if is_in_ttls { next } else { 0 };
        let ttls = self.ttls.range(first_ttl..).map(|&id| (true, id));
        containers.chain(ttls).map(|(is_in_ttls, id)| {
            let next = id + 1;
            (ReapPlace { is_in_ttls, next }, self.node(id))
        })
    }

    /// The containers, in a stable order.
    pub fn containers(&self) -> impl Iterator<Item = Node<'_>> {
        self.containers.iter().map(|&id| self.node(id))
    }

    /// The znodes with a time to live, in a stable order.
    pub fn ttls(&self) -> impl Iterator<Item = Node<'_>> {
        self.ttls.iter().map(|&id| self.node(id))
    }

    /// The nodes from `top` down, in pre-order.
    pub(super) fn subtree(&self, top: u32) -> impl Iterator<Item = u32> {
        core::iter::successors(Some(top), move |&id| {
            node::next_in_subtree(self.nodes.pages(), top, id)
        })
    }

    pub(super) fn path(&self, id: u32) -> String {
        if id == ROOT {
            return "/".into();
        }
        let mut names = Vec::new();
        let mut at = id;
        while at != ROOT {
            let record = self.nodes.get(at);
            names.push(record.name());
            at = record.parent;
        }
        let mut path = String::with_capacity(names.iter().map(|name| name.len() + 1).sum());
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    pub(super) fn stat(&self, id: u32) -> Stat {
        let record = self.nodes.get(id);
        let owner = self.owner(id);
        record.client_stat(match owner {
            EphemeralOwner::Session(session) => session.0,
            EphemeralOwner::Persistent | EphemeralOwner::Container | EphemeralOwner::Ttl(_) => 0,
        })
    }

    fn node(&self, id: u32) -> Node<'_> {
        Node {
            tree: self,
            id,
            record: self.nodes.get(id),
        }
    }
}

/// A znode, borrowed from its [`Tree`].
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a Tree,
    id: u32,
    record: &'a Record,
}

impl<'a> Node<'a> {
    /// The whole path, put together from the names of its ancestors.
    #[must_use]
    pub fn path(&self) -> String {
        self.tree.path(self.id)
    }

    /// The stat as clients see it.
    #[must_use]
    pub fn stat(&self) -> Stat {
        self.tree.stat(self.id)
    }

    /// The stat as snapshots keep it.
    #[must_use]
    pub fn persisted(&self) -> StatPersisted {
        self.record.stat.into()
    }

    /// The data; null and empty differ.
    #[must_use]
    pub fn data(&self) -> Option<&'a [u8]> {
        self.record.data()
    }

    /// The data to keep: copied when small, shared when large.
    #[must_use]
    pub fn data_bytes(&self) -> Option<Bytes> {
        let data = self.record.data()?;
        Some(if data.len() <= COPIED_BYTES_MAX {
            Bytes::copy_from_slice(data)
        } else {
            Bytes::from_owner(Arc::clone(self.record.shared_bytes()))
                .slice(self.record.name_len()..)
        })
    }

    /// The access control list.
    #[must_use]
    pub fn acl(&self) -> &'a Arc<[Acl]> {
        self.tree.acls.get(self.record.acl)
    }

    /// Names of the children, in order of creation, or of the snapshot that was loaded.
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let nodes = self.tree.nodes.pages();
        let linked = |id: u32| (id != NIL).then(|| nodes.get(id));
        core::iter::successors(linked(self.record.first_child), move |child| {
            linked(child.next)
        })
        .map(Record::name)
    }

    /// Number of children.
    #[must_use]
    pub const fn num_children(&self) -> usize {
        self.record.child_count as usize
    }

    /// The kind of znode.
    #[must_use]
    pub fn owner(&self) -> EphemeralOwner {
        self.tree.owner(self.id)
    }

    /// The part of its digest that the stat does not change.
    pub(crate) fn content_digest(&self) -> ContentDigest {
        self.record.content_digest()
    }

    /// Its share of the tree's digest.
    #[must_use]
    pub fn digest(&self) -> u32 {
        self.record.digest()
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("path", &self.path())
            .field("stat", &self.stat())
            .finish_non_exhaustive()
    }
}
