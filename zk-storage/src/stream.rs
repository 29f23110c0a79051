//! Reading a file from start to end at the speed of the disk, in constant memory.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use bytes::{Bytes, BytesMut};

use crate::compression::Compression;
use crate::error::Context;
use crate::{File, FileSystem, IoError, IoOp, OpenMode};

/// Small enough that a chunk is still in a core's cache when it is parsed.
const CHUNK_BYTES: usize = 256 << 10;
/// Room before a chunk, so that an unfinished value from the chunk before is put in front of it
/// without a copy of the chunk.
const HEADROOM_BYTES: usize = 16 << 10;
/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 8;

/// A file's bytes through a window that moves on.
#[derive(Debug)]
pub(crate) struct ByteStream {
    path: PathBuf,
    file: Arc<dyn File>,
    file_bytes: u64,
    /// How long the content is; unknown when the file is compressed.
    content_bytes: Option<u64>,
    chunks: Chunks,
    /// What was read and not consumed. Its end is the end of the newest chunk.
    window: Bytes,
    /// Where the window starts in the file.
    offset: u64,
    /// The newest chunk.
    chunk: Bytes,
    sum_before_chunk: u32,
}

#[derive(Debug)]
enum Chunks {
    Here(Source),
    Ahead {
        chunks: Option<Receiver<io::Result<Chunk>>>,
        thread: Option<JoinHandle<()>>,
    },
}

#[derive(Debug)]
struct Chunk {
    /// [`HEADROOM_BYTES`] unused bytes, then the content.
    buffer: BytesMut,
    sum_before: u32,
}

struct Source {
    content: Box<dyn Read + Send>,
    /// A chunk, or all of a smaller file.
    chunk_bytes: usize,
    /// Adler-32 of everything read so far, when it is asked for.
    sum: Option<u32>,
}

