//! Snapshots: files named `snapshot.HEX` after the newest transaction in them.

mod body;
mod install;
mod reader;
mod send;
mod writer;

pub use install::SnapshotInstall;
pub(crate) use reader::looks_finished;
pub use reader::{SnapshotPart, SnapshotReadError, read_snapshot};
pub use send::send_snapshot;
pub use writer::{SnapshotFile, SnapshotSource, Snapshots};

use zk_proto::{TxnDigest, Zxid};

/// What a snapshot says about itself after its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SnapshotTrailer {
    /// The tree's digest, and the transaction after which it holds: the snapshot's own, or a later
    /// one for a snapshot that was taken while transactions were applied.
    pub digest: Option<(Zxid, TxnDigest)>,
    /// The newest transaction that had been applied when the snapshot was finished. Written by 3.9
    /// and later.
    pub last_zxid: Option<Zxid>,
}

/// Ends the list of znodes, and every seal.
const END_PATH: &str = "/";
/// A seal: long Adler-32, string "/".
const SEAL_BYTES: usize = 13;
/// Long zxid, int digest version, long digest.
const DIGEST_BYTES: usize = 20;
/// Long zxid.
const ZXID_BYTES: usize = 8;
