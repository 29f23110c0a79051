//! The learner's side of SNAP: a snapshot that arrives takes the place of the whole history.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use zk_proto::quorum::SNAPSHOT_SIGNATURE;
use zk_proto::{TxnDigest, Writer, Zxid};

use super::body::{BodyDecoder, Progress};
use super::writer::Output;
use super::{SnapshotPart, SnapshotReadError, SnapshotTrailer};
use crate::intent::{Change, Intent};
use crate::log::mark::MarkFile;
use crate::recover::remove_partial_snapshots;
use crate::storage::Directories;
use crate::{
    InstallError, IoError, RecoverError, Recovered, RecoveredFrom, RecoveryReport, Restore,
    Storage, intent, names,
};

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// A snapshot that a leader sends, on its way into memory and onto the disk.
///
/// The history on disk is whole until [`finish`](Self::finish) has made sure that the snapshot
/// replaces it. The state in memory is not: after anything but a successful `finish` it has to be
/// [recovered](Storage::recover) anew.
#[derive(Debug)]
pub struct SnapshotInstall {
    dirs: Arc<Directories>,
    zxid: Zxid,
    output: Output,
    decoder: BodyDecoder,
    parts: u64,
    /// Whole parts that were not written yet.
    unwritten: Vec<u8>,
    /// The beginning of a part, and how many bytes are needed to go on.
    pending: BytesMut,
    needed: usize,
    /// Where that part starts on the stream.
    offset: u64,
    awaits: Awaits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Body,
    Signature,
    Nothing,
}

impl SnapshotInstall {
    pub(crate) fn begin(
        dirs: Arc<Directories>,
        zxid: Zxid,
        into: &mut impl Restore,
    ) -> Result<Self, RecoverError> {
        intent::complete(&dirs)?;
        remove_partial_snapshots(&dirs)?;
        let output = Output::create(&*dirs.fs, &dirs.snap_dir.join(names::partial(zxid)))?;
        into.begin();
        Ok(Self {
            dirs,
            zxid,
            output,
            decoder: BodyDecoder::new(),
            parts: 0,
            unwritten: Vec::new(),
            pending: BytesMut::new(),
            needed: 0,
            offset: 0,
            awaits: Awaits::Body,
        })
    }

    /// Takes the next bytes of the stream. Returns `None` while there is more to come, and then what
    /// follows the snapshot; [`Restore::snapshot_done`] was called in that case. It may wait for the
    /// disk.
    ///
    /// # Errors
    /// [`SnapshotReadError`], with the offset on the stream. Only [`abandon`](Self::abandon) is left
    /// then.
    ///
    /// # Panics
    /// When the snapshot had come to its end.
    pub fn feed(
        &mut self,
        bytes: Bytes,
        into: &mut impl Restore,
    ) -> Result<Option<Bytes>, SnapshotReadError> {
        assert_ne!(self.awaits, Awaits::Nothing, "the snapshot is complete");
        let window = if self.pending.is_empty() {
            bytes
        } else {
            self.pending.extend_from_slice(&bytes);
            if self.pending.len() < self.needed {
                return Ok(None);
            }
            self.pending.split().freeze()
        };
        let body = self.body(&window, into)?;
        let mut rest = window.slice(body..);
        if self.awaits == Awaits::Signature && self.signature(&rest)? {
            into.snapshot_done(self.zxid, SnapshotTrailer::default())
                .map_err(|source| SnapshotReadError::Refused {
                    offset: self.offset,
                    source,
                })?;
            self.awaits = Awaits::Nothing;
            return Ok(Some(rest.split_off(signature().len())));
        }
        self.pending.extend_from_slice(&rest);
        Ok(None)
    }