impl Source {
    fn next(&mut self) -> io::Result<Chunk> {
        let mut buffer = BytesMut::zeroed(HEADROOM_BYTES + self.chunk_bytes);
        let mut read = 0;
        while let Some(room) = buffer.get_mut(HEADROOM_BYTES + read..)
            && !room.is_empty()
        {
            match self.content.read(room)? {
                0 => break,
                count => read += count,
            }
        }
        buffer.truncate(HEADROOM_BYTES + read);
        let mut sum_before = 0;
        if let Some(sum) = &mut self.sum {
            sum_before = *sum;
            *sum = extend_sum(*sum, buffer.get(HEADROOM_BYTES..).unwrap_or_default());
        }
        Ok(Chunk { buffer, sum_before })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// A file from its start.
struct FileReader {
    file: Arc<dyn File>,
    at: u64,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Chunks {
    fn start(source: Source, read_ahead: bool) -> io::Result<Self> {
        if !read_ahead {
            return Ok(Self::Here(source));
        }
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let mut source = source;
        let thread = std::thread::Builder::new()
            .name("read-ahead".to_owned())
            .spawn(move || {
                loop {
                    let chunk = source.next();
                    let is_last = match &chunk {
                        Ok(chunk) => chunk.buffer.len() == HEADROOM_BYTES,
                        Err(_) => true,
                    };
                    if sender.send(chunk).is_err() || is_last {
                        break;
                    }
                }
            })?;
        Ok(Self::Ahead {
            chunks: Some(chunks),
            thread: Some(thread),
        })
    }

    fn next(&mut self) -> io::Result<Chunk> {
        match self {
            Self::Here(source) => source.next(),
            Self::Ahead { chunks, .. } => chunks
                .as_ref()
                .and_then(|chunks| chunks.recv().ok())
                .unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        if let Self::Ahead { chunks, thread } = self {
            // Without a receiver the thread ends at its next chunk.
            drop(chunks.take());
            if let Some(thread) = thread.take()
                && thread.join().is_err()
            {
                tracing::error!("the read-ahead thread panicked");
            }
        }
    }
}

impl ByteStream {
    /// Opens a file at its start, to read its bytes as they are.
    pub(crate) fn plain(fs: &dyn FileSystem, path: &Path) -> Result<Self, IoError> {
        Self::open(fs, path, None, false)
    }

    /// Opens a file at its start, to read what was compressed if its name says so, and to ask for
    /// [`checksum`](Self::checksum)s.
    pub(crate) fn snapshot(fs: &dyn FileSystem, path: &Path) -> Result<Self, IoError> {
        Self::open(fs, path, Compression::of(path), true)
    }

    fn open(
        fs: &dyn FileSystem,
        path: &Path,
        compression: Option<Compression>,
        sums: bool,
    ) -> Result<Self, IoError> {
        let file: Arc<dyn File> = fs
            .open(path, OpenMode::Read)
            .context(IoOp::Open, path)?
            .into();
        let file_bytes = file.len().context(IoOp::Length, path)?;
        let plain = FileReader {
            file: Arc::clone(&file),
            at: 0,
        };
        let chunk_bytes = match compression {
            None => usize::try_from(file_bytes).map_or(CHUNK_BYTES, |all| all.min(CHUNK_BYTES)),
            Some(_) => CHUNK_BYTES,
        };
        let source = Source {
            content: match compression {
                None => Box::new(plain),
                Some(compression) => compression.decompress(plain),
            },
            chunk_bytes,
            sum: sums.then_some(SUM_OF_NOTHING),
        };
        let read_ahead = fs.reads_ahead() && file_bytes > CHUNK_BYTES as u64;
        Ok(Self {
            path: path.to_owned(),
            file,
            file_bytes,
            content_bytes: compression.is_none().then_some(file_bytes),
            chunks: Chunks::start(source, read_ahead).context(IoOp::Read, path)?,
            window: Bytes::new(),
            offset: 0,
            chunk: Bytes::new(),
            sum_before_chunk: SUM_OF_NOTHING,
        })
    }

    pub(crate) fn file(&self) -> &dyn File {
        &*self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Where the window starts in the file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes from the window's start to the end; no bound is known when the file is compressed.
    pub(crate) fn left(&self) -> u64 {
        self.content_bytes
            .map_or(u64::MAX, |all| all.saturating_sub(self.offset))
    }

    pub(crate) fn window(&self) -> &Bytes {
        &self.window
    }

    /// Moves the window's start on.
    pub(crate) fn advance(&mut self, bytes: usize) {
        let _consumed = self.window.split_to(bytes);
        self.offset += bytes as u64;
    }

    /// Lengthens the window to at least `needed` bytes, or to the end. Says whether it has them.
    pub(crate) fn fill(&mut self, needed: usize) -> Result<bool, IoError> {
        while self.window.len() < needed {
            if self.left() == self.window.len() as u64 {
                return Ok(false);
            }
            let chunk = self.chunks.next().context(IoOp::Read, &self.path)?;
            if chunk.buffer.len() == HEADROOM_BYTES {
                return Ok(false);
            }
            self.push(chunk);
        }
        Ok(true)
    }

    fn push(&mut self, chunk: Chunk) {
        let Chunk {
            mut buffer,
            sum_before,
        } = chunk;
        let tail = self.window.len();
        if let Some(start) = HEADROOM_BYTES.checked_sub(tail) {
            if let Some(room) = buffer.get_mut(start..HEADROOM_BYTES) {
                room.copy_from_slice(&self.window);
            }
            self.window = buffer.freeze().slice(start..);
        } else {
            let mut joined = BytesMut::with_capacity(tail + buffer.len());
            joined.extend_from_slice(&self.window);
            joined.extend_from_slice(buffer.get(HEADROOM_BYTES..).unwrap_or_default());
            self.window = joined.freeze();
        }
        self.chunk = self.window.slice(tail..);
        self.sum_before_chunk = sum_before;
    }

    /// Adler-32 of all bytes before the window. The window must start in the newest chunk, which
    /// holds after a value was read that needed the chunk.
    pub(crate) fn checksum(&self) -> u32 {
        let consumed = self
            .chunk
            .len()
            .checked_sub(self.window.len())
            .expect("a value that needed another chunk ends in it");
        extend_sum(
            self.sum_before_chunk,
            self.chunk.get(..consumed).unwrap_or_default(),
        )
    }
}

/// Adler-32 of no bytes.
pub(crate) const SUM_OF_NOTHING: u32 = 1;

/// Adler-32 of the bytes that `sum` is of, followed by `bytes`.
pub(crate) fn extend_sum(sum: u32, bytes: &[u8]) -> u32 {
    let mut sum = simd_adler32::Adler32::from_checksum(sum);
    sum.write(bytes);
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealFileSystem;
    use crate::memory::MemoryFileSystem;

    /// Reads values of uneven lengths and compares bytes and checksums.
    fn check(fs: &dyn FileSystem, path: &Path, content: &[u8]) {
        let mut stream = ByteStream::snapshot(fs, path).unwrap();
        let mut at = 0;
        let mut step = 1;
        while at < content.len() {
            step = (step * 7 + 3) % 70_001;
            let length = step.min(content.len() - at);
            assert!(stream.fill(length).unwrap());
            assert_eq!(stream.window()[..length], content[at..at + length]);
            stream.advance(length);
            at += length;
            assert_eq!(stream.offset(), at as u64);
            assert_eq!(
                stream.checksum(),
                simd_adler32::adler32(&&content[..at]),
                "{at}"
            );
        }
        assert!(!stream.fill(1).unwrap());
        assert_eq!(stream.left(), 0);
    }

    #[test]
    fn every_byte_passes_once_and_the_checksum_follows() {
        let content: Vec<u8> = (0..1_000_003_u32)
            .map(|i| i.wrapping_mul(i).to_be_bytes()[2])
            .collect();
        let disk = MemoryFileSystem::new();
        disk.place(Path::new("/f"), &content);
        check(&disk, Path::new("/f"), &content);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let file = RealFileSystem.open(&path, OpenMode::CreateNew).unwrap();
        file.write_all_at(&content, 0).unwrap();
        check(&RealFileSystem, &path, &content);
        // A reader that stops early ends its thread.
        drop(ByteStream::plain(&RealFileSystem, &path).unwrap());
    }
}
