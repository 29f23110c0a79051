//! The data tree.

/// An immutable picture of the tree at one zxid, cheap to take and safe to read from any thread.
#[derive(Debug, Clone)]
pub struct TreeView;
