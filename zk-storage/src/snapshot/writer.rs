//! Writing and purging snapshots.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;

use zk_proto::{Acl, SnapshotNode, SnapshotSession, TxnDigest, Zxid};

use crate::{IoError, SnapshotError};

/// A state at one zxid, as a snapshot takes it.
pub trait SnapshotSource {
    /// The open sessions.
    fn sessions(&self) -> Vec<SnapshotSession>;

    /// The ACLs, by the numbers that znodes name them by; the open ACL, −1, is left out.
    fn acls(&self) -> Vec<(i64, Vec<Acl>)>;

    /// Shows every znode, a parent before its children, the root (with the empty path) first; ends
    /// early when told to.
    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>);
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The file.
    pub path: PathBuf,
    /// The newest transaction in it.
    pub zxid: Zxid,
    /// Its length.
    pub bytes: u64,
}

/// Writes and purges snapshots. It may live in another thread than the log.
#[derive(Debug)]
pub struct Snapshots {}

impl Snapshots {
    /// Writes a snapshot: under a temporary name, synced, read back, then renamed, and the
    /// directory synced. `digest` is the tree's, if it is kept.
    ///
    /// # Errors
    /// [`SnapshotError`]; the temporary file is removed if it can be.
    pub fn write(
        &mut self,
        _source: &dyn SnapshotSource,
        _zxid: Zxid,
        _digest: Option<TxnDigest>,
    ) -> Result<SnapshotFile, SnapshotError> {
        todo!()
    }

    /// Removes all snapshots but the newest `retain`, and all logs that none of those needs.
    /// Returns the removed files.
    ///
    /// # Errors
    /// [`IoError`]; what is left is as good as before.
    pub fn purge(&mut self, _retain: NonZeroUsize) -> Result<Vec<PathBuf>, IoError> {
        todo!()
    }

    /// Bytes in the snapshot directory and in the log directory, as the `dirs` command shows them.
    ///
    /// # Errors
    /// [`IoError`].
    pub fn sizes(&self) -> Result<(u64, u64), IoError> {
        todo!()
    }
}
