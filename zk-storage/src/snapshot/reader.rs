//! Reading one snapshot file.

use std::path::Path;

use zk_proto::{
    Acl, DecodeError, Reader, Record, SnapshotHeader, SnapshotNode, SnapshotSession, TxnDigest,
    Zxid,
};

use super::body::{BodyDecoder, Progress};
use super::{DIGEST_BYTES, END_PATH, SEAL_BYTES, SnapshotTrailer, ZXID_BYTES};
use crate::compression::Compression;
use crate::error::Context;
use crate::stream::ByteStream;
use crate::{FileSystem, IoError, IoOp, OpenMode, RestoreError};

/// What every finished snapshot ends with: the string "/".
const ENDING: [u8; 5] = [0, 0, 0, 1, b'/'];
/// The shortest file that is looked at, as in Apache's server (`SnapStream`, 3.9.5).
const FILE_BYTES_MIN: u64 = 10;

/// What stands in a snapshot, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotPart<'a> {
    /// A session that was open.
    Session(SnapshotSession),
    /// A numbered ACL.
    Acl(i64, Vec<Acl>),
    /// A znode.
    Node(SnapshotNode<'a>),
}

/// Why a file, or what a leader sent, is no whole snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotReadError {
    /// The bytes are not those of a snapshot.
    #[error("offset {offset}: {what}")]
    Invalid {
        /// Where.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// A part was refused.
    #[error("offset {offset}: {source}")]
    Refused {
        /// Where it starts.
        offset: u64,
        /// Why.
        source: RestoreError,
    },
    /// The file system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Reads a snapshot to its end, shows every part with its offset, and checks every checksum. What
/// `visit` was shown is known to be right only when this returns.
///
/// # Errors
/// [`SnapshotReadError`]; what was shown before it is not to be used.
pub fn read_snapshot(
    fs: &dyn FileSystem,
    path: &Path,
    visit: impl FnMut(u64, SnapshotPart<'_>) -> Result<(), RestoreError>,
) -> Result<SnapshotTrailer, SnapshotReadError> {
    let mut parser = Parser {
        stream: ByteStream::snapshot(fs, path)?,
        visit,
    };
    parser.body()?;
    parser.trailer()
}

/// Whether a file looks like a finished snapshot: the quick check of `SnapStream`, 3.9.5. How a
/// compressed one ends cannot be seen without reading it.
pub(crate) fn looks_finished(
    fs: &dyn FileSystem,
    path: &Path,
    bytes: u64,
) -> Result<bool, IoError> {
    if bytes < FILE_BYTES_MIN {
        return Ok(false);
    }
    let file = fs.open(path, OpenMode::Read).context(IoOp::Open, path)?;
    if let Some(compression) = Compression::of(path) {
        let mut start = vec![0; compression.magic().len()];
        file.read_at(&mut start, 0).context(IoOp::Read, path)?;
        return Ok(start == compression.magic());
    }
    let mut ending = [0; ENDING.len()];
    file.read_at(&mut ending, bytes - ENDING.len() as u64)
        .context(IoOp::Read, path)?;
    Ok(ending == ENDING)
}

struct Parser<V> {
    stream: ByteStream,
    visit: V,
}

impl<V: FnMut(u64, SnapshotPart<'_>) -> Result<(), RestoreError>> Parser<V> {
    fn body(&mut self) -> Result<(), SnapshotReadError> {
        self.value(SnapshotHeader::decode)?;
        let mut decoder = BodyDecoder::new();
        loop {
            let window = self.stream.window().clone();
            let offset = self.stream.offset();
            let (consumed, progress) = decoder.decode(&window, offset, &mut self.visit)?;
            drop(window);
            self.stream.advance(consumed);
            match progress {
                Progress::Done => return self.seal(),
                Progress::Needs(needed, error) => self.fill(needed, &error)?,
            }
        }
    }

    /// What follows the body is known by its length: a digest, a zxid, both or nothing.
    fn trailer(&mut self) -> Result<SnapshotTrailer, SnapshotReadError> {
        const DIGEST: usize = DIGEST_BYTES + SEAL_BYTES;
        const ZXID: usize = ZXID_BYTES + SEAL_BYTES;
        const BOTH: usize = DIGEST + ZXID;
        self.stream.fill(BOTH + 1)?;
        let (has_digest, has_zxid) = match self.stream.window().len() {
            0 => (false, false),
            DIGEST => (true, false),
            ZXID => (false, true),
            BOTH => (true, true),
            _ => return Err(self.invalid(&"what follows the body is no trailer")),
        };
        let mut trailer = SnapshotTrailer::default();
        if has_digest {
            let (zxid, digest) =
                self.value(|reader| Ok((Zxid(reader.i64()?), TxnDigest::decode(reader)?)))?;
            // Zero stands for a digest that was not kept.
            trailer.digest = (zxid != Zxid::ZERO).then_some((zxid, digest));
            self.seal()?;
        }
        if has_zxid {
            trailer.last_zxid = Some(Zxid(self.value(|reader| reader.i64())?));
            self.seal()?;
        }
        Ok(trailer)
    }

    fn seal(&mut self) -> Result<(), SnapshotReadError> {
        let computed = u64::from(self.stream.checksum());
        let (seen, end) = self.value(|reader| Ok((reader.i64()?, reader.string()?)))?;
        let seen = u64::from_ne_bytes(seen.to_ne_bytes());
        if seen != computed || end != END_PATH {
            return Err(self.invalid(&DecodeError::BadChecksum {
                what: "snapshot",
                seen,
                computed,
            }));
        }
        Ok(())
    }

    fn value<T>(
        &mut self,
        decode: impl Fn(&mut Reader<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, SnapshotReadError> {
        loop {
            let mut reader = Reader::new(self.stream.window());
            match decode(&mut reader) {
                Ok(value) => {
                    let consumed = reader.position();
                    self.stream.advance(consumed);
                    return Ok(value);
                }
                Err(error @ DecodeError::Truncated { needed, left, .. }) => {
                    let missing = needed.saturating_sub(left).max(1);
                    let window = self.stream.window().len();
                    self.fill(window.saturating_add(missing), &error)?;
                }
                Err(error) => return Err(self.invalid(&error)),
            }
        }
    }

    /// Lengthens the window, or says what the file ends in.
    fn fill(&mut self, needed: usize, error: &DecodeError) -> Result<(), SnapshotReadError> {
        if needed as u64 > self.stream.left() || !self.stream.fill(needed)? {
            return Err(self.invalid(error));
        }
        Ok(())
    }

    fn invalid(&self, what: &dyn std::fmt::Display) -> SnapshotReadError {
        SnapshotReadError::Invalid {
            offset: self.stream.offset(),
            what: what.to_string(),
        }
    }
}
