//! A disk of which those who use it forget some calls.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};

use zk_storage::memory::MemoryFileSystem;
use zk_storage::{DirEntry, File, FileSystem, OpenMode};

use crate::planted::Planted;

/// See [`Planted`].
#[derive(Debug)]
pub(super) struct ForgetfulDisk {
    pub(super) disk: MemoryFileSystem,
    pub(super) planted: Planted,
}

#[derive(Debug)]
struct ForgetfulFile {
    file: Box<dyn File>,
    path: PathBuf,
    planted: Planted,
}

fn is_snapshot(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("snapshot.") || name.starts_with("partial."))
}

impl FileSystem for ForgetfulDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.disk.list(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        Ok(Box::new(ForgetfulFile {
            file: self.disk.open(path, mode)?,
            path: path.to_owned(),
            planted: self.planted,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.planted {
            Planted::NamesNotSynced => Ok(()),
            _ => self.disk.sync_dir(dir),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.lock(path)
    }

    fn reads_ahead(&self) -> bool {
        self.disk.reads_ahead()
    }
}

impl File for ForgetfulFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn allocate(&self, end: u64) -> io::Result<()> {
        self.file.allocate(end)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.planted {
            Planted::SnapshotNotSynced if is_snapshot(&self.path) => Ok(()),
            Planted::SyncErrorIgnored => {
                _ = self.file.sync_data().is_ok();
                Ok(())
            }
            _ => self.file.sync_data(),
        }
    }
}
