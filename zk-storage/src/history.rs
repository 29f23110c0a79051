//! Reading the transactions on disk for a server that lacks them (DIFF).

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use zk_proto::Zxid;

use crate::log::mark;
use crate::log::walk::{Contiguity, LogWalk, Place, Step};
use crate::names::DataFile;
use crate::snapshot::looks_finished;
use crate::storage::Directories;
use crate::{HistoryError, RecoverError, names};

/// The history on disk. It may be read by any number of threads while the log is appended to, rolled
/// and purged. Clones are the same history.
#[derive(Debug, Clone)]
pub struct History {
    dirs: Arc<Directories>,
}

/// How much there is to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistorySize {
    /// Bytes of all logs that have to be read, from their start on.
    pub log_bytes: u64,
    /// Bytes of the newest finished snapshot, if there is one.
    pub snapshot_bytes: Option<u64>,
}

/// The transactions after one, in order, without a hole.
#[derive(Debug)]
pub struct TxnsAfter {
    dirs: Arc<Directories>,
    /// Which history this is.
    history: u64,
    walk: LogWalk,
    contiguity: Contiguity,
    /// What was read and not given out.
    first: Option<Step>,
    start: Zxid,
    flushed: Zxid,
    is_done: bool,
    /// What is purged stays as long and as whole as this is held.
    _reading: Arc<()>,
}

impl History {
    pub(crate) fn new(dirs: Arc<Directories>) -> Self {
        Self { dirs }
    }

    /// Finds the transactions after `from`, up to `flushed`, which is on disk
    /// ([`LogWriter::flushed_zxid`](crate::LogWriter::flushed_zxid)): what the log holds behind it may
    /// be half-written and is not looked at. Reads the log that holds `from` up to there.
    ///
    /// # Errors
    /// [`HistoryError`]; a snapshot has to be sent instead, unless the history was replaced.
    pub fn after(&self, from: Zxid, flushed: Zxid) -> Result<TxnsAfter, HistoryError> {
        let history = self.dirs.history();
        let reading = Arc::clone(&self.dirs.reading);
        // A log that holds nothing flushed may be half-written from its start on.
        let logs = self.logs_after(from, flushed)?;
        let oldest = logs.first().map(|log| log.zxid);
        // After the logs: a snapshot that is there has its logs, unless both are purged meanwhile.
        let snapshots = names::list_snapshots(&*self.dirs.fs, &self.dirs.snap_dir)?;
        let snapshots: Vec<_> = snapshots.iter().map(|snapshot| snapshot.zxid).collect();
        let mut txns = TxnsAfter {
            dirs: Arc::clone(&self.dirs),
            history,
            walk: LogWalk::new(logs),
            contiguity: Contiguity::new(from, Vec::new()),
            first: None,
            start: from,
            flushed,
            is_done: false,
            _reading: reading,
        };
        let mut newest = snapshots
            .iter()
            .filter(|&&zxid| zxid <= from)
            .max()
            .copied();
        while let Some(step) = txns.step()? {
            if step.zxid > from {
                txns.first = Some(step);
                break;
            }
            newest = newest.max(Some(step.zxid));
        }
        // An epoch's leader proposes one transaction after the other, so that whoever has one of them
        // has those before.
        let first = txns.first.as_ref().map(|step| step.zxid);
        txns.start = match newest {
            _ if first == Some(from.next()) => from,
            Some(newest) => newest,
            None => return Err(HistoryError::TooOld { from, oldest }),
        };
        txns.contiguity = Contiguity::new(txns.start, snapshots);
        Ok(txns)
    }

    /// How much [`after`](Self::after) would read, and how long a snapshot is instead
    /// (`snapshotSizeFactor`). Space that is allocated ahead does not count.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn size_after(&self, from: Zxid) -> Result<HistorySize, HistoryError> {
        let fs = &*self.dirs.fs;
        let mark = mark::read(fs, &self.dirs.log_dir)?;
        let used = |log: &DataFile| match mark {
            Some(mark) if mark.log == log.zxid => log.bytes.min(mark.offset),
            _ => log.bytes,
        };
        let logs = self.logs_after(from, Zxid(i64::MAX))?;
        let log_bytes = logs.iter().map(used).sum();
        let snapshots = names::list_snapshots(fs, &self.dirs.snap_dir)?;
        let mut snapshot_bytes = None;
        for snapshot in snapshots.iter().rev() {
            if looks_finished(fs, &snapshot.path, snapshot.bytes)? {
                snapshot_bytes = Some(snapshot.bytes);
                break;
            }
        }
        Ok(HistorySize {
            log_bytes,
            snapshot_bytes,
        })
    }

    /// The logs that begin up to `flushed`, from the one on that holds the transaction after `from`, or
    /// the one before it.
    fn logs_after(&self, from: Zxid, flushed: Zxid) -> Result<Vec<DataFile>, HistoryError> {
        let mut logs = names::list_logs(&*self.dirs.fs, &self.dirs.log_dir)?;
        logs.retain(|log| log.zxid <= flushed);
        let first = logs.iter().rposition(|log| log.zxid <= from.next());
        logs.drain(..first.unwrap_or(0));
        Ok(logs)
    }
}

impl TxnsAfter {
    /// The newest transaction of this history that is not after the one asked for. If it is another
    /// one, the server that has the one asked for has transactions that this history does not have:
    /// it has to forget what lies behind this.
    #[must_use]
    pub fn start(&self) -> Zxid {
        self.start
    }

    /// The next transactions: as many as make up `bytes_max`, and at least one; none at the end. Each
    /// is the encoding of a [`TxnRecord`](zk_proto::TxnRecord), and shares memory with those around it.
    ///
    /// # Errors
    /// [`HistoryError`]. What was given out before is right all the same, but for
    /// [`HistoryError::Replaced`].
    pub fn next_batch(&mut self, bytes_max: usize) -> Result<Vec<(Zxid, Bytes)>, HistoryError> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.is_empty() || bytes < bytes_max {
            let step = match self.first.take() {
                Some(step) => step,
                None => match self.step()? {
                    Some(step) => step,
                    None => break,
                },
            };
            match self.contiguity.accept(step.zxid, &step.entry) {
                Place::Next => {}
                Place::Known => continue,
                Place::Taken => return Err(self.walk.taken(&step).into()),
                Place::BehindGap => {
                    return Err(HistoryError::Hole {
                        after: self.contiguity.last(),
                        next: step.zxid,
                    });
                }
            }
            bytes += step.entry.body.len();
            batch.push((step.zxid, step.entry.body));
        }
        if batch.is_empty() && self.contiguity.last() < self.flushed {
            return Err(HistoryError::Hole {
                after: self.contiguity.last(),
                next: self.flushed,
            });
        }
        Ok(batch)
    }

    /// The next transaction up to the flushed one.
    fn step(&mut self) -> Result<Option<Step>, HistoryError> {
        if self.dirs.history() != self.history {
            return Err(HistoryError::Replaced);
        }
        if self.is_done {
            return Ok(None);
        }
        let step = self
            .walk
            .next(&*self.dirs.fs)
            .map_err(|error| match error {
                RecoverError::Io(error) if error.source.kind() == io::ErrorKind::NotFound => {
                    HistoryError::Purged { path: error.path }
                }
                error => error.into(),
            })?;
        let step = step.filter(|step| step.zxid <= self.flushed);
        self.is_done = step.as_ref().is_none_or(|step| step.zxid == self.flushed);
        Ok(step)
    }
}
