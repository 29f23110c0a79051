//! The threads that write: one for the transaction log, one for snapshots, one that gives back the
//! space of what is no longer needed.
//!
//! The log's thread takes everything that waits, writes it at once and syncs once: the longer a
//! sync takes, the more transactions share the next. An error is final and ends the server. The other
//! two work in the background: at a lower priority, and in pieces between which the disk is the log's.
//!
//! A leader may ask for another history. The log's thread then borrows the snapshots, once none is
//! being written, changes the history as a whole, and reads it back. Nothing is appended meanwhile.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the threads of storage are started and timed"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustix::process::setpriority_process;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::spawn_blocking;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};
use zk_core::tree::Recovered;
use zk_core::{EpochPromise, QuorumLink, SnapshotView};
use zk_proto::quorum::EnsembleConfig;
use zk_proto::{Acl, SnapshotNode, SnapshotSession, TxnRecord, Zxid};
use zk_storage::{
    Epochs, GivenBack, History, HistoryError, HistorySize, IoError, LogWriter, RecoverError,
    Restore, RestoreError, SnapshotError, SnapshotInstall, SnapshotReadError, SnapshotTrailer,
    Snapshots, Space, Storage,
};

use crate::config::{Config, MembershipFiles, StorageConfig};
use crate::error::ServerError;
use crate::peers::StateStream;
use crate::recovery::{Disk, RestoreRules, Restorer, reopen, tree_digest, write_snapshot};
use crate::stats::{ServerStats, whole_ms};

/// A batch is flushed before it grows beyond this.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Bytes of the log that are read at once for a learner.
const READ_BYTES: usize = 1 << 20;
/// How long the log rests before it is settled.
const SETTLE_AFTER: Duration = Duration::from_secs(1);
/// Between two pieces of space that are given back, each of which holds the log up for about a
/// millisecond.
const GIVE_BACK_EVERY: Duration = Duration::from_millis(5);
/// The priority of background threads: a quarter of a processor that another thread wants too.
const BACKGROUND_NICE: i32 = 5;

/// What the loop asks of storage.
#[derive(Debug)]
pub(crate) enum ToStorage {
    /// Append a transaction.
    Append {
        /// The transaction's id.
        zxid: Zxid,
        /// Its record.
        record: Bytes,
    },
    /// Begin another log, and write a snapshot.
    Snapshot(SnapshotView),
    /// Make an epoch durable, after what was appended before.
    Promise(EpochPromise),
    /// Keep who the members are, before anything that is asked for later is on disk.
    Membership {
        /// The membership in force.
        in_force: EnsembleConfig,
        /// A newer one that is proposed.
        proposed: Option<EnsembleConfig>,
    },
    /// Forget the transactions after this one, and read the rest back.
    Truncate(Zxid),
    /// Take a leader's state in the place of the history.
    Receive {
        /// The state's transaction.
        zxid: Zxid,
        /// The state.
        state: StateStream,
    },
}

impl ToStorage {
    /// Bytes that wait for the disk.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Append { record, .. } => record.len(),
            Self::Snapshot(_)
            | Self::Promise(_)
            | Self::Membership { .. }
            | Self::Truncate(_)
            | Self::Receive { .. } => 0,
        }
    }
}

/// What storage tells the loop.
#[derive(Debug)]
pub(crate) enum FromStorage {
    /// Transactions are on disk.
    Flushed {
        /// The newest of them.
        zxid: Zxid,
        /// Bytes that no longer wait.
        bytes: usize,
    },
    /// A snapshot is on disk.
    SnapshotWritten {
        /// The snapshot's zxid.
        zxid: Zxid,
    },
    /// The epoch is on disk.
    Promised,
    /// The history is another.
    Reloaded(Box<Recovered>),
    /// The history is as it was: the state did not come whole.
    ReloadFailed,
    /// What a learner lacks of the log.
    LogRead {
        /// The learner.
        link: QuorumLink,
        /// Its transactions; `None` when the log does not reach back so far, or they are too many.
        txns: Option<Vec<(Zxid, Bytes)>>,
    },
    /// Something failed, which is final.
    Failed(ServerError),
}

