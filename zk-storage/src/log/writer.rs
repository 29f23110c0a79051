//! Appending.

use std::path::PathBuf;
use std::sync::Arc;

use zk_proto::{LogHeader, Record, Zxid, encode_entry};

use super::mark::{Mark, MarkFile};
use super::{BATCH_BYTES_MAX, follows};
use crate::error::Context;
use crate::storage::Directories;
use crate::{File, IoError, IoOp, LogError, OpenMode, names};

/// Less space than this ahead is too little, as in Apache's server (`FilePadding`, 3.9.5).
const SPACE_BYTES_MIN: u64 = 4096;

/// What an entry adds to its body.
const FRAME_BYTES: usize = 13;

/// Appends transactions in batches: [`append`](Self::append) any number, then
/// [`flush`](Self::flush). After an error nothing more can be appended: what is on disk is known
/// again only by recovery.
///
/// A file begins with the first flush after recovery or [`roll`](Self::roll), and is named after
/// its first transaction. It is cut to its content when the next begins.
#[derive(Debug)]
pub struct LogWriter {
    dirs: Arc<Directories>,
    mark: MarkFile,
    batch: Vec<u8>,
    batch_first: Zxid,
    /// The newest transaction in the batch, or before it.
    last: Zxid,
    flushed: Zxid,
    current: Option<CurrentFile>,
    is_poisoned: bool,
}

#[derive(Debug)]
struct CurrentFile {
    path: PathBuf,
    file: Box<dyn File>,
    first: Zxid,
    /// Where the last entry ends.
    end: u64,
    /// How far the file is allocated.
    allocated: u64,
}

impl LogWriter {
    pub(crate) fn new(dirs: Arc<Directories>, mark: MarkFile, last: Zxid) -> Self {
        Self {
            dirs,
            mark,
            batch: Vec::new(),
            batch_first: last,
            last,
            flushed: last,
            current: None,
            is_poisoned: false,
        }
    }

    /// Adds a transaction to the batch. `record` is the encoding of a
    /// [`TxnRecord`](zk_proto::TxnRecord). A batch that would pass 8 MiB is written and made durable
    /// first; all else waits for [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`LogError`], which is final.
    ///
    /// # Panics
    /// When `zxid` is neither the one after the last nor the first of a newer epoch, or is not the
    /// record's. A hole in the order would be read back as a lost transaction.
    pub fn append(&mut self, zxid: Zxid, record: &[u8]) -> Result<(), LogError> {
        assert!(
            follows(self.last, zxid),
            "transaction {zxid} does not follow {}",
            self.last
        );
        assert_eq!(
            record.get(12..20),
            Some(&zxid.0.to_be_bytes()[..]),
            "the record is not that of transaction {zxid}"
        );
        let batch_bytes = self.batch.len() + FRAME_BYTES + record.len();
        if !self.batch.is_empty() && batch_bytes as u64 > BATCH_BYTES_MAX {
            self.flush()?;
        }
        if self.batch.is_empty() {
            self.batch_first = zxid;
            if self.current.is_none() {
                LogHeader::default().encode(&mut self.batch);
            }
        }
        encode_entry(record, &mut self.batch);
        self.last = zxid;
        Ok(())
    }

    /// Bytes in the batch.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.batch.len()
    }

    /// The newest transaction on disk.
    #[must_use]
    pub fn flushed_zxid(&self) -> Zxid {
        self.flushed
    }

    /// Length of the current file without the zeros after it; 0 while there is none.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.end)
    }

    /// Writes the batch with one write, makes it durable with one sync, and returns the newest
    /// transaction on disk. The first batch of a file costs two more syncs, of length and name. An
    /// empty batch costs nothing.
    ///
    /// # Errors
    /// [`LogError`], which is final: the server has to stop.
    ///
    /// # Panics
    /// When no snapshot is on disk yet: a log alone is refused at the next start.
    pub fn flush(&mut self) -> Result<Zxid, LogError> {
        self.unless_poisoned(Self::write_batch)?;
        Ok(self.flushed)
    }

    /// Ends the current file, so that the next batch begins another. Flushes first.
    ///
    /// # Errors
    /// [`LogError`], which is final.
    pub fn roll(&mut self) -> Result<(), LogError> {
        self.unless_poisoned(|log| {
            log.write_batch()?;
            log.end_file()
        })
    }

    /// Makes the mark of what was flushed durable, with one more sync unless it is; to be called
    /// when nothing waits. After a power cut the mark tells an acknowledged transaction that was
    /// damaged from one that was torn.
    ///
    /// # Errors
    /// [`LogError`], which is final.
    pub fn settle(&mut self) -> Result<(), LogError> {
        self.unless_poisoned(|log| log.mark.sync())
    }

    /// Flushes, ends the current file and settles, for an orderly stop.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn close(mut self) -> Result<(), LogError> {
        self.roll()?;
        self.settle()
    }

    fn unless_poisoned(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), IoError>,
    ) -> Result<(), LogError> {
        if self.is_poisoned {
            return Err(LogError::Poisoned);
        }
        // Poisoned while it works, and for good unless it succeeds.
        self.is_poisoned = true;
        work(self)?;
        self.is_poisoned = false;
        Ok(())
    }

    fn write_batch(&mut self) -> Result<(), IoError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        assert!(
            self.dirs.has_snapshot(),
            "a snapshot has to be written before the first flush"
        );
        let force_sync = self.dirs.config.force_sync;
        let is_created = self.current.is_none();
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create_file()?,
        };
        current.reserve(self.batch.len() as u64, self.dirs.config.pre_alloc_bytes)?;
        current
            .file
            .write_all_at(&self.batch, current.end)
            .context(IoOp::Write, &current.path)?;
        current.end += self.batch.len() as u64;
        if force_sync {
            current
                .file
                .sync_data()
                .context(IoOp::Sync, &current.path)?;
            if is_created {
                self.dirs.sync_log_dir()?;
            }
            self.mark.write(Mark {
                log: current.first,
                offset: current.end,
                zxid: self.last,
            })?;
        }
        self.flushed = self.last;
        self.batch.clear();
        let limit = self.dirs.config.txn_log_size_limit_bytes;
        let is_full = limit.is_some_and(|limit| current.end > limit.get());
        self.current = Some(current);
        if is_full { self.end_file() } else { Ok(()) }
    }

    fn create_file(&self) -> Result<CurrentFile, IoError> {
        let path = self.dirs.log_dir.join(names::log(self.batch_first));
        let file = self
            .dirs
            .fs
            .open(&path, OpenMode::CreateNew)
            .context(IoOp::Create, &path)?;
        Ok(CurrentFile {
            path,
            file,
            first: self.batch_first,
            end: 0,
            allocated: 0,
        })
    }

    fn end_file(&mut self) -> Result<(), IoError> {
        match self.current.take() {
            Some(current) if current.allocated > current.end => current
                .file
                .set_len(current.end)
                .context(IoOp::SetLength, &current.path),
            _ => Ok(()),
        }
    }
}

impl CurrentFile {
    /// Allocates space for a batch, whatever its size, and for what follows it.
    fn reserve(&mut self, batch_bytes: u64, step: u64) -> Result<(), IoError> {
        let needed = self.end + batch_bytes + SPACE_BYTES_MIN;
        if step == 0 || needed <= self.allocated {
            return Ok(());
        }
        let allocated = needed.next_multiple_of(step);
        self.file
            .allocate(allocated)
            .context(IoOp::Allocate, &self.path)?;
        self.allocated = allocated;
        Ok(())
    }
}
