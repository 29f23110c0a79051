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
/// its first transaction. Once the next begins, [`Space`](crate::Space) cuts it to its content.
#[derive(Debug)]
pub struct LogWriter {
    dirs: Arc<Directories>,
    mark: MarkFile,
    /// What was appended and not flushed, oldest first.
    batches: Vec<Batch>,
    /// The newest transaction appended.
    last: Zxid,
    flushed: Zxid,
    current: Option<CurrentFile>,
    is_poisoned: bool,
    /// The memory of the last batch, for the next.
    spare: Vec<u8>,
}

/// What is written at once.
#[derive(Debug)]
struct Batch {
    first: Zxid,
    last: Zxid,
    entries: Vec<u8>,
}

impl Batch {
    fn has_room_for(&self, record_bytes: usize) -> bool {
        (self.entries.len() + FRAME_BYTES + record_bytes) as u64 <= BATCH_BYTES_MAX
    }
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
            batches: Vec::new(),
            last,
            flushed: last,
            current: None,
            is_poisoned: false,
            spare: Vec::new(),
        }
    }

    pub(crate) fn dirs(&self) -> &Arc<Directories> {
        &self.dirs
    }

    /// Adds a transaction to the batch; nothing is written before [`flush`](Self::flush). `record`
    /// is the encoding of a [`TxnRecord`](zk_proto::TxnRecord).
    ///
    /// # Panics
    /// When `zxid` is neither the one after the last nor the first of a newer epoch, or is not the
    /// record's. A hole in the order would be read back as a lost transaction.
    pub fn append(&mut self, zxid: Zxid, record: &[u8]) {
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
        self.last = zxid;
        match self.batches.last_mut() {
            Some(batch) if batch.has_room_for(record.len()) => {
                batch.last = zxid;
                encode_entry(record, &mut batch.entries);
            }
            _ => {
                let mut entries = std::mem::take(&mut self.spare);
                encode_entry(record, &mut entries);
                self.batches.push(Batch {
                    first: zxid,
                    last: zxid,
                    entries,
                });
            }
        }
    }

    /// Bytes that were appended and not flushed.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.entries.len()).sum()
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
    /// transaction on disk. More than 8 MiB take more than one of each. The first batch of a file
    /// costs another sync, of the directory. An empty batch costs nothing.
    ///
    /// # Errors
    /// [`LogError`], which is final: the server has to stop.
    ///
    /// # Panics
    /// When no snapshot is on disk yet: a log alone is refused at the next start.
    pub fn flush(&mut self) -> Result<Zxid, LogError> {
        self.unless_poisoned(Self::write_batches)?;
        Ok(self.flushed)
    }

    /// Ends the current file, so that the next batch begins another. Flushes first.
    ///
    /// # Errors
    /// [`LogError`], which is final.
    pub fn roll(&mut self) -> Result<(), LogError> {
        self.unless_poisoned(|log| {
            log.write_batches()?;
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

    /// Flushes, cuts the file to its content and settles, for an orderly stop.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn close(mut self) -> Result<(), LogError> {
        self.roll()?;
        self.unless_poisoned(|log| log.dirs.ended.finish())?;
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

    fn write_batches(&mut self) -> Result<(), IoError> {
        for mut batch in std::mem::take(&mut self.batches) {
            self.write(&batch)?;
            self.flushed = batch.last;
            batch.entries.clear();
            self.spare = batch.entries;
        }
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), IoError> {
        assert!(
            self.dirs.has_snapshot(),
            "a snapshot has to be written before the first flush"
        );
        let is_created = self.current.is_none();
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.create_file(batch.first)?,
        };
        // One write, so that a sector of both is torn or whole.
        let with_header =
            is_created.then(|| [&LogHeader::default().to_bytes()[..], &batch.entries].concat());
        let bytes = with_header.as_deref().unwrap_or(&batch.entries);
        current.reserve(bytes.len() as u64, self.dirs.config.pre_alloc_bytes)?;
        current
            .file
            .write_all_at(bytes, current.end)
            .context(IoOp::Write, &current.path)?;
        current.end += bytes.len() as u64;
        if self.dirs.config.force_sync {
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
                zxid: batch.last,
            })?;
        }
        let limit = self.dirs.config.txn_log_size_limit_bytes;
        let is_full = limit.is_some_and(|limit| current.end > limit.get());
        self.current = Some(current);
        if is_full { self.end_file() } else { Ok(()) }
    }

    fn create_file(&self, first: Zxid) -> Result<CurrentFile, IoError> {
        let path = self.dirs.log_dir.join(names::log(first));
        let file = self
            .dirs
            .fs
            .open(&path, OpenMode::CreateNew)
            .context(IoOp::Create, &path)?;
        Ok(CurrentFile {
            path,
            file,
            first,
            end: 0,
            allocated: 0,
        })
    }

    fn end_file(&mut self) -> Result<(), IoError> {
        match self.current.take() {
            Some(CurrentFile {
                path,
                file,
                end,
                allocated,
                ..
            }) if allocated > end => self.dirs.ended.put(path, file, allocated, end),
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
