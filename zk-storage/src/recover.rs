//! Reading the state back.

use std::path::PathBuf;

use zk_proto::{Acl, SnapshotNode, SnapshotSession, TxnRecord, Zxid};

use crate::{RestoreError, SnapshotTrailer};

/// Takes the state as it is read back. The order is `begin`, sessions, ACLs, znodes in pre-order,
/// `snapshot_done`, transactions in the order of their zxids. When a snapshot turns out to be
/// unreadable an older one follows, from `begin`. Without any snapshot transactions follow `begin`.
pub trait Restore {
    /// Forgets what came before.
    fn begin(&mut self);

    /// A session that was open.
    ///
    /// # Errors
    /// Why the snapshot cannot be used; an older one is tried. The same holds up to `snapshot_done`.
    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError>;

    /// A numbered ACL.
    ///
    /// # Errors
    /// Why the snapshot cannot be used.
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError>;

    /// A znode. Its parent came before it.
    ///
    /// # Errors
    /// Why the snapshot cannot be used.
    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError>;

    /// The snapshot is whole and its checksums match. Snapshots that Apache's server takes while it
    /// writes hold parts of later transactions, which come again.
    ///
    /// # Errors
    /// Why the snapshot cannot be used.
    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError>;

    /// A transaction after the snapshot. Its buffers share the memory of everything read around
    /// it: what is kept is better copied.
    ///
    /// # Errors
    /// Why it cannot be applied; recovery ends with it.
    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError>;
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// What came before the logs.
    pub from: RecoveredFrom,
    /// The newest transaction; the snapshot's when there is none after it.
    pub last_zxid: Zxid,
    /// How many transactions came after the snapshot.
    pub txns: u64,
    /// Snapshots that could not be read, newest first.
    pub skipped: Vec<SkippedSnapshot>,
    /// What was cut off the end of the newest log.
    pub torn: Option<TornTail>,
}

/// What came before the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveredFrom {
    /// A snapshot.
    Snapshot {
        /// The file.
        path: PathBuf,
        /// The newest transaction in it.
        zxid: Zxid,
        /// Its length.
        bytes: u64,
    },
    /// Nothing: the database is empty. A snapshot has to be written before the first flush, so that
    /// logs never stand without one.
    Empty,
    /// Nothing, and an empty database is not expected here: `db.autocreate` is off and no file
    /// `initialize` is there. A member of an ensemble must not vote with it.
    Unexpected,
}

/// A snapshot that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedSnapshot {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Bytes of a batch that a crash left half-written, which were cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The log.
    pub path: PathBuf,
    /// Where the first unreadable entry started.
    pub offset: u64,
    /// Bytes from there to the last that is not zero.
    pub bytes: u64,
}
