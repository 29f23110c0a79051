//! A disk in memory that fails and loses power on request.
//!
//! It holds two pictures of everything: what processes see, and what is durable. A write, a change
//! of length, a new name is seen at once and becomes durable when the file or the directory is
//! synced. [`MemoryFileSystem::power_cut`] goes back to the durable picture, plus whatever part of
//! the rest the caller lets survive: single sectors of a write, single changes of length, single
//! names, each on its own, since a disk may reorder all that no sync separates.
//!
//! Faults come at chosen calls ([`MemoryFileSystem::fail_at`]), or by chance from a seed
//! ([`MemoryFileSystem::misbehave`], [`MemoryFileSystem::power_cut_by_chance`]): the same calls on the
//! same disk meet the same faults, so that a simulation repeats. A disk may also be small, lose single
//! sectors, and flip bits.

mod chance;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use chance::Chances;
use chance::{Kind, Luck, Survival};

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
    unsynced_names: Vec<Numbered<NameChange>>,
    inodes: BTreeMap<u64, Inode>,
    inode_last: u64,
    /// Numbers the changes in the order of the calls.
    change_last: u64,
    locks: BTreeSet<PathBuf>,
    /// Counts crashes: handles of earlier lives are dead.
    life: u64,
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    luck: Option<Luck>,
    /// Bytes that all files together may have.
    capacity: Option<u64>,
    failures: u64,
    is_off: bool,
}

/// A change that is not durable, and when it was made.
#[derive(Clone)]
struct Numbered<C> {
    number: u64,
    change: C,
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

