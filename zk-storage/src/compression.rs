//! Snapshots that Apache's server compressed (`snapshot.compression.method`): read, not written.

use std::io::{self, Read};
use std::path::Path;

/// How a snapshot is compressed, which the end of its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// `.gz`: gzip.
    Gzip,
    /// `.snappy`: the stream format of snappy-java.
    Snappy,
}

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const SNAPPY_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The magic, int version, int oldest compatible version.
const SNAPPY_HEADER_BYTES: usize = 16;
/// snappy-java writes blocks of 32 KiB; more than this is no block.
const SNAPPY_BLOCK_BYTES_MAX: usize = 64 << 20;
/// A copy of at most 64 bytes takes three.
const SNAPPY_RATIO_MAX: usize = 22;

impl Compression {
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "snappy" => Some(Self::Snappy),
            _ => None,
        }
    }

    /// What the file starts with.
    pub(crate) fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => &GZIP_MAGIC,
            Self::Snappy => &SNAPPY_MAGIC,
        }
    }

    pub(crate) fn decompress(self, file: impl Read + Send + 'static) -> Box<dyn Read + Send> {
        let file = io::BufReader::with_capacity(256 << 10, file);
        match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Self::Snappy => Box::new(SnappyReader {
                file,
                is_started: false,
                block: Vec::new(),
                at: 0,
            }),
        }
    }
}

/// The stream format of snappy-java: a header of 16 bytes, then blocks of (int length, raw snappy).
struct SnappyReader<R> {
    file: R,
    is_started: bool,
    /// The newest block, decompressed, and how much of it was read.
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> SnappyReader<R> {
    /// Reads the next block; `false` at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        if !self.is_started {
            let mut header = [0; SNAPPY_HEADER_BYTES];
            self.file.read_exact(&mut header)?;
            if !header.starts_with(&SNAPPY_MAGIC) {
                return Err(invalid("not a snappy stream"));
            }
            self.is_started = true;
        }
        let mut length = [0; 4];
        if self.file.read(&mut length[..1])? == 0 {
            return Ok(false);
        }
        self.file.read_exact(&mut length[1..])?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > SNAPPY_BLOCK_BYTES_MAX {
            return Err(invalid("a snappy block is too long"));
        }
        // Memory is taken for what is there, not for what a length says.
        let mut compressed = Vec::new();
        let mut block = self.file.by_ref().take(length as u64);
        if block.read_to_end(&mut compressed)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let decompressed = snap::raw::decompress_len(&compressed).map_err(io::Error::other)?;
        let most = compressed.len().saturating_mul(SNAPPY_RATIO_MAX);
        if decompressed > most.min(SNAPPY_BLOCK_BYTES_MAX) {
            return Err(invalid("a snappy block is too long"));
        }
        self.block = snap::raw::Decoder::new()
            .decompress_vec(&compressed)
            .map_err(io::Error::other)?;
        self.at = 0;
        Ok(true)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        let read = rest.read(buffer)?;
        self.at += read;
        Ok(read)
    }
}
