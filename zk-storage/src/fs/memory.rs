//! A disk in memory that fails and loses power on request.
//!
//! It holds two pictures of everything: what processes see, and what is durable. A write, a change
//! of length, a new name is seen at once and becomes durable when the file or the directory is
//! synced. [`MemoryFileSystem::power_cut`] goes back to the durable picture, plus whatever part of
//! the rest the caller lets survive: single sectors of a write, single changes of length, single
//! names, each on its own, since a disk may reorder all that no sync separates.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{DirEntry, File, FileSystem, OpenMode, SECTOR_BYTES};

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The device fails (EIO). A write leaves its first half; a failed sync leaves what it covered
    /// forever unsynced, as Linux does.
    DeviceError,
    /// No space is left (ENOSPC). A write leaves its first half.
    NoSpace,
    /// The power goes: the call does not return, and neither does any later one. What it changes
    /// may or may not survive.
    PowerOff,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::DeviceError => io::Error::from_raw_os_error(5),
            Self::NoSpace => io::Error::from_raw_os_error(28),
            Self::PowerOff => io::Error::other("the power is off"),
        }
    }
}

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryFileSystem {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Clone, Default)]
struct Disk {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    unsynced_names: Vec<NameChange>,
    inodes: BTreeMap<u64, Inode>,
    inode_last: u64,
    locks: BTreeSet<PathBuf>,
    /// Counts crashes: handles of earlier lives are dead.
    life: u64,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    is_off: bool,
}

#[derive(Clone)]
enum NameChange {
    Link {
        path: PathBuf,
        inode: u64,
    },
    Unlink {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: u64,
    },
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => path.parent(),
            Self::Rename { to, .. } => to.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Link { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Length(length) => content.resize(*length, 0),
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(offset..end) {
        place.copy_from_slice(bytes);
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("a file in memory is no longer than memory")
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn lose_power(&mut self, keep: &mut dyn FnMut() -> bool) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Length(_) => {
                    if keep() {
                        change.apply(&mut self.durable);
                    }
                }
                Change::Write { offset, bytes } => {
                    let mut at = 0;
                    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
                        let to_sector_end = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                        let piece = rest.get(..to_sector_end).unwrap_or(rest);
                        if keep() {
                            put(&mut self.durable, offset + at, piece);
                        }
                        at += piece.len();
                    }
                }
            }
        }
        self.seen.clone_from(&self.durable);
    }
}

impl MemoryFileSystem {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another disk with the same content, synced and unsynced.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            disk: Arc::new(Mutex::new(self.disk().clone())),
        }
    }

    /// How many calls have been made since the start or the last crash.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.disk().calls
    }

    /// Lets the call with this number fail; the first call has number 0.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        self.disk().faults.insert(call, fault);
    }

    /// The process ends, the machine does not: everything written stays, locks end, open files are
    /// dead.
    pub fn kill(&self) {
        self.disk().end_life();
    }

    /// The machine loses power and comes back. `keep` is asked for every unsynced change, and for
    /// every sector of an unsynced write, whether it survives.
    pub fn power_cut(&self, mut keep: impl FnMut() -> bool) {
        let mut disk = self.disk();
        let disk = &mut *disk;
        for change in disk.unsynced_names.drain(..) {
            if keep() {
                change.apply(&mut disk.durable_names);
            }
        }
        disk.names.clone_from(&disk.durable_names);
        for inode in disk.inodes.values_mut() {
            inode.lose_power(&mut keep);
        }
        disk.end_life();
    }

    /// The files that are seen, in the order of their paths.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk().names.keys().cloned().collect()
    }

    /// A file's content, as it is seen.
    #[must_use]
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        let inode = disk.inodes.get(disk.names.get(path)?)?;
        Some(inode.seen.clone())
    }

    /// Puts a file there, durably, as damage or a restored backup would.
    pub fn place(&self, path: &Path, content: &[u8]) {
        let mut disk = self.disk();
        let inode = disk.add_inode(Inode {
            seen: content.to_vec(),
            durable: content.to_vec(),
            unsynced: Vec::new(),
        });
        disk.names.insert(path.to_owned(), inode);
        disk.durable_names.insert(path.to_owned(), inode);
        if let Some(parent) = path.parent() {
            disk.dirs.extend(parent.ancestors().map(Path::to_owned));
        }
    }

    /// Takes a file away, durably, as an accident would.
    pub fn lose(&self, path: &Path) {
        let mut disk = self.disk();
        disk.names.remove(path);
        disk.durable_names.remove(path);
    }
}

