//! What can go wrong, by what was being done.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zk_proto::{DecodeError, Zxid};

/// What was asked of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named after the call")]
#[non_exhaustive]
pub enum IoOp {
    CreateDir,
    Exists,
    List,
    Open,
    Create,
    Length,
    Read,
    Write,
    Allocate,
    SetLength,
    Sync,
    Rename,
    Remove,
    SyncDir,
    Lock,
}

impl fmt::Display for IoOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreateDir => "create directory",
            Self::Exists => "look for",
            Self::List => "list directory",
            Self::Open => "open",
            Self::Create => "create",
            Self::Length => "get length of",
            Self::Read => "read",
            Self::Write => "write",
            Self::Allocate => "allocate space for",
            Self::SetLength => "set length of",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::SyncDir => "sync directory",
            Self::Lock => "lock",
        })
    }
}

/// The file system refused something.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op} {}: {source}", path.display())]
pub struct IoError {
    /// What was asked.
    pub op: IoOp,
    /// Of which file or directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Adds operation and path to an `io::Error`.
pub(crate) trait Context<T> {
    fn context(self, op: IoOp, path: &Path) -> Result<T, IoError>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, op: IoOp, path: &Path) -> Result<T, IoError> {
        self.map_err(|source| IoError {
            op,
            path: path.to_owned(),
            source,
        })
    }
}

/// Why the directories cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A directory is missing and may not be made.
    #[error("directory {} is missing, and datadir.autocreate is false", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The txn log directory holds snapshots.
    #[error("{} is a snapshot in the txn log directory: check dataDir and dataLogDir", path.display())]
    SnapshotInLogDir {
        /// The snapshot.
        path: PathBuf,
    },
    /// The snapshot directory holds txn logs.
    #[error("{} is a txn log in the snapshot directory: check dataDir and dataLogDir", path.display())]
    LogInSnapshotDir {
        /// The log.
        path: PathBuf,
    },
    /// Another process uses the directory.
    #[error("{} is locked: another server uses the directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why the state refuses a part of what was read.
pub type RestoreError = Box<dyn std::error::Error + Send + Sync>;

/// Why the state cannot be read back. The files are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// There are logs, but no snapshot to start from.
    #[error(
        "no snapshot found, but txn log {}: restore a snapshot, or set snapshot.trust.empty to start from an empty tree",
        log.display()
    )]
    NoSnapshot {
        /// The oldest log.
        log: PathBuf,
    },
    /// There are snapshots, and none can be read.
    #[error("no snapshot can be read; the newest is {}: {reason}", newest.display())]
    NoValidSnapshot {
        /// The newest.
        newest: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A log is damaged: transactions that may have been acknowledged cannot be read.
    #[error("txn log {} is damaged at offset {offset}: {what}", path.display())]
    Damaged {
        /// The log.
        path: PathBuf,
        /// Where the first unreadable byte of an entry is.
        offset: u64,
        /// What is wrong there, and how it is known to be no torn tail.
        what: String,
    },
    /// Transactions between two others are in no log.
    #[error("transactions after {after} are missing: {} goes on with {next}", path.display())]
    Gap {
        /// The last one before the hole.
        after: Zxid,
        /// The next one found.
        next: Zxid,
        /// The log that holds it.
        path: PathBuf,
    },
    /// Two transactions have the same zxid.
    #[error("{zxid} is in the logs twice, as two transactions; the second is in {}", path.display())]
    Taken {
        /// The zxid.
        zxid: Zxid,
        /// The log that holds the second.
        path: PathBuf,
    },
    /// The log ends before what was acknowledged.
    #[error(
        "transactions up to {flushed} were acknowledged, but the logs end at {last}; {} says so: restore the missing log, or remove that file to accept the loss",
        path.display()
    )]
    Lost {
        /// The newest transaction on disk when it was recorded.
        flushed: Zxid,
        /// The newest one found.
        last: Zxid,
        /// The file that recorded it.
        path: PathBuf,
    },
    /// A snapshot cannot be read, and the logs end before it.
    #[error(
        "snapshot {} cannot be read, and the logs end at {last}, before it: restore the snapshot, or remove it to accept the loss",
        path.display()
    )]
    LostSnapshot {
        /// The snapshot.
        path: PathBuf,
        /// The newest transaction found.
        last: Zxid,
    },
    /// A transaction's bytes are whole, but are none that is known.
    #[error("txn log {}, offset {offset}: {source}", path.display())]
    Undecodable {
        /// The log.
        path: PathBuf,
        /// Where the entry starts.
        offset: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// The state refuses a transaction.
    #[error("txn log {}, offset {offset}, zxid {zxid}: {source}", path.display())]
    Refused {
        /// The log.
        path: PathBuf,
        /// Where the entry starts.
        offset: u64,
        /// The transaction.
        zxid: Zxid,
        /// Why.
        source: RestoreError,
    },
    /// A change of the history was interrupted, and what it was cannot be read.
    #[error(
        "{}, which says how to complete a change of the history, is unreadable: {source}",
        path.display()
    )]
    UnreadableIntent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A change of the history was interrupted, and another server has used the directory since.
    #[error(
        "{} was written after {}, which says how to complete a change of the history: remove the latter if another server used the directory",
        file.display(),
        intent.display()
    )]
    ForeignFile {
        /// A log or snapshot that the change does not know.
        file: PathBuf,
        /// The file that describes the change.
        intent: PathBuf,
    },
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why the history cannot be cut. It is as it was, unless the error came from the file system: then
/// the next start knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruncateError {
    /// The history does not go through the transaction.
    #[error("{target} is not in the history, which goes from {before} to {}", ends_or(*after))]
    NotInHistory {
        /// The transaction that should become the last.
        target: Zxid,
        /// The newest one before it.
        before: Zxid,
        /// The oldest one after it.
        after: Option<Zxid>,
    },
    /// No snapshot is old enough to start from.
    #[error("no snapshot up to {target} can be read{}", because(reason.as_deref()))]
    NoBase {
        /// The transaction that should become the last.
        target: Zxid,
        /// What is wrong with the newest that is old enough, if there is one.
        reason: Option<String>,
    },
    /// The history up to the transaction cannot be read.
    #[error(transparent)]
    Unreadable(#[from] RecoverError),
}