/// What works at the disk for the loop.
#[derive(Debug)]
pub(crate) struct StorageThread {
    to_log: Sender<Sent>,
    stats: Arc<ServerStats>,
    history: History,
    /// How much of the log a learner is sent.
    log_read: LogReadLimits,
    reads: TaskTracker,
    to_loop: UnboundedSender<FromStorage>,
}

/// All that holds the directories: whoever has joined it may open them again.
#[derive(Debug)]
pub(crate) struct StorageJoin {
    reads: TaskTracker,
    /// In the order in which they end.
    threads: Vec<Thread>,
}

type Thread = JoinHandle<Result<(), ServerError>>;

impl StorageJoin {
    /// Waits for the end, which the drop of [`StorageThread`] begins.
    ///
    /// # Errors
    /// The first one that came after the loop had ended.
    pub(crate) async fn join(self) -> Result<(), ServerError> {
        self.reads.close();
        self.reads.wait().await;
        let threads = self.threads;
        let ended = || ServerError::Ended("a storage thread");
        let joined = spawn_blocking(move || {
            let all = threads.into_iter().map(JoinHandle::join);
            let all: Vec<_> = all.collect();
            all.into_iter()
                .try_for_each(|thread| thread.unwrap_or_else(|_| Err(ended())))
        });
        joined.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// How much of the log a learner is sent instead of the state.
#[derive(Debug, Clone, Copy)]
struct LogReadLimits {
    /// As a share of the newest snapshot; `None` for nothing.
    snapshot_share: Option<f64>,
    bytes_max: usize,
}

/// What the loop sends at once, and when.
#[derive(Debug)]
struct Sent {
    items: Vec<ToStorage>,
    txns: u64,
    at: Instant,
}

impl StorageThread {
    /// Starts the threads. The log's thread ends, with everything on disk, once the handle is
    /// dropped, and the others once it has.
    pub(crate) fn start(
        disk: Disk,
        config: &Config,
        stats: &Arc<ServerStats>,
        to_loop: &UnboundedSender<FromStorage>,
    ) -> Result<(Self, StorageJoin), ServerError> {
        let Disk {
            log,
            snapshots,
            history,
            epochs,
            membership,
            space,
        } = disk;
        let (to_space, space_waiting) = sync_channel(1);
        let space_thread = SpaceThread {
            space,
            waiting: space_waiting,
        };
        let space = spawn("zk-space", to_loop, move || {
            space_thread.run();
            Ok(())
        })?;
        let (to_snapshots, jobs) = channel();
        let snapshot_thread = SnapshotThread {
            snapshots,
            config: config.storage.clone(),
            jobs,
            stats: Arc::clone(stats),
            to_space: to_space.clone(),
            to_loop: to_loop.clone(),
        };
        let snapshots = spawn("zk-snapshot", to_loop, move || snapshot_thread.run())?;
        let (to_log, waiting) = channel();
        let log_thread = LogThread {
            log: Some(log),
            epochs,
            membership,
            waiting,
            unflushed_bytes: 0,
            unflushed: Vec::new(),
            stats: Arc::clone(stats),
            slow_sync: config.storage.fsync_warning_threshold,
            restore_rules: RestoreRules::of(config),
            has_digest: config.storage.is_digest_enabled,
            to_snapshots,
            to_space,
            to_loop: to_loop.clone(),
        };
        let log = spawn("zk-log", to_loop, move || log_thread.run())?;
        let join = StorageJoin {
            reads: TaskTracker::new(),
            threads: vec![log, snapshots, space],
        };
        let storage = Self {
            to_log,
            stats: Arc::clone(stats),
            history,
            log_read: LogReadLimits {
                snapshot_share: config.quorum.snapshot_size_factor,
                // What is sent has to find room among what waits for the learner.
                bytes_max: config.limits.bytes_per_peer_max.get() / 2,
            },
            reads: join.reads.clone(),
            to_loop: to_loop.clone(),
        };
        Ok((storage, join))
    }

    /// Reads the log for a learner, without waiting for it.
    pub(crate) fn read_log(&self, link: QuorumLink, after: Zxid, to: Zxid) {
        let (history, limits) = (self.history.clone(), self.log_read);
        let to_loop = self.to_loop.clone();
        self.reads.spawn_blocking(move || {
            let txns = match read_log(&history, limits, after, to) {
                Ok(txns) => txns,
                Err(error) => {
                    info!(%after, %to, %error, "the log does not have what a learner lacks");
                    None
                }
            };
            // A loop that is gone has no learners.
            _ = to_loop.send(FromStorage::LogRead { link, txns });
        });
    }

    /// Hands over a batch.
    ///
    /// # Errors
    /// [`ServerError::Ended`] when the thread is gone.
    pub(crate) fn send(&self, items: Vec<ToStorage>) -> Result<(), ServerError> {
        let is_txn = |item: &&ToStorage| matches!(item, ToStorage::Append { .. });
        let txns = items.iter().filter(is_txn).count() as u64;
        let log = &self.stats.log;
        log.txns.fetch_add(txns, Relaxed);
        log.waiting.fetch_add(txns, Relaxed);
        let at = Instant::now();
        self.to_log
            .send(Sent { items, txns, at })
            .map_err(|_| ServerError::Ended("the storage thread"))
    }
}

/// Starts a thread whose error, or panic, is told to the loop.
fn spawn(
    name: &'static str,
    to_loop: &UnboundedSender<FromStorage>,
    work: impl FnOnce() -> Result<(), ServerError> + Send + 'static,
) -> Result<Thread, ServerError> {
    struct OnPanic(&'static str, UnboundedSender<FromStorage>);
    impl Drop for OnPanic {
        fn drop(&mut self) {
            if std::thread::panicking() {
                // A loop that is gone has nothing left to stop.
                _ = self.1.send(FromStorage::Failed(ServerError::Ended(self.0)));
            }
        }
    }
    let on_panic = OnPanic(name, to_loop.clone());
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let Err(error) = work() else {
                return Ok(());
            };
            // Whoever is there to hear it: the loop, or else the one who joins.
            match on_panic.1.send(FromStorage::Failed(error)) {
                Err(SendError(FromStorage::Failed(error))) => Err(error),
                Ok(()) | Err(_) => Ok(()),
            }
        })
        .map_err(|source| ServerError::System {
            what: "cannot start a thread",
            source,
        })
}

/// The transactions after one; `None` when they are too many, or do not all follow it.
fn read_log(
    history: &History,
    limits: LogReadLimits,
    after: Zxid,
    to: Zxid,
) -> Result<Option<Vec<(Zxid, Bytes)>>, HistoryError> {
    let HistorySize {
        log_bytes,
        snapshot_bytes,
    } = history.size_after(after)?;
    let (Some(share), Some(snapshot_bytes)) = (limits.snapshot_share, snapshot_bytes) else {
        return Ok(None);
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "it is compared with a rough share"
    )]
    if log_bytes as f64 > share * snapshot_bytes as f64 {
        return Ok(None);
    }
    let mut reader = history.after(after, to)?;
    // The first number of an epoch is no transaction, but its leader's history before the first one.
    if reader.start() != after && after.counter() != 0 {
        return Ok(None);
    }
    let mut txns = Vec::new();
    let mut bytes = 0;
    loop {
        let batch = reader.next_batch(READ_BYTES)?;
        if batch.is_empty() {
            return Ok(Some(txns));
        }
        bytes += batch.iter().map(|(_, record)| record.len()).sum::<usize>();
        if bytes > limits.bytes_max {
            return Ok(None);
        }
        txns.extend(batch);
    }
}

