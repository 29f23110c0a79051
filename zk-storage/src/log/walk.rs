//! Reading several logs as the one history they hold.

use zk_proto::Zxid;

use super::follows;
use super::scan::{Entry, Found, LogScanner};
use crate::names::DataFile;
use crate::recover::{damaged, older_end, taken, zxid_in};
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
                    let zxid = zxid_in(log, &entry)?;
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

    /// That a transaction which was read is another one than the history has.
    pub(crate) fn taken(&self, step: &Step) -> RecoverError {
        let log = self
            .logs
            .get(step.log)
            .expect("a step is of one of the logs");
        taken(log, step.zxid)
    }

    fn go_on(&mut self) {
        self.index += 1;
        self.scanner = None;
    }
}

/// Where a transaction that was read stands in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is the next.
    Next,
    /// The history has it already.
    Known,
    /// The history has another one in its place.
    Taken,
    /// Something is missing before it.
    BehindGap,
}

/// Puts transactions that are read into one history, and knows whether some are missing.
///
/// A log may go back to a transaction that it holds already and repeat what follows it, as on a
/// learner of Apache's server that was synchronized anew: that server asks for what follows the last
/// one it applied, which may be before the last one it logged.
#[derive(Debug)]
pub(crate) struct Contiguity {
    /// What the history begins after.
    base: Zxid,
    /// What came since then.
    runs: Vec<Run>,
    /// Transactions that the history is known to have reached, by the names of snapshots. Where no
    /// log holds one, those before it may be missing too, as on a learner of Apache's server that was
    /// sent a snapshot: zxids alone do not tell when a newer epoch follows.
    reached: Vec<Zxid>,
}

/// Transactions whose numbers follow one another.
#[derive(Debug)]
struct Run {
    first: Zxid,
    last: Zxid,
    sums: Vec<u32>,
}

impl Contiguity {
    /// Begins after `base`.
    pub(crate) fn new(base: Zxid, reached: Vec<Zxid>) -> Self {
        Self {
            base,
            runs: Vec::new(),
            reached,
        }
    }

    /// The newest transaction.
    pub(crate) fn last(&self) -> Zxid {
        self.runs.last().map_or(self.base, |run| run.last)
    }

    /// Whether a transaction can come next without a gap before it.
    pub(crate) fn is_next(&self, zxid: Zxid) -> bool {
        follows(self.last(), zxid) && !self.misses_reached(zxid)
    }

    /// Goes on with a transaction if it is the next.
    pub(crate) fn accept(&mut self, zxid: Zxid, entry: &Entry) -> Place {
        if zxid <= self.base {
            return Place::Known;
        }
        if zxid <= self.last() {
            return match self.sum(zxid) {
                Some(sum) if sum == entry.sum => Place::Known,
                Some(_) => Place::Taken,
                None => Place::BehindGap,
            };
        }
        if !self.is_next(zxid) {
            return Place::BehindGap;
        }
        self.push(zxid, entry);
        Place::Next
    }

    /// Goes on with a transaction though numbers are missing before it, unless it is known that those
    /// were transactions.
    pub(crate) fn accept_hole(&mut self, zxid: Zxid, entry: &Entry) -> bool {
        let accepts = zxid > self.last() && !self.misses_reached(zxid);
        if accepts {
            self.push(zxid, entry);
        }
        accepts
    }

    fn misses_reached(&self, zxid: Zxid) -> bool {
        let is_between = |&reached: &Zxid| self.last() < reached && reached < zxid;
        self.reached.iter().any(is_between)
    }

    fn push(&mut self, zxid: Zxid, entry: &Entry) {
        match self.runs.last_mut() {
            Some(run) if zxid == run.last.next() => {
                run.last = zxid;
                run.sums.push(entry.sum);
            }
            _ => self.runs.push(Run {
                first: zxid,
                last: zxid,
                sums: vec![entry.sum],
            }),
        }
    }

    fn sum(&self, zxid: Zxid) -> Option<u32> {
        let mut runs = self.runs.iter();
        let run = runs.find(|run| run.first <= zxid && zxid <= run.last)?;
        let index = usize::try_from(zxid.0 - run.first.0).ok()?;
        run.sums.get(index).copied()
    }
}
