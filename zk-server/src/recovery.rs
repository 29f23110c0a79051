//! From the data directories to a core that may serve.
#![expect(
    clippy::disallowed_methods,
    reason = "the start is timed, for those who wait for it"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};
use zk_core::election::ElectionConfig;
use zk_core::tree::{Loader, Recovered, RecoveryError, Replay, TreeOptions};
use zk_core::{Core, CoreConfig, LocalSessions, MemberSettings, Now, SnapshotView};
use zk_proto::{Acl, SnapshotNode, SnapshotSession, TxnDigest, TxnRecord, Zxid};
use zk_storage::{
    Epochs, FileSystem, History, LogWriter, RecoveredFrom, RecoveryReport, Restore, RestoreError,
    SnapshotError, SnapshotFile, SnapshotSource, SnapshotTrailer, Snapshots, Space, Storage,
};

use crate::clock::Clock;
use crate::config::{Config, DigestAlgorithm, Membership, MembershipFiles};
use crate::error::ServerError;
use crate::stats::{ServerStats, StartStats, whole_ms};

/// Between two lines of progress during a long load.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How long a member without a leader waits at least before it lets clients read
/// (`QuorumPeer.run`, 3.9.5).
const READ_ONLY_AFTER_MIN: Duration = Duration::from_secs(2);
/// Between two looks at the clock for them.
const ITEMS_PER_LOOK: u64 = 1 << 16;

/// A core that holds what was on disk, and what writes to it.
pub(crate) struct Opened {
    pub(crate) core: Core,
    pub(crate) disk: Disk,
}

/// What writes to the data directories.
pub(crate) struct Disk {
    pub(crate) log: LogWriter,
    pub(crate) snapshots: Snapshots,
    pub(crate) history: History,
    /// What a member of an ensemble promised.
    pub(crate) epochs: Option<Epochs>,
    /// Of a member of an ensemble whose members change.
    pub(crate) membership: Option<MembershipFiles>,
    pub(crate) space: Space,
}

/// Takes the directories and reads the state back. A database that is empty gets its first
/// snapshot, so that logs never stand without one. It blocks.
pub(crate) fn open(
    config: &Config,
    file_system: Arc<dyn FileSystem>,
    clock: Clock,
    stats: &ServerStats,
) -> Result<Opened, ServerError> {
    let start = Instant::now();
    let storage = Storage::open(Arc::clone(&file_system), storage_config(config))?;
    let membership_files = membership_files(config, file_system)?;
    let mut restorer = Restorer::new(RestoreRules::of(config));
    let recovered = storage.recover(&mut restorer)?;
    log_report(&recovered.report, start.elapsed());
    restorer.tell(start, recovered.report.txns, &stats.start);
    let tree = restorer.finish();
    log_damage(&tree);
    let has_holes = tree.holes > 0;
    let mismatches = &stats.start.digest_mismatches;
    mismatches.store(tree.digest_mismatches, Relaxed);
    let now = clock.now();
    let (mut core, epochs) = match &config.membership {
        None => (Core::standalone(core_config(config), tree, now), None),
        Some(membership) => {
            let epochs = recovered.epochs.load()?;
            (member(config, membership, &epochs, tree, now), Some(epochs))
        }
    };
    let mut snapshots = recovered.snapshots;
    match recovered.report.from {
        RecoveredFrom::Unexpected => {
            let path = config.data_dir.join("initialize");
            return Err(ServerError::UnexpectedlyEmpty { path });
        }
        RecoveredFrom::Empty => {
            let file = write_snapshot(&mut snapshots, core.view())?;
            debug!(path = %file.path.display(), "the first snapshot is written");
        }
        RecoveredFrom::Snapshot { .. } => {
            // Behind a snapshot no hole is met again.
            let many = recovered.report.txns >= u64::from(config.storage.snap_count.get());
            if many || has_holes {
                core.begin_snapshot();
            }
        }
    }
    stats.start.whole_time.add(whole_ms(start.elapsed()));
    Ok(Opened {
        core,
        disk: Disk {
            log: recovered.log,
            snapshots,
            history: recovered.history,
            epochs,
            membership: membership_files,
            space: recovered.space,
        },
    })
}

