//! A picture of the tree for snapshots.

use alloc::string::String;
use core::fmt;

use zk_proto::{Acl, SnapshotNode, Zxid};

use super::acl::{self, AclPages};
use super::arena::NIL;
use super::node::Nodes;
use super::{ROOT, Tree};

/// The tree at one zxid. It is cheap to take, does not change, and can be read from any thread; what
/// the tree changes meanwhile is copied, page by page, at the first change.
#[derive(Clone)]
pub struct TreeView {
    nodes: Nodes,
    node_count: usize,
    acls: AclPages,
    acls_end: u32,
    zxid: Zxid,
    digest: u64,
}

impl Tree {
    /// A picture of the tree as it is.
    #[must_use]
    pub fn view(&self) -> TreeView {
        let (acls, acls_end) = self.acls.picture();
        TreeView {
            nodes: self.nodes.pages().clone(),
            node_count: self.nodes.len(),
            acls,
            acls_end,
            zxid: self.last_zxid,
            digest: self.digest,
        }
    }
}

impl TreeView {
    /// The newest transaction in the picture.
    #[must_use]
    pub const fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// The digest of the tree.
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Number of nodes that [`nodes`](Self::nodes) passes.
    #[must_use]
    pub const fn node_count(&self) -> usize {
        self.node_count
    }

    /// The ACLs in use with their numbers, in ascending order. The open ACL is not among them: its
    /// number is −1 wherever it is used.
    pub fn acls(&self) -> impl Iterator<Item = (i64, &[Acl])> {
        acl::numbered(&self.acls, self.acls_end)
    }

    /// The nodes in pre-order: parents before children, and each node's subtree in one piece.
    #[must_use]
    pub fn nodes(&self) -> NodeWalk<'_> {
        NodeWalk {
            nodes: &self.nodes,
            left: self.node_count,
            at: None,
            path: String::new(),
        }
    }
}

/// Counts, not contents.
impl fmt::Debug for TreeView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeView")
            .field("zxid", &self.zxid)
            .field("nodes", &self.node_count)
            .finish_non_exhaustive()
    }
}

/// Passes the nodes of a [`TreeView`] one by one.
pub struct NodeWalk<'a> {
    nodes: &'a Nodes,
    /// Nodes not yet passed.
    left: usize,
    /// The node last passed.
    at: Option<u32>,
    /// Its path.
    path: String,
}

impl NodeWalk<'_> {
    /// The next node, the root with its path `""` first; `None` after the last.
    pub fn next_node(&mut self) -> Option<SnapshotNode<'_>> {
        self.left = self.left.checked_sub(1)?;
        let next = self.at.map_or(ROOT, |at| self.step(at));
        self.at = Some(next);
        let record = self.nodes.get(next);
        Some(SnapshotNode {
            path: &self.path,
            data: record.data(),
            acl: record.acl.to_snapshot(),
            stat: record.stat.into(),
        })
    }

    fn step(&mut self, mut at: u32) -> u32 {
        let mut next = self.nodes.get(at).first_child;
        while next == NIL {
            let record = self.nodes.get(at);
            self.path.truncate(self.path.len() - record.name_len() - 1);
            (at, next) = (record.parent, record.next);
        }
        self.path.push('/');
        self.path.push_str(self.nodes.get(next).name());
        next
    }
}

impl fmt::Debug for NodeWalk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeWalk")
            .field("path", &self.path)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
