//! Reading one log file, damage included.

use std::path::Path;

use zk_proto::{DecodeError, LogHeader, TxnRecord};

use crate::{FileSystem, IoError};

/// Reads one log file from its start, for inspection.
#[derive(Debug)]
pub struct TxnLogReader {}

/// What stands in a log, in the order of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TxnLogItem {
    /// The file's header.
    Header {
        /// The header, or what is wrong with it.
        header: Result<LogHeader, DecodeError>,
    },
    /// A transaction whose checksum matches.
    Txn {
        /// Where the entry starts.
        offset: u64,
        /// Its length, frame included.
        bytes: u64,
        /// The transaction, or why the bytes are none.
        record: Result<TxnRecord, DecodeError>,
    },
    /// Bytes that are no entry.
    Damage {
        /// Where they start.
        offset: u64,
        /// How many, up to the next whole entry or the last byte that is not zero.
        bytes: u64,
        /// What is wrong with the first entry there.
        what: &'static str,
    },
    /// The end: nothing but zeros follows.
    End {
        /// Where the zeros start.
        offset: u64,
        /// How many there are.
        zeros: u64,
    },
}

impl TxnLogReader {
    /// Opens a log.
    ///
    /// # Errors
    /// [`IoError`].
    pub fn open(_fs: &dyn FileSystem, _path: &Path) -> Result<Self, IoError> {
        todo!()
    }
}

impl Iterator for TxnLogReader {
    type Item = Result<TxnLogItem, IoError>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