impl Disk {
    fn end_life(&mut self) {
        self.life += 1;
        self.calls = 0;
        self.locks.clear();
        self.faults.clear();
        self.is_off = false;
    }

    /// Counts a call and tells what goes wrong with it.
    fn call(&mut self) -> Result<Option<Fault>, io::Error> {
        if self.is_off {
            return Err(Fault::PowerOff.error());
        }
        let fault = self.faults.get(&self.calls).copied();
        self.calls += 1;
        self.is_off = fault == Some(Fault::PowerOff);
        Ok(fault)
    }

    /// As [`call`](Self::call), for calls that have no effect when they fail.
    fn plain_call(&mut self) -> io::Result<()> {
        match self.call()? {
            None => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    fn inode(&mut self, life: u64, inode: u64) -> io::Result<&mut Inode> {
        if self.life != life {
            return Err(io::Error::other("the file was opened before a crash"));
        }
        Ok(self.inodes.get_mut(&inode).expect("inodes are kept"))
    }

    fn add_inode(&mut self, inode: Inode) -> u64 {
        self.inode_last += 1;
        self.inodes.insert(self.inode_last, inode);
        self.inode_last
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// A fault of a call that changes something: the power may go with the change made or not, any
/// other fault comes before it.
fn fails_before_change(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        Some(fault @ (Fault::DeviceError | Fault::NoSpace)) => Err(fault.error()),
        Some(Fault::PowerOff) | None => Ok(()),
    }
}

fn fails_after_change(fault: Option<Fault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(fault.error()))
}

impl FileSystem for MemoryFileSystem {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.plain_call()?;
        disk.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut disk = self.disk();
        disk.plain_call()?;
        Ok(disk.dirs.contains(path) || disk.names.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut disk = self.disk();
        disk.plain_call()?;
        if !disk.dirs.contains(dir) {
            return Err(not_found());
        }
        let here = disk
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        Ok(here
            .filter_map(|(path, inode)| {
                Some(DirEntry {
                    name: path.file_name()?.to_str()?.to_owned(),
                    bytes: disk.inodes.get(inode)?.seen.len() as u64,
                })
            })
            .collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk();
        let fault = disk.call()?;
        fails_before_change(fault)?;
        let found = disk.names.get(path).copied();
        let inode = match (mode, found) {
            (OpenMode::Read | OpenMode::Write, Some(inode)) => inode,
            (OpenMode::Read | OpenMode::Write, None) => return Err(not_found()),
            (OpenMode::CreateNew, Some(_)) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            (OpenMode::CreateNew, None) => {
                let inode = disk.add_inode(Inode::default());
                disk.change_name(NameChange::Link {
                    path: path.to_owned(),
                    inode,
                });
                inode
            }
        };
        fails_after_change(fault)?;
        Ok(Box::new(MemoryFile {
            system: self.clone(),
            life: disk.life,
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let fault = disk.call()?;
        fails_before_change(fault)?;
        let inode = *disk.names.get(from).ok_or_else(not_found)?;
        disk.change_name(NameChange::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            inode,
        });
        fails_after_change(fault)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let fault = disk.call()?;
        fails_before_change(fault)?;
        if !disk.names.contains_key(path) {
            return Err(not_found());
        }
        disk.change_name(NameChange::Unlink {
            path: path.to_owned(),
        });
        fails_after_change(fault)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.plain_call()?;
        let disk = &mut *disk;
        let durable_names = &mut disk.durable_names;
        disk.unsynced_names.retain(|change| {
            let is_here = change.dir() == Some(dir);
            if is_here {
                change.apply(durable_names);
            }
            !is_here
        });
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut disk = self.disk();
        disk.plain_call()?;
        if !disk.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock {
            system: self.clone(),
            life: disk.life,
            path: path.to_owned(),
        })))
    }

    fn reads_ahead(&self) -> bool {
        false
    }
}

impl fmt::Debug for MemoryFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.paths()).finish()
    }
}

