//! Reading the state back.
//!
//! The newest snapshot that is whole is read, then the logs from the one that holds the transaction
//! after it. All transactions have to be there: each is the next, or the first of a newer epoch, or one
//! that was read before and is repeated, as Apache's learners do.
//!
//! What is unreadable is judged by where it stands:
//!
//! | where | what it is | then |
//! |---|---|---|
//! | the newest log, before the [mark](crate::log::mark) | damage: it was acknowledged | refused |
//! | the newest log, shape of a [tear](crate::log::scan), nothing whole beyond one batch | torn | cut off |
//! | the newest log, otherwise | damage | refused |
//! | an older log, and the next begins with the very transaction that is missing | an older tear | skipped |
//! | an older log, shape of a tear at its very end, and the next opens a newer epoch | an older tear | skipped |
//! | an older log, otherwise | damage | refused |
//!
//! A newest log without any whole entry is one that a crash interrupted at its first batch; it is
//! judged likewise and removed. Nothing is skipped within a log in order to read on behind it: bytes
//! that look like an entry there may be a client's data.
//!
//! A snapshot that was finished once and cannot be read, so that an older one is used, tells all the
//! same how far the history reached: the logs have to go there without a hole. Otherwise a log that ends
//! before it, or one of a newer epoch after it, would silently take its place.
//!
//! A log that begins with another transaction than its name says is refused: it was renamed, and would be
//! read out of order.
//!
//! Files are changed only after everything was read and accepted; what was read is made durable then
//! ([`crate::settle`]).

use std::path::PathBuf;

use bytes::Bytes;
use zk_proto::{Acl, LOG_HEADER_BYTES, SnapshotNode, SnapshotSession, TxnRecord, Zxid};

use crate::error::Context;
use crate::log::mark::{Mark, MarkFile};
use crate::log::scan::{Entry, Found, LogScanner, Unreadable};
use crate::log::walk::{Contiguity, Place};
use crate::log::{BATCH_BYTES_MAX, decode_record, follows};
use crate::names::DataFile;
use crate::settle::{End, settle};
use crate::snapshot::{SnapshotReadError, looks_finished, read_snapshot};
use crate::storage::Directories;
use crate::{
    IoError, IoOp, RecoverError, RestoreError, SnapshotPart, SnapshotTrailer, atomic, names,
};

/// Snapshots that are tried before giving up, as in Apache's server (`FileSnap`, 3.9.5).
const SNAPSHOTS_TRIED_MAX: usize = 100;

/// Takes the state as it is read back. The order is `begin`, sessions, ACLs, znodes in pre-order,
/// `snapshot_done`, transactions in the order of their zxids. When a snapshot turns out to be
/// unreadable an older one follows, from `begin`. Without any snapshot transactions follow `begin`.
pub trait Restore {
    /// Forgets what came before.
    fn begin(&mut self);

    /// A session that was open.
    ///
    /// # Errors
    /// Why the snapshot cannot be used; an older one is tried. The same holds up to `snapshot_done`.
    fn session(&mut self, session: SnapshotSession) -> Result<(), RestoreError>;

    /// A numbered ACL.
    ///
    /// # Errors
    /// Why the snapshot cannot be used.
    fn acl(&mut self, id: i64, acl: Vec<Acl>) -> Result<(), RestoreError>;

