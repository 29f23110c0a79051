//! A disk in memory that can lose power.

use std::any::Any;
use std::io;
use std::path::Path;

use super::{DirEntry, File, FileSystem, OpenMode};

/// A disk in memory that can lose power.
#[derive(Debug, Clone, Default)]
pub struct MemoryFileSystem;

impl FileSystem for MemoryFileSystem {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        todo!()
    }
    fn exists(&self, _: &Path) -> io::Result<bool> {
        todo!()
    }
    fn list(&self, _: &Path) -> io::Result<Vec<DirEntry>> {
        todo!()
    }
    fn open(&self, _: &Path, _: OpenMode) -> io::Result<Box<dyn File>> {
        todo!()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        todo!()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        todo!()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        todo!()
    }
    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        todo!()
    }
    fn reads_ahead(&self) -> bool {
        false
    }
}
