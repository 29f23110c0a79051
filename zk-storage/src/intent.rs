//! A change of the history that takes many steps, and is one all the same: `intent` in dataDir/version-2.
//!
//! ```text
//! intent = int "ZKIN", int 1, int kind, long zxid, long snapshot, long log, long offset, long last,
//!          files snapshots, files logs, long Adler-32 of all bytes before
//! files  = int n, (long zxid, long bytes)[n]
//! ```
//!
//! It is written when everything that it needs is on disk, and removed when everything that it says
//! is done; a start that finds it does the rest. It lists the files that go, so that files which
//! another server wrote meanwhile are not taken for them: such a directory is refused.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use zk_proto::{DecodeError, Reader, Writer, Zxid};

use crate::error::Context;
use crate::log::mark::{Mark, MarkFile};
use crate::names::DataFile;
use crate::storage::Directories;
use crate::stream::{SUM_OF_NOTHING, extend_sum};
use crate::{IoError, IoOp, OpenMode, RecoverError, atomic, names};

const MAGIC: i32 = i32::from_be_bytes(*b"ZKIN");
const VERSION: i32 = 1;
const TRUNCATE: i32 = 1;
const INSTALL: i32 = 2;
/// Stands for no log.
const NO_LOG: Zxid = Zxid(-1);
/// Long zxid, long bytes.
const FILE_BYTES: usize = 16;
/// A list of files that is longer was not written here.
const INTENT_BYTES_MAX: usize = 64 << 20;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) change: Change,
    /// Snapshots that go, by zxid and length, oldest first.
    pub(crate) snapshots: Vec<(Zxid, u64)>,
    /// Logs that go, likewise.
    pub(crate) logs: Vec<(Zxid, u64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The history ends with `target` from now on.
    Truncate {
        target: Zxid,
        /// The newest snapshot that stays.
        snapshot: Zxid,
        /// The newest log that stays.
        log: Option<LastLog>,
    },
    /// The history begins with the snapshot of `zxid`, which was written under its partial name.
    Install { zxid: Zxid },
}

/// The log that becomes the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LastLog {
    /// The zxid in its name.
    pub(crate) zxid: Zxid,
    /// Where it is cut, and its newest transaction then; if it is cut.
    pub(crate) cut: Option<(u64, Zxid)>,
}

/// Lists files for an intent, by the lengths that they will have after any crash. A length that only
/// the page cache has, or that a failed sync left there, is made durable: by another write, as Linux
/// takes the pages of a failed sync for clean.
pub(crate) fn list<'a>(
    dirs: &Directories,
    files: impl IntoIterator<Item = &'a DataFile>,
) -> Result<Vec<(Zxid, u64)>, IoError> {
    let mut listed = Vec::new();
    for DataFile { zxid, path, bytes } in files {
        let file = dirs.fs.open(path, OpenMode::Write);
        let file = file.context(IoOp::Open, path)?;
        if let Some(at) = bytes.checked_sub(1) {
            let mut last = [0];
            file.read_at(&mut last, at).context(IoOp::Read, path)?;
            file.write_all_at(&last, at).context(IoOp::Write, path)?;
        }
        file.set_len(*bytes).context(IoOp::SetLength, path)?;
        file.sync_data().context(IoOp::Sync, path)?;
        listed.push((*zxid, *bytes));
    }
    Ok(listed)
}

impl Intent {
    /// Makes the intent durable, then does it. What it needs is durable already.
    ///
    /// After an error the history is the one before or the one intended, which the next start knows.
    pub(crate) fn carry_out(&self, dirs: &Directories) -> Result<(), RecoverError> {
        dirs.begin_another_history();
        atomic::replace(&*dirs.fs, &dirs.snap_dir, names::INTENT, &self.encode())?;
        self.finish(dirs)
    }

    fn finish(&self, dirs: &Directories) -> Result<(), RecoverError> {
        let mark = match self.change {
            Change::Truncate { snapshot, log, .. } => self.finish_truncate(dirs, snapshot, log)?,
            Change::Install { zxid } => {
                self.finish_install(dirs, zxid)?;
                None
            }
        };
        let (mut mark_file, _) = MarkFile::open(&*dirs.fs, &dirs.log_dir)?;
        mark_file.write(mark.unwrap_or(Mark::NOTHING))?;
        mark_file.sync()?;
        dirs.remove(&path(dirs))?;
        dirs.sync_dir(&dirs.snap_dir)?;
        Ok(())
    }

