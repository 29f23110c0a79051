//! The flushed mark: how far the newest log is known to be on disk.
//!
//! ```text
//! file `flushed` = slot 0, slot 1                     2 × 512 bytes
//! slot           = int "ZKFL", int 1, long sequence, long log, long offset, long zxid,
//!                  long Adler-32 of the 40 bytes before, zeros
//! log            = first zxid of the log's name
//! offset, zxid   = end and zxid of the newest transaction that was flushed
//! ```
//!
//! After every flush the next slot is overwritten, not synced: a process that dies leaves the mark
//! exact, a machine that loses power leaves an older one, which is still a lower bound. What the
//! mark covers was acknowledged, so that its absence is damage and no torn tail. The choice and its
//! limits are in `docs/adr/0002-torn-or-damaged.md`.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use zk_proto::{Reader, Writer, Zxid};

use crate::error::Context;
use crate::names;
use crate::stream::{SUM_OF_NOTHING, extend_sum};
use crate::{File, FileSystem, IoError, IoOp, OpenMode, SECTOR_BYTES};

const MAGIC: i32 = i32::from_be_bytes(*b"ZKFL");
const VERSION: i32 = 1;
const SUMMED_BYTES: usize = 40;
const SLOTS: u64 = 2;

/// How far a log is known to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Which log, by the zxid in its name.
    pub(crate) log: Zxid,
    /// Where the newest flushed transaction ends.
    pub(crate) offset: u64,
    /// The newest flushed transaction.
    pub(crate) zxid: Zxid,
}

impl Mark {
    /// Covers no transaction.
    pub(crate) const NOTHING: Self = Self {
        log: Zxid::ZERO,
        offset: 0,
        zxid: Zxid::ZERO,
    };
}

/// The file that holds the mark.
#[derive(Debug)]
pub(crate) struct MarkFile {
    path: PathBuf,
    file: Box<dyn File>,
    sequence: u64,
    is_durable: bool,
}

impl MarkFile {
    /// Opens the file, or makes it, and reads the newest slot that is whole.
    pub(crate) fn open(fs: &dyn FileSystem, dir: &Path) -> Result<(Self, Option<Mark>), IoError> {
        let path = dir.join(names::MARK);
        if !fs.exists(&path).context(IoOp::Exists, &path)? {
            let file = fs
                .open(&path, OpenMode::CreateNew)
                .context(IoOp::Create, &path)?;
            file.set_len(SLOTS * SECTOR_BYTES as u64)
                .context(IoOp::SetLength, &path)?;
            file.sync_data().context(IoOp::Sync, &path)?;
            fs.sync_dir(dir).context(IoOp::SyncDir, dir)?;
            return Ok((Self::new(path, file, 0, true), None));
        }
        let file = fs.open(&path, OpenMode::Write).context(IoOp::Open, &path)?;
        let (newest, is_written) = read_slots(&*file, &path)?;
        if newest.is_none() && is_written {
            tracing::warn!(
                "{} is unreadable: a torn tail of the log and damage are told apart by shape alone",
                path.display()
            );
        }
        let (sequence, mark) = newest.unzip();
        // What the process before wrote last may be in the page cache alone.
        let is_durable = false;
        Ok((
            Self::new(path, file, sequence.unwrap_or(0), is_durable),
            mark,
        ))
    }

