//! The two directories of a server.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{FileSystem, LogWriter, OpenError, RecoverError, RecoveryReport, Restore, Snapshots};

/// Where and how to store. Names and defaults follow `zoo.cfg`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of zoo.cfg")]
pub struct StorageConfig {
    /// `dataDir`: snapshots go to `version-2` in it.
    pub data_dir: PathBuf,
    /// `dataLogDir`: logs go to `version-2` in it. Usually the same as `data_dir`.
    pub data_log_dir: PathBuf,
    /// `preAllocSize`, in bytes: how far a log is allocated ahead. Zero for not at all.
    pub pre_alloc_bytes: u64,
    /// `txnLogSizeLimitInKb`, in bytes: a log beyond this length is followed by another.
    pub txn_log_size_limit_bytes: Option<NonZeroU64>,
    /// `forceSync`: whether a flush waits for the disk. Without it a power cut loses acknowledged
    /// transactions.
    pub force_sync: bool,
    /// `snapshot.trust.empty`: start from an empty tree when there are logs but no snapshot.
    pub snapshot_trust_empty: bool,
    /// `datadir.autocreate`: make the directories.
    pub datadir_autocreate: bool,
    /// `db.autocreate`: an empty directory is an empty database, and no sign of a lost one.
    pub db_autocreate: bool,
}

impl StorageConfig {
    /// Apache's defaults, with logs and snapshots in one directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        Self {
            data_log_dir: data_dir.clone(),
            data_dir,
            pre_alloc_bytes: 64 << 20,
            txn_log_size_limit_bytes: None,
            force_sync: true,
            snapshot_trust_empty: false,
            datadir_autocreate: true,
            db_autocreate: true,
        }
    }
}

/// The directories, owned by this process, not yet read.
#[derive(Debug)]
pub struct Storage {}

/// What [`Storage::recover`] gives out.
#[derive(Debug)]
pub struct Recovered {
    /// What was read.
    pub report: RecoveryReport,
    /// Appends to the log, from the transaction after [`RecoveryReport::last_zxid`].
    pub log: LogWriter,
    /// Writes and purges snapshots.
    pub snapshots: Snapshots,
}

impl Storage {
    /// Takes the directories: makes them if allowed, locks them, and checks that logs and snapshots
    /// are where the configuration says.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, but for directories and lock files.
    pub fn open(_fs: Arc<dyn FileSystem>, _config: StorageConfig) -> Result<Self, OpenError> {
        todo!()
    }

    /// Reads the state back: the newest valid snapshot, then the logs from there.
    ///
    /// # Errors
    /// [`RecoverError`] when what was acknowledged cannot be read whole. The files stay as they are.
    pub fn recover(self, _into: &mut impl Restore) -> Result<Recovered, RecoverError> {
        todo!()
    }
}
