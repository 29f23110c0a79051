//! The threads that write: one for the transaction log, one for snapshots.
//!
//! The log's thread takes everything that waits, writes it at once and syncs once: the longer a
//! sync takes, the more transactions share the next. An error is final and ends the server.
#![expect(
    clippy::disallowed_methods,
    reason = "this is where the threads of storage are started and timed"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::mpsc::error::SendError;
use tracing::{debug, info, warn};
use zk_core::SnapshotView;
use zk_proto::Zxid;
use zk_storage::{LogWriter, Snapshots};

use crate::config::StorageConfig;
use crate::error::ServerError;
use crate::recovery::write_snapshot;
use crate::stats::{ServerStats, whole_ms};

/// A batch is flushed before it grows beyond this.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// How long the log rests before it is settled.
const SETTLE_AFTER: Duration = Duration::from_secs(1);

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
}

impl ToStorage {
    /// Bytes that wait for the disk.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Append { record, .. } => record.len(),
            Self::Snapshot(_) => 0,
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
    /// Something failed, which is final.
    Failed(ServerError),
}

/// Gives the error, if any, that came after the loop had ended.
pub(crate) type StorageJoin = JoinHandle<Result<(), ServerError>>;

/// The threads of storage.
#[derive(Debug)]
pub(crate) struct StorageThread {
    to_log: Sender<Sent>,
    stats: Arc<ServerStats>,
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
    /// dropped; it joins the other.
    pub(crate) fn start(
        log: LogWriter,
        snapshots: Snapshots,
        config: &StorageConfig,
        stats: &Arc<ServerStats>,
        to_loop: &UnboundedSender<FromStorage>,
    ) -> Result<(Self, StorageJoin), ServerError> {
        let (to_snapshots, snapshots_waiting) = channel();
        let snapshot_thread = SnapshotThread {
            snapshots,
            config: config.clone(),
            waiting: snapshots_waiting,
            stats: Arc::clone(stats),
            to_loop: to_loop.clone(),
        };
        let snapshots = spawn("zk-snapshot", to_loop, move || snapshot_thread.run())?;
        let (to_log, waiting) = channel();
        let log_thread = LogThread {
            log,
            waiting,
            unflushed_bytes: 0,
            unflushed: Vec::new(),
            stats: Arc::clone(stats),
            slow_sync: config.fsync_warning_threshold,
            to_snapshots,
            to_loop: to_loop.clone(),
        };
        let thread = spawn("zk-log", to_loop, move || {
            log_thread.run()?;
            (snapshots.join()).unwrap_or(Err(ServerError::Ended("the snapshot thread")))
        })?;
        let stats = Arc::clone(stats);
        Ok((Self { to_log, stats }, thread))
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
) -> Result<StorageJoin, ServerError> {
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

struct LogThread {
    log: LogWriter,
    waiting: Receiver<Sent>,
    unflushed_bytes: usize,
    /// Transactions taken since the last flush: how many, and when they were sent.
    unflushed: Vec<(u64, Instant)>,
    stats: Arc<ServerStats>,
    slow_sync: Duration,
    to_snapshots: Sender<SnapshotView>,
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
                    self.log.settle()?;
                    is_settled = true;
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(self.log.close()?),
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
                    self.log.append(zxid, &record);
                    self.unflushed_bytes += record.len();
                    match self.unflushed.last_mut() {
                        Some((txns, sent_at)) if *sent_at == at => *txns += 1,
                        _ => self.unflushed.push((1, at)),
                    }
                    if self.log.batch_bytes() >= BATCH_BYTES_MAX {
                        self.flush()?;
                    }
                }
                ToStorage::Snapshot(view) => {
                    self.flush()?;
                    self.log.roll()?;
                    self.to_snapshots
                        .send(view)
                        .map_err(|_| ServerError::Ended("the snapshot thread"))?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ServerError> {
        if self.unflushed_bytes == 0 {
            return Ok(());
        }
        let start = Instant::now();
        let zxid = self.log.flush()?;
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
        // A loop that is gone waits for nothing.
        _ = self.to_loop.send(FromStorage::Flushed { zxid, bytes });
        Ok(())
    }
}

struct SnapshotThread {
    snapshots: Snapshots,
    config: StorageConfig,
    waiting: Receiver<SnapshotView>,
    stats: Arc<ServerStats>,
    to_loop: UnboundedSender<FromStorage>,
}

impl SnapshotThread {
    fn run(mut self) -> Result<(), ServerError> {
        let interval = self.config.purge.map(|purge| purge.interval);
        loop {
            self.purge();
            let view = match interval {
                Some(interval) => self.waiting.recv_timeout(interval),
                None => (self.waiting.recv()).map_err(|_| RecvTimeoutError::Disconnected),
            };
            match view {
                Ok(view) => {
                    let start = Instant::now();
                    let zxid = view.zxid;
                    let file = write_snapshot(&mut self.snapshots, view)?;
                    (self.stats.snapshot_time).add(whole_ms(start.elapsed()));
                    info!(path = %file.path.display(), bytes = file.bytes, took = ?start.elapsed(), "snapshot written");
                    _ = self.to_loop.send(FromStorage::SnapshotWritten { zxid });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
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
            }
            Err(error) => warn!(%error, "old snapshots and logs cannot be removed"),
        }
    }
}