struct LogThread {
    /// There but while the history is changed.
    log: Option<LogWriter>,
    /// Of a member of an ensemble.
    epochs: Option<Epochs>,
    /// Of a member of an ensemble whose members change.
    membership: Option<MembershipFiles>,
    waiting: Receiver<Sent>,
    unflushed_bytes: usize,
    /// Transactions taken since the last flush: how many, and when they were sent.
    unflushed: Vec<(u64, Instant)>,
    stats: Arc<ServerStats>,
    slow_sync: Duration,
    restore_rules: RestoreRules,
    has_digest: bool,
    to_snapshots: Sender<SnapshotJob>,
    to_space: SyncSender<()>,
    to_loop: UnboundedSender<FromStorage>,
}

impl LogThread {
    fn run(mut self) -> Result<(), ServerError> {
        let mut is_settled = true;
        loop {
            let batch = if is_settled {
                self.waiting
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.waiting.recv_timeout(SETTLE_AFTER)
            };
            match batch {
                Ok(batch) => {
                    let log = &self.stats.log;
                    log.queue_size.add(log.waiting.load(Relaxed));
                    let taken = Instant::now();
                    self.append(batch)?;
                    while let Ok(batch) = self.waiting.try_recv() {
                        self.append(batch)?;
                    }
                    self.flush()?;
                    let log = &self.stats.log;
                    log.process_time.add(whole_ms(taken.elapsed()));
                    is_settled = false;
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.log().settle()?;
                    is_settled = true;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Ok(self.log.map_or(Ok(()), LogWriter::close)?);
                }
            }
        }
    }

