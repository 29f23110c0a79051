//! The two promises of a member of an ensemble that outlive it: `acceptedEpoch`, the newest epoch
//! that it lets a leader begin, and `currentEpoch`, the newest one whose leader's history it holds.
//!
//! Decimal text in dataDir/version-2, as in Apache's server (`QuorumPeer`, 3.9.5). A standalone
//! server neither reads nor makes them.

use std::sync::Arc;

use zk_proto::Zxid;

use crate::storage::Directories;
use crate::{EpochError, IoError, atomic, names};

/// More than this is not looked at, and no first line is so long: a number has at most ten digits.
const TEXT_BYTES_MAX: usize = 64;

/// The epoch files, not yet read: a standalone server leaves them alone.
#[derive(Debug)]
pub struct EpochFiles {
    dirs: Arc<Directories>,
    last_zxid: Zxid,
}

/// The accepted and the current epoch. What is set is in the file, durably, before it is in memory.
///
/// A message that tells another server of an epoch is sent after the call that sets it returned.
#[derive(Debug)]
pub struct Epochs {
    dirs: Arc<Directories>,
    accepted: u32,
    current: u32,
}

impl EpochFiles {
    pub(crate) fn new(dirs: Arc<Directories>, last_zxid: Zxid) -> Self {
        Self { dirs, last_zxid }
    }

    /// Reads both files, as a member of an ensemble does before it votes. A missing one is made, with
    /// the epoch of the newest transaction, which is the rule for a standalone server's directory. A
    /// history that reaches into a newer epoch than `currentEpoch` raises it: see
    /// `docs/adr/0003-epoch-behind-the-history.md`.
    ///
    /// # Errors
    /// [`EpochError`]: the server must not vote.
    pub fn load(self) -> Result<Epochs, EpochError> {
        let of_history = self.last_zxid.epoch();
        let current = self.load_or_make(names::CURRENT_EPOCH, of_history)?;
        let accepted = self.load_or_make(names::ACCEPTED_EPOCH, of_history)?;
        let dir = || self.dirs.snap_dir.clone();
        if accepted < current {
            return Err(EpochError::Contradiction {
                accepted,
                current,
                dir: dir(),
            });
        }
        if accepted < of_history {
            return Err(EpochError::Lost {
                accepted,
                last_zxid: self.last_zxid,
                dir: dir(),
            });
        }
        let mut epochs = Epochs {
            dirs: self.dirs,
            accepted,
            current,
        };
        if current < of_history {
            tracing::warn!(
                "the current epoch was {current}, and is that of the newest transaction, {}: a \
                 crash came between the two",
                self.last_zxid
            );
            epochs.set_current(of_history)?;
        }
        Ok(epochs)
    }

    fn load_or_make(&self, name: &str, epoch: u32) -> Result<u32, EpochError> {
        if let Some(epoch) = read(&self.dirs, name)? {
            return Ok(epoch);
        }
        write(&self.dirs, name, epoch)?;
        Ok(epoch)
    }
}

impl Epochs {
    /// The newest epoch that this server lets a leader begin.
    #[must_use]
    pub fn accepted(&self) -> u32 {
        self.accepted
    }

    /// The newest epoch whose leader's history this server holds. It votes with this one.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Promises to follow no leader of an epoch before `epoch`.
    ///
    /// # Errors
    /// [`IoError`], which is final: which promise is on disk is known again only after a start.
    ///
    /// # Panics
    /// When a newer epoch was promised.
    pub fn set_accepted(&mut self, epoch: u32) -> Result<(), IoError> {
        assert!(
            epoch >= self.accepted,
            "epoch {} was accepted, {epoch} is older",
            self.accepted
        );
        if epoch > self.accepted {
            write(&self.dirs, names::ACCEPTED_EPOCH, epoch)?;
            self.accepted = epoch;
        }
        Ok(())
    }

    /// States that the history of the leader of `epoch` is on disk.
    ///
    /// # Errors
    /// [`IoError`], which is final, as for [`set_accepted`](Self::set_accepted).
    ///
    /// # Panics
    /// When a newer epoch was current, or this one was not accepted.
    pub fn set_current(&mut self, epoch: u32) -> Result<(), IoError> {
        assert!(
            (self.current..=self.accepted).contains(&epoch),
            "epoch {} was current and {} accepted, {epoch} lies not between them",
            self.current,
            self.accepted
        );
        if epoch > self.current {
            write(&self.dirs, names::CURRENT_EPOCH, epoch)?;
            self.current = epoch;
        }
        Ok(())
    }
}

fn write(dirs: &Directories, name: &str, epoch: u32) -> Result<(), IoError> {
    atomic::replace(
        &*dirs.fs,
        &dirs.snap_dir,
        name,
        epoch.to_string().as_bytes(),
    )
}

/// The first line as a number, which is what Apache's server reads.
fn read(dirs: &Directories, name: &str) -> Result<Option<u32>, EpochError> {
    let path = dirs.snap_dir.join(name);
    let Some(content) = atomic::read(&*dirs.fs, &path, TEXT_BYTES_MAX)? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&content);
    let line = text
        .lines()
        .next()
        .filter(|line| line.len() < TEXT_BYTES_MAX);
    match line.map(str::parse) {
        Some(Ok(epoch)) => Ok(Some(epoch)),
        Some(Err(_)) | None => Err(EpochError::Unreadable {
            path,
            content: text.into_owned(),
        }),
    }
}
