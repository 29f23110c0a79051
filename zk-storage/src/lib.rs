//! Transaction log, snapshots and recovery in the format of Apache ZooKeeper.
//!
//! This crate knows what survives a crash: which bytes are written in which order, when they are
//! on disk, and how the state is read back. It does not know what a transaction does: recovery
//! hands sessions, ACLs, znodes and transactions to a [`Restore`], and a snapshot takes them from a
//! [`SnapshotSource`]. The layouts are drawn in `docs/formats.md`.
//!
//! [`Storage::open`] takes the directories for this process alone. [`Storage::recover`] reads the
//! newest valid snapshot and the logs from there, and only then gives out the [`LogWriter`] and the
//! [`Snapshots`], so that nothing is appended to a history that was not read.
//!
//! A member of an ensemble also keeps its promises ([`Epochs`]), sends other servers what they lack
//! ([`History`], [`send_snapshot`]), and has its own history cut ([`Storage::truncate`]) or replaced
//! ([`Storage::receive_snapshot`]): it gives the handles back first ([`Storage::from_handles`]), so that
//! nobody writes to a history that is changed.
//!
//! Everything goes through one small [`FileSystem`], which is the machine's
//! ([`RealFileSystem`]) or a model of one that loses power ([`memory::MemoryFileSystem`]).

pub mod atomic;
mod compression;
mod epochs;
mod error;
mod fs;
mod history;
mod intent;
mod log;
mod names;
mod recover;
mod settle;
mod snapshot;
mod space;
mod storage;
mod stream;
mod truncate;

pub use epochs::{EpochFiles, Epochs};
pub use error::{
    EpochError, HistoryError, InstallError, IoError, IoOp, LogError, OpenError, RecoverError,
    RestoreError, SnapshotError, TruncateError,
};
pub use fs::{DirEntry, File, FileSystem, OpenMode, RealFileSystem, SECTOR_BYTES, memory};
pub use history::{History, HistorySize, TxnsAfter};
pub use log::{LogWriter, TxnLogItem, TxnLogReader};
pub use recover::{RecoveredFrom, RecoveryReport, Restore, SkippedSnapshot, TornTail};
pub use snapshot::{
    SnapshotFile, SnapshotInstall, SnapshotPart, SnapshotReadError, SnapshotSource,
    SnapshotTrailer, Snapshots, read_snapshot, send_snapshot,
};
pub use space::{GivenBack, Space};
pub use storage::{Recovered, Storage, StorageConfig};
