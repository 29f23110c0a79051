//! Framing of transaction logs (`FileTxnLog`, 3.9.5).
//!
//! ```text
//! log file   = LogHeader entry* zero*
//! LogHeader  = int "ZKLG", int 2, long dbid          16 bytes
//! entry      = long Adler-32 of body, int length, body[length], byte 'B'
//! ```
//!
//! Files are preallocated with zeros, so an entry of length zero ends the log.

use crate::{DecodeError, Reader, Record, Writer};

/// Length of [`LogHeader`].
pub const LOG_HEADER_BYTES: usize = 16;

const LOG_MAGIC: i32 = i32::from_be_bytes(*b"ZKLG");
const LOG_VERSION: i32 = 2;
const ENTRY_PREFIX_BYTES: usize = 12;
const ENTRY_END: u8 = b'B';

/// The first bytes of a log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogHeader {
    /// Zero.
    pub dbid: i64,
}

impl Record for LogHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        expect_int(reader, "log magic", LOG_MAGIC)?;
        expect_int(reader, "log version", LOG_VERSION)?;
        Ok(Self {
            dbid: reader.i64()?,
        })
    }

    fn encode(&self, out: &mut impl Writer) {
        out.put_int(LOG_MAGIC);
        out.put_int(LOG_VERSION);
        out.put_long(self.dbid);
    }
}

pub(crate) fn expect_int(
    reader: &mut Reader<'_>,
    what: &'static str,
    expected: i32,
) -> Result<(), DecodeError> {
    match reader.i32()? {
        seen if seen == expected => Ok(()),
        seen => Err(DecodeError::BadValue {
            what,
            seen: i64::from(seen),
        }),
    }
}

/// What stands at a position of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogEntry<'a> {
    /// A whole entry whose checksum matches.
    Whole {
        /// A [`TxnRecord`](crate::TxnRecord)'s encoding.
        body: &'a [u8],
        /// Length of the entry with its frame.
        consumed: usize,
    },
    /// Zeros, as far as a prefix goes: nothing was written here.
    Empty,
    /// The bytes end before the entry does: more of the file is needed, or it was torn.
    Incomplete {
        /// Length of the entry with its frame, as far as it is known.
        needed: usize,
    },
    /// A frame that was not written in one piece, or was damaged afterwards: a negative length, a
    /// missing end byte or a checksum that does not match. Whether it is a torn tail or damage
    /// depends on what follows.
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
}

/// Reads the entry at the start of `bytes`.
#[must_use]
pub fn decode_entry(bytes: &[u8]) -> LogEntry<'_> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<ENTRY_PREFIX_BYTES>() else {
        return LogEntry::Incomplete {
            needed: ENTRY_PREFIX_BYTES,
        };
    };
    let &[c0, c1, c2, c3, c4, c5, c6, c7, l0, l1, l2, l3] = prefix;
    let checksum = u64::from_be_bytes([c0, c1, c2, c3, c4, c5, c6, c7]);
    let length = match usize::try_from(i32::from_be_bytes([l0, l1, l2, l3])) {
        Ok(0) if checksum == 0 => return LogEntry::Empty,
        Ok(0) => {
            return LogEntry::Damaged {
                what: "length is zero",
            };
        }
        Ok(length) => length,
        Err(_) => {
            return LogEntry::Damaged {
                what: "length is negative",
            };
        }
    };
    let consumed = ENTRY_PREFIX_BYTES + length + 1;
    let (Some(body), Some(&end)) = (rest.get(..length), rest.get(length)) else {
        return LogEntry::Incomplete { needed: consumed };
    };
    if end != ENTRY_END {
        return LogEntry::Damaged {
            what: "end byte is missing",
        };
    }
    if u64::from(simd_adler32::adler32(&body)) != checksum {
        return LogEntry::Damaged {
            what: "checksum does not match",
        };
    }
    LogEntry::Whole { body, consumed }
}

/// Appends `body` as an entry.
pub fn encode_entry(body: &[u8], out: &mut impl Writer) {
    out.put_long(i64::from(simd_adler32::adler32(&body)));
    out.put_length(body.len());
    out.put(body);
    out.put_byte(ENTRY_END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn an_entry_is_read_back_and_every_cut_is_incomplete() {
        let mut log = Vec::new();
        encode_entry(b"body", &mut log);
        let whole = LogEntry::Whole {
            body: b"body",
            consumed: log.len(),
        };
        assert_eq!(decode_entry(&log), whole);
        for cut in 0..log.len() {
            assert!(
                matches!(decode_entry(&log[..cut]), LogEntry::Incomplete { .. }),
                "{cut}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut log = Vec::new();
        encode_entry(b"body", &mut log);
        for bit in 0..log.len() * 8 {
            let mut damaged = log.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(decode_entry(&damaged), LogEntry::Whole { .. }),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn preallocated_zeros_are_the_end() {
        assert_eq!(decode_entry(&[0; 64]), LogEntry::Empty);
    }
}
