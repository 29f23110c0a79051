//! A mutex: at most one holder among all clients.

use std::ops::Deref;
use std::time::Duration;

use bytes::Bytes;
use zk_client::Handle;

use crate::builder::Builder;
use crate::contest::{Entry, Standing};
use crate::error::Result;
use crate::layout::Layout;
use crate::term::{Holding, Term};

/// A fair mutex in Curator's layout: contenders are ephemeral sequential children of a directory,
/// the first one holds, and each of the others watches the one before it.
///
/// It excludes Curator's `InterProcessMutex`, `LeaderSelector` and read-write locks, go-zookeeper's
/// locks and ZooKeeper's `WriteLock` as far as these respect one another, and any number of its own
/// kind; see [`layout`](crate::layout) for what is recognised. Stock kazoo ignores Curator's names:
/// a lock that is shared with it needs a kazoo class with `_NODE_NAME = "lock-"`, and
/// [`Parents::Persistent`](zk_client::Parents::Persistent).
///
/// Built on a [`Client`](zk_client::Client) it waits through lost sessions and contends anew in the
/// next one; built on a [`SessionRef`](zk_client::SessionRef) it fails with that session.
///
/// ```no_run
/// # async fn doc(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::Mutex;
/// let mutex = Mutex::builder(&zk, "/locks/report").data("host-1").build()?;
/// let guard = mutex.lock().await?;
/// guard.run(async { /* work that stops when the lock is lost */ }).await?;
/// zk.txn().with(|txn| guard.fence(txn)).set("/report", "done").commit().await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Mutex {
    entry: Entry,
}

/// Builds a [`Mutex`].
pub type MutexBuilder = Builder<Mutex>;

impl Builder<Mutex> {
    /// Data of the contender's znode, for people and tools. UTF-8 when kazoo lists contenders.
    pub fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.entry.data = data.into();
        self
    }

    /// The mutex. Nothing is asked of a server yet.
    ///
    /// # Errors
    /// [`Error::InvalidPath`](crate::Error::InvalidPath).
    pub fn build(self) -> Result<Mutex> {
        let entry = self.entry.checked()?;
        Ok(Mutex { entry })
    }
}

impl Mutex {
    /// A mutex whose contenders are the children of `directory`.
    pub fn builder(handle: &Handle, directory: impl Into<String>) -> MutexBuilder {
        Builder::new(Entry::new(handle, directory.into(), Layout::Lock))
    }

    /// Waits for the lock. Two round trips when nobody holds it.
    ///
    /// # Errors
    /// [`Error::Client`](crate::Error::Client): the handle is over, or a server refuses a request
    /// for good. Lost connections, lost sessions of a client, a directory that vanishes and the
    /// own znode deleted by others are no errors: it goes on.
    ///
    /// # Cancel safety
    /// When the future is dropped, at whatever point, the place in the queue is given up and no
    /// znode is left behind.
    pub async fn lock(&self) -> Result<LockGuard> {
        self.entry.win().await.map(|holding| LockGuard { holding })
    }

    /// Takes the lock if nobody holds it or waits for it.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn try_lock(&self) -> Result<Option<LockGuard>> {
        loop {
            let mut contender = self.entry.enter().await?;
            match contender.look().await? {
                Standing::Gone => {}
                Standing::First => {
                    let holding = contender.into_holding(self.entry.policy);
                    return Ok(Some(LockGuard { holding }));
                }
                Standing::Behind(_) => return contender.leave().await.map(|()| None),
            }
        }
    }

    /// Waits for the lock, but no longer than `timeout`; `None` when that has passed.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    ///
    /// # Cancel safety
    /// As [`lock`](Self::lock).
    pub async fn lock_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        match tokio::time::timeout(timeout, self.lock()).await {
            Ok(locked) => locked.map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// Holds a [`Mutex`]. Dropping it releases the lock in the background, over lost connections; so it
/// is not `Clone`, and shared in an `Arc`. What it knows is in its [`Term`].
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard {
    holding: Holding,
}

impl Deref for LockGuard {
    type Target = Term;

    fn deref(&self) -> &Term {
        self.holding.term()
    }
}

impl LockGuard {
    /// Releases the lock and waits until that is done.
    ///
    /// # Errors
    /// The session is over, so that the lock is or will be released by the servers; or a server
    /// refuses the deletion.
    ///
    /// # Cancel safety
    /// The lock is released also when the future is dropped.
    pub async fn release(self) -> Result<()> {
        Ok(self.holding.release().await?)
    }
}
