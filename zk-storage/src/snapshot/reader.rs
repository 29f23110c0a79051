//! Reading one snapshot file.

use std::path::Path;

use zk_proto::{Acl, SnapshotNode, SnapshotSession};

use super::SnapshotTrailer;
use crate::{FileSystem, IoError};

/// Reads one snapshot file from its start.
#[derive(Debug)]
pub struct SnapshotReader {}

/// What stands in a snapshot, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotPart<'a> {
    /// A session that was open.
    Session(SnapshotSession),
    /// A numbered ACL.
    Acl(i64, Vec<Acl>),
    /// A znode.
    Node(SnapshotNode<'a>),
    /// The end; every checksum matches.
    End(SnapshotTrailer),
}

impl SnapshotReader {
    /// Opens a snapshot.
    ///
    /// # Errors
    /// [`IoError`].
    pub fn open(_fs: &dyn FileSystem, _path: &Path) -> Result<Self, IoError> {
        todo!()
    }
}
