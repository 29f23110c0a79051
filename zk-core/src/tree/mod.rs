//! The data tree.

/// An immutable picture of the tree at one zxid, cheap to take and safe to read from any thread.
#[derive(Debug, Clone)]
pub struct TreeView;

/// The data tree.
#[derive(Debug)]
pub struct Tree {
    last_zxid: zk_proto::Zxid,
}

impl Tree {
    /// The newest transaction applied.
    #[must_use]
    pub fn last_zxid(&self) -> zk_proto::Zxid {
        self.last_zxid
    }
}

/// What recovery found on disk.
#[derive(Debug)]
pub struct Recovered {
    /// The tree after the last transaction.
    pub tree: Tree,
    /// Timeouts, in ms, of the sessions that are open.
    pub sessions: alloc::collections::BTreeMap<zk_proto::SessionId, i32>,
    /// The last transaction.
    pub last_zxid: zk_proto::Zxid,
}
