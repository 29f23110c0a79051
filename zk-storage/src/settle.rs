//! Making durable what was read back, before anything is built on it.
//!
//! What a start reads may be in the page cache alone: a process that ended before it synced leaves it
//! there, and so does a failed sync, after which Linux takes the pages for clean, so that another sync
//! does nothing. Appended to, it would be a hole after the next power cut. The end of the newest log,
//! where alone it can stand, is therefore written again as far as the [mark](crate::log::mark) does not
//! cover it; everything else is synced.

use std::path::Path;

use crate::error::Context;
use crate::log::BATCH_BYTES_MAX;
use crate::log::mark::Mark;
use crate::names::DataFile;
use crate::storage::Directories;
use crate::{IoError, IoOp, OpenMode};

/// Where the newest log ends, and its last entry starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) offset: u64,
    pub(crate) last_entry: u64,
}

/// Settles the snapshot and the logs that were read, the newest last. Cuts that one to its entries: a
/// tail that was torn, and space that was allocated ahead, go.
pub(crate) fn settle(
    dirs: &Directories,
    snapshot: Option<&Path>,
    logs: &[DataFile],
    end: Option<End>,
    mark: Option<Mark>,
) -> Result<(), IoError> {
    if let Some(path) = snapshot {
        sync(dirs, path)?;
    }
    // Its name, and those of the epoch files.
    dirs.sync_dir(&dirs.snap_dir)?;
    let (Some((newest, older)), Some(end)) = (logs.split_last(), end) else {
        return Ok(());
    };
    let marked = mark.filter(|mark| mark.log == newest.zxid);
    if marked.is_none() {
        // Whoever wrote it did not say what is on disk.
        for log in older {
            sync(dirs, &log.path)?;
        }
        dirs.sync_log_dir()?;
    }
    settle_newest(dirs, newest, end, marked.map_or(0, |mark| mark.offset))
}

fn sync(dirs: &Directories, path: &Path) -> Result<(), IoError> {
    let file = dirs
        .fs
        .open(path, OpenMode::Read)
        .context(IoOp::Open, path)?;
    file.sync_data().context(IoOp::Sync, path)
}

fn settle_newest(dirs: &Directories, log: &DataFile, end: End, marked: u64) -> Result<(), IoError> {
    // Nothing but the last batch, which may be one long transaction.
    let batch = end.offset.saturating_sub(BATCH_BYTES_MAX);
    let from = batch.min(end.last_entry).max(marked).min(end.offset);
    if from == end.offset && log.bytes == end.offset {
        return Ok(());
    }
    let path = &log.path;
    let file = dirs
        .fs
        .open(path, OpenMode::Write)
        .context(IoOp::Open, path)?;
    let length = usize::try_from(end.offset - from).expect("a batch was in memory");
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, from).context(IoOp::Read, path)?;
    if !bytes.is_empty() {
        file.write_all_at(&bytes, from).context(IoOp::Write, path)?;
    }
    file.set_len(end.offset).context(IoOp::SetLength, path)?;
    file.sync_data().context(IoOp::Sync, path)
}