    /// A znode. Its parent came before it.
    ///
    /// # Errors
    /// Why the snapshot cannot be used.
    fn node(&mut self, node: SnapshotNode<'_>) -> Result<(), RestoreError>;

    /// The snapshot is whole and its checksums match. Snapshots that Apache's server takes while it
    /// writes hold parts of later transactions, which come again.
    ///
    /// # Errors
    /// Why the snapshot cannot be used.
    fn snapshot_done(&mut self, zxid: Zxid, trailer: SnapshotTrailer) -> Result<(), RestoreError>;

    /// A transaction after the snapshot. Its buffers share the memory of everything read around
    /// it: what is kept is better copied.
    ///
    /// # Errors
    /// Why it cannot be applied; recovery ends with it.
    fn txn(&mut self, record: &TxnRecord) -> Result<(), RestoreError>;

    /// Whether [`txn`](Self::txn) refuses a transaction before which others may be missing: who has
    /// the tree can tell by its digest. Apache's server takes zxids that it logs nothing under. By
    /// default the numbers alone decide, and any that is missing ends the recovery.
    fn judges_holes(&self) -> bool {
        false
    }
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// What came before the logs.
    pub from: RecoveredFrom,
    /// The newest transaction; the snapshot's when there is none after it.
    pub last_zxid: Zxid,
    /// How many transactions came after the snapshot.
    pub txns: u64,
    /// Snapshots that could not be read, newest first.
    pub skipped: Vec<SkippedSnapshot>,
    /// What was cut off the end of the newest log, or was removed with it.
    pub torn: Option<TornTail>,
}

/// What came before the logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecoveredFrom {
    /// A snapshot.
    Snapshot {
        /// The file.
        path: PathBuf,
        /// The newest transaction in it.
        zxid: Zxid,
        /// Its length.
        bytes: u64,
    },
    /// Nothing: the database is empty. A snapshot has to be written before the first flush, so that
    /// logs never stand without one.
    Empty,
    /// Nothing, and an empty database is not expected here: `db.autocreate` is off and no file
    /// `initialize` is there. A member of an ensemble must not vote with it.
    Unexpected,
}

/// A snapshot that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedSnapshot {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Bytes of a batch that a crash left half-written, which were cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The log.
    pub path: PathBuf,
    /// Where the first unreadable entry started.
    pub offset: u64,
    /// Bytes from there to the last that is not zero.
    pub bytes: u64,
}

/// Reads everything back and makes the directories ready to be appended to.
pub(crate) fn recover(
    dirs: &Directories,
    into: &mut impl Restore,
) -> Result<(RecoveryReport, MarkFile), RecoverError> {
    let fs = &*dirs.fs;
    let snapshots = names::list_snapshots(fs, &dirs.snap_dir)?;
    let mut logs = names::list_logs(fs, &dirs.log_dir)?;
    let Base {
        from,
        zxid: base,
        skipped,
        reached,
    } = restore_snapshot(dirs, snapshots, &logs, into)?;
    let (mark_file, mark) = MarkFile::open(fs, &dirs.log_dir)?;
    let newest_mark = mark;
    // What the snapshot holds needs no log.
    let mark = mark.filter(|mark| mark.zxid > base);

    let mut replay = Replay {
        into,
        history: Contiguity::new(base, reached.iter().map(|file| file.zxid).collect()),
        txns: 0,
        last_entry: 0,
    };
    // Without a snapshot every log is needed.
    let oldest_needed = logs.iter().rposition(|log| log.zxid <= base.next());
    logs.drain(..oldest_needed.unwrap_or(0));
    let unfinished = take_unfinished(dirs, &mut logs, mark)?;
    let mut end = None;
    for (index, log) in logs.iter().enumerate() {
        end = Some(read_log(dirs, log, logs.get(index + 1), mark, &mut replay)?);
    }
    let (last, txns) = (replay.history.last(), replay.txns);
    if let Some(log) = &unfinished
        && log.first > last
        && !replay.history.is_next(log.first)
    {
        return Err(RecoverError::Gap {
            after: last,
            next: log.first,
            path: log.path.clone(),
        });
    }
    if let Some(mark) = mark
        && mark.zxid > last
        && logs.last().is_none_or(|newest| newest.zxid <= mark.log)
    {
        return Err(RecoverError::Lost {
            flushed: mark.zxid,
            last,
            path: mark_file.path().to_owned(),
        });
    }

    if let Some(snapshot) = reached.into_iter().find(|snapshot| snapshot.zxid > last) {
        return Err(RecoverError::LostSnapshot {
            path: snapshot.path,
            last,
        });
    }

    let snapshot = match &from {
        RecoveredFrom::Snapshot { path, .. } => Some(&**path),
        RecoveredFrom::Empty | RecoveredFrom::Unexpected => None,
    };
    let newest = end.as_ref().map(|end| End {
        offset: end.offset,
        last_entry: replay.last_entry,
    });
    settle(dirs, snapshot, &logs, newest, newest_mark)?;
    let mut torn = end.and_then(|end| end.torn);
    if let Some(log) = unfinished {
        dirs.remove(&log.path)?;
        dirs.sync_log_dir()?;
        torn = log.torn;
    }
    remove_partial_snapshots(dirs)?;
    let from = trust_if_initialized(dirs, from)?;
    let report = RecoveryReport {
        from,
        last_zxid: last,
        txns,
        skipped,
        torn,
    };
    Ok((report, mark_file))
}

