//! Leader election: one leader among many candidates, and a view of it for everybody.

use std::ops::Deref;

use bytes::Bytes;
use futures::{Stream, stream};
use tracing::{Instrument, debug};
use zk_client::Handle;

use crate::builder::Builder;
use crate::contest::{Contender, Entry};
use crate::error::Result;
use crate::layout::Layout;
use crate::term::{Holding, Term};
use crate::view::LeaderView;

/// A candidate for leadership in the layout of Curator's `LeaderLatch`: candidates are ephemeral
/// sequential children of a directory, the first one leads. It works as [`Mutex`](crate::Mutex)
/// does, except that a candidate has an id, which others see, and that it can stay one.
///
/// It elects together with Curator's `LeaderLatch`. Curator's `LeaderSelector` and kazoo's
/// `Election` are mutexes in their layout: use [`Mutex`](crate::Mutex) with them.
///
/// ```no_run
/// # async fn doc(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::LeaderLatch;
/// let latch = LeaderLatch::builder(&zk, "/election").id("host-1").build()?;
/// let leader = latch.campaign().await?;
/// leader.run(async { /* lead */ }).await?;
/// leader.resign().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LeaderLatch {
    entry: Entry,
}

/// Builds a [`LeaderLatch`].
pub type LeaderLatchBuilder = Builder<LeaderLatch>;

impl Builder<LeaderLatch> {
    /// What others see of this candidate. UTF-8 when Curator is among them.
    pub fn id(mut self, id: impl Into<Bytes>) -> Self {
        self.entry.data = id.into();
        self
    }

    /// The candidate. Nothing is asked of a server yet.
    ///
    /// # Errors
    /// [`Error::InvalidPath`](crate::Error::InvalidPath).
    pub fn build(self) -> Result<LeaderLatch> {
        let entry = self.entry.checked()?;
        Ok(LeaderLatch { entry })
    }
}

/// What a candidate is.
#[derive(Debug, Clone)]
pub enum Role {
    /// One that does not lead.
    Follower,
    /// The leader, until [`Term::lost`].
    Leader(Term),
}

impl LeaderLatch {
    /// A candidate among the children of `directory`.
    pub fn builder(handle: &Handle, directory: impl Into<String>) -> LeaderLatchBuilder {
        Builder::new(Entry::new(handle, directory.into(), Layout::Latch))
    }

    /// Waits to become the leader.
    ///
    /// # Errors
    /// As [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Cancel safety
    /// As [`Mutex::lock`](crate::Mutex::lock).
    pub async fn campaign(&self) -> Result<LeaderGuard> {
        self.entry
            .win()
            .await
            .map(|holding| LeaderGuard { holding })
    }

    /// Stays a candidate and tells its role: [`Role::Follower`] first, then the two in turn. A
    /// leader that has lost its connection but not its session keeps its znode, and leads again,
    /// under the same token, once the servers confirm that.
    ///
    /// The candidate acts while the stream is polled, and a leader that is not polled leads on, with
    /// [`Term::lost`] as its signal. Dropping the stream resigns. It ends after an error, which is
    /// one of [`campaign`](Self::campaign).
    pub fn roles(&self) -> impl Stream<Item = Result<Role>> + Send + use<> {
        let entry = self.entry.clone();
        stream::unfold(Campaign::Begun, move |campaign| {
            let entry = entry.clone();
            async move {
                match campaign {
                    Campaign::Begun => Some((Ok(Role::Follower), Campaign::Following(None))),
                    Campaign::Ended => None,
                    Campaign::Following(contender) => match lead(&entry, contender).await {
                        Ok(holding) => {
                            let role = Role::Leader(holding.term().clone());
                            Some((Ok(role), Campaign::Leading(holding)))
                        }
                        Err(error) => Some((Err(error), Campaign::Ended)),
                    },
                    Campaign::Leading(holding) => {
                        holding.term().lost().cancelled().await;
                        let following = Campaign::Following(holding.into_contender());
                        Some((Ok(Role::Follower), following))
                    }
                }
            }
        })
    }

    /// Who leads; needs no candidate.
    #[must_use]
    pub fn view(&self) -> LeaderView {
        LeaderView::of(self.entry.handle.clone(), self.entry.directory.clone())
    }
}

/// What a stream of roles is at.
enum Campaign {
    Begun,
    Following(Option<Contender>),
    Leading(Holding),
    Ended,
}

/// Wins with the znode that is there, or else with another one.
async fn lead(entry: &Entry, contender: Option<Contender>) -> Result<Holding> {
    if let Some(contender) = contender
        && let Some(holding) = contender
            .win(entry.policy)
            .instrument(entry.wait_span())
            .await?
    {
        debug!(path = holding.term().path(), "leads again");
        return Ok(holding);
    }
    entry.win().await
}

/// Holds leadership. Dropping it resigns in the background, over lost connections; so it is not
/// `Clone`, and shared in an `Arc`. What it knows is in its [`Term`].
#[derive(Debug)]
#[must_use = "dropping the guard resigns"]
pub struct LeaderGuard {
    holding: Holding,
}

impl Deref for LeaderGuard {
    type Target = Term;

    fn deref(&self) -> &Term {
        self.holding.term()
    }
}

impl LeaderGuard {
    /// Replaces what others see of this leader.
    ///
    /// # Errors
    /// As [`zk_client::Handle::set`]; [`Kind::NoNode`](zk_client::Kind::NoNode) when leadership is
    /// lost.
    pub async fn proclaim(&self, id: impl Into<Bytes> + Send) -> Result<()> {
        Ok(self.holding.set_data(id.into()).await?)
    }

    /// Resigns and waits until that is done.
    ///
    /// # Errors
    /// As [`LockGuard::release`](crate::LockGuard::release).
    ///
    /// # Cancel safety
    /// The leader resigns also when the future is dropped.
    pub async fn resign(self) -> Result<()> {
        Ok(self.holding.release().await?)
    }
}
