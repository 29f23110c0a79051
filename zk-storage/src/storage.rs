//! The two directories of a server.

use std::any::Any;
use std::fmt;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use zk_proto::Zxid;

use crate::error::Context;
use crate::log::mark::MarkFile;
use crate::space::EndedLog;
use crate::{
    EpochFiles, FileSystem, History, IoError, IoOp, LogError, LogWriter, OpenError, RecoverError,
    RecoveryReport, Restore, SnapshotInstall, Snapshots, Space, TruncateError, intent, names,
    recover, truncate,
};

/// Where and how to store. Names and defaults follow `zoo.cfg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConfig {
    /// `dataDir`: snapshots go to `version-2` in it.
    pub data_dir: PathBuf,
    /// `dataLogDir`: logs go to `version-2` in it. Usually the same as `data_dir`.
    pub data_log_dir: PathBuf,
    /// `preAllocSize`, in bytes: a log is allocated in steps of this. Zero for not at all.
    pub pre_alloc_bytes: u64,
    /// `txnLogSizeLimitInKb`, in bytes: a log beyond this length is followed by another.
    pub txn_log_size_limit_bytes: Option<NonZeroU64>,
    /// `forceSync`: whether a flush waits for the disk. Without it a power cut loses acknowledged
    /// transactions, and their loss is not noticed.
    pub force_sync: bool,
    /// `serializeLastProcessedZxid.enabled`: a snapshot ends with the newest transaction in it, as
    /// servers of 3.9 write it and older ones leave it unread.
    pub snapshot_last_zxid: bool,
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
            snapshot_last_zxid: true,
            snapshot_trust_empty: false,
            datadir_autocreate: true,
            db_autocreate: true,
        }
    }
}

/// The directories, owned by this process, and nobody who reads or writes in them.
#[derive(Debug)]
pub struct Storage {
    dirs: Arc<Directories>,
    /// What was read is known to be on disk.
    is_recovered: bool,
}

/// What [`Storage::recover`] gives out. The directories stay locked until all handles are gone.
#[derive(Debug)]
pub struct Recovered {
    /// What was read.
    pub report: RecoveryReport,
    /// Appends to the log, from the transaction after [`RecoveryReport::last_zxid`].
    pub log: LogWriter,
    /// Writes and purges snapshots.
    pub snapshots: Snapshots,
    /// What a member of an ensemble promised.
    pub epochs: EpochFiles,
    /// Reads transactions for other servers.
    pub history: History,
    /// Gives back the space of what is no longer needed.
    pub space: Space,
}

impl Storage {
    /// Takes the directories: makes them if allowed, locks them, and checks that logs and snapshots
    /// are where the configuration says (`FileTxnSnapLog`, 3.9.5).
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then, but for directories and lock files.
    pub fn open(fs: Arc<dyn FileSystem>, config: StorageConfig) -> Result<Self, OpenError> {
        let snap_dir = config.data_dir.join(names::VERSION_DIR);
        let log_dir = config.data_log_dir.join(names::VERSION_DIR);
        let mut locks = vec![take(&*fs, &snap_dir, config.datadir_autocreate)?];
        if log_dir != snap_dir {
            locks.push(take(&*fs, &log_dir, config.datadir_autocreate)?);
            check_not_mixed_up(&*fs, &snap_dir, &log_dir)?;
        }
        Ok(Self {
            dirs: Arc::new(Directories {
                fs,
                config,
                snap_dir,
                log_dir,
                ended: EndedLog::default(),
                reading: Arc::default(),
                has_snapshot: AtomicBool::new(false),
                history: AtomicU64::new(0),
                _locks: locks,
            }),
            is_recovered: false,
        })
    }

    /// Takes the directories back from the handles, to change or to read the history anew. What was
    /// appended is flushed.
    ///
    /// # Errors
    /// [`LogError`], which is final.
    ///
    /// # Panics
    /// When the handles are not of the same directories.
    pub fn from_handles(log: LogWriter, snapshots: Snapshots) -> Result<Self, LogError> {
        let dirs = snapshots.into_dirs();
        assert!(
            Arc::ptr_eq(&dirs, log.dirs()),
            "a log and snapshots of two histories"
        );
        log.close()?;
        Ok(Self {
            dirs,
            is_recovered: true,
        })
    }

    /// Cuts the history behind `target` (TRUNC): afterwards no log holds a transaction after it, and
    /// no snapshot one that is gone. It is one step: after a crash at any point the next
    /// [`recover`](Self::recover) finds the history as it was, or cut; once this returns, cut.
    ///
    /// `target` is a transaction of the history, a snapshot's, or the first zxid of an epoch whose
    /// first transaction is there to be cut off. That the history ends there already is fine.
    ///
    /// # Errors
    /// [`TruncateError`]. Nothing was changed, unless the file system failed; that is final, and the
    /// next start knows.
    ///
    /// # Panics
    /// When the history was not recovered, so that what stays may not be on disk.
    pub fn truncate(&mut self, target: Zxid) -> Result<(), TruncateError> {
        assert!(self.is_recovered, "a history that was not read is not cut");
        truncate::truncate(&self.dirs, target)
    }