    fn inode(&self) -> Option<u64> {
        match self {
            Self::Link { inode, .. } | Self::Rename { inode, .. } => Some(*inode),
            Self::Unlink { .. } => None,
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
    unsynced: Vec<Numbered<Change>>,
    /// Sectors that cannot be read until they are written.
    lost_sectors: BTreeSet<usize>,
    /// How many open files there are of it.
    open: usize,
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
    fn change(&mut self, number: u64, change: Change) {
        change.apply(&mut self.seen);
        if let Change::Write { offset, bytes } = &change {
            let sectors = offset / SECTOR_BYTES..(offset + bytes.len()).div_ceil(SECTOR_BYTES);
            self.lost_sectors.retain(|lost| !sectors.contains(lost));
        }
        self.unsynced.push(Numbered { number, change });
    }

    fn sync(&mut self) {
        for Numbered { change, .. } in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn lose_power(&mut self, keep: &mut dyn FnMut(u64) -> bool) {
        for Numbered { number, change } in self.unsynced.drain(..) {
            match change {
                Change::Length(_) => {
                    if keep(number) {
                        change.apply(&mut self.durable);
                    }
                }
                Change::Write { offset, bytes } => {
                    let mut at = 0;
                    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
                        let to_sector_end = SECTOR_BYTES - (offset + at) % SECTOR_BYTES;
                        let piece = rest.get(..to_sector_end).unwrap_or(rest);
                        if keep(number) {
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
        let mut disk = self.disk().clone();
        disk.close_all();
        Self {
            disk: Arc::new(Mutex::new(disk)),
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

    /// Lets calls fail by chance from now on, crash or not, until this is called again. The sequence
    /// of faults depends on the seed and on the calls alone.
    pub fn misbehave(&self, seed: u64, chances: Chances) {
        self.disk().luck = Some(Luck::new(seed, chances));
    }

    /// Limits the bytes of all files together: what would go beyond fails for want of space, a write
    /// after the part that fits. `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    /// How many calls have failed by a fault or for want of space, in all lives.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.disk().failures
    }

    /// Whether the power went at a call, so that every call fails until a crash.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.disk().is_off
    }

    /// The process ends, the machine does not: everything written stays, locks end, open files are
    /// dead.
    pub fn kill(&self) {
        self.disk().end_life();
    }

    /// The machine loses power and comes back. `keep` is asked for every unsynced change, and for
    /// every sector of an unsynced write, whether it survives.
    pub fn power_cut(&self, mut keep: impl FnMut() -> bool) {
        self.disk().lose_power(&mut |_| keep());
    }

    /// The machine loses power and comes back. The seed decides what survives: nothing, everything,
    /// what came before some moment, or each change and each sector by itself.
    pub fn power_cut_by_chance(&self, seed: u64) {
        let mut disk = self.disk();
        let names = disk.unsynced_names.iter().map(|change| change.number);
        let inodes = disk.inodes.values().flat_map(|inode| &inode.unsynced);
        let first = names.chain(inodes.map(|change| change.number)).min();
        let last = disk.change_last;
        let mut survival = Survival::draw(seed, first.unwrap_or(last), last);
        disk.lose_power(&mut |number| survival.keeps(number));
    }

    /// Flips a bit of a file, durably. Returns whether there is such a bit.
    #[must_use]
    pub fn flip_bit(&self, path: &Path, bit: usize) -> bool {
        let mut disk = self.disk();
        let Some(inode) = disk.inode_of(path) else {
            return false;
        };
        for content in [&mut inode.durable, &mut inode.seen] {
            if let Some(byte) = content.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
        bit / 8 < inode.seen.len()
    }

    /// Lets a sector of a file be unreadable (EIO) until it is written. Returns whether there is such
    /// a sector.
    #[must_use]
    pub fn lose_sector(&self, path: &Path, sector: usize) -> bool {
        let mut disk = self.disk();
        let Some(inode) = disk.inode_of(path) else {
            return false;
        };
        let is_there = sector * SECTOR_BYTES < inode.seen.len();
        if is_there {
            inode.lost_sectors.insert(sector);
        }
        is_there
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
            ..Inode::default()
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
        self.close_all();
    }

    fn lose_power(&mut self, keep: &mut dyn FnMut(u64) -> bool) {
        for Numbered { number, change } in self.unsynced_names.drain(..) {
            if keep(number) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
        for inode in self.inodes.values_mut() {
            inode.lose_power(keep);
        }
        self.end_life();
    }

    /// Counts a call and tells what goes wrong with it.
    fn call(&mut self, kind: Kind) -> Result<Option<Fault>, io::Error> {
        if self.is_off {
            return Err(Fault::PowerOff.error());
        }
        let chosen = self.faults.get(&self.calls).copied();
        let by_chance = self.luck.as_mut().and_then(|luck| luck.fault(kind));
        let fault = chosen.or(by_chance);
        self.calls += 1;
        self.failures += u64::from(fault.is_some());
        self.is_off = fault == Some(Fault::PowerOff);
        Ok(fault)
    }

    /// As [`call`](Self::call), for calls that have no effect when they fail.
    fn plain_call(&mut self, kind: Kind) -> io::Result<()> {
        match self.call(kind)? {
            None => Ok(()),
            Some(fault) => Err(fault.error()),
        }
    }

    fn inode(&mut self, life: u64, inode: u64) -> io::Result<&mut Inode> {
        if self.life != life {
            return Err(io::Error::other("the file was opened before a crash"));
        }
        Ok(self.inodes.get_mut(&inode).expect("open inodes are kept"))
    }

    fn inode_of(&mut self, path: &Path) -> Option<&mut Inode> {
        self.inodes.get_mut(self.names.get(path)?)
    }

    fn add_inode(&mut self, inode: Inode) -> u64 {
        self.inode_last += 1;
        self.inodes.insert(self.inode_last, inode);
        self.inode_last
    }

    fn change(&mut self, life: u64, inode: u64, change: Change) -> io::Result<()> {
        self.change_last += 1;
        let number = self.change_last;
        self.inode(life, inode)?.change(number, change);
        Ok(())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.change_last += 1;
        let number = self.change_last;
        self.unsynced_names.push(Numbered { number, change });
    }

    /// How many bytes files may still grow by.
    fn space(&self) -> u64 {
        let used: usize = self.inodes.values().map(|inode| inode.seen.len()).sum();
        self.capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(used as u64))
    }

    fn close_all(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.open = 0;
        }
        self.free();
    }

    /// Forgets files that have no name and are not open.
    fn free(&mut self) {
        let unsynced = self.unsynced_names.iter();
        let named: BTreeSet<u64> = (self.names.values())
            .chain(self.durable_names.values())
            .copied()
            .chain(unsynced.filter_map(|change| change.change.inode()))
            .collect();
        self.inodes
            .retain(|number, inode| inode.open > 0 || named.contains(number));
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
        disk.plain_call(Kind::Name)?;
        disk.dirs.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let mut disk = self.disk();
        disk.plain_call(Kind::Read)?;
        Ok(disk.dirs.contains(path) || disk.names.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut disk = self.disk();
        disk.plain_call(Kind::Read)?;
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
        let fault = disk.call(match mode {
            OpenMode::CreateNew => Kind::Create,
            OpenMode::Read | OpenMode::Write => Kind::Read,
        })?;
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
        let life = disk.life;
        disk.inode(life, inode)?.open += 1;
        Ok(Box::new(MemoryFile {
            system: self.clone(),
            life,
            inode,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let fault = disk.call(Kind::Name)?;
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
        let fault = disk.call(Kind::Name)?;
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
        disk.plain_call(Kind::Sync)?;
        let disk = &mut *disk;
        let durable_names = &mut disk.durable_names;
        disk.unsynced_names.retain(|Numbered { change, .. }| {
            let is_here = change.dir() == Some(dir);
            if is_here {
                change.apply(durable_names);
            }
            !is_here
        });
        disk.free();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut disk = self.disk();
        disk.plain_call(Kind::Read)?;
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
    fn change_length(&self, kind: Kind, length: impl FnOnce(usize) -> usize) -> io::Result<()> {
        let mut disk = self.system.disk();
        let fault = disk.call(kind)?;
        fails_before_change(fault)?;
        let before = disk.inode(self.life, self.inode)?.seen.len();
        let length = length(before);
        if disk.space() < length.saturating_sub(before) as u64 {
            disk.failures += 1;
            return Err(Fault::NoSpace.error());
        }
        disk.change(self.life, self.inode, Change::Length(length))?;
        fails_after_change(fault)
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut disk = self.system.disk();
        if let Ok(inode) = disk.inode(self.life, self.inode) {
            inode.open -= 1;
            if inode.open == 0 {
                disk.free();
            }
        }
    }
}

impl File for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.system.disk();
        disk.plain_call(Kind::Read)?;
        Ok(disk.inode(self.life, self.inode)?.seen.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.system.disk();
        disk.plain_call(Kind::Read)?;
        let inode = disk.inode(self.life, self.inode)?;
        let from = inode.seen.get(index(offset)..).unwrap_or_default();
        let read = from.len().min(buffer.len());
        let end = index(offset) + read;
        let sectors = index(offset) / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
        if read > 0 && inode.lost_sectors.range(sectors).next().is_some() {
            disk.failures += 1;
            return Err(Fault::DeviceError.error());
        }
        for (to, from) in buffer.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.system.disk();
        let fault = disk.call(Kind::Write)?;
        let offset = index(offset);
        let there = disk.inode(self.life, self.inode)?.seen.len();
        let space = usize::try_from(disk.space()).unwrap_or(usize::MAX);
        let fits = there.saturating_add(space).saturating_sub(offset);
        let written = match fault {
            Some(Fault::DeviceError | Fault::NoSpace) => bytes.len() / 2,
            Some(Fault::PowerOff) | None => bytes.len(),
        };
        let change = Change::Write {
            offset,
            bytes: bytes.get(..written.min(fits)).unwrap_or_default().to_vec(),
        };
        disk.change(self.life, self.inode, change)?;
        fails_after_change(fault)?;
        if fits < written {
            disk.failures += 1;
            return Err(Fault::NoSpace.error());
        }
        Ok(())
    }

    fn allocate(&self, end: u64) -> io::Result<()> {
        self.change_length(Kind::Write, |length| length.max(index(end)))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change_length(Kind::Cut, |_| index(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.system.disk();
        let fault = disk.call(Kind::Sync)?;
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

    fn synced(content: &[u8]) -> (MemoryFileSystem, Box<dyn File>) {
        let (disk, file) = disk_with_a_file();
        file.write_all_at(content, 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        (disk, file)
    }

    #[test]
    fn the_same_seed_brings_the_same_faults_at_the_same_calls() {
        let run = |seed| {
            let (disk, file) = synced(&[0; 4096]);
            disk.misbehave(
                seed,
                Chances {
                    read_error: 100_000,
                    write_error: 100_000,
                    sync_error: 100_000,
                    no_space: 100_000,
                    ..Chances::default()
                },
            );
            let results: Vec<_> = (0..200_u8)
                .map(|n| {
                    let write = file.write_all_at(&[n; 700], u64::from(n) * 16);
                    let sync = file.sync_data();
                    [write.err(), sync.err(), file.len().err()]
                        .map(|error| error.and_then(|error| error.raw_os_error()))
                })
                .collect();
            disk.power_cut_by_chance(seed);
            (results, disk.failures(), disk.content(Path::new("/d/f")))
        };
        let first = run(1);
        assert!(first == run(1));
        assert!(first != run(2));
        let faults = first.0.iter().flatten().flatten().count() as u64;
        assert_eq!(first.1, faults);
        assert!((60..120).contains(&faults), "{faults} of 600 calls");
        let no_space = first.0.iter().filter(|calls| calls[0] == Some(28)).count();
        assert!((5..50).contains(&no_space), "{no_space}");
    }

    #[test]
    fn a_power_cut_by_chance_leaves_nothing_everything_a_beginning_or_a_part() {
        let mut seen = BTreeMap::new();
        for seed in 0..300 {
            let (disk, file) = synced(&[0; 8]);
            for at in 0..8 {
                file.write_all_at(&[1], at).unwrap();
            }
            disk.power_cut_by_chance(seed);
            let left = disk.content(Path::new("/d/f")).unwrap();
            *seen.entry(left).or_insert(0) += 1;
        }
        assert!(seen.len() > 50, "{}", seen.len());
        for beginning in 0..=8 {
            let mut left = [0; 8];
            left[..beginning].fill(1);
            assert!(seen.contains_key(&left[..]), "{left:?}");
        }
    }

    #[test]
    fn a_small_disk_takes_what_fits() {
        let (disk, file) = synced(&[1; 100]);
        disk.set_capacity(Some(150));
        assert_eq!(file.allocate(151).unwrap_err().raw_os_error(), Some(28));
        assert_eq!(
            file.write_all_at(&[2; 100], 90).unwrap_err().raw_os_error(),
            Some(28)
        );
        assert_eq!(file.len().unwrap(), 150);
        file.write_all_at(&[3; 150], 0).unwrap();
        file.set_len(10).unwrap();
        let other = disk.open(Path::new("/d/g"), OpenMode::CreateNew).unwrap();
        other.allocate(140).unwrap();
        assert_eq!(disk.failures(), 2);
        disk.remove(Path::new("/d/g")).unwrap();
        assert!(file.allocate(11).is_err(), "the file is open");
        drop(other);
        assert!(file.allocate(11).is_err(), "its name may come back");
        disk.sync_dir(Path::new("/d")).unwrap();
        file.allocate(150).unwrap();
    }

    #[test]
    fn a_lost_sector_is_unreadable_until_it_is_written() {
        let (disk, file) = synced(&[1; 1500]);
        let path = Path::new("/d/f");
        assert!(disk.lose_sector(path, 1));
        assert!(!disk.lose_sector(path, 3));
        let mut buffer = [0; 512];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 512);
        assert_eq!(
            file.read_at(&mut buffer, 1).unwrap_err().raw_os_error(),
            Some(5)
        );
        assert_eq!(file.read_at(&mut buffer, 1024).unwrap(), 476);
        disk.power_cut(|| false);
        let file = disk.open(path, OpenMode::Write).unwrap();
        assert!(file.read_at(&mut buffer, 600).is_err());
        file.write_all_at(&[2], 1000).unwrap();
        assert_eq!(file.read_at(&mut buffer, 600).unwrap(), 512);
    }

    #[test]
    fn a_flipped_bit_stays() {
        let (disk, _file) = synced(&[0; 4]);
        let path = Path::new("/d/f");
        assert!(disk.flip_bit(path, 9));
        assert!(!disk.flip_bit(path, 32));
        assert_eq!(disk.content(path).unwrap(), [0, 2, 0, 0]);
        disk.power_cut(|| false);
        assert_eq!(disk.content(path).unwrap(), [0, 2, 0, 0]);
    }

    #[test]
    fn a_file_without_name_and_reader_is_forgotten() {
        let (disk, file) = synced(&[0; 4]);
        disk.remove(Path::new("/d/f")).unwrap();
        drop(file);
        assert_eq!(disk.disk().inodes.len(), 1);
        let back = disk.fork();
        back.power_cut(|| false);
        assert_eq!(back.content(Path::new("/d/f")).unwrap(), [0; 4]);
        disk.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(disk.disk().inodes.len(), 0);
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
