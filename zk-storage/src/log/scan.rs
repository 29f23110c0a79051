//! Reading a log file, and telling a torn tail from damage.
//!
//! The writer writes a batch, syncs it, and only then writes the next. A crash can therefore leave
//! nothing unreadable but a part of the last batch, and that part has a shape: a disk writes whole
//! sectors, the file held zeros there before, so every sector of the batch is either as written or
//! as it was, zeros from the end of the batch before. A write that was cut short leaves zeros from
//! some byte on. Hence a first unreadable entry is a **tear** only if all of this holds, and
//! otherwise it is **damage**:
//!
//! 1. A sector it overlaps holds nothing but zeros from the entry's start (or from the sector's) to
//!    the sector's end, or nothing but zeros, or nothing, follows from somewhere within the entry
//!    on. A flipped bit leaves neither. The first four bytes of every entry are zeros, and are no
//!    such sector.
//! 2. Where the first 44 bytes of the entry are not lost in such a sector, they are those of a
//!    frame and of a transaction that can come next. Garbage is not.
//! 3. The entry is not whole but for its length field: its checksum does not match the bytes up to
//!    the next entry, or up to the last byte written.
//! 4. Its length does not lead beyond the next whole entry, unless the length itself is lost.
//!
//! What follows a tear may be whole entries of the same batch, whose sectors were written; they were
//! not acknowledged, since none of their batch was. [`crate::recover`] bounds how far they reach,
//! and knows from the [mark](super::mark) what was acknowledged for certain.
//!
//! Two things look alike by shape: an entry torn by a crash, and an acknowledged one of which whole
//! sectors or the last bytes turned to zeros, or which was cut off with the file; likewise a flipped
//! bit in an entry that itself holds an aligned sector of zeros. For these the mark decides, as far
//! as it reaches.

use std::path::Path;

use bytes::Bytes;
use zk_proto::{
    DecodeError, LOG_HEADER_BYTES, LogEntry, LogHeader, Reader, Record, Zxid, decode_entry,
};

use super::follows;
use crate::error::Context;
use crate::stream::{ByteStream, SUM_OF_NOTHING, extend_sum};
use crate::{FileSystem, IoError, IoOp, SECTOR_BYTES};

const PREFIX_BYTES: usize = 12;
/// The half of the frame's first field that is not zero.
const PREFIX_SUM_AT: std::ops::Range<usize> = 4..8;
/// A checksum is a long of 32 bits.
const ZEROS_AT_START: usize = 4;
/// A transaction's header, with which every body starts.
const TXN_HEADER_BYTES: usize = 32;
const ENTRY_END: u8 = b'B';
const BLOCK_BYTES: usize = 64 << 10;
const SEARCH_BYTES_MIN: usize = 64 << 20;

/// What stands in a log.
#[derive(Debug)]
pub(crate) enum Found {
    /// The file's header.
    Header(LogHeader),
    /// A whole entry whose checksum matches.
    Entry(Entry),
    /// Bytes that are no entry, up to the next whole one or the last that is not zero.
    Unreadable(Unreadable),
    /// The end: only zeros follow.
    End {
        /// Where they start.
        offset: u64,
        /// How many.
        zeros: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    /// Length with the frame.
    pub(crate) bytes: u64,
    pub(crate) body: Bytes,
    /// The checksum, which was compared.
    pub(crate) sum: u32,
}

impl Entry {
    /// Makes an entry of its bytes.
    fn new(offset: u64, bytes: &Bytes) -> Self {
        let frame_sum = bytes.get(PREFIX_SUM_AT).and_then(|sum| sum.try_into().ok());
        Self {
            offset,
            bytes: bytes.len() as u64,
            body: bytes.slice(PREFIX_BYTES..bytes.len() - 1),
            sum: frame_sum.map_or(0, u32::from_be_bytes),
        }
    }

    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes
    }

