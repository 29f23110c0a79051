//! Writing and purging snapshots.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_proto::{
    Acl, Record, SnapshotHeader, SnapshotNode, SnapshotSession, TxnDigest, Writer, Zxid,
};

use super::{END_PATH, SnapshotReadError, SnapshotTrailer, body, looks_finished};
use crate::error::Context;
use crate::names::DataFile;
use crate::recover::{RecoveredFrom, RecoveryReport};
use crate::storage::Directories;
use crate::stream::{SUM_OF_NOTHING, extend_sum};
use crate::{
    File, FileSystem, IoError, IoOp, OpenMode, SnapshotError, atomic, names, read_snapshot,
};

/// Bytes that are encoded before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// Bytes that are written before they are synced: a log on the same disk waits for so much of a
/// snapshot at most.
const SYNC_BYTES: u64 = 1 << 20;

/// A state at one zxid, as a snapshot takes it.
pub trait SnapshotSource {
    /// The open sessions.
    fn sessions(&self) -> Vec<SnapshotSession>;

    /// The ACLs, by the numbers that znodes name them by; the open ACL, −1, is left out.
    fn acls(&self) -> Vec<(i64, Vec<Acl>)>;

    /// Shows every znode, a parent before its children, the root (with the empty path) first; ends
    /// early when told to.
    fn nodes(&self, visit: &mut dyn FnMut(SnapshotNode<'_>) -> ControlFlow<()>);
}

/// A snapshot on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFile {
    /// The file.
    pub path: PathBuf,
    /// The newest transaction in it.
    pub zxid: Zxid,
    /// Its length.
    pub bytes: u64,
}

/// Writes and purges snapshots. It may live in another thread than the log.
#[derive(Debug)]
pub struct Snapshots {
    dirs: Arc<Directories>,
    /// The newest snapshot that was read whole in this process; none is removed from it on.
    verified: Option<Zxid>,
}

impl Snapshots {
    pub(crate) fn new(dirs: Arc<Directories>, report: &RecoveryReport) -> Self {
        let verified = match &report.from {
            RecoveredFrom::Snapshot { zxid, .. } => Some(*zxid),
            RecoveredFrom::Empty | RecoveredFrom::Unexpected => None,
        };
        if verified.is_some() {
            dirs.snapshot_exists();
        }
        Self { dirs, verified }
    }

    pub(crate) fn into_dirs(self) -> Arc<Directories> {
        self.dirs
    }

    /// Writes a snapshot that holds all transactions up to `zxid` and nothing else: under a
    /// temporary name, synced, read back, then renamed, and the directory synced. `digest` is the
    /// tree's, if it is kept. Servers of 3.8 and 3.9 read it; those of 3.8 leave the last trailer
    /// alone.
    ///
    /// # Errors
    /// [`SnapshotError`]. The temporary file is removed if it can be, and by the next start
    /// otherwise; writing may be tried again.
    pub fn write(
        &mut self,
        source: &dyn SnapshotSource,
        zxid: Zxid,
        digest: Option<TxnDigest>,
    ) -> Result<SnapshotFile, SnapshotError> {
        let partial = self.dirs.snap_dir.join(names::partial(zxid));
        let result = self.write_partial(&partial, source, zxid, digest);
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                if let Err(left) = self.dirs.remove(&partial) {
                    tracing::warn!("an unfinished snapshot is left: {left}");
                }
                return Err(error);
            }
        };
        let path = self.dirs.snap_dir.join(names::snapshot(zxid));
        self.dirs
            .fs
            .rename(&partial, &path)
            .context(IoOp::Rename, &partial)?;
        self.dirs.sync_dir(&self.dirs.snap_dir)?;
        self.verified = self.verified.max(Some(zxid));
        self.dirs.snapshot_exists();
        Ok(SnapshotFile { path, zxid, bytes })
    }

    fn write_partial(
        &self,
        path: &Path,
        source: &dyn SnapshotSource,
        zxid: Zxid,
        digest: Option<TxnDigest>,
    ) -> Result<u64, SnapshotError> {
        let fs = &*self.dirs.fs;
        let mut output = Output::create(fs, path)?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES + BUFFER_BYTES / 4);
        let mut spill = |buffer: &mut Vec<u8>| {
            let result = output.put(buffer);
            buffer.clear();
            result
        };
        let parts = body::encode(source, &mut buffer, BUFFER_BYTES, &mut spill)?;
        spill(&mut buffer)?;
        output.finish(&self.dirs, parts, zxid, digest.map(|digest| (zxid, digest)))
    }

    /// Removes all snapshots but the newest `retain` valid ones, and all logs that none of those
    /// needs: the one that starts at or before the oldest of them is kept, as are all after it
    /// (`PurgeTxnLog`, 3.9.5). The newest snapshot that was read whole is kept in any case. Returns
    /// the removed files; their space is left to [`Space`](crate::Space).
    ///
    /// A log that begins meanwhile is newer than all of these, so this may run beside the log.
    ///
    /// # Errors
    /// [`IoError`]; every snapshot that is left has its logs.
    pub fn purge(&mut self, retain: NonZeroUsize) -> Result<Vec<PathBuf>, IoError> {
        let fs = &*self.dirs.fs;
        let snapshots = names::list_snapshots(fs, &self.dirs.snap_dir)?;
        let Some(oldest) = self.oldest_to_keep(&snapshots, retain)? else {
            return Ok(Vec::new());
        };
        let logs = names::list_logs(fs, &self.dirs.log_dir)?;
        let oldest_log = logs
            .iter()
            .map(|log| log.zxid)
            .rfind(|&first| first <= oldest)
            .unwrap_or(oldest);

        // Snapshots before the logs they need: after a crash at any point every snapshot that is left
        // has its logs. The logs one by one, oldest first: what is left of them has no hole, which zxids
        // would not tell where a newer epoch begins.
        let before = |files: Vec<DataFile>, zxid| files.into_iter().filter(move |f| f.zxid < zxid);
        let mut removed = Vec::new();
        for snapshot in before(snapshots, oldest) {
            self.dirs.discard(&snapshot.path)?;
            removed.push(snapshot.path);
        }
        if !removed.is_empty() {
            self.dirs.sync_dir(&self.dirs.snap_dir)?;
        }
        for log in before(logs, oldest_log) {
            self.dirs.discard(&log.path)?;
            self.dirs.sync_log_dir()?;
            removed.push(log.path);
        }
        Ok(removed)
    }

    /// The oldest snapshot that stays; `None` when nothing may be removed.
    fn oldest_to_keep(
        &self,
        snapshots: &[DataFile],
        retain: NonZeroUsize,
    ) -> Result<Option<Zxid>, IoError> {
        let Some(verified) = self.verified else {
            return Ok(None);
        };
        let mut oldest = verified;
        let mut kept = 0;
        for snapshot in snapshots.iter().rev() {
            if kept == retain.get() {
                break;
            }
            if looks_finished(&*self.dirs.fs, &snapshot.path, snapshot.bytes)? {
                kept += 1;
                oldest = oldest.min(snapshot.zxid);
            }
        }
        Ok(Some(oldest))
    }

    /// Bytes in the snapshot directory and in the log directory, as the `dirs` command shows them.
    ///
    /// # Errors
    /// [`IoError`].
    pub fn sizes(&self) -> Result<(u64, u64), IoError> {
        let size = |dir: &Path| {
            let entries = self.dirs.fs.list(dir).context(IoOp::List, dir)?;
            Ok(entries.iter().map(|entry| entry.bytes).sum())
        };
        Ok((size(&self.dirs.snap_dir)?, size(&self.dirs.log_dir)?))
    }
}