struct Lock {
    system: MemoryFileSystem,
    life: u64,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut disk = self.system.disk();
        if disk.life == self.life {
            disk.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    system: MemoryFileSystem,
    life: u64,
    inode: u64,
}

impl MemoryFile {
    fn change_length(&self, length: impl FnOnce(usize) -> usize) -> io::Result<()> {
        let mut disk = self.system.disk();
        let fault = disk.call()?;
        fails_before_change(fault)?;
        let inode = disk.inode(self.life, self.inode)?;
        let length = length(inode.seen.len());
        inode.change(Change::Length(length));
        fails_after_change(fault)
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.system.disk();
        disk.plain_call()?;
        Ok(disk.inode(self.life, self.inode)?.seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.system.disk();
        disk.plain_call()?;
        let seen = &disk.inode(self.life, self.inode)?.seen;
        let from = seen.get(index(offset)..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.system.disk();
        let fault = disk.call()?;
        let written = match fault {
            Some(Fault::DeviceError | Fault::NoSpace) => {
                bytes.get(..bytes.len() / 2).unwrap_or_default()
            }
            Some(Fault::PowerOff) | None => bytes,
        };
        disk.inode(self.life, self.inode)?.change(Change::Write {
            offset: index(offset),
            bytes: written.to_vec(),
        });
        fails_after_change(fault)
    }

    fn allocate(&self, end: u64) -> io::Result<()> {
        self.change_length(|length| length.max(index(end)))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change_length(|_| index(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.system.disk();
        let fault = disk.call()?;
        let inode = disk.inode(self.life, self.inode)?;
        match fault {
            None => inode.sync(),
            Some(Fault::DeviceError | Fault::NoSpace) => inode.unsynced.clear(),
            Some(Fault::PowerOff) => {}
        }
        fails_after_change(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_a_file() -> (MemoryFileSystem, Box<dyn File>) {
        let disk = MemoryFileSystem::new();
        disk.create_dir_all(Path::new("/d")).unwrap();
        let file = disk.open(Path::new("/d/f"), OpenMode::CreateNew).unwrap();
        (disk, file)
    }

    #[test]
    fn what_is_not_synced_is_lost_with_the_power_and_kept_when_only_the_process_ends() {
        let (disk, file) = disk_with_a_file();
        file.write_all_at(b"synced", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(b"SEEN", 0).unwrap();
        disk.kill();
        assert_eq!(disk.content(Path::new("/d/f")).unwrap(), b"SEENed");
        disk.power_cut(|| false);
        assert_eq!(disk.content(Path::new("/d/f")).unwrap(), b"synced");
        assert!(file.len().is_err(), "the file was opened before the crash");
    }

    #[test]
    fn a_name_is_lost_until_its_directory_is_synced() {
        let (disk, file) = disk_with_a_file();
        file.write_all_at(b"x", 0).unwrap();
        file.sync_data().unwrap();
        disk.power_cut(|| false);
        assert_eq!(disk.paths(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_write_survives_by_sectors() {
        let (disk, file) = disk_with_a_file();
        file.set_len(4 * 512).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(&[1; 1024], 256).unwrap();
        let mut asked = 0;
        disk.power_cut(|| {
            asked += 1;
            asked == 2
        });
        assert_eq!(asked, 3);
        let mut expected = vec![0; 4 * 512];
        expected[512..1024].fill(1);
        assert_eq!(disk.content(Path::new("/d/f")).unwrap(), expected);
    }

    #[test]
    fn a_failed_sync_never_becomes_durable() {
        let (disk, file) = disk_with_a_file();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        disk.fail_at(disk.calls(), Fault::DeviceError);
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
        file.sync_data().unwrap();
        disk.power_cut(|| true);
        assert_eq!(disk.content(Path::new("/d/f")).unwrap(), b"");
    }

    #[test]
    fn a_lock_is_held_once_and_ends_when_dropped() {
        let disk = MemoryFileSystem::new();
        let lock = disk.lock(Path::new("/l")).unwrap();
        assert!(lock.is_some());
        assert!(disk.lock(Path::new("/l")).unwrap().is_none());
        drop(lock);
        assert!(disk.lock(Path::new("/l")).unwrap().is_some());
    }
}
