//! A small file that is replaced in one step.

use std::path::Path;

use crate::error::Context;
use crate::{FileSystem, IoError, IoOp, OpenMode, names};

/// Replaces the file `name` in `dir`, durably: after a crash at any point the file is the one before
/// or has all of `content`. The temporary name is Apache's (`AtomicFileOutputStream`, 3.9.5), which
/// does not sync the directory.
///
/// # Errors
/// [`IoError`]: which of the two the file is, is known again only when it is read.
pub fn replace(fs: &dyn FileSystem, dir: &Path, name: &str, content: &[u8]) -> Result<(), IoError> {
    let temporary = dir.join(names::temporary(name));
    remove_if_there(fs, &temporary)?;
    let file = fs
        .open(&temporary, OpenMode::CreateNew)
        .context(IoOp::Create, &temporary)?;
    file.write_all_at(content, 0)
        .context(IoOp::Write, &temporary)?;
    file.sync_data().context(IoOp::Sync, &temporary)?;
    fs.rename(&temporary, &dir.join(name))
        .context(IoOp::Rename, &temporary)?;
    fs.sync_dir(dir).context(IoOp::SyncDir, dir)
}

/// Reads at most the first `bytes_max` bytes of a file, if it is there.
///
/// # Errors
/// [`IoError`]: what the system says.
pub fn read(
    fs: &dyn FileSystem,
    path: &Path,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, IoError> {
    if !fs.exists(path).context(IoOp::Exists, path)? {
        return Ok(None);
    }
    let file = fs.open(path, OpenMode::Read).context(IoOp::Open, path)?;
    let bytes = file.len().context(IoOp::Length, path)?;
    let mut content = vec![0; usize::try_from(bytes).map_or(bytes_max, |all| all.min(bytes_max))];
    let read = file.read_at(&mut content, 0).context(IoOp::Read, path)?;
    content.truncate(read);
    Ok(Some(content))
}

/// Removes a file, if it is there. The name is gone for certain when the directory is synced.
///
/// # Errors
/// [`IoError`]: what the system says.
pub fn remove_if_there(fs: &dyn FileSystem, path: &Path) -> Result<bool, IoError> {
    let is_there = fs.exists(path).context(IoOp::Exists, path)?;
    if is_there {
        fs.remove(path).context(IoOp::Remove, path)?;
    }
    Ok(is_there)
}

/// Makes the names in a directory durable.
///
/// # Errors
/// [`IoError`]: what the system says.
pub fn sync_dir(fs: &dyn FileSystem, dir: &Path) -> Result<(), IoError> {
    fs.sync_dir(dir).context(IoOp::SyncDir, dir)
}