/// Why a snapshot that a leader sent did not take the place of the history. The next start knows
/// whether it did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The snapshot cannot be written.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The history cannot be replaced.
    #[error(transparent)]
    History(#[from] RecoverError),
}

/// Why the transactions on disk do not lead from one to another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The logs begin later.
    #[error("the logs do not reach back to {from}")]
    TooOld {
        /// The transaction asked for.
        from: Zxid,
        /// The oldest log's first one.
        oldest: Option<Zxid>,
    },
    /// Transactions between two others are in no log, or may be missing there.
    #[error("transactions after {after} are missing: {next} is the next")]
    Hole {
        /// The last one before the hole.
        after: Zxid,
        /// The next one known.
        next: Zxid,
    },
    /// A log was purged before it was read.
    #[error("{} was purged", path.display())]
    Purged {
        /// The log.
        path: PathBuf,
    },
    /// The history was cut or replaced meanwhile.
    #[error("the history was cut or replaced")]
    Replaced,
    /// A log cannot be read.
    #[error(transparent)]
    Unreadable(#[from] RecoverError),
}

impl From<IoError> for HistoryError {
    fn from(error: IoError) -> Self {
        Self::Unreadable(error.into())
    }
}

fn ends_or(after: Option<Zxid>) -> String {
    after.map_or_else(|| "its end".to_owned(), |zxid| zxid.to_string())
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl From<IoError> for TruncateError {
    fn from(error: IoError) -> Self {
        Self::Unreadable(error.into())
    }
}

/// Why the epoch files cannot be used: the server must not vote.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EpochError {
    /// A file holds no epoch.
    #[error("{} holds {content:?}, expected an epoch", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it holds.
        content: String,
    },
    /// An epoch is current that was never accepted: a promise was lost.
    #[error(
        "acceptedEpoch in {} is {accepted}, older than currentEpoch, {current}",
        dir.display()
    )]
    Contradiction {
        /// The accepted epoch.
        accepted: u32,
        /// The current epoch.
        current: u32,
        /// The directory of both files.
        dir: PathBuf,
    },
    /// The history reaches into an epoch that was never accepted: a promise was lost, or the history
    /// is another server's.
    #[error(
        "acceptedEpoch in {} is {accepted}, but the newest transaction, {last_zxid}, is of a newer epoch; if this history was restored from another server, remove acceptedEpoch and currentEpoch",
        dir.display()
    )]
    Lost {
        /// The accepted epoch.
        accepted: u32,
        /// The newest transaction.
        last_zxid: Zxid,
        /// The directory of both files.
        dir: PathBuf,
    },
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why nothing more can be appended. Final: what is on disk is known again only by recovery.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An earlier write or sync failed.
    #[error("an earlier write to the txn log failed")]
    Poisoned,
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why a snapshot could not be written. Earlier snapshots and the log are not touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// What was read back is not what was written.
    #[error("snapshot {} reads back differently: {what}", path.display())]
    NotAsWritten {
        /// The file, under its temporary name.
        path: PathBuf,
        /// The difference.
        what: String,
    },
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}