    /// Takes the parts that the window holds whole, and returns how many bytes they are.
    fn body(
        &mut self,
        window: &Bytes,
        into: &mut impl Restore,
    ) -> Result<usize, SnapshotReadError> {
        if self.awaits != Awaits::Body {
            return Ok(0);
        }
        let parts = &mut self.parts;
        let (consumed, progress) = self.decoder.decode(window, self.offset, |_, part| {
            *parts += 1;
            match part {
                SnapshotPart::Session(session) => into.session(session),
                SnapshotPart::Acl(id, acl) => into.acl(id, acl),
                SnapshotPart::Node(node) => into.node(node),
            }
        })?;
        self.offset += consumed as u64;
        match progress {
            Progress::Needs(needed, _) => self.needed = needed,
            Progress::Done => {
                self.awaits = Awaits::Signature;
                self.needed = 0;
            }
        }
        self.unwritten
            .extend_from_slice(window.get(..consumed).unwrap_or_default());
        if self.unwritten.len() >= WRITE_BYTES || self.awaits == Awaits::Signature {
            self.output.put(&self.unwritten)?;
            self.unwritten.clear();
        }
        Ok(consumed)
    }

    /// Whether the signature is there. What differs from it is known at the first byte.
    fn signature(&self, seen: &[u8]) -> Result<bool, SnapshotReadError> {
        let expected = signature();
        let length = seen.len().min(expected.len());
        if seen.get(..length) != expected.get(..length) {
            return Err(SnapshotReadError::Invalid {
                offset: self.offset,
                what: format!("the nodes are not followed by {SNAPSHOT_SIGNATURE:?}"),
            });
        }
        Ok(length == expected.len())
    }

    /// Makes the snapshot durable, and lets it take the place of all logs and snapshots: this is one
    /// step, which a crash leaves undone or to the next [`Storage::recover`] to complete. `digest` is
    /// the tree's after the transaction given with it, which is a later one where the state shows more
    /// than its own, if it is kept. The log goes on with the transaction after the
    /// snapshot's.
    ///
    /// # Errors
    /// [`InstallError`], which is final. The history on disk is the one before or the new one, which
    /// the next start knows.
    ///
    /// # Panics
    /// When the snapshot has not come to its end.
    pub fn finish(self, digest: Option<(Zxid, TxnDigest)>) -> Result<Recovered, InstallError> {
        assert_eq!(self.awaits, Awaits::Nothing, "the snapshot is not complete");
        let Self { dirs, zxid, .. } = self;
        let bytes = self.output.finish(&dirs, self.parts, zxid, digest)?;
        replace_history(&dirs, zxid)?;
        let (mark, _) = MarkFile::open(&*dirs.fs, &dirs.log_dir).map_err(RecoverError::from)?;
        let report = RecoveryReport {
            from: RecoveredFrom::Snapshot {
                path: dirs.snap_dir.join(names::snapshot(zxid)),
                zxid,
                bytes,
            },
            last_zxid: zxid,
            txns: 0,
            skipped: Vec::new(),
            torn: None,
        };
        Ok(Recovered::new(dirs, mark, report))
    }

    /// Gives up what has arrived. The history on disk is as it was, and is to be recovered.
    ///
    /// # Errors
    /// [`IoError`].
    pub fn abandon(self) -> Result<Storage, IoError> {
        let Self { dirs, output, .. } = self;
        drop(output);
        remove_partial_snapshots(&dirs)?;
        Ok(Storage::of(dirs))
    }
}

fn signature() -> Vec<u8> {
    let mut signature = Vec::new();
    signature.put_string(SNAPSHOT_SIGNATURE);
    signature
}

/// Lets the snapshot, which is on disk under its partial name, replace everything.
fn replace_history(dirs: &Directories, zxid: Zxid) -> Result<(), RecoverError> {
    let snapshots = names::list_snapshots(&*dirs.fs, &dirs.snap_dir)?;
    let logs = names::list_logs(&*dirs.fs, &dirs.log_dir)?;
    let intent = Intent {
        change: Change::Install { zxid },
        snapshots: intent::list(dirs, &snapshots)?,
        logs: intent::list(dirs, &logs)?,
    };
    // The name that it needs.
    dirs.sync_dir(&dirs.snap_dir)?;
    intent.carry_out(dirs)
}