    /// What goes is the end of the history, so it goes newest first.
    fn finish_truncate(
        &self,
        dirs: &Directories,
        snapshot: Zxid,
        last: Option<LastLog>,
    ) -> Result<Option<Mark>, RecoverError> {
        let last_log = last.map_or(NO_LOG, |log| log.zxid);
        let snapshots = names::list_snapshots(&*dirs.fs, &dirs.snap_dir)?;
        let snapshots = self.after(dirs, snapshots, snapshot, &self.snapshots)?;
        let logs = names::list_logs(&*dirs.fs, &dirs.log_dir)?;
        let logs = self.after(dirs, logs, last_log, &self.logs)?;
        remove_all(dirs, &dirs.snap_dir, snapshots.iter().rev())?;
        remove_all(dirs, &dirs.log_dir, logs.iter().rev())?;
        let Some((log, (offset, zxid))) = last.and_then(|log| Some((log.zxid, log.cut?))) else {
            return Ok(None);
        };
        cut(dirs, log, offset)?;
        Ok(Some(Mark { log, offset, zxid }))
    }

    /// The new snapshot takes its name before anything goes, so that whoever reads the directory
    /// between finds it.
    fn finish_install(&self, dirs: &Directories, zxid: Zxid) -> Result<(), RecoverError> {
        let fs = &*dirs.fs;
        let partial = dirs.snap_dir.join(names::partial(zxid));
        let installed = dirs.snap_dir.join(names::snapshot(zxid));
        let is_renamed = !fs.exists(&partial).context(IoOp::Exists, &partial)?
            && fs.exists(&installed).context(IoOp::Exists, &installed)?;
        let logs = names::list_logs(fs, &dirs.log_dir)?;
        let logs = self.after(dirs, logs, NO_LOG, &self.logs)?;
        let mut snapshots = names::list_snapshots(fs, &dirs.snap_dir)?;
        if is_renamed {
            snapshots.retain(|snapshot| snapshot.path != installed);
        }
        let mut snapshots = self.after(dirs, snapshots, NO_LOG, &self.snapshots)?;
        if !is_renamed {
            fs.rename(&partial, &installed)
                .context(IoOp::Rename, &partial)?;
            snapshots.retain(|snapshot| snapshot.path != installed);
        }
        // Durable before anything goes, whoever renamed it.
        dirs.sync_dir(&dirs.snap_dir)?;
        remove_all(dirs, &dirs.log_dir, &logs)?;
        remove_all(dirs, &dirs.snap_dir, &snapshots)?;
        Ok(())
    }

    /// The files after `last`, all of which have to be listed.
    fn after(
        &self,
        dirs: &Directories,
        files: Vec<DataFile>,
        last: Zxid,
        listed: &[(Zxid, u64)],
    ) -> Result<Vec<DataFile>, RecoverError> {
        let files: Vec<_> = files.into_iter().filter(|file| file.zxid > last).collect();
        match files
            .iter()
            .find(|file| !listed.contains(&(file.zxid, file.bytes)))
        {
            Some(foreign) => Err(foreign_file(dirs, &foreign.path)),
            None => Ok(files),
        }
    }

    #[expect(
        clippy::cast_possible_wrap,
        reason = "a file's length is below i64::MAX"
    )]
    fn encode(&self) -> Vec<u8> {
        let (kind, zxid, snapshot, log) = match self.change {
            Change::Truncate {
                target,
                snapshot,
                log,
            } => (TRUNCATE, target, snapshot, log),
            Change::Install { zxid } => (INSTALL, zxid, zxid, None),
        };
        let (offset, last) = log.and_then(|log| log.cut).unwrap_or((0, Zxid::ZERO));
        let mut out = Vec::new();
        out.put_int(MAGIC);
        out.put_int(VERSION);
        out.put_int(kind);
        out.put_long(zxid.0);
        out.put_long(snapshot.0);
        out.put_long(log.map_or(NO_LOG, |log| log.zxid).0);
        out.put_long(offset as i64);
        out.put_long(last.0);
        for files in [&self.snapshots, &self.logs] {
            out.put_length(files.len());
            for (zxid, bytes) in files {
                out.put_long(zxid.0);
                out.put_long(*bytes as i64);
            }
        }
        let sum = extend_sum(SUM_OF_NOTHING, &out);
        out.put_long(i64::from(sum));
        out
    }

    fn decode(content: &[u8]) -> Result<Self, DecodeError> {
        let summed = content.len().saturating_sub(size_of::<i64>());
        let sum = extend_sum(SUM_OF_NOTHING, content.get(..summed).unwrap_or_default());
        let content = Bytes::copy_from_slice(content);
        let mut reader = Reader::new(&content);
        let head = (reader.i32()?, reader.i32()?, reader.i32()?);
        let zxid = Zxid(reader.i64()?);
        let snapshot = Zxid(reader.i64()?);
        let log = Zxid(reader.i64()?);
        let offset = reader.i64()?;
        let last = Zxid(reader.i64()?);
        let files = |reader: &mut Reader<'_>| {
            reader.vec(FILE_BYTES, |reader| {
                let zxid = Zxid(reader.i64()?);
                let bytes = reader.i64()?;
                Ok((zxid, bytes.unsigned_abs()))
            })
        };
        let snapshots = files(&mut reader)?;
        let logs = files(&mut reader)?;
        let seen = reader.i64()?;
        if seen != i64::from(sum) {
            return Err(DecodeError::BadChecksum {
                what: "intent",
                seen: seen.unsigned_abs(),
                computed: u64::from(sum),
            });
        }
        let change = match head {
            (MAGIC, VERSION, TRUNCATE) => Change::Truncate {
                target: zxid,
                snapshot,
                log: (log != NO_LOG).then_some(LastLog {
                    zxid: log,
                    cut: (offset != 0).then_some((offset.unsigned_abs(), last)),
                }),
            },
            (MAGIC, VERSION, INSTALL) => Change::Install { zxid },
            (_, _, kind) => {
                return Err(DecodeError::BadValue {
                    what: "intent",
                    seen: i64::from(kind),
                });
            }
        };
        Ok(Self {
            change,
            snapshots,
            logs,
        })
    }
}