    fn append(&mut self, sent: Sent) -> Result<(), ServerError> {
        let Sent { items, txns, at } = sent;
        let stats = &self.stats.log;
        stats.waiting.fetch_sub(txns, Relaxed);
        stats.queue_time.add_many(whole_ms(at.elapsed()), txns);
        for item in items {
            match item {
                ToStorage::Append { zxid, record } => {
                    self.log().append(zxid, &record);
                    self.unflushed_bytes += record.len();
                    match self.unflushed.last_mut() {
                        Some((txns, sent_at)) if *sent_at == at => *txns += 1,
                        _ => self.unflushed.push((1, at)),
                    }
                    if self.log().batch_bytes() >= BATCH_BYTES_MAX {
                        self.flush()?;
                    }
                }
                ToStorage::Snapshot(view) => {
                    self.flush()?;
                    self.log().roll()?;
                    wake(&self.to_space);
                    self.to_snapshots
                        .send(SnapshotJob::Write(view))
                        .map_err(|_| ServerError::Ended("the snapshot thread"))?;
                }
                ToStorage::Promise(promise) => {
                    self.flush()?;
                    self.promise(promise)?;
                }
                ToStorage::Membership { in_force, proposed } => {
                    let files = self.membership.as_mut();
                    let files = files.expect("only members that are kept in files change");
                    let kept = files.keep(&in_force, proposed.as_ref());
                    kept.map_err(ServerError::Membership)?;
                }
                ToStorage::Truncate(target) => {
                    self.flush()?;
                    self.truncate(target)?;
                }
                ToStorage::Receive { zxid, state } => {
                    self.flush()?;
                    self.receive(zxid, state)?;
                }
            }
        }
        Ok(())
    }

    fn log(&mut self) -> &mut LogWriter {
        let log = self.log.as_mut();
        log.expect("nothing is written while the history is changed")
    }

    fn promise(&mut self, promise: EpochPromise) -> Result<(), ServerError> {
        let epochs = self.epochs.as_mut();
        let epochs = epochs.expect("only a member of an ensemble promises");
        match promise {
            EpochPromise::Accepted(epoch) => epochs.set_accepted(epoch),
            EpochPromise::Current(epoch) => epochs.set_current(epoch),
        }
        .map_err(ServerError::Promise)?;
        self.tell(FromStorage::Promised);
        Ok(())
    }

    /// Cuts the history behind a transaction.
    fn truncate(&mut self, target: Zxid) -> Result<(), ServerError> {
        let start = Instant::now();
        let (mut storage, lent) = self.take_storage()?;
        storage
            .truncate(target)
            .map_err(|source| ServerError::Truncate { target, source })?;
        let (recovered, tree) = reopen(storage, self.restore_rules)?;
        self.put_back(recovered, &lent)?;
        warn!(zxid = %target, took = ?start.elapsed(), "transactions that no quorum had are forgotten");
        self.tell(FromStorage::Reloaded(Box::new(tree)));
        Ok(())
    }

