//! Names of files (`persistence.Util`, 3.9.5).
//!
//! Apache's server takes every `log.HEX…` and `snapshot.HEX…` for data, whatever follows the
//! number, so that files of other kinds must be named otherwise.

use std::path::{Path, PathBuf};

use zk_proto::Zxid;

use crate::error::Context;
use crate::{FileSystem, IoError, IoOp};

/// The directory within dataDir and dataLogDir.
pub(crate) const VERSION_DIR: &str = "version-2";
/// Locked while a process uses the directory.
pub(crate) const LOCK: &str = "lock";
/// See [`crate::log::mark`].
pub(crate) const MARK: &str = "flushed";
/// See [`crate::intent`].
pub(crate) const INTENT: &str = "intent";
/// See [`crate::epochs`].
pub(crate) const ACCEPTED_EPOCH: &str = "acceptedEpoch";
/// See [`crate::epochs`].
pub(crate) const CURRENT_EPOCH: &str = "currentEpoch";
/// An operator's word that an empty database is meant to be.
pub(crate) const INITIALIZE: &str = "initialize";

const LOG_PREFIX: &str = "log.";
const SNAPSHOT_PREFIX: &str = "snapshot.";
const PARTIAL_PREFIX: &str = "partial.";
const REMOVED_PREFIX: &str = "removed.";

pub(crate) fn is_log(name: &str) -> bool {
    name.starts_with(LOG_PREFIX)
}

pub(crate) fn is_snapshot(name: &str) -> bool {
    name.starts_with(SNAPSHOT_PREFIX)
}

/// Whether the file is a snapshot whose writing was not finished.
pub(crate) fn is_partial(name: &str) -> bool {
    name.starts_with(PARTIAL_PREFIX)
}

/// The name of a file that was purged and still has space.
pub(crate) fn removed(name: &str) -> String {
    format!("{REMOVED_PREFIX}{name}")
}

pub(crate) fn is_removed(name: &str) -> bool {
    name.starts_with(REMOVED_PREFIX)
}

/// The name under which a small file is written, before it takes its own.
pub(crate) fn temporary(name: &str) -> String {
    format!("{name}.tmp")
}

pub(crate) fn log(first: Zxid) -> String {
    format!("{LOG_PREFIX}{:x}", first.0)
}

pub(crate) fn snapshot(zxid: Zxid) -> String {
    format!("{SNAPSHOT_PREFIX}{:x}", zxid.0)
}

pub(crate) fn partial(zxid: Zxid) -> String {
    format!("{PARTIAL_PREFIX}{}", snapshot(zxid))
}

/// A file named by a zxid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    pub(crate) zxid: Zxid,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// The logs in `dir`, oldest first.
pub(crate) fn list_logs(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<DataFile>, IoError> {
    list(fs, dir, LOG_PREFIX, &[""])
}

/// The snapshots in `dir`, oldest first; compressed ones too.
pub(crate) fn list_snapshots(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<DataFile>, IoError> {
    list(fs, dir, SNAPSHOT_PREFIX, &["", ".gz", ".snappy"])
}

fn list(
    fs: &dyn FileSystem,
    dir: &Path,
    prefix: &str,
    suffixes: &[&str],
) -> Result<Vec<DataFile>, IoError> {
    let mut files = Vec::new();
    for entry in fs.list(dir).context(IoOp::List, dir)? {
        let Some(rest) = entry.name.strip_prefix(prefix) else {
            continue;
        };
        let (number, suffix) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
        let path = dir.join(&entry.name);
        match i64::from_str_radix(number, 16) {
            // The same number in another spelling would be another file for the same zxid.
            Ok(zxid) if suffixes.contains(&suffix) && format!("{zxid:x}") == number => {
                files.push(DataFile {
                    zxid: Zxid(zxid),
                    path,
                    bytes: entry.bytes,
                });
            }
            _ => tracing::warn!("{} is ignored: no such name is written", path.display()),
        }
    }
    files.sort_by_key(|file| file.zxid);
    Ok(files)
}
