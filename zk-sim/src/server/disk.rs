//! The storage of one life of a server: what its two threads have to do, and how that comes out.
//!
//! The log's thread does one thing after the other, in the order asked; transactions that wait are
//! written at once. The other thread writes snapshots. Each thing takes a while, after which it has
//! happened; a crash in between leaves some first part of it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use zk_core::tree::{Recovered, TreeOptions};
use zk_core::{EpochPromise, SnapshotView};
use zk_proto::{TxnDigest, Zxid};
use zk_storage::memory::{Fault, MemoryFileSystem};
use zk_storage::{
    Epochs, History, HistoryError, LogWriter, SnapshotInstall, SnapshotReadError, Snapshots,
    Storage,
};

use super::restore::{ReadBack, Restorer, ViewSource};
use crate::net::ConnNo;
use crate::plan::{DiskPlan, Plan};
use crate::planted::Planted;
use crate::random::Random;

/// Transactions for a learner are read from the log up to so many bytes.
const LOG_READ_BYTES_MAX: usize = 1 << 20;

/// Calls of the file system that one thing is made of, about.
const CALLS: u64 = 16;

/// The longest that anything takes on a slow disk.
const LONGEST: Duration = Duration::from_secs(10);

/// What the core asks of storage.
#[derive(Debug)]
pub(crate) enum Job {
    Append {
        zxid: Zxid,
        record: Bytes,
    },
    Snapshot(SnapshotView),
    Promise(EpochPromise),
    Truncate(Zxid),
    /// Begin to take a snapshot from the leader.
    Receive {
        zxid: Zxid,
    },
    /// The snapshot is whole: let it take the place of the history.
    Install,
    /// The snapshot does not come.
    Abandon,
    ReadLog {
        link: ConnNo,
        after: Zxid,
        to: Zxid,
    },
    Settle,
}

/// What the log's thread is at.
#[derive(Debug)]
enum Work {
    Append(Vec<(Zxid, Bytes)>),
    Other(Job),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Done {
    Flushed(Zxid),
    Promised,
    Reloaded(Box<Recovered>, ReadBack),
    ReloadFailed,
    MayFeed,
    LogRead {
        link: ConnNo,
        txns: Option<Vec<(Zxid, Bytes)>>,
    },
    Nothing,
}

/// Why storage fails, which is final.
pub(crate) type Failure = Box<dyn std::error::Error>;

#[derive(Debug)]
pub(crate) struct Disk {
    plan: DiskPlan,
    options: TreeOptions,
    log: Option<LogWriter>,
    snapshots: Option<Snapshots>,
    epochs: Epochs,
    history: History,
    install: Option<(SnapshotInstall, Restorer)>,
    waiting: VecDeque<Job>,
    running: Option<Work>,
    views: VecDeque<SnapshotView>,
    writing: Option<SnapshotView>,
    is_settled: bool,
    /// The end of the log.
    last: Zxid,
    planted: Option<Planted>,
    /// What is under way was told as done.
    is_told: bool,
    /// How many times as long as usual everything takes.
    pub(crate) slowness: u32,
}

impl Disk {
    pub(crate) fn new(
        plan: &Plan,
        options: TreeOptions,
        log: LogWriter,
        snapshots: Snapshots,
        epochs: Epochs,
        history: History,
    ) -> Self {
        Self {
            plan: plan.disk.clone(),
            options,
            last: log.flushed_zxid(),
            planted: plan.planted,
            is_told: false,
            log: Some(log),
            snapshots: Some(snapshots),
            epochs,
            history,
            install: None,
            waiting: VecDeque::new(),
            running: None,
            views: VecDeque::new(),
            writing: None,
            is_settled: true,
            slowness: 1,
        }
    }

    /// The accepted and the current epoch on disk.
    pub(crate) fn epochs(&self) -> (u32, u32) {
        (self.epochs.accepted(), self.epochs.current())
    }

