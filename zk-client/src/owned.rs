//! A znode that lives no longer than a value.

use tokio::sync::oneshot;
use zk_proto::{OpCode, Stat};

use crate::driver::Command;
use crate::error::{Error, Kind, Outcome, Result};
use crate::handle::{Handle, SessionRef};
use crate::ops::Created;
use crate::session::CleanupTarget;

/// What deletes a znode when dropped.
#[derive(Debug)]
pub(crate) struct Undo {
    handle: Handle,
    pub(crate) target: Option<CleanupTarget>,
    /// The session that takes the znode with it when it ends; `None` for a persistent znode.
    epoch: Option<u64>,
}

impl Undo {
    /// Deletes nothing yet.
    pub(crate) fn idle(handle: &Handle, session: &SessionRef, ephemeral: bool) -> Self {
        Self {
            handle: handle.clone(),
            target: None,
            epoch: ephemeral.then(|| session.epoch()),
        }
    }

    pub(crate) fn disarm(&mut self) {
        self.target = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some(target) = self.target.take() {
            self.handle.send(Command::Cleanup {
                target,
                epoch: self.epoch,
                done: None,
            });
        }
    }
}

/// A znode that is deleted when this value is dropped: in the background, over lost connections,
/// until it is gone or, for an ephemeral one, its session is over. It is not `Clone`; share it in an
/// `Arc`. Made by [`Create::owned`](crate::Create::owned).
#[derive(Debug)]
#[must_use = "the znode is deleted when this is dropped"]
pub struct OwnedNode {
    created: Created,
    session: SessionRef,
    undo: Undo,
}

impl OwnedNode {
    pub(crate) fn new(created: Created, session: SessionRef, undo: Undo) -> Self {
        Self {
            created,
            session,
            undo,
        }
    }

    /// The path, completed by the server for a sequential znode.
    #[must_use]
    pub fn path(&self) -> &str {
        self.created.path()
    }

    /// The bookkeeping at its creation, or, when the reply to that was lost, as found afterwards.
    #[must_use]
    pub fn stat(&self) -> &Stat {
        self.created.stat()
    }

    /// Path, bookkeeping and sequence number.
    #[must_use]
    pub fn created(&self) -> &Created {
        &self.created
    }

    /// The session in which it was created.
    #[must_use]
    pub fn session(&self) -> &SessionRef {
        &self.session
    }

    /// Leaves the znode as it is.
    #[must_use = "nothing else knows the znode any longer"]
    pub fn keep(mut self) -> Created {
        self.undo.disarm();
        self.created.clone()
    }

    /// Deletes the znode and waits until it is gone. It being gone already is a success.
    ///
    /// # Errors
    /// What the server says when it refuses, [`Kind::SessionEnded`] when the session of an
    /// ephemeral znode is over (the servers delete it), [`Kind::Closed`].
    ///
    /// # Cancel safety
    /// The znode is deleted also when the future is dropped.
    pub async fn release(mut self) -> Result<()> {
        let (done, answer) = oneshot::channel();
        if let Some(target) = self.undo.target.take() {
            self.undo.handle.send(Command::Cleanup {
                target,
                epoch: self.undo.epoch,
                done: Some(done),
            });
        }
        match answer.await {
            Ok(reply) => reply
                .map(drop)
                .map_err(|error| error.map_path(|path| self.undo.handle.local(path))),
            Err(_) => {
                let path = Some(self.path().to_owned());
                Err(Error::new(
                    OpCode::DELETE,
                    path,
                    Kind::Closed,
                    Outcome::Unknown,
                ))
            }
        }
    }
}