    /// Lets a leader's state take the place of the history, if it comes whole.
    fn receive(&mut self, zxid: Zxid, mut state: StateStream) -> Result<(), ServerError> {
        let start = Instant::now();
        let (storage, lent) = self.take_storage()?;
        let mut restorer = Restorer::new(self.restore_rules);
        let mut install = storage.receive_snapshot(zxid, &mut restorer)?;
        match take_state(&mut install, &mut restorer, &mut state.pieces) {
            Ok(rest) => {
                let tree = restorer.finish();
                let exact = (zxid, tree_digest(tree.tree.digest()));
                let digest = tree.fuzzy.map_or(Some(exact), |fuzzy| fuzzy.said());
                let digest = digest.filter(|_| self.has_digest);
                let recovered = install.finish(digest).map_err(ServerError::Install)?;
                self.put_back(recovered, &lent)?;
                info!(%zxid, took = ?start.elapsed(), "the leader's state is taken");
                // A link that broke meanwhile has told so.
                _ = state.rest.send(rest);
                self.tell(FromStorage::Reloaded(Box::new(tree)));
            }
            Err(NotTaken::Disk(error)) => {
                return Err(ServerError::Install(SnapshotError::from(error).into()));
            }
            Err(reason) => {
                warn!(%zxid, %reason, "the leader's state did not come whole");
                let storage = install.abandon().map_err(RecoverError::from)?;
                let recovered = storage.recover(&mut Discard)?;
                self.put_back(recovered, &lent)?;
                self.tell(FromStorage::ReloadFailed);
            }
        }
        Ok(())
    }

    /// Takes the directories, once no snapshot is being written, and what gives them back.
    fn take_storage(&mut self) -> Result<(Storage, Sender<Snapshots>), ServerError> {
        let ended = || ServerError::Ended("the snapshot thread");
        let (to_us, lent) = channel();
        let (give_back, back) = channel();
        let lend = SnapshotJob::Lend { to: to_us, back };
        self.to_snapshots.send(lend).map_err(|_| ended())?;
        let snapshots = lent.recv().map_err(|_| ended())?;
        let log = self.log.take();
        let log = log.expect("the history is changed once at a time");
        Ok((Storage::from_handles(log, snapshots)?, give_back))
    }

    fn put_back(
        &mut self,
        recovered: zk_storage::Recovered,
        lent: &Sender<Snapshots>,
    ) -> Result<(), ServerError> {
        self.log = Some(recovered.log);
        lent.send(recovered.snapshots)
            .map_err(|_| ServerError::Ended("the snapshot thread"))
    }

    /// Tells the loop. One that is gone waits for nothing.
    fn tell(&self, news: FromStorage) {
        _ = self.to_loop.send(news);
    }

    fn flush(&mut self) -> Result<(), ServerError> {
        if self.unflushed_bytes == 0 {
            return Ok(());
        }
        let start = Instant::now();
        let zxid = self.log().flush()?;
        let took = start.elapsed();
        let log = &self.stats.log;
        log.flush_time.add_many(whole_ms(took), 1);
        let mut batch = 0;
        for (txns, sent_at) in self.unflushed.drain(..) {
            let waited = whole_ms(sent_at.elapsed());
            log.queue_and_flush_time.add_many(waited, txns);
            batch += txns;
        }
        log.batch_size.add(batch);
        if took > self.slow_sync {
            warn!(
                ?took,
                "writing the transaction log took long, which delays every write"
            );
        }
        let bytes = std::mem::take(&mut self.unflushed_bytes);
        self.tell(FromStorage::Flushed { zxid, bytes });
        Ok(())
    }
}

/// Why a leader's state was not taken.
#[derive(Debug, thiserror::Error)]
enum NotTaken {
    #[error("the link to the leader broke")]
    Cut,
    #[error("it is no state: {0}")]
    Invalid(SnapshotReadError),
    #[error(transparent)]
    Disk(IoError),
}

/// Feeds a state from the link that it comes on; gives out what follows it.
fn take_state(
    install: &mut SnapshotInstall,
    restorer: &mut Restorer,
    pieces: &mut mpsc::Receiver<Bytes>,
) -> Result<Bytes, NotTaken> {
    loop {
        let piece = pieces.blocking_recv().ok_or(NotTaken::Cut)?;
        let rest = match install.feed(piece, restorer) {
            Ok(rest) => rest,
            Err(SnapshotReadError::Io(error)) => return Err(NotTaken::Disk(error)),
            Err(error) => return Err(NotTaken::Invalid(error)),
        };
        let Some(rest) = rest else { continue };
        pieces.close();
        let mut following = BytesMut::from(&rest[..]);
        while let Some(piece) = pieces.blocking_recv() {
            following.extend_from_slice(&piece);
        }
        return Ok(following.freeze());
    }
}

