//! Holding something: proof of it, and the signal that it is over.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, debug_span, info};
use zk_client::{OwnedNode, SessionEnd, SessionRef, State, Txn, WatchEvent, Zxid};

use crate::contest::Contender;
use crate::error::{Lost, passes};

/// A number that grows from holder to holder. A service that remembers the greatest one it has seen
/// and refuses smaller ones is safe from holders that do not know yet that they have lost
/// (M. Kleppmann, *How to do distributed locking*).
///
/// It is the `czxid` of the holder's znode, so it grows over the life of the ensemble, whatever
/// becomes of the directory; it does not survive a wipe of the ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(i64);

impl FencingToken {
    /// The number, for services that keep it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl From<Zxid> for FencingToken {
    fn from(czxid: Zxid) -> Self {
        Self(czxid.0)
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a holder without a connection counts as having lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LossPolicy {
    /// As soon as the connection is lost, as Curator does by default: no other holder can exist
    /// yet, and every short cut ends the work.
    OnSuspend,
    /// When the session may have expired as far as the client can tell: at
    /// [`valid_until`](Term::valid_until), before any server lets another one in.
    #[default]
    LeaseDeadline,
    /// When the session is over. Between its expiry on the servers and the client's hearing of it
    /// there may be two holders, so it is only for work in which every effect is fenced.
    OnExpiry,
}

/// Why a holder has lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LossReason {
    /// The session is over, and the servers delete its znodes.
    #[error("the session is over: {0}")]
    SessionEnded(SessionEnd),
    /// The connection was lost, under [`LossPolicy::OnSuspend`].
    #[error("the connection was lost")]
    Suspended,
    /// No server has confirmed the session for too long, under [`LossPolicy::LeaseDeadline`].
    #[error("the session may have expired")]
    LeaseExpired,
    /// Somebody else deleted the znode.
    #[error("the znode was deleted")]
    Removed,
    /// A server refuses to say whether the znode still exists.
    #[error("the znode cannot be watched: {0}")]
    Unwatched(zk_client::Error),
}

/// One time of holding, from winning to losing or releasing. A clone is knowledge about it; what
/// holds is the guard, [`LockGuard`](crate::LockGuard) or [`LeaderGuard`](crate::LeaderGuard).
#[derive(Debug, Clone)]
pub struct Term {
    path: Arc<str>,
    token: FencingToken,
    session: SessionRef,
    lost: CancellationToken,
    reason: Arc<OnceLock<LossReason>>,
}

impl Term {
    /// The holder's znode, as the recipe's handle sees paths.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What to fence effects outside of ZooKeeper with.
    #[must_use]
    pub const fn token(&self) -> FencingToken {
        self.token
    }

    /// Cancelled when the holder has lost, for whatever reason but its own release. Never cancelled
    /// too late by itself, but a paused process learns of it late: fence what must not happen twice.
    #[must_use]
    pub const fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Why the holder has lost; `None` while it has not.
    #[must_use]
    pub fn loss(&self) -> Option<Lost> {
        let reason = self.reason.get()?.clone();
        let token = self.token;
        Some(Lost { reason, token })
    }

    /// Until when nobody else can hold, as far as is known by now; see
    /// [`SessionRef::valid_until`]. It moves on while the session is alive.
    #[must_use]
    pub fn valid_until(&self) -> Instant {
        self.session.valid_until()
    }

    /// Does work for as long as the holder has not lost: then the work is dropped where it waits.
    ///
    /// # Errors
    /// [`Lost`]; then the work may be done in part.
    ///
    /// # Cancel safety
    /// That of the work.
    pub async fn run<F: Future>(&self, work: F) -> Result<F::Output, Lost> {
        tokio::select! {
            biased;
            () = self.lost.cancelled() => {
                Err(self.loss().expect("the reason is stored before the token is cancelled"))
            }
            output = work => Ok(output),
        }
    }

    /// Adds a condition to a transaction: it fails with [`Kind::NoNode`](zk_client::Kind::NoNode),
    /// at this place, unless the holder's znode exists. So nothing is written by a holder that has
    /// lost, whatever it knows. The transaction is of a handle with the same root as the recipe's.
    ///
    /// ```no_run
    /// # async fn doc(zk: zk_client::Client, guard: zk_recipes::LockGuard) -> zk_client::Result<()> {
    /// zk.txn().with(|txn| guard.fence(txn)).set("/state", "done").commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fence(&self, txn: Txn) -> Txn {
        // The name is unique, so existence is identity; the data may have been replaced.
        txn.check(&*self.path, None)
    }