/// What the logs are read on top of.
struct Base {
    from: RecoveredFrom,
    zxid: Zxid,
    skipped: Vec<SkippedSnapshot>,
    /// Those that were skipped and had once been finished: the history reached them.
    reached: Vec<DataFile>,
}

fn restore_snapshot(
    dirs: &Directories,
    snapshots: Vec<DataFile>,
    logs: &[DataFile],
    into: &mut impl Restore,
) -> Result<Base, RecoverError> {
    let (mut skipped, mut reached) = (Vec::new(), Vec::new());
    for snapshot in snapshots.into_iter().rev().take(SNAPSHOTS_TRIED_MAX) {
        into.begin();
        let result = match looks_finished(&*dirs.fs, &snapshot.path, snapshot.bytes) {
            Ok(false) => Err("the file was not written to its end".to_owned()),
            Ok(true) => {
                let result = try_snapshot(dirs, &snapshot, into);
                if result.is_err() {
                    reached.push(snapshot.clone());
                }
                result.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let path = snapshot.path;
        match result {
            Ok(()) => {
                let (zxid, bytes) = (snapshot.zxid, snapshot.bytes);
                return Ok(Base {
                    from: RecoveredFrom::Snapshot { path, zxid, bytes },
                    zxid,
                    skipped,
                    reached,
                });
            }
            Err(reason) => skipped.push(SkippedSnapshot { path, reason }),
        }
    }
    if let Some(newest) = skipped.into_iter().next() {
        return Err(RecoverError::NoValidSnapshot {
            newest: newest.path,
            reason: newest.reason,
        });
    }
    into.begin();
    let from = match logs.first() {
        Some(log) if !dirs.config.snapshot_trust_empty => {
            return Err(RecoverError::NoSnapshot {
                log: log.path.clone(),
            });
        }
        Some(_) => RecoveredFrom::Empty,
        None if dirs.config.db_autocreate => RecoveredFrom::Empty,
        None => RecoveredFrom::Unexpected,
    };
    Ok(Base {
        from,
        zxid: Zxid::ZERO,
        skipped: Vec::new(),
        reached,
    })
}

fn try_snapshot(
    dirs: &Directories,
    snapshot: &DataFile,
    into: &mut impl Restore,
) -> Result<(), SnapshotReadError> {
    let invalid = |what: String| SnapshotReadError::Invalid {
        offset: snapshot.bytes,
        what,
    };
    let trailer = read_snapshot(&*dirs.fs, &snapshot.path, |_, part| match part {
        SnapshotPart::Session(session) => into.session(session),
        SnapshotPart::Acl(id, acl) => into.acl(id, acl),
        SnapshotPart::Node(node) => into.node(node),
    })?;
    if let Some(last) = trailer.last_zxid.filter(|&last| last < snapshot.zxid) {
        return Err(invalid(format!(
            "its content ends at {last}, its name says {}",
            snapshot.zxid
        )));
    }
    into.snapshot_done(snapshot.zxid, trailer)
        .map_err(|source| SnapshotReadError::Refused {
            offset: snapshot.bytes,
            source,
        })
}

/// A log whose first batch a crash interrupted.
struct Unfinished {
    path: PathBuf,
    /// Its first transaction would have been this: those before it were on disk.
    first: Zxid,
    torn: Option<TornTail>,
}

/// Takes the newest log off the list if it holds no whole entry. There can be but one: the next is
/// begun after everything before it was synced.
fn take_unfinished(
    dirs: &Directories,
    logs: &mut Vec<DataFile>,
    mark: Option<Mark>,
) -> Result<Option<Unfinished>, RecoverError> {
    let Some(log) = logs.last() else {
        return Ok(None);
    };
    let mut scanner = LogScanner::open(&*dirs.fs, &log.path, Some(log.zxid))?;
    let mut found = scanner.next()?;
    if matches!(found, Some(Found::Header(_))) {
        found = scanner.next()?;
    }
    let end = match found {
        Some(Found::Unreadable(unreadable)) => {
            newest_end(log, mark, Some(unreadable), 0, &mut scanner)?
        }
        Some(Found::End { offset, .. }) => newest_end(log, mark, None, offset, &mut scanner)?,
        Some(Found::Entry(_) | Found::Header(_)) | None => return Ok(None),
    };
    let unfinished = Unfinished {
        path: log.path.clone(),
        first: log.zxid,
        torn: end.torn,
    };
    logs.pop();
    Ok(Some(unfinished))
}

/// Where a log ends.
struct LogEnd {
    offset: u64,
    torn: Option<TornTail>,
}

/// Applies one log.
fn read_log<R: Restore>(
    dirs: &Directories,
    log: &DataFile,
    next: Option<&DataFile>,
    mark: Option<Mark>,
    replay: &mut Replay<'_, R>,
) -> Result<LogEnd, RecoverError> {
    let mut scanner = LogScanner::open(&*dirs.fs, &log.path, Some(log.zxid))?;
    // Before the first entry: the one before the log's name.
    let mut last_here = Zxid(log.zxid.0.wrapping_sub(1));
    let mut offset = 0;
    loop {
        let unreadable = match scanner.next()? {
            Some(Found::Header(_)) => continue,
            Some(Found::Entry(entry)) => {
                last_here = replay.entry(log, &entry)?;
                offset = entry.end();
                continue;
            }
            Some(Found::Unreadable(unreadable)) => Some(unreadable),
            Some(Found::End { .. }) | None => None,
        };
        let Some(next) = next else {
            return newest_end(log, mark, unreadable, offset, &mut scanner);
        };
        if let Some(unreadable) = unreadable {
            older_end(log, next, last_here, &unreadable, &mut scanner)?;
        }
        return Ok(LogEnd { offset, torn: None });
    }
}

/// Judges the end of the newest log: `unreadable` or, without it, zeros, behind `offset`.
fn newest_end(
    log: &DataFile,
    mark: Option<Mark>,
    unreadable: Option<Unreadable>,
    offset: u64,
    scanner: &mut LogScanner,
) -> Result<LogEnd, RecoverError> {
    let offset = unreadable.as_ref().map_or(offset, |found| found.offset);
    let what = unreadable
        .as_ref()
        .map_or("the log ends", |found| found.what);
    if let Some(mark) = mark.filter(|mark| mark.log == log.zxid && offset < mark.offset) {
        let what = format!(
            "{what}, but everything up to offset {} and transaction {} was acknowledged",
            mark.offset, mark.zxid
        );
        return Err(damaged(log, offset, what));
    }
    let Some(unreadable) = unreadable else {
        return Ok(LogEnd { offset, torn: None });
    };
    if !unreadable.is_tear {
        let what = format!("{what}, and no crash while writing leaves that");
        return Err(damaged(log, offset, what));
    }
    let rest = Rest::of(&unreadable, scanner)?;
    if rest
        .last_entry
        .is_some_and(|end| end - offset > BATCH_BYTES_MAX)
    {
        let what = format!(
            "{what}, and whole transactions follow beyond the {BATCH_BYTES_MAX} bytes that are \
             written at once"
        );
        return Err(damaged(log, offset, what));
    }
    Ok(LogEnd {
        offset,
        torn: Some(TornTail {
            path: log.path.clone(),
            offset,
            bytes: rest.end - offset,
        }),
    })
}

/// Judges something unreadable in a log that others follow. Apache's server leaves a torn tail where
/// it is and goes on in another file.
pub(crate) fn older_end(
    log: &DataFile,
    next: &DataFile,
    last: Zxid,
    unreadable: &Unreadable,
    scanner: &mut LogScanner,
) -> Result<(), RecoverError> {
    let mut is_at_end = || Ok::<_, IoError>(Rest::of(unreadable, scanner)?.last_entry.is_none());
    let is_superseded = next.zxid == last.next();
    if is_superseded || (follows(last, next.zxid) && unreadable.is_tear && is_at_end()?) {
        tracing::warn!(
            "txn log {} ends with an unreadable entry at offset {}; {} goes on from there",
            log.path.display(),
            unreadable.offset,
            next.path.display()
        );
        return Ok(());
    }
    let what = format!(
        "{}, and {} does not go on with the transaction after {last}",
        unreadable.what,
        next.path.display()
    );
    Err(damaged(log, unreadable.offset, what))
}

/// An entry's zxid. A log is named by the first: the order of the names would not be the order of the
/// transactions otherwise.
pub(crate) fn zxid_in(log: &DataFile, entry: &Entry) -> Result<Zxid, RecoverError> {
    let Some(zxid) = entry.zxid() else {
        let what = "the entry is too short for a transaction".to_owned();
        return Err(damaged(log, entry.offset, what));
    };
    if entry.offset == LOG_HEADER_BYTES as u64 && zxid != log.zxid {
        let what = format!(
            "the first transaction is {zxid}, the name says {}",
            log.zxid
        );
        return Err(damaged(log, entry.offset, what));
    }
    Ok(zxid)
}

pub(crate) fn taken(log: &DataFile, zxid: Zxid) -> RecoverError {
    RecoverError::Taken {
        zxid,
        path: log.path.clone(),
    }
}

pub(crate) fn damaged(log: &DataFile, offset: u64, what: String) -> RecoverError {
    RecoverError::Damaged {
        path: log.path.clone(),
        offset,
        what,
    }
}

/// What stands behind something unreadable.
struct Rest {
    /// Where the last whole entry ends.
    last_entry: Option<u64>,
    /// Where the last byte ends that is not zero.
    end: u64,
}

impl Rest {
    fn of(unreadable: &Unreadable, scanner: &mut LogScanner) -> Result<Self, IoError> {
        let mut rest = Self {
            last_entry: None,
            end: unreadable.offset + unreadable.bytes,
        };
        while let Some(found) = scanner.next()? {
            match found {
                Found::Entry(entry) => {
                    rest.last_entry = Some(entry.end());
                    rest.end = entry.end();
                }
                Found::Unreadable(unreadable) => rest.end = unreadable.offset + unreadable.bytes,
                Found::Header(_) | Found::End { .. } => {}
            }
        }
        Ok(rest)
    }
}

struct Replay<'a, R> {
    into: &'a mut R,
    /// From the snapshot up to the newest transaction applied.
    history: Contiguity,
    txns: u64,
    /// Where the newest entry starts in its log.
    last_entry: u64,
}

impl<R: Restore> Replay<'_, R> {
    /// Applies an entry that is neither in the snapshot nor read before. Returns its zxid.
    fn entry(&mut self, log: &DataFile, entry: &Entry) -> Result<Zxid, RecoverError> {
        self.last_entry = entry.offset;
        let zxid = zxid_in(log, entry)?;
        match self.history.accept(zxid, entry) {
            Place::Next => {}
            Place::Known => return Ok(zxid),
            Place::Taken => return Err(taken(log, zxid)),
            Place::BehindGap
                if self.into.judges_holes() && self.history.accept_hole(zxid, entry) => {}
            Place::BehindGap => {
                return Err(RecoverError::Gap {
                    after: self.history.last(),
                    next: zxid,
                    path: log.path.clone(),
                });
            }
        }
        let record = self.decode(log, entry.offset, &entry.body)?;
        self.into
            .txn(&record)
            .map_err(|source| RecoverError::Refused {
                path: log.path.clone(),
                offset: entry.offset,
                zxid,
                source,
            })?;
        self.txns += 1;
        Ok(zxid)
    }

    fn decode(&self, log: &DataFile, offset: u64, body: &Bytes) -> Result<TxnRecord, RecoverError> {
        decode_record(body).map_err(|source| RecoverError::Undecodable {
            path: log.path.clone(),
            offset,
            source,
        })
    }
}

pub(crate) fn remove_partial_snapshots(dirs: &Directories) -> Result<(), IoError> {
    let entries = dirs
        .fs
        .list(&dirs.snap_dir)
        .context(IoOp::List, &dirs.snap_dir)?;
    for entry in entries {
        if names::is_partial(&entry.name) {
            dirs.remove(&dirs.snap_dir.join(entry.name))?;
        }
    }
    Ok(())
}

/// An operator's file `initialize` says, once, that an empty database is meant to be. Apache's server
/// looks for it in dataLogDir, its scripts make it in dataDir.
fn trust_if_initialized(dirs: &Directories, from: RecoveredFrom) -> Result<RecoveredFrom, IoError> {
    let mut is_initialized = false;
    for dir in [&dirs.config.data_log_dir, &dirs.config.data_dir] {
        if atomic::remove_if_there(&*dirs.fs, &dir.join(names::INITIALIZE))? {
            dirs.sync_dir(dir)?;
            is_initialized = true;
        }
    }
    Ok(match from {
        RecoveredFrom::Unexpected if is_initialized => RecoveredFrom::Empty,
        from => from,
    })
}