    /// The transaction's id, if the body is long enough to have one.
    pub(crate) fn zxid(&self) -> Option<Zxid> {
        zxid_of(&self.body)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// What is wrong with the first entry.
    pub(crate) what: &'static str,
    /// Whether a crash can have left it; see the module.
    pub(crate) is_tear: bool,
}

/// Reads one log from its start.
#[derive(Debug)]
pub(crate) struct LogScanner {
    stream: ByteStream,
    next: Next,
    expected: Expected,
}

#[derive(Debug)]
enum Next {
    Header,
    Entry,
    /// Something was unreadable: the rest of the file, without the zeros at its end.
    Rest {
        bytes: Bytes,
        offset: u64,
    },
    Nothing,
}

/// Which transaction may come next.
#[derive(Debug, Clone, Copy)]
enum Expected {
    Any,
    Exactly(Zxid),
    After(Zxid),
}

impl Expected {
    fn allows(self, zxid: Zxid) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(first) => zxid == first,
            Self::After(last) => follows(last, zxid),
        }
    }
}

fn zxid_of(body: &[u8]) -> Option<Zxid> {
    let (_, rest) = body.split_at_checked(12)?;
    rest.first_chunk()
        .map(|zxid| Zxid(i64::from_be_bytes(*zxid)))
}

impl LogScanner {
    /// Opens a log. `first` is the transaction that its name says it starts with.
    pub(crate) fn open(
        fs: &dyn FileSystem,
        path: &Path,
        first: Option<Zxid>,
    ) -> Result<Self, IoError> {
        Ok(Self {
            stream: ByteStream::plain(fs, path)?,
            next: Next::Header,
            expected: first.map_or(Expected::Any, Expected::Exactly),
        })
    }