    pub(crate) fn of(dirs: Arc<Directories>) -> Self {
        Self {
            dirs,
            is_recovered: false,
        }
    }

    /// Begins to take a snapshot of `zxid` from a leader (SNAP), into memory and onto the disk. The
    /// history need not have been readable.
    ///
    /// # Errors
    /// [`RecoverError`]; the history is as it was.
    pub fn receive_snapshot(
        self,
        zxid: Zxid,
        into: &mut impl Restore,
    ) -> Result<SnapshotInstall, RecoverError> {
        SnapshotInstall::begin(self.dirs, zxid, into)
    }

    /// Reads the state back: the newest snapshot that is whole, then every transaction after it.
    /// Afterwards a torn tail and space allocated ahead are cut off the newest log, and what an
    /// interrupted snapshot or an interrupted first batch left is removed. A change of the history that
    /// was interrupted is completed before. How a torn tail is told
    /// from damage is recorded in `docs/adr/0002-torn-or-damaged.md`.
    ///
    /// # Errors
    /// [`RecoverError`] when something that may have been acknowledged cannot be read. Logs and
    /// snapshots are as they were, unless the error came from the file system.
    pub fn recover(self, into: &mut impl Restore) -> Result<Recovered, RecoverError> {
        intent::complete(&self.dirs)?;
        let (report, mark) = recover::recover(&self.dirs, into)?;
        Ok(Recovered::new(self.dirs, mark, report))
    }
}

impl Recovered {
    pub(crate) fn new(dirs: Arc<Directories>, mark: MarkFile, report: RecoveryReport) -> Self {
        Self {
            log: LogWriter::new(Arc::clone(&dirs), mark, report.last_zxid),
            snapshots: Snapshots::new(Arc::clone(&dirs), &report),
            epochs: EpochFiles::new(Arc::clone(&dirs), report.last_zxid),
            space: Space::new(Arc::clone(&dirs)),
            history: History::new(dirs),
            report,
        }
    }
}

fn take(
    fs: &dyn FileSystem,
    dir: &Path,
    may_create: bool,
) -> Result<Box<dyn Any + Send + Sync>, OpenError> {
    if !fs.exists(dir).context(IoOp::Exists, dir)? {
        if !may_create {
            return Err(OpenError::Missing {
                path: dir.to_owned(),
            });
        }
        fs.create_dir_all(dir).context(IoOp::CreateDir, dir)?;
    }
    let path = dir.join(names::LOCK);
    fs.lock(&path)
        .context(IoOp::Lock, &path)?
        .ok_or(OpenError::Locked { path })
}

fn check_not_mixed_up(
    fs: &dyn FileSystem,
    snap_dir: &Path,
    log_dir: &Path,
) -> Result<(), OpenError> {
    let find = |dir: &Path, is_wrong: fn(&str) -> bool| {
        let entries = fs.list(dir).context(IoOp::List, dir)?;
        let wrong = entries.into_iter().find(|entry| is_wrong(&entry.name));
        Ok::<_, IoError>(wrong.map(|entry| dir.join(entry.name)))
    };
    if let Some(path) = find(log_dir, names::is_snapshot)? {
        return Err(OpenError::SnapshotInLogDir { path });
    }
    if let Some(path) = find(snap_dir, names::is_log)? {
        return Err(OpenError::LogInSnapshotDir { path });
    }
    Ok(())
}

/// What the log's and the snapshots' handles share.
pub(crate) struct Directories {
    pub(crate) fs: Arc<dyn FileSystem>,
    pub(crate) config: StorageConfig,
    pub(crate) snap_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) ended: EndedLog,
    /// Held by whoever reads logs that may be purged, since before it listed them.
    pub(crate) reading: Arc<()>,
    has_snapshot: AtomicBool,
    /// Counts how often the history was cut or replaced.
    history: AtomicU64,
    _locks: Vec<Box<dyn Any + Send + Sync>>,
}

impl Directories {
    /// Whether a start would find a snapshot.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.has_snapshot.load(Ordering::Acquire)
    }

    pub(crate) fn snapshot_exists(&self) {
        self.has_snapshot.store(true, Ordering::Release);
    }

    /// Which history the directories hold: one that was cut or replaced is another.
    pub(crate) fn history(&self) -> u64 {
        self.history.load(Ordering::Acquire)
    }

    pub(crate) fn begin_another_history(&self) {
        self.history.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn remove(&self, path: &Path) -> Result<(), IoError> {
        self.fs.remove(path).context(IoOp::Remove, path)
    }

    /// Removes a file that may be long: it loses its name now, and [`Space`] gives back what it holds.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), IoError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let removed = path.with_file_name(names::removed(&name));
        self.fs.rename(path, &removed).context(IoOp::Remove, path)
    }

    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), IoError> {
        self.fs.sync_dir(dir).context(IoOp::SyncDir, dir)
    }

    pub(crate) fn sync_log_dir(&self) -> Result<(), IoError> {
        self.sync_dir(&self.log_dir)
    }
}

impl fmt::Debug for Directories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directories")
            .field("snap_dir", &self.snap_dir)
            .field("log_dir", &self.log_dir)
            .finish_non_exhaustive()
    }
}