    fn lose(&self, reason: LossReason) {
        info!(path = &*self.path, token = %self.token, %reason, "lost");
        self.reason.get_or_init(|| reason);
        self.lost.cancel();
    }
}

/// A contender in the first place: its znode, and the task that watches over it.
#[derive(Debug)]
pub(crate) struct Holding {
    /// Dropped before the znode, whose deletion it would take for a loss.
    watching: AbortOnDropHandle<()>,
    node: OwnedNode,
    directory: String,
    term: Term,
}

impl Holding {
    pub(crate) fn new(node: OwnedNode, directory: String, policy: LossPolicy) -> Self {
        let term = Term {
            path: node.path().into(),
            token: node.stat().czxid.into(),
            session: node.session().clone(),
            lost: CancellationToken::new(),
            reason: Arc::default(),
        };
        let span = debug_span!(
            target: "zk_recipes", "term", zk.path = node.path(), zk.token = %term.token,
        );
        let watching = tokio::spawn(watch_over(term.clone(), policy).instrument(span));
        Self {
            watching: AbortOnDropHandle::new(watching),
            node,
            directory,
            term,
        }
    }

    pub(crate) const fn term(&self) -> &Term {
        &self.term
    }

    /// The place in the queue, if the znode may still be there.
    pub(crate) fn into_contender(self) -> Option<Contender> {
        let kept = match self.term.loss()?.reason {
            LossReason::Suspended | LossReason::LeaseExpired => true,
            LossReason::SessionEnded(_) | LossReason::Removed | LossReason::Unwatched(_) => false,
        };
        kept.then(|| Contender::of(self.node, self.directory))
    }

    /// Replaces the znode's data.
    pub(crate) async fn set_data(&self, data: Bytes) -> zk_client::Result<()> {
        self.term
            .session
            .set(self.term.path(), data)
            .await
            .map(drop)
    }

    pub(crate) async fn release(self) -> zk_client::Result<()> {
        let Self { watching, node, .. } = self;
        // What becomes of the znode from now on is no loss.
        drop(watching);
        node.release().await
    }
}

async fn watch_over(term: Term, policy: LossPolicy) {
    let reason = tokio::select! {
        biased;
        end = term.session.ended() => LossReason::SessionEnded(end),
        reason = lapse(&term.session, policy) => reason,
        reason = removal(&term) => reason,
    };
    term.lose(reason);
}

/// Ends when the policy says that the session no longer protects.
async fn lapse(session: &SessionRef, policy: LossPolicy) -> LossReason {
    match policy {
        LossPolicy::OnExpiry => std::future::pending().await,
        LossPolicy::LeaseDeadline => loop {
            let deadline = session.valid_until();
            tokio::time::sleep_until(deadline).await;
            if session.valid_until() == deadline {
                return LossReason::LeaseExpired;
            }
        },
        LossPolicy::OnSuspend => {
            let mut changes = session.states();
            let mut state = session.state();
            while matches!(state, State::Connected { .. }) {
                match changes.next().await {
                    Some(change) => state = change.to,
                    // The client is gone, and with it the session, which tells.
                    None => return std::future::pending().await,
                }
            }
            LossReason::Suspended
        }
    }
}

/// Ends when the holder's znode is gone. `exists` needs no permission to read.
async fn removal(term: &Term) -> LossReason {
    loop {
        match term.session.exists(&*term.path).watched().await {
            Ok((None, _)) => return LossReason::Removed,
            Ok((Some(_), watch)) => match watch.await {
                Ok(WatchEvent::Deleted { .. }) => return LossReason::Removed,
                Ok(_) => {}
                Err(end) => return LossReason::SessionEnded(end.0),
            },
            Err(error) if passes(&error) => {}
            Err(error) => match term.session.end() {
                Some(end) => return LossReason::SessionEnded(end),
                None => return LossReason::Unwatched(error),
            },
        }
    }
}
