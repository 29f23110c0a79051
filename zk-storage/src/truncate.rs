//! Cutting the history behind a transaction.

use zk_proto::Zxid;

use crate::intent::{self, Change, Intent, LastLog};
use crate::log::walk::{Contiguity, LogWalk, Place};
use crate::names::DataFile;
use crate::snapshot::looks_finished;
use crate::storage::Directories;
use crate::{RecoverError, TruncateError, names, read_snapshot};

/// Makes `target` the newest transaction, in the logs and in the snapshots.
pub(crate) fn truncate(dirs: &Directories, target: Zxid) -> Result<(), TruncateError> {
    intent::complete(dirs)?;
    let snapshots = names::list_snapshots(&*dirs.fs, &dirs.snap_dir)?;
    let logs = names::list_logs(&*dirs.fs, &dirs.log_dir)?;
    let base = newest_base(dirs, &snapshots, target)?;
    let last = last_log(dirs, &logs, &snapshots, base, target)?;

    let kept_log = last.map_or(Zxid(-1), |log| log.zxid);
    let snapshots: Vec<_> = snapshots.iter().filter(|file| file.zxid > base).collect();
    let later: Vec<_> = logs.iter().filter(|file| file.zxid > kept_log).collect();
    let is_cut = last.and_then(|log| log.cut).is_some_and(|(offset, _)| {
        let log = logs.iter().find(|file| file.zxid == kept_log);
        log.is_some_and(|file| file.bytes > offset)
    });
    if snapshots.is_empty() && later.is_empty() && !is_cut {
        return Ok(());
    }
    let intent = Intent {
        change: Change::Truncate {
            target,
            snapshot: base,
            log: last,
        },
        snapshots: intent::list(dirs, snapshots)?,
        logs: intent::list(dirs, later)?,
    };
    Ok(intent.carry_out(dirs)?)
}

/// The newest snapshot that is whole and holds nothing after `target`.
fn newest_base(
    dirs: &Directories,
    snapshots: &[DataFile],
    target: Zxid,
) -> Result<Zxid, TruncateError> {
    let mut reason = None;
    for snapshot in snapshots.iter().rev().filter(|file| file.zxid <= target) {
        let (fs, path) = (&*dirs.fs, &snapshot.path);
        let what = if !looks_finished(fs, path, snapshot.bytes)? {
            "it was not written to its end".to_owned()
        } else {
            match read_snapshot(fs, path, |_, _| Ok(())) {
                Ok(trailer) => {
                    // Apache's server takes snapshots while it applies transactions.
                    let digest = trailer.digest.map(|(zxid, _)| zxid);
                    let reach = trailer.last_zxid.max(digest).max(Some(snapshot.zxid));
                    match reach.filter(|&reach| reach > target) {
                        None => return Ok(snapshot.zxid),
                        Some(reach) => format!("it holds parts of transactions up to {reach}"),
                    }
                }
                Err(error) => error.to_string(),
            }
        };
        reason.get_or_insert_with(|| format!("{}: {what}", path.display()));
    }
    Err(TruncateError::NoBase { target, reason })
}

/// Reads from the snapshot to `target`, and finds the log that is to end with it.
fn last_log(
    dirs: &Directories,
    logs: &[DataFile],
    snapshots: &[DataFile],
    base: Zxid,
    target: Zxid,
) -> Result<Option<LastLog>, TruncateError> {
    let first = logs.iter().rposition(|log| log.zxid <= base.next());
    let first = first.unwrap_or(0);
    let reached = snapshots.iter().map(|snapshot| snapshot.zxid);
    let reached = reached.filter(|&zxid| zxid <= target).collect();
    let mut history = Contiguity::new(base, reached);
    let mut walk = LogWalk::new(logs.get(first..).unwrap_or_default().to_vec());
    let mut last = None;
    let after = loop {
        let step = match walk.next(&*dirs.fs) {
            Ok(Some(step)) => step,
            Ok(None) => break None,
            // What goes need not be readable.
            Err(RecoverError::Damaged { .. }) if history.last() == target => break None,
            Err(error) => return Err(error.into()),
        };
        if step.zxid > target {
            break Some(step);
        }
        match history.accept(step.zxid, &step.entry) {
            Place::Next | Place::Known => {}
            Place::Taken => return Err(walk.taken(&step).into()),
            Place::BehindGap => {
                return Err(TruncateError::NotInHistory {
                    target,
                    before: history.last(),
                    after: Some(step.zxid),
                });
            }
        }
        last = Some((step.log, step.entry.end(), step.zxid));
    };
    let next = after.as_ref().map(|step| step.zxid);
    // The first zxid of an epoch numbers no transaction, but the epoch's first one says that the
    // history went through it.
    let is_epochs_start = next == Some(target.next()) && history.is_next(target.next());
    if history.last() != target && !is_epochs_start {
        return Err(TruncateError::NotInHistory {
            target,
            before: history.last(),
            after: next,
        });
    }
    if let Some((index, offset, zxid)) = last {
        return Ok(walk.logs().get(index).map(|log| LastLog {
            zxid: log.zxid,
            cut: Some((offset, zxid)),
        }));
    }
    // All that was read goes. What stands before it holds no more than the snapshot does.
    let older = (first + walk.index()).checked_sub(1);
    Ok(older.and_then(|index| logs.get(index)).map(|log| LastLog {
        zxid: log.zxid,
        cut: None,
    }))
}