/// Where a member of an ensemble keeps who the members are, if that can change.
fn membership_files(
    config: &Config,
    file_system: Arc<dyn FileSystem>,
) -> Result<Option<MembershipFiles>, ServerError> {
    let Some(membership) = config
        .membership
        .as_ref()
        .filter(|_| config.reconfig_enabled)
    else {
        return Ok(None);
    };
    let path = config.file.as_ref().ok_or(ServerError::NoConfigFile)?;
    let files = MembershipFiles::new(file_system, path, membership);
    (files.back_up())
        .and_then(|()| files.forget_what_is_settled())
        .map_err(ServerError::Membership)?;
    Ok(Some(files))
}

fn member(
    config: &Config,
    membership: &Membership,
    epochs: &Epochs,
    tree: Recovered,
    now: Now,
) -> Core {
    let (id, quorum) = (membership.id, &config.quorum);
    let settings = MemberSettings {
        id,
        tick: config.tick_time,
        init_limit: quorum.init_limit,
        sync_limit: quorum.sync_limit,
        leader_serves: quorum.leader_serves,
        recent_txns: config.storage.commit_log_count as usize,
        multi_ops_max: config.limits.multi_ops_max.get(),
        sync_asks_quorum: quorum.sync_asks_quorum,
        voters_min: if quorum.may_run_alone { 2 } else { 1 },
        last_seen: membership.proposed.clone(),
        read_only_after: config
            .read_only_mode_enabled
            .then(|| READ_ONLY_AFTER_MIN.max(config.tick_time)),
        dial_delay: quorum.connect_delay,
    };
    let election = ElectionConfig {
        resend_min: quorum.vote_interval_min,
        resend_max: quorum.vote_interval_max.max(quorum.vote_interval_min),
        reconfig_enabled: config.reconfig_enabled,
        ..ElectionConfig::new(id)
    };
    let core_config = CoreConfig {
        // The top byte of a session's id, which holds no more of the number.
        server_id: id.0.to_le_bytes()[0],
        local_sessions: match quorum.has_local_sessions {
            false => LocalSessions::Off,
            true if quorum.upgrades_local_sessions => LocalSessions::Upgraded,
            true => LocalSessions::Kept,
        },
        ..core_config(config)
    };
    let ensemble = membership.ensemble.clone();
    let epochs = (epochs.accepted(), epochs.current());
    Core::member(core_config, settings, election, ensemble, epochs, tree, now)
}

/// Reads the state back from directories that were in use.
pub(crate) fn reopen(
    storage: Storage,
    rules: RestoreRules,
) -> Result<(zk_storage::Recovered, Recovered), ServerError> {
    let start = Instant::now();
    let mut restorer = Restorer::new(rules);
    let recovered = storage.recover(&mut restorer)?;
    log_report(&recovered.report, start.elapsed());
    let tree = restorer.finish();
    log_damage(&tree);
    Ok((recovered, tree))
}

/// Writes what the core gave out.
pub(crate) fn write_snapshot(
    snapshots: &mut Snapshots,
    view: SnapshotView,
) -> Result<SnapshotFile, SnapshotError> {
    let zxid = view.zxid;
    let digest = tree_digest(view.tree.digest());
    snapshots.write(&ViewSource(view), zxid, Some(digest))
}

/// A tree's digest as it stands in a snapshot.
pub(crate) fn tree_digest(tree_digest: u64) -> TxnDigest {
    TxnDigest {
        version: TxnDigest::VERSION,
        tree_digest,
    }
}

/// A state to be written or sent.
pub(crate) struct ViewSource(pub(crate) SnapshotView);

impl SnapshotSource for ViewSource {
    fn sessions(&self) -> Vec<SnapshotSession> {
        self.0.sessions.clone()
    }

    fn acls(&self) -> Vec<(i64, Vec<Acl>)> {
        let acls = self.0.tree.acls();
        acls.map(|(id, acl)| (id, acl.to_vec())).collect()
    }

    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>) {
        let mut nodes = self.0.tree.nodes();
        while let Some(node) = nodes.next_node() {
            if visit(node).is_break() {
                return;
            }
        }
    }
}

/// What the tree may be made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RestoreRules {
    extended_types: bool,
    accepts_holes: bool,
}

impl RestoreRules {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            extended_types: config.tree.extended_types_enabled,
            accepts_holes: config.storage.accepts_log_holes,
        }
    }
}