    /// What stands next; `None` after the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found>, IoError> {
        let found = match &self.next {
            Next::Header => self.header()?,
            Next::Entry => self.entry()?,
            Next::Rest { .. } => self.rest(),
            Next::Nothing => return Ok(None),
        };
        match &found {
            Found::Entry(entry) => {
                self.expected = entry.zxid().map_or(Expected::Any, Expected::After);
            }
            Found::Unreadable(_) => self.expected = Expected::Any,
            Found::End { .. } => self.next = Next::Nothing,
            Found::Header(_) => {}
        }
        Ok(Some(found))
    }

    fn header(&mut self) -> Result<Found, IoError> {
        self.stream.fill(LOG_HEADER_BYTES)?;
        match LogHeader::decode(&mut Reader::new(self.stream.window())) {
            Ok(header) => {
                self.stream.advance(LOG_HEADER_BYTES);
                self.next = Next::Entry;
                Ok(Found::Header(header))
            }
            Err(error) => {
                let rest = self.read_rest()?;
                let found = self.judge_header(&rest, &error);
                self.go_on_after(&found, &rest, 0);
                Ok(found)
            }
        }
    }

    fn entry(&mut self) -> Result<Found, IoError> {
        let what = loop {
            match decode_entry(self.stream.window()) {
                LogEntry::Whole { consumed, .. } => {
                    let bytes = self.stream.window().slice(..consumed);
                    let entry = Entry::new(self.stream.offset(), &bytes);
                    self.stream.advance(consumed);
                    return Ok(Found::Entry(entry));
                }
                LogEntry::Incomplete { needed } => {
                    if needed as u64 > self.stream.left() || !self.stream.fill(needed)? {
                        break "the file ends before the entry does";
                    }
                }
                LogEntry::Empty => break "zeros stand before bytes that are not zero",
                LogEntry::Damaged { what } => break what,
            }
        };
        let offset = self.stream.offset();
        let rest = self.read_rest()?;
        let found = self.judge_entry(&rest, offset, what);
        self.go_on_after(&found, &rest, offset);
        Ok(found)
    }

    fn rest(&mut self) -> Found {
        let Next::Rest { bytes, offset } = std::mem::replace(&mut self.next, Next::Nothing) else {
            unreachable!("called for the rest alone")
        };
        let what = match decode_entry(&bytes) {
            LogEntry::Whole { consumed, .. } => {
                self.next = Next::Rest {
                    bytes: bytes.slice(consumed..),
                    offset: offset + consumed as u64,
                };
                return Found::Entry(Entry::new(offset, &bytes.slice(..consumed)));
            }
            LogEntry::Incomplete { .. } => "the entry's end is missing",
            LogEntry::Empty => "zeros stand before bytes that are not zero",
            LogEntry::Damaged { what } => what,
        };
        let found = self.judge_entry(&bytes, offset, what);
        self.go_on_after(&found, &bytes, offset);
        found
    }

    /// Continues behind what is unreadable; `rest` starts at `offset`.
    fn go_on_after(&mut self, found: &Found, rest: &Bytes, offset: u64) {
        if let Found::Unreadable(unreadable) = found {
            let skipped = usize::try_from(unreadable.bytes).unwrap_or(usize::MAX);
            self.next = Next::Rest {
                bytes: rest.slice(skipped.min(rest.len())..),
                offset: offset + unreadable.bytes,
            };
        }
    }

    /// Reads from the window's start to the last byte that is not zero.
    fn read_rest(&self) -> Result<Bytes, IoError> {
        let start = self.stream.offset();
        let end = self.end_of_content(start)?;
        let length = usize::try_from(end - start).unwrap_or(usize::MAX);
        let mut rest = vec![0; length];
        let read = self
            .stream
            .file()
            .read_at(&mut rest, start)
            .context(IoOp::Read, self.stream.path())?;
        rest.truncate(read);
        Ok(rest.into())
    }

    /// The offset behind the last byte that is not zero, `start` at least.
    fn end_of_content(&self, start: u64) -> Result<u64, IoError> {
        let mut block = vec![0; BLOCK_BYTES];
        let mut end = self.stream.file_bytes().max(start);
        while end > start {
            let from = end.saturating_sub(BLOCK_BYTES as u64).max(start);
            let length = usize::try_from(end - from).unwrap_or(BLOCK_BYTES);
            let content = block.get_mut(..length).unwrap_or_default();
            self.stream
                .file()
                .read_at(content, from)
                .context(IoOp::Read, self.stream.path())?;
            if let Some(last) = last_written(content) {
                return Ok(from + last as u64 + 1);
            }
            end = from;
        }
        Ok(start)
    }

    fn end(&self, offset: u64) -> Found {
        Found::End {
            offset,
            zeros: self.stream.file_bytes().saturating_sub(offset),
        }
    }

    fn judge_header(&self, rest: &[u8], error: &DecodeError) -> Found {
        if rest.is_empty() {
            return self.end(0);
        }
        let header = LogHeader::default().to_bytes();
        let is_cut_short = header.starts_with(rest);
        let (what, bytes) = match error {
            DecodeError::Truncated { .. } => ("the file ends before its header does", rest.len()),
            _ => (
                "the header is not that of a txn log",
                find_entry(rest).or(rest.len()),
            ),
        };
        Found::Unreadable(Unreadable {
            offset: 0,
            bytes: bytes as u64,
            what,
            is_tear: is_cut_short || first_lost_sector(rest, 0, 1).is_some(),
        })
    }

    /// Judges the entry at the start of `rest`, which ends with a byte that is not zero.
    fn judge_entry(&self, rest: &[u8], offset: u64, what: &'static str) -> Found {
        if rest.is_empty() {
            return self.end(offset);
        }
        let next = find_entry(rest);
        Found::Unreadable(Unreadable {
            offset,
            bytes: next.or(rest.len()) as u64,
            what,
            is_tear: match next {
                NextEntry::At(next) => self.is_tear(rest, offset, Some(next)),
                NextEntry::Nowhere => self.is_tear(rest, offset, None),
                NextEntry::Unclear => false,
            },
        })
    }

    /// The four conditions of the module.
    fn is_tear(&self, rest: &[u8], offset: u64, next: Option<usize>) -> bool {
        let mut prefix = [0; PREFIX_BYTES];
        for (to, from) in prefix.iter_mut().zip(rest) {
            *to = *from;
        }
        let [c0, c1, c2, c3, c4, c5, c6, c7, l0, l1, l2, l3] = prefix;
        let checksum = u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
        let length = i32::from_be_bytes([l0, l1, l2, l3]);
        let extent = PREFIX_BYTES + usize::try_from(length).map_or(0, |length| length + 1);

        let lost = first_lost_sector(rest, offset, extent);
        let is_cut_short = extent > rest.len();
        if lost.is_none() && !is_cut_short {
            return false;
        }
        let is_start_lost = lost.is_some_and(|at| at < PREFIX_BYTES + TXN_HEADER_BYTES);
        if !is_start_lost {
            let zxid = rest.get(PREFIX_BYTES..).and_then(zxid_of);
            if checksum > u64::from(u32::MAX)
                || zxid.is_some_and(|zxid| !self.expected.allows(zxid))
            {
                return false;
            }
        }
        let is_whole_up_to = |end: usize| {
            rest.get(PREFIX_BYTES..end)
                .and_then(<[u8]>::split_last)
                .is_some_and(|(&last, body)| {
                    last == ENTRY_END && u64::from(extend_sum(SUM_OF_NOTHING, body)) == checksum
                })
        };
        if is_whole_up_to(rest.len()) || next.is_some_and(is_whole_up_to) {
            return false;
        }
        let is_length_lost = lost.is_some_and(|at| at < PREFIX_BYTES);
        is_length_lost || next.is_none_or(|next| extent <= next)
    }
}

