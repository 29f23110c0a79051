//! What storage needs of a file system, and nothing more.

pub mod memory;
mod real;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;

pub use real::RealFileSystem;

/// What a disk writes in one piece, or a part of it.
pub const SECTOR_BYTES: usize = 512;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// To read. The file exists.
    Read,
    /// To read and write. The file exists.
    Write,
    /// To read and write. The file does not exist yet and is made, empty.
    CreateNew,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// The name alone. A name that is not UTF-8 is no file of ours or Apache's and is not listed.
    pub name: String,
    /// The file's length.
    pub bytes: u64,
}

/// A disk: a tree of files whose content and names become durable only when asked.
///
/// No call is retried and no error is kept: a caller that sees one decides what it means.
pub trait FileSystem: Send + Sync + fmt::Debug {
    /// Makes a directory and its parents, durably. Existing ones are fine.
    ///
    /// # Errors
    /// What the system says; the same holds for every call below.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Whether something has this name.
    ///
    /// # Errors
    /// What the system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The files in a directory, directories left out, in the order of their names.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Opens a file.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>>;

    /// Gives a file another name, replacing what has that name, in one step.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names of a directory durable: what was created, renamed and removed in it.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a lock that no other process holds, on a file that is made if needed. `None` when it
    /// is taken. It ends when the value is dropped, and with the process.
    ///
    /// # Errors
    /// What the system says.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;

    /// Whether long reads pay for a thread that reads ahead. A simulated disk says no, so that
    /// what runs over it stays in one thread.
    fn reads_ahead(&self) -> bool;
}

/// An open file.
pub trait File: Send + Sync + fmt::Debug {
    /// The file's length.
    ///
    /// # Errors
    /// What the system says; the same holds for every call below.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads into `buffer` from `offset`; fewer bytes than asked for only at the file's end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may be written.
    ///
    /// # Errors
    /// What the system says.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reserves space for the file up to `end` and lengthens it to there; what is added reads as
    /// zeros.
    ///
    /// # Errors
    /// What the system says.
    fn allocate(&self, end: u64) -> io::Result<()>;

    /// Cuts or lengthens the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Makes the content, and the length it needs, durable. The name is not part of it: see
    /// [`FileSystem::sync_dir`].
    ///
    /// # Errors
    /// What the system says. After an error nobody knows what is on disk.
    fn sync_data(&self) -> io::Result<()>;
}