/// Builds the tree from what is read, and tells of the progress.
pub(crate) struct Restorer {
    options: TreeOptions,
    accepts_holes: bool,
    /// The snapshot that is being read.
    loader: Loader,
    /// The tree, once the snapshot is read, or the log without one.
    replay: Option<Replay>,
    /// When the snapshot was read.
    snapshot_done: Option<Instant>,
    items: u64,
    next_line: Instant,
}

impl Restorer {
    pub(crate) fn new(rules: RestoreRules) -> Self {
        let options = TreeOptions {
            extended_types: rules.extended_types,
            hash_seed: rand::random(),
        };
        Self {
            options,
            accepts_holes: rules.accepts_holes,
            loader: Loader::new(options),
            replay: None,
            snapshot_done: None,
            items: 0,
            next_line: Instant::now() + PROGRESS_EVERY,
        }
    }

    fn count(&mut self, what: &'static str) {
        self.items += 1;
        if self.items.is_multiple_of(ITEMS_PER_LOOK) && Instant::now() >= self.next_line {
            self.next_line += PROGRESS_EVERY;
            info!(items = self.items, "loading, at present {what}");
        }
    }

    fn begin_replay(&self, mut replay: Replay) -> Replay {
        if self.accepts_holes {
            replay.accept_holes();
        }
        replay
    }

    /// Notes how long what took.
    fn tell(&self, start: Instant, txns: u64, stats: &StartStats) {
        let snapshot_done = self.snapshot_done.unwrap_or(start);
        stats.snapshot_time.add(whole_ms(snapshot_done - start));
        if self.snapshot_done.is_some() {
            stats.txns_time.add(whole_ms(snapshot_done.elapsed()));
            stats.txns.add(txns);
        }
    }

    pub(crate) fn finish(self) -> Recovered {
        let replay = self.replay;
        replay
            .unwrap_or_else(|| Replay::empty(self.options))
            .finish()
    }
}

impl Restore for Restorer {
    fn begin(&mut self) {
        self.loader = Loader::new(self.options);
        self.replay = None;
        self.snapshot_done = None;
        self.items = 0;
    }

    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError> {
        self.loader.session(session);
        Ok(())
    }

    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError> {
        self.loader.acl(id, &acl);
        Ok(())
    }

    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError> {
        self.count("znodes of the snapshot");
        Ok(self.loader.node(&node)?)
    }

    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError> {
        let loader = std::mem::replace(&mut self.loader, Loader::new(self.options));
        let replay = loader.finish_snapshot(zxid, trailer.digest)?;
        self.replay = Some(self.begin_replay(replay));
        self.snapshot_done = Some(Instant::now());
        Ok(())
    }

    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError> {
        self.count("transactions of the log");
        let replay = self.replay.take();
        let replay = replay.unwrap_or_else(|| self.begin_replay(Replay::empty(self.options)));
        match self.replay.insert(replay).replay(record) {
            Err(gap @ RecoveryError::Gap { .. }) => Err(Box::new(Hole::Unknown(gap))),
            Err(lost @ RecoveryError::Lost { .. }) => Err(Box::new(Hole::Lost(lost))),
            replayed => Ok(replayed?),
        }
    }

    fn judges_holes(&self) -> bool {
        true
    }
}

/// A log with a hole, and what its owner can do.
#[derive(Debug, thiserror::Error)]
enum Hole {
    /// Nothing tells whether something is lost.
    #[error(
        "{0}; if Apache ZooKeeper wrote this log it may have left the hole, and nothing is lost: \
         txnLog.acceptHoles=true goes on behind it"
    )]
    Unknown(RecoveryError),
    /// Something is.
    #[error(
        "{0}; a member of Apache ZooKeeper before 3.9.3 leaves such a log when it loses its leader \
         while it catches up (ZOOKEEPER-4712): with the directory version-2 moved away the member \
         gets everything from its ensemble"
    )]
    Lost(RecoveryError),
}