/// Reads a history back that is in memory already.
struct Discard;

impl Restore for Discard {
    fn begin(&mut self) {}

    fn session(&mut self, _: SnapshotSession) -> Result<(), RestoreError> {
        Ok(())
    }

    fn acl(&mut self, _: i64, _: Vec<Acl>) -> Result<(), RestoreError> {
        Ok(())
    }

    fn node(&mut self, _: SnapshotNode<'_>) -> Result<(), RestoreError> {
        Ok(())
    }

    fn snapshot_done(&mut self, _: Zxid, _: SnapshotTrailer) -> Result<(), RestoreError> {
        Ok(())
    }

    fn txn(&mut self, _: &TxnRecord) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// What the log's thread asks of the snapshots'.
#[derive(Debug)]
enum SnapshotJob {
    /// Write a snapshot.
    Write(SnapshotView),
    /// Give the snapshots away until they come back.
    Lend {
        to: Sender<Snapshots>,
        back: Receiver<Snapshots>,
    },
}

struct SnapshotThread {
    snapshots: Snapshots,
    config: StorageConfig,
    jobs: Receiver<SnapshotJob>,
    stats: Arc<ServerStats>,
    to_space: SyncSender<()>,
    to_loop: UnboundedSender<FromStorage>,
}

impl SnapshotThread {
    fn run(mut self) -> Result<(), ServerError> {
        yield_to_others();
        let interval = self.config.purge.map(|purge| purge.interval);
        loop {
            self.purge();
            let job = match interval {
                Some(interval) => self.jobs.recv_timeout(interval),
                None => (self.jobs.recv()).map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(SnapshotJob::Write(view)) => {
                    let start = Instant::now();
                    let zxid = view.zxid;
                    let file = write_snapshot(&mut self.snapshots, view)?;
                    (self.stats.snapshot_time).add(whole_ms(start.elapsed()));
                    info!(path = %file.path.display(), bytes = file.bytes, took = ?start.elapsed(), "snapshot written");
                    _ = self.to_loop.send(FromStorage::SnapshotWritten { zxid });
                }
                Ok(SnapshotJob::Lend { to, back }) => match self.lend(&to, &back) {
                    Some(thread) => self = thread,
                    // The log's thread failed, and has told why.
                    None => return Ok(()),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn lend(self, to: &Sender<Snapshots>, back: &Receiver<Snapshots>) -> Option<Self> {
        to.send(self.snapshots).ok()?;
        let snapshots = back.recv().ok()?;
        Some(Self { snapshots, ..self })
    }

    /// Removes what is no longer needed, if that is wanted. A failure leaves more on disk than
    /// needed, which the next round tries again.
    fn purge(&mut self) {
        let Some(purge) = self.config.purge else {
            return;
        };
        let retain = NonZeroUsize::try_from(purge.retained_snapshots).unwrap_or(NonZeroUsize::MAX);
        match self.snapshots.purge(retain) {
            Ok(removed) => {
                for path in removed {
                    debug!(path = %path.display(), "removed");
                }
                wake(&self.to_space);
            }
            Err(error) => warn!(%error, "old snapshots and logs cannot be removed"),
        }
    }
}

struct SpaceThread {
    space: Space,
    waiting: Receiver<()>,
}

impl SpaceThread {
    fn run(mut self) {
        yield_to_others();
        loop {
            let given_back = self.space.give_back().unwrap_or_else(|error| {
                warn!(%error, "space that is no longer needed cannot be given back");
                GivenBack::Nothing
            });
            let waited = match given_back {
                GivenBack::Piece => self.waiting.recv_timeout(GIVE_BACK_EVERY),
                GivenBack::Nothing => {
                    (self.waiting.recv()).map_err(|_| RecvTimeoutError::Disconnected)
                }
            };
            if waited == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }
}

/// Wakes the thread that gives space back. It may be awake already; if it has ended, the loop has
/// heard of that.
fn wake(space: &SyncSender<()>) {
    _ = space.try_send(());
}

/// Lowers the priority of this thread.
fn yield_to_others() {
    // On Linux this is the thread's own, although it says process.
    if let Err(error) = setpriority_process(None, BACKGROUND_NICE) {
        debug!(%error, "a background thread keeps its priority");
    }
}