/// Does what an intent says that an earlier life left. The history may be read after that.
pub(crate) fn complete(dirs: &Directories) -> Result<(), RecoverError> {
    let path = path(dirs);
    let Some(content) = atomic::read(&*dirs.fs, &path, INTENT_BYTES_MAX)? else {
        return Ok(());
    };
    let intent = Intent::decode(&content)
        .map_err(|source| RecoverError::UnreadableIntent { path, source })?;
    // The name may be in the page cache alone, and what is done for it must not outlive it.
    dirs.sync_dir(&dirs.snap_dir)?;
    tracing::info!(
        "a crash interrupted a change of the history: {:?} is completed",
        intent.change
    );
    intent.finish(dirs)
}

fn path(dirs: &Directories) -> PathBuf {
    dirs.snap_dir.join(names::INTENT)
}

fn foreign_file(dirs: &Directories, file: &Path) -> RecoverError {
    RecoverError::ForeignFile {
        file: file.to_owned(),
        intent: path(dirs),
    }
}

fn remove_all<'a>(
    dirs: &Directories,
    dir: &Path,
    files: impl IntoIterator<Item = &'a DataFile>,
) -> Result<(), IoError> {
    for file in files {
        dirs.remove(&file.path)?;
    }
    // What an earlier life removed may not be durable either.
    dirs.sync_dir(dir)
}

fn cut(dirs: &Directories, log: Zxid, offset: u64) -> Result<(), RecoverError> {
    let path = dirs.log_dir.join(names::log(log));
    let file = dirs
        .fs
        .open(&path, OpenMode::Write)
        .context(IoOp::Open, &path)?;
    if file.len().context(IoOp::Length, &path)? < offset {
        return Err(foreign_file(dirs, &path));
    }
    file.set_len(offset).context(IoOp::SetLength, &path)?;
    file.sync_data().context(IoOp::Sync, &path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents() -> [Intent; 4] {
        let truncate = |log| Change::Truncate {
            target: Zxid(0x2_0000_0007),
            snapshot: Zxid(0x1_0000_0009),
            log,
        };
        let cut = Some((1234, Zxid(0x2_0000_0007)));
        let zxid = Zxid(0x2_0000_0001);
        let changes = [
            truncate(None),
            truncate(Some(LastLog { zxid, cut: None })),
            truncate(Some(LastLog { zxid, cut })),
            Change::Install { zxid },
        ];
        changes.map(|change| Intent {
            change,
            snapshots: vec![(Zxid(0x2_0000_0009), 100), (Zxid(0x3_0000_0000), 0)],
            logs: vec![(Zxid(0x2_0000_0008), 67_108_864)],
        })
    }

    #[test]
    fn an_intent_is_read_back() {
        for intent in intents() {
            assert_eq!(Intent::decode(&intent.encode()).unwrap(), intent);
        }
    }

    #[test]
    fn an_intent_with_any_flipped_bit_or_cut_anywhere_is_refused() {
        for intent in intents() {
            let whole = intent.encode();
            for bit in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(Intent::decode(&damaged).is_err(), "bit {bit}");
            }
            for length in 0..whole.len() {
                assert!(Intent::decode(&whole[..length]).is_err(), "cut to {length}");
            }
        }
    }
}