/// What is on disk contradicts itself: served all the same, as Apache's server does.
fn log_damage(recovered: &Recovered) {
    if let Some(zxid) = recovered.differs_at() {
        let count = recovered.digest_mismatches.max(1);
        error!(%zxid, count, "digests on disk differ from the tree's, from this transaction on");
    }
    if let Some((after, before)) = recovered.first_hole {
        let count = recovered.holes;
        warn!(%after, %before, count, "zxids are missing in the log, as Apache ZooKeeper leaves them; the first hole is told");
    }
    if recovered.nodes_without_acl > 0 {
        let count = recovered.nodes_without_acl;
        warn!(
            count,
            "znodes without an ACL on disk, which nobody but the super user may use"
        );
    }
}

fn log_report(report: &RecoveryReport, took: Duration) {
    for skipped in &report.skipped {
        warn!(path = %skipped.path.display(), reason = ?skipped.reason, "snapshot cannot be read, an older one is used");
    }
    if let Some(torn) = &report.torn {
        warn!(path = %torn.path.display(), offset = torn.offset, bytes = torn.bytes, "the log's end was torn by a crash and is cut off");
    }
    match &report.from {
        RecoveredFrom::Snapshot { path, bytes, .. } => {
            info!(path = %path.display(), bytes, txns = report.txns, last_zxid = %report.last_zxid, ?took, "state recovered");
        }
        RecoveredFrom::Empty | RecoveredFrom::Unexpected => info!("the database is empty"),
    }
}

fn storage_config(config: &Config) -> zk_storage::StorageConfig {
    let storage = &config.storage;
    zk_storage::StorageConfig {
        data_log_dir: config.data_log_dir.clone(),
        pre_alloc_bytes: storage.pre_alloc_bytes.map_or(0, std::num::NonZeroU64::get),
        txn_log_size_limit_bytes: storage.log_file_bytes_max,
        force_sync: storage.force_sync,
        snapshot_last_zxid: storage.snapshot_has_last_zxid,
        snapshot_trust_empty: storage.trusts_empty_snapshot,
        datadir_autocreate: storage.creates_directories,
        db_autocreate: storage.trusts_empty_database,
        ..zk_storage::StorageConfig::new(config.data_dir.clone())
    }
}

fn core_config(config: &Config) -> CoreConfig {
    let (limits, storage, reaper) = (&config.limits, &config.storage, &config.tree.reaper);
    let unlimited =
        |max: Option<std::num::NonZeroU32>| max.map_or(usize::MAX, |max| max.get() as usize);
    let defaults = CoreConfig::default();
    CoreConfig {
        seed: rand::random(),
        tick: config.tick_time,
        session_timeout_min: config.sessions.min_timeout,
        session_timeout_max: config.sessions.max_timeout,
        sessions_max: unlimited(limits.sessions_max),
        watches_per_session_max: unlimited(limits.watches_per_session_max),
        txn_bytes_max: limits.record_bytes_max.get(),
        ephemeral_bytes_per_session_max: limits.frame_bytes_max.get(),
        extended_types: config.tree.extended_types_enabled,
        enforce_quota: config.tree.enforces_quota,
        skip_acl: config.auth.skip_acl,
        reconfig_enabled: config.reconfig_enabled,
        digest: storage.is_digest_enabled,
        close_session_paths: storage.close_session_txn_has_paths,
        snapshot_txns: storage.snap_count.get(),
        snapshot_log_bytes: storage.snap_bytes.map(std::num::NonZeroU64::get),
        reaper: zk_core::ReaperConfig {
            check_interval: reaper.check_interval,
            per_minute_max: reaper.removals_per_minute_max.get(),
            never_used_max: reaper.never_used_interval,
        },
        auth: zk_core::AuthConfig {
            digest_enabled: config.auth.is_digest_enabled,
            digest_algorithm: match config.auth.digest_algorithm {
                DigestAlgorithm::Sha1 => zk_core::DigestAlgorithm::Sha1,
                DigestAlgorithm::Sha224 => zk_core::DigestAlgorithm::Sha224,
                DigestAlgorithm::Sha256 => zk_core::DigestAlgorithm::Sha256,
                DigestAlgorithm::Sha384 => zk_core::DigestAlgorithm::Sha384,
                DigestAlgorithm::Sha512 => zk_core::DigestAlgorithm::Sha512,
            },
            super_digest: config
                .auth
                .super_digest
                .as_ref()
                .map(|digest| digest.as_str().to_owned()),
            enforced_schemes: config.auth.enforced_schemes.clone(),
        },
        ..defaults
    }
}
