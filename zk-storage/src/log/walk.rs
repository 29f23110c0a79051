//! Reading several logs as the one history they hold.

use zk_proto::Zxid;

use super::follows;
use super::scan::{Entry, Found, LogScanner};
use crate::names::DataFile;
use crate::recover::{damaged, older_end};
use crate::{FileSystem, RecoverError};

/// The entries of logs that follow one another. An older log may end torn, as Apache's server leaves
/// it, if the next goes on from there.
#[derive(Debug)]
pub(crate) struct LogWalk {
    logs: Vec<DataFile>,
    /// The log that is being read, and where it is being read.
    index: usize,
    scanner: Option<LogScanner>,
    /// The newest transaction of that log; before its first, the one before its name.
    last_here: Zxid,
}

/// A transaction, and the log it stands in.
#[derive(Debug)]
pub(crate) struct Step {
    /// The log's place in the list.
    pub(crate) log: usize,
    pub(crate) zxid: Zxid,
    pub(crate) entry: Entry,
}

impl LogWalk {
    /// Begins at the start of the first of `logs`, which are in order.
    pub(crate) fn new(logs: Vec<DataFile>) -> Self {
        Self {
            logs,
            index: 0,
            scanner: None,
            last_here: Zxid::ZERO,
        }
    }

    pub(crate) fn logs(&self) -> &[DataFile] {
        &self.logs
    }

    /// The log that is being read, by its place in the list; behind it at the end.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The next transaction; `None` at the end of the last log.
    pub(crate) fn next(&mut self, fs: &dyn FileSystem) -> Result<Option<Step>, RecoverError> {
        while let Some(log) = self.logs.get(self.index) {
            let scanner = match &mut self.scanner {
                Some(scanner) => scanner,
                none => {
                    self.last_here = Zxid(log.zxid.0.wrapping_sub(1));
                    none.insert(LogScanner::open(fs, &log.path, Some(log.zxid))?)
                }
            };
            match scanner.next()? {
                Some(Found::Header(_)) => {}
                Some(Found::Entry(entry)) => {
                    let Some(zxid) = entry.zxid() else {
                        let what = "the entry is too short for a transaction".to_owned();
                        return Err(damaged(log, entry.offset, what));
                    };
                    self.last_here = zxid;
                    let log = self.index;
                    return Ok(Some(Step { log, zxid, entry }));
                }
                Some(Found::Unreadable(unreadable)) => {
                    let Some(next) = self.logs.get(self.index + 1) else {
                        return Err(damaged(log, unreadable.offset, unreadable.what.to_owned()));
                    };
                    older_end(log, next, self.last_here, &unreadable, scanner)?;
                    self.go_on();
                }
                Some(Found::End { .. }) | None => self.go_on(),
            }
        }
        Ok(None)
    }

    fn go_on(&mut self) {
        self.index += 1;
        self.scanner = None;
    }
}

/// Knows whether transactions are missing between two.
#[derive(Debug)]
pub(crate) struct Contiguity {
    last: Zxid,
    /// Transactions that the history is known to have reached, by the names of snapshots. Where no
    /// log holds one, those before it may be missing too, as on a learner of Apache's server that was
    /// sent a snapshot: zxids alone do not tell when a newer epoch follows.
    reached: Vec<Zxid>,
}

impl Contiguity {
    /// Begins after `last`.
    pub(crate) fn new(last: Zxid, reached: Vec<Zxid>) -> Self {
        Self { last, reached }
    }

    /// The newest transaction.
    pub(crate) fn last(&self) -> Zxid {
        self.last
    }

    /// Goes on with `next`, unless something is missing before it.
    pub(crate) fn accept(&mut self, next: Zxid) -> bool {
        let accepts = follows(self.last, next) && !self.misses_reached(next);
        if accepts {
            self.last = next;
        }
        accepts
    }

    /// Goes on with `next` though numbers are missing before it, unless it is known that those were
    /// transactions.
    pub(crate) fn accept_hole(&mut self, next: Zxid) -> bool {
        let accepts = next > self.last && !self.misses_reached(next);
        if accepts {
            self.last = next;
        }
        accepts
    }

    fn misses_reached(&self, next: Zxid) -> bool {
        let is_between = |&zxid: &Zxid| self.last < zxid && zxid < next;
        self.reached.iter().any(is_between)
    }
}
