//! Snapshots.

mod reader;
mod writer;

pub use reader::{SnapshotPart, SnapshotReader};
pub use writer::{SnapshotFile, SnapshotSource, Snapshots};

use zk_proto::{TxnDigest, Zxid};

/// What a snapshot says about itself after its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotTrailer {
    /// The tree's digest, and the transaction after which it holds: the snapshot's own, or a later
    /// one for a snapshot that was taken while transactions were applied.
    pub digest: Option<(Zxid, TxnDigest)>,
    /// The newest transaction that had been applied when the snapshot was finished.
    pub last_zxid: Option<Zxid>,
}