/// The last byte that is not zero. Preallocated space is passed over many bytes at a time.
fn last_written(bytes: &[u8]) -> Option<usize> {
    let is_written = |line: &[u8]| line.iter().fold(0, |any, byte| any | byte) != 0;
    let line = bytes.chunks(SECTOR_BYTES).rposition(is_written)? * SECTOR_BYTES;
    let last = bytes
        .get(line..)?
        .iter()
        .take(SECTOR_BYTES)
        .rposition(|&byte| byte != 0)?;
    Some(line + last)
}

/// Looks for a sector of which everything from the entry's start on is zeros. `bytes` stands at
/// `offset` of the file, and zeros follow it; the entry spans the first `extent` bytes. Returns
/// where the zeros start. A sector that has of the entry no more than what is zeros in every entry
/// tells nothing.
fn first_lost_sector(bytes: &[u8], offset: u64, extent: usize) -> Option<usize> {
    let into_sector = usize::try_from(offset % SECTOR_BYTES as u64).unwrap_or(0);
    let mut at = 0;
    while at < extent {
        let end = at + SECTOR_BYTES - (into_sector + at) % SECTOR_BYTES;
        // Beyond the last byte that is not zero every sector is lost.
        let Some(rest) = bytes.get(at..) else {
            return Some(at);
        };
        let piece = bytes.get(at..end).unwrap_or(rest);
        if end > ZEROS_AT_START && piece.iter().all(|&byte| byte == 0) {
            return Some(at);
        }
        at = end;
    }
    None
}

/// Where the next whole entry is.
#[derive(Debug, Clone, Copy)]
enum NextEntry {
    At(usize),
    Nowhere,
    /// Too many bytes look like the start of an entry, as no crash leaves them.
    Unclear,
}

impl NextEntry {
    fn or(self, end: usize) -> usize {
        match self {
            Self::At(at) => at,
            Self::Nowhere | Self::Unclear => end,
        }
    }
}

/// Looks for a whole entry behind the first byte.
fn find_entry(bytes: &[u8]) -> NextEntry {
    let mut budget = 4 * bytes.len() + SEARCH_BYTES_MIN;
    let mut at = 1;
    while let Some(rest) = bytes.get(at..) {
        // A frame has a byte that is not zero among its first twelve.
        let Some(zeros) = rest.iter().position(|&byte| byte != 0) else {
            break;
        };
        if zeros >= PREFIX_BYTES {
            at += zeros - (PREFIX_BYTES - 1);
            continue;
        }
        if let Some(entry) = looks_like_entry(rest) {
            if is_entry(entry) {
                return NextEntry::At(at);
            }
            let Some(left) = budget.checked_sub(entry.len()) else {
                return NextEntry::Unclear;
            };
            budget = left;
        }
        at += 1;
    }
    NextEntry::Nowhere
}

/// The entry's bytes, if the frame is right but for the checksum.
fn looks_like_entry(bytes: &[u8]) -> Option<&[u8]> {
    let (prefix, _) = bytes.split_first_chunk::<PREFIX_BYTES>()?;
    let &[0, 0, 0, 0, _, _, _, _, l0, l1, l2, l3] = prefix else {
        return None;
    };
    let length = usize::try_from(i32::from_be_bytes([l0, l1, l2, l3])).ok()?;
    let entry = bytes.get(..PREFIX_BYTES + length + 1)?;
    (length >= TXN_HEADER_BYTES && entry.last() == Some(&ENTRY_END)).then_some(entry)
}

fn is_entry(bytes: &[u8]) -> bool {
    matches!(decode_entry(bytes), LogEntry::Whole { .. })
}
