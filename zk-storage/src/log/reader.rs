//! Reading one log file for inspection, damage included.

use std::path::Path;

use zk_proto::{DecodeError, LogHeader, Reader, Record, TxnRecord};

use super::scan::{Found, LogScanner};
use crate::{FileSystem, IoError};

/// Reads one log file from its start to its end, past anything damaged. Ends after
/// [`TxnLogItem::End`] or an error.
#[derive(Debug)]
pub struct TxnLogReader {
    scanner: LogScanner,
    is_done: bool,
}

/// What stands in a log, in the order of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnLogItem {
    /// The file's header.
    Header(LogHeader),
    /// An entry whose checksum matches.
    Txn {
        /// Where it starts.
        offset: u64,
        /// Its length, frame included.
        bytes: u64,
        /// The transaction, or why the bytes are none.
        record: Result<TxnRecord, DecodeError>,
    },
    /// Bytes that are no entry, up to the next whole one or the last byte that is not zero.
    Damage {
        /// Where they start.
        offset: u64,
        /// How many there are.
        bytes: u64,
        /// What is wrong with the first entry there, or with the header.
        what: &'static str,
        /// Whether a crash while a batch was written can have left this.
        is_tear: bool,
    },
    /// The end.
    End {
        /// Where the last entry ends.
        offset: u64,
        /// Zeros that follow it, allocated ahead.
        zeros: u64,
    },
}

impl TxnLogReader {
    /// Opens a log.
    ///
    /// # Errors
    /// [`IoError`].
    pub fn open(fs: &dyn FileSystem, path: &Path) -> Result<Self, IoError> {
        Ok(Self {
            scanner: LogScanner::open(fs, path, None)?,
            is_done: false,
        })
    }
}

impl Iterator for TxnLogReader {
    type Item = Result<TxnLogItem, IoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let item = self.scanner.next().map(|found| found.map(TxnLogItem::from));
        self.is_done = item.is_err();
        item.transpose()
    }
}

impl From<Found> for TxnLogItem {
    fn from(found: Found) -> Self {
        match found {
            Found::Header(header) => Self::Header(header),
            Found::Entry(entry) => Self::Txn {
                offset: entry.offset,
                bytes: entry.bytes,
                record: decode_record(&entry.body),
            },
            Found::Unreadable(unreadable) => Self::Damage {
                offset: unreadable.offset,
                bytes: unreadable.bytes,
                what: unreadable.what,
                is_tear: unreadable.is_tear,
            },
            Found::End { offset, zeros } => Self::End { offset, zeros },
        }
    }
}

/// Reads a transaction that takes up the whole body.
pub(crate) fn decode_record(body: &bytes::Bytes) -> Result<TxnRecord, DecodeError> {
    TxnRecord::decode(&mut Reader::new(body))
}