    fn new(path: PathBuf, file: Box<dyn File>, sequence: u64, is_durable: bool) -> Self {
        Self {
            path,
            file,
            sequence,
            is_durable,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the mark, for the disk to keep when it likes.
    pub(crate) fn write(&mut self, mark: Mark) -> Result<(), IoError> {
        self.sequence += 1;
        self.is_durable = false;
        let slot = encode(self.sequence, mark);
        self.file
            .write_all_at(&slot, self.sequence % SLOTS * SECTOR_BYTES as u64)
            .context(IoOp::Write, &self.path)
    }

    /// Makes the last mark durable.
    pub(crate) fn sync(&mut self) -> Result<(), IoError> {
        if !self.is_durable {
            self.file.sync_data().context(IoOp::Sync, &self.path)?;
            self.is_durable = true;
        }
        Ok(())
    }
}

/// Reads the mark, which may be written meanwhile.
pub(crate) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<Option<Mark>, IoError> {
    let path = dir.join(names::MARK);
    if !fs.exists(&path).context(IoOp::Exists, &path)? {
        return Ok(None);
    }
    let file = fs.open(&path, OpenMode::Read).context(IoOp::Open, &path)?;
    let (newest, _) = read_slots(&*file, &path)?;
    Ok(newest.map(|(_, mark)| mark))
}

type Newest = Option<(u64, Mark)>;

/// The newest slot that is whole, with its sequence, and whether any slot was written to.
fn read_slots(file: &dyn File, path: &Path) -> Result<(Newest, bool), IoError> {
    let mut newest: Newest = None;
    let mut is_written = false;
    for slot in 0..SLOTS {
        let mut bytes = [0; SECTOR_BYTES];
        file.read_at(&mut bytes, slot * SECTOR_BYTES as u64)
            .context(IoOp::Read, path)?;
        newest = newest
            .into_iter()
            .chain(decode(&bytes))
            .max_by_key(|(sequence, _)| *sequence);
        is_written |= bytes.iter().any(|&byte| byte != 0);
    }
    Ok((newest, is_written))
}

#[expect(
    clippy::cast_possible_wrap,
    reason = "a file's length is below i64::MAX, and a sequence does not get there"
)]
fn encode(sequence: u64, mark: Mark) -> Vec<u8> {
    let mut slot = Vec::with_capacity(SECTOR_BYTES);
    slot.put_int(MAGIC);
    slot.put_int(VERSION);
    slot.put_long(sequence as i64);
    slot.put_long(mark.log.0);
    slot.put_long(mark.offset as i64);
    slot.put_long(mark.zxid.0);
    let sum = extend_sum(SUM_OF_NOTHING, &slot);
    slot.put_long(i64::from(sum));
    slot.resize(SECTOR_BYTES, 0);
    slot
}

/// A slot's sequence and mark.
fn decode(slot: &[u8]) -> Newest {
    let sum = extend_sum(SUM_OF_NOTHING, slot.get(..SUMMED_BYTES)?);
    let slot = Bytes::copy_from_slice(slot);
    let mut reader = Reader::new(&slot);
    if reader.i32().ok()? != MAGIC || reader.i32().ok()? != VERSION {
        return None;
    }
    let sequence = u64::try_from(reader.i64().ok()?).ok()?;
    let log = Zxid(reader.i64().ok()?);
    let offset = u64::try_from(reader.i64().ok()?).ok()?;
    let zxid = Zxid(reader.i64().ok()?);
    (reader.i64().ok()? == i64::from(sum)).then_some((sequence, Mark { log, offset, zxid }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryFileSystem;

    fn disk() -> (MemoryFileSystem, &'static Path) {
        let disk = MemoryFileSystem::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        (disk, Path::new("/d"))
    }

    fn mark(n: i64) -> Mark {
        Mark {
            log: Zxid(1),
            offset: 16 + n.unsigned_abs(),
            zxid: Zxid(n),
        }
    }

    #[test]
    fn the_newest_mark_is_read_back() {
        let (disk, dir) = disk();
        let (mut file, none) = MarkFile::open(&disk, dir).unwrap();
        assert_eq!(none, None);
        for n in 1..5 {
            file.write(mark(n)).unwrap();
            let (again, seen) = MarkFile::open(&disk, dir).unwrap();
            assert_eq!(seen, Some(mark(n)));
            assert_eq!(again.sequence, file.sequence);
        }
    }

    #[test]
    fn a_slot_with_any_flipped_bit_leaves_the_mark_before() {
        let (disk, dir) = disk();
        let (mut file, _) = MarkFile::open(&disk, dir).unwrap();
        file.write(mark(1)).unwrap();
        file.write(mark(2)).unwrap();
        let whole = disk.content(file.path()).unwrap();
        for bit in 0..48 * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            disk.place(file.path(), &damaged);
            let (_, seen) = MarkFile::open(&disk, dir).unwrap();
            assert_eq!(seen, Some(mark(1)), "bit {bit}");
        }
    }

    #[test]
    fn a_synced_mark_survives_the_power_and_an_unsynced_one_leaves_it() {
        let (disk, dir) = disk();
        let (mut file, _) = MarkFile::open(&disk, dir).unwrap();
        file.write(mark(1)).unwrap();
        file.sync().unwrap();
        file.write(mark(2)).unwrap();
        disk.power_cut(|| false);
        assert_eq!(MarkFile::open(&disk, dir).unwrap().1, Some(mark(1)));
    }

    #[test]
    fn a_mark_that_an_ended_process_left_is_made_durable_by_the_next() {
        let (disk, dir) = disk();
        let (mut file, _) = MarkFile::open(&disk, dir).unwrap();
        file.write(mark(1)).unwrap();
        drop(file);
        disk.kill();
        let (mut file, _) = MarkFile::open(&disk, dir).unwrap();
        file.sync().unwrap();
        disk.power_cut(|| false);
        assert_eq!(MarkFile::open(&disk, dir).unwrap().1, Some(mark(1)));
    }
}