    pub(crate) fn ask(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Begins the next thing if the log's thread is idle; how long it takes.
    pub(crate) fn begin(&mut self, random: &mut Random) -> Option<Duration> {
        if self.running.is_some() {
            return None;
        }
        let has_to_wait = matches!(
            self.waiting.front()?,
            Job::Truncate(_) | Job::Receive { .. }
        );
        // The snapshots' thread gives the directory back first.
        if has_to_wait && (self.writing.is_some() || !self.views.is_empty()) {
            return None;
        }
        let (work, syncs) = match self.waiting.pop_front()? {
            Job::Append { zxid, record } => {
                let mut txns = vec![(zxid, record)];
                while let Some(Job::Append { zxid, record }) = self
                    .waiting
                    .pop_front_if(|job| matches!(job, Job::Append { .. }))
                {
                    txns.push((zxid, record));
                }
                (Work::Append(txns), 1)
            }
            job => {
                let syncs = match &job {
                    Job::Append { .. }
                    | Job::Settle
                    | Job::ReadLog { .. }
                    | Job::Receive { .. } => 1,
                    Job::Snapshot(_) => 0,
                    Job::Promise(_) | Job::Abandon => 2,
                    Job::Truncate(_) | Job::Install => 6,
                };
                (Work::Other(job), syncs)
            }
        };
        self.running = Some(work);
        let takes = (0..syncs).map(|_| random.wait(self.plan.sync));
        let takes: Duration = takes.sum();
        Some(self.slowed(takes))
    }

    /// What counts as done while the log's thread is still at it.
    pub(crate) fn done_too_early(&mut self, is_serving: bool) -> Option<Done> {
        let flushed = |txns: &[(Zxid, Bytes)]| txns.last().map(|&(zxid, _)| Done::Flushed(zxid));
        let done = match (self.planted?, self.running.as_ref()?) {
            (Planted::AckBeforeFlush, Work::Append(txns)) => flushed(txns),
            (Planted::EpochBeforeHistory, Work::Append(txns)) if !is_serving => flushed(txns),
            (Planted::PromiseBeforeFile, Work::Other(Job::Promise(_))) => Some(Done::Promised),
            _ => None,
        };
        self.is_told = done.is_some();
        done
    }

    fn slowed(&self, takes: Duration) -> Duration {
        Duration::from_micros(1) + (takes * self.slowness).min(LONGEST)
    }

    /// Begins the next snapshot if the snapshots' thread is idle; how long it takes.
    pub(crate) fn begin_snapshot(&mut self, random: &mut Random) -> Option<Duration> {
        if self.writing.is_some() {
            return None;
        }
        self.writing = Some(self.views.pop_front()?);
        Some(self.slowed(random.wait(self.plan.snapshot)))
    }

    /// Does what the log's thread was at.
    ///
    /// # Errors
    /// [`Failure`]: the server has to stop.
    pub(crate) fn finish(&mut self) -> Result<Done, Failure> {
        let work = self.running.take().expect("the thread is at work");
        self.is_settled = matches!(work, Work::Other(Job::Settle));
        let done = self.finish_work(work)?;
        match std::mem::take(&mut self.is_told) {
            true => Ok(Done::Nothing),
            false => Ok(done),
        }
    }

    fn finish_work(&mut self, work: Work) -> Result<Done, Failure> {
        match work {
            Work::Append(txns) => {
                let log = self.log_mut();
                for (zxid, record) in txns {
                    log.append(zxid, &record);
                }
                self.last = log.flush()?;
                Ok(Done::Flushed(self.last))
            }
            Work::Other(job) => self.finish_other(job),
        }
    }

    fn finish_other(&mut self, job: Job) -> Result<Done, Failure> {
        match job {
            Job::Append { .. } => unreachable!("it is done in batches"),
            Job::Snapshot(view) => {
                self.log_mut().roll()?;
                self.views.push_back(view);
                Ok(Done::Nothing)
            }
            Job::Promise(promise) => {
                match promise {
                    EpochPromise::Accepted(epoch) => self.epochs.set_accepted(epoch)?,
                    EpochPromise::Current(epoch) => self.epochs.set_current(epoch)?,
                }
                Ok(Done::Promised)
            }
            Job::Truncate(target) => {
                let (recovered, read) = self.truncate(target)?;
                Ok(Done::Reloaded(Box::new(recovered), read))
            }
            Job::Receive { zxid } => {
                let storage = self.take_storage()?;
                let mut restorer = Restorer::new(self.options);
                let install = storage.receive_snapshot(zxid, &mut restorer)?;
                self.install = Some((install, restorer));
                Ok(Done::MayFeed)
            }
            Job::Install => {
                let (install, restorer) = self.install.take().expect("a snapshot came");
                let (recovered, read) = restorer.finish();
                if self.planted == Some(Planted::SnapshotInMemory) {
                    let storage = install.abandon()?;
                    self.recover(storage)?;
                    return Ok(Done::Reloaded(Box::new(recovered), read));
                }
                let digest = TxnDigest {
                    version: TxnDigest::VERSION,
                    tree_digest: recovered.tree.digest(),
                };
                let installed = install.finish(Some((recovered.last_zxid, digest)))?;
                self.put_back(installed);
                Ok(Done::Reloaded(Box::new(recovered), read))
            }
            Job::Abandon => {
                let (install, _) = self.install.take().expect("a snapshot was to come");
                let storage = install.abandon()?;
                self.recover(storage)?;
                Ok(Done::ReloadFailed)
            }
            Job::ReadLog { link, after, to } => {
                let txns = self.read_log(after, to);
                Ok(Done::LogRead { link, txns })
            }
            Job::Settle => {
                self.log_mut().settle()?;
                Ok(Done::Nothing)
            }
        }
    }

    fn truncate(&mut self, target: Zxid) -> Result<(Recovered, ReadBack), Failure> {
        let mut storage = self.take_storage()?;
        match self.planted {
            Some(Planted::TruncatedInMemory) => {
                let before = self.recover(storage)?;
                let mut storage = self.take_storage()?;
                storage.truncate(target)?;
                self.recover(storage)?;
                Ok(before)
            }
            Some(Planted::TruncForgotten) => self.recover(storage),
            _ => {
                storage.truncate(target)?;
                self.recover(storage)
            }
        }
    }

    fn log_mut(&mut self) -> &mut LogWriter {
        self.log.as_mut().expect("the history is in use")
    }

    fn take_storage(&mut self) -> Result<Storage, Failure> {
        let log = self.log.take().expect("the history is in use");
        let snapshots = self.snapshots.take().expect("the history is in use");
        Ok(Storage::from_handles(log, snapshots)?)
    }

    fn recover(&mut self, storage: Storage) -> Result<(Recovered, ReadBack), Failure> {
        let mut restorer = Restorer::new(self.options);
        let recovered = storage.recover(&mut restorer)?;
        self.put_back(recovered);
        Ok(restorer.finish())
    }

    fn put_back(&mut self, recovered: zk_storage::Recovered) {
        self.log = Some(recovered.log);
        self.snapshots = Some(recovered.snapshots);
        self.history = recovered.history;
    }

    /// The transactions in the log after one, up to another; `None` where a snapshot is needed.
    fn read_log(&self, after: Zxid, to: Zxid) -> Option<Vec<(Zxid, Bytes)>> {
        let read = || {
            let mut all = self.history.after(after, to)?;
            if all.start() != after && self.planted != Some(Planted::DiffWithHole) {
                return Ok(None);
            }
            let mut txns = Vec::new();
            let mut bytes = 0;
            loop {
                let batch = all.next_batch(64 << 10)?;
                if batch.is_empty() {
                    return Ok(Some(txns));
                }
                bytes += batch.iter().map(|(_, record)| record.len()).sum::<usize>();
                if bytes > LOG_READ_BYTES_MAX {
                    return Ok(None);
                }
                txns.extend(batch);
            }
        };
        read().unwrap_or_else(|_: HistoryError| None)
    }

    /// Takes bytes of the snapshot that comes from the leader; what follows it, once it is whole.
    ///
    /// # Errors
    /// [`SnapshotReadError`].
    pub(crate) fn feed(&mut self, bytes: Bytes) -> Result<Option<Bytes>, SnapshotReadError> {
        let (install, restorer) = self.install.as_mut().expect("a snapshot comes");
        install.feed(bytes, restorer)
    }

    /// Writes the snapshot that the snapshots' thread was at.
    ///
    /// # Errors
    /// [`Failure`]: the server has to stop.
    pub(crate) fn finish_snapshot(&mut self) -> Result<Zxid, Failure> {
        let view = self.writing.take().expect("the thread is at work");
        let zxid = match self.planted {
            Some(Planted::SnapshotNamedAhead) => self.last.max(view.zxid),
            _ => view.zxid,
        };
        let digest = TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest: view.tree.digest(),
        };
        let snapshots = self.snapshots.as_mut().expect("the history is in use");
        snapshots.write(&ViewSource(view), zxid, Some(digest))?;
        if let Some(kept) = self.plan.snapshots_kept {
            // A failure leaves more on disk than needed.
            _ = snapshots.purge(kept).is_ok();
        }
        Ok(zxid)
    }

    /// Whether the log's thread has nothing to do, and there is something to settle.
    pub(crate) fn rests_unsettled(&self) -> bool {
        !self.is_settled && self.running.is_none() && self.waiting.is_empty() && self.log.is_some()
    }

    /// The process, or the machine, goes down: of what the threads were at, some part has happened.
    pub(crate) fn interrupt(mut self, disk: &MemoryFileSystem, random: &mut Random) {
        let log_first = random.chance(500);
        for is_log in [log_first, !log_first] {
            let is_at_work = match is_log {
                true => self.running.is_some(),
                false => self.writing.is_some(),
            };
            let part = random.below(3);
            if !is_at_work || part == 0 {
                continue;
            }
            if part == 1 {
                disk.fail_at(disk.calls() + random.below(CALLS), Fault::PowerOff);
            }
            // Nobody is there any more to be told.
            _ = match is_log {
                true => self.finish().is_ok(),
                false => self.finish_snapshot().is_ok(),
            };
        }
    }
}
