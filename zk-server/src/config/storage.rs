//! What is kept on disk, how, and for how long.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

/// Settings of the txn log, of snapshots and of their removal.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StorageConfig {
    /// Whether missing data directories are made; otherwise their absence is an error.
    pub creates_directories: bool,
    /// Whether a write is acknowledged only after the log is synced. Without it a power cut loses
    /// acknowledged writes.
    pub force_sync: bool,
    /// A sync that takes longer is logged.
    pub fsync_warning_threshold: Duration,
    /// The steps in which a log file grows ahead of its content; `None` grows it by each write.
    pub pre_alloc_bytes: Option<NonZeroU64>,
    /// A log file that reaches this size is followed by a new one; `None` leaves that to snapshots.
    pub log_file_bytes_max: Option<NonZeroU64>,
    /// Whether closeSession txns carry the paths of the removed ephemeral nodes.
    pub close_session_txn_has_paths: bool,
    /// How many committed txns stay in memory for learners that fall behind.
    pub commit_log_count: u32,
    /// A snapshot is written after this many txns, give or take the randomness that keeps the
    /// servers of an ensemble apart; at least 2.
    pub snap_count: NonZeroU32,
    /// A snapshot is written after this many bytes of txns as well; `None` leaves it to
    /// `snap_count`.
    pub snap_bytes: Option<NonZeroU64>,
    /// Whether a data directory with logs and without a snapshot is loaded; otherwise it is
    /// refused.
    pub trusts_empty_snapshot: bool,
    /// Whether empty data directories are an empty database. Otherwise that needs a file
    /// `initialize` in one of them.
    pub trusts_empty_database: bool,
    /// Whether a log in which zxids are missing is read on where no digest shows that nothing is
    /// lost.
    pub accepts_log_holes: bool,
    /// Whether a snapshot ends with the last zxid it holds.
    pub snapshot_has_last_zxid: bool,
    /// Whether the tree's digest is kept, logged and compared.
    pub is_digest_enabled: bool,
    /// The removal of old snapshots and logs; `None` keeps all.
    pub purge: Option<PurgeConfig>,
}

/// The removal of old snapshots and of the logs that only they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurgeConfig {
    /// How many of the newest snapshots stay, with the logs they need; at least 3.
    pub retained_snapshots: NonZeroU32,
    /// The time between two removals; the first is at the start of the server.
    pub interval: Duration,
}

impl StorageConfig {
    /// What the defaults of the key table are written into.
    pub(super) const BLANK: Self = Self {
        creates_directories: false,
        force_sync: true,
        fsync_warning_threshold: Duration::ZERO,
        pre_alloc_bytes: None,
        log_file_bytes_max: None,
        close_session_txn_has_paths: false,
        commit_log_count: 0,
        snap_count: NonZeroU32::MIN,
        snap_bytes: None,
        trusts_empty_snapshot: false,
        trusts_empty_database: false,
        accepts_log_holes: false,
        snapshot_has_last_zxid: false,
        is_digest_enabled: false,
        purge: None,
    };
}
