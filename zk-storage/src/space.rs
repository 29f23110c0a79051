//! Space on the disk that is no longer needed, given back piece by piece.
//!
//! ```text
//! log.HEX, snapshot.HEX ── purged: renamed ──> removed.log.HEX, … ── cut, piece by piece ──> gone
//! log.HEX ── followed by another ──> cut, piece by piece, to its content
//! ```
//!
//! While a file system forgets a long file, or the rest of one, every commit of the log waits: some
//! 15 ms for 100 MB. So nothing long is removed or cut at once (`docs/adr/0005-space-given-back.md`).
//!
//! The name of a removed file does not begin like a log's or a snapshot's, so that no server takes it
//! for either.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Context;
use crate::storage::Directories;
use crate::{File, IoError, IoOp, OpenMode, names};

/// What is cut off a file at a time. A commit waits for about a millisecond meanwhile.
const CUT_BYTES: u64 = 4 << 20;

/// Gives space back; for a thread of its own. Without it purged files keep their space until the next
/// life.
#[derive(Debug)]
pub struct Space {
    dirs: Arc<Directories>,
    removed: Option<Shrinking>,
}

/// What [`Space::give_back`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenBack {
    /// Nothing: there is nothing before a log ends or files are purged, or purged files are read.
    Nothing,
    /// A piece, and more may follow.
    Piece,
}

impl Space {
    pub(crate) const fn new(dirs: Arc<Directories>) -> Self {
        Self {
            dirs,
            removed: None,
        }
    }

    /// Gives one piece back. The caller rests before the next, so that the log gets on.
    ///
    /// # Errors
    /// [`IoError`]. Nothing is lost by it but space; a later call tries again.
    pub fn give_back(&mut self) -> Result<GivenBack, IoError> {
        let is_piece = self.dirs.ended.cut_piece()? || self.shrink_removed()?;
        Ok(if is_piece {
            GivenBack::Piece
        } else {
            GivenBack::Nothing
        })
    }

    fn shrink_removed(&mut self) -> Result<bool, IoError> {
        // Who lists the logs from now on finds nothing that was removed.
        let is_read = Arc::strong_count(&self.dirs.reading) > 1;
        if is_read {
            return Ok(false);
        }
        let removed = match self.removed.take() {
            Some(removed) => Some(removed),
            None => self.next_removed()?,
        };
        let Some(mut removed) = removed else {
            return Ok(false);
        };
        if removed.cut_piece(0)? {
            self.dirs.remove(&removed.path)?;
        } else {
            self.removed = Some(removed);
        }
        Ok(true)
    }

    /// Also what an earlier life left.
    fn next_removed(&self) -> Result<Option<Shrinking>, IoError> {
        let fs = &*self.dirs.fs;
        for dir in [&self.dirs.log_dir, &self.dirs.snap_dir] {
            let entries = fs.list(dir).context(IoOp::List, dir)?;
            let removed = entries
                .into_iter()
                .find(|entry| names::is_removed(&entry.name));
            if let Some(entry) = removed {
                let path = dir.join(entry.name);
                let file = fs.open(&path, OpenMode::Write);
                return Ok(Some(Shrinking {
                    file: file.context(IoOp::Open, &path)?,
                    bytes: entry.bytes,
                    path,
                }));
            }
        }
        Ok(None)
    }
}

/// A file that becomes shorter.
#[derive(Debug)]
struct Shrinking {
    path: PathBuf,
    file: Box<dyn File>,
    bytes: u64,
}

impl Shrinking {
    /// Cuts one piece above `end`; `true` when no more is left above it.
    fn cut_piece(&mut self, end: u64) -> Result<bool, IoError> {
        let is_last = self.bytes <= end + CUT_BYTES;
        self.bytes = if is_last { end } else { self.bytes - CUT_BYTES };
        self.cut(self.bytes)?;
        Ok(is_last)
    }

    fn cut(&self, end: u64) -> Result<(), IoError> {
        let cut = self.file.set_len(end);
        cut.context(IoOp::SetLength, &self.path)
    }
}

/// The log that ended last, while space that was allocated for it is left behind its content.
#[derive(Debug, Default)]
pub(crate) struct EndedLog(Mutex<Option<(Shrinking, u64)>>);

impl EndedLog {
    /// Takes a log of `bytes` whose content ends at `end`. If the one before is not cut yet, that is
    /// done at once.
    pub(crate) fn put(
        &self,
        path: PathBuf,
        file: Box<dyn File>,
        bytes: u64,
        end: u64,
    ) -> Result<(), IoError> {
        self.finish()?;
        *self.lock() = Some((Shrinking { path, file, bytes }, end));
        Ok(())
    }

    /// Cuts the log at once.
    pub(crate) fn finish(&self) -> Result<(), IoError> {
        match self.lock().take() {
            Some((log, end)) => log.cut(end),
            None => Ok(()),
        }
    }

    fn cut_piece(&self) -> Result<bool, IoError> {
        // The lock is held meanwhile, so that nobody cuts the log elsewhere.
        let mut ended = self.lock();
        let Some((mut log, end)) = ended.take() else {
            return Ok(false);
        };
        if !log.cut_piece(end)? {
            *ended = Some((log, end));
        }
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Shrinking, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