/// What is compared after reading back; the checksums compare the rest.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    parts: u64,
    trailer: SnapshotTrailer,
}

/// A snapshot file that is being written.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: Box<dyn File>,
    written: u64,
    synced: u64,
    /// Adler-32 of all that was written.
    sum: u32,
}

impl Output {
    /// Makes the file, in the place of one that an earlier attempt left, and writes the header.
    pub(super) fn create(fs: &dyn FileSystem, path: &Path) -> Result<Self, IoError> {
        atomic::remove_if_there(fs, path)?;
        let file = fs
            .open(path, OpenMode::CreateNew)
            .context(IoOp::Create, path)?;
        let mut output = Self {
            path: path.to_owned(),
            file,
            written: 0,
            synced: 0,
            sum: SUM_OF_NOTHING,
        };
        output.put(&SnapshotHeader::default().to_bytes())?;
        Ok(output)
    }

    /// Writes a piece of the body.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), IoError> {
        self.sum = extend_sum(self.sum, bytes);
        self.file
            .write_all_at(bytes, self.written)
            .context(IoOp::Write, &self.path)?;
        self.written += bytes.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data().context(IoOp::Sync, &self.path)?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Seals the body, syncs the file, and reads it back. Returns its length.
    ///
    /// A digest always stands there: Apache's server reads the zxid where the digest would be
    /// otherwise. Zero stands for none, as in Apache's server.
    pub(super) fn finish(
        mut self,
        dirs: &Directories,
        parts: u64,
        zxid: Zxid,
        digest: Option<(Zxid, TxnDigest)>,
    ) -> Result<u64, SnapshotError> {
        let none = TxnDigest {
            version: TxnDigest::VERSION,
            tree_digest: 0,
        };
        let last_zxid = dirs.config.snapshot_last_zxid.then_some(zxid);
        let mut tail = Vec::new();
        self.seal(&mut tail);
        let (digest_zxid, tree_digest) = digest.unwrap_or((Zxid::ZERO, none));
        tail.put_long(digest_zxid.0);
        tree_digest.encode(&mut tail);
        self.seal(&mut tail);
        if let Some(last_zxid) = last_zxid {
            tail.put_long(last_zxid.0);
            self.seal(&mut tail);
        }
        self.put(&tail)?;
        self.file.sync_data().context(IoOp::Sync, &self.path)?;
        let trailer = SnapshotTrailer {
            digest: digest.filter(|&(zxid, _)| zxid != Zxid::ZERO),
            last_zxid,
        };
        self.read_back(&*dirs.fs, &Written { parts, trailer })?;
        Ok(self.written)
    }

    /// A seal is of all that was written, and of the tail before it.
    fn seal(&self, tail: &mut Vec<u8>) {
        tail.put_long(i64::from(extend_sum(self.sum, tail)));
        tail.put_string(END_PATH);
    }

    fn read_back(&self, fs: &dyn FileSystem, written: &Written) -> Result<(), SnapshotError> {
        let mut parts = 0;
        let trailer = read_snapshot(fs, &self.path, |_, _| {
            parts += 1;
            Ok(())
        });
        let what = match trailer {
            Ok(trailer) => {
                let read = Written { parts, trailer };
                if read == *written {
                    return Ok(());
                }
                format!("{read:?}, expected {written:?}")
            }
            Err(SnapshotReadError::Io(error)) => return Err(error.into()),
            Err(error) => error.to_string(),
        };
        Err(SnapshotError::NotAsWritten {
            path: self.path.clone(),
            what,
        })
    }
}
