//! Who leads, for those who do not take part.

use bytes::Bytes;
use futures::{Stream, stream};
use zk_client::{Handle, Kind, OneShot, Path};

use crate::contest::order;
use crate::error::{Result, passes};
use crate::layout::child;
use crate::term::FencingToken;

/// A look at an election or a lock from outside. It creates nothing.
#[derive(Debug, Clone)]
pub struct LeaderView {
    handle: Handle,
    directory: String,
}

/// Who holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// The znode.
    pub path: String,
    /// Its data: a candidate's id.
    pub id: Bytes,
    /// The token under which it holds.
    pub token: FencingToken,
}

impl LeaderView {
    /// A view of the contenders that are children of `directory`.
    ///
    /// # Errors
    /// [`Error::InvalidPath`](crate::Error::InvalidPath).
    pub fn new(handle: &Handle, directory: impl Into<String>) -> Result<Self> {
        let directory = directory.into();
        Path::parse(&directory)?;
        Ok(Self::of(handle.clone(), directory))
    }

    pub(crate) const fn of(handle: Handle, directory: String) -> Self {
        Self { handle, directory }
    }

    /// Who leads now, as far as the server has seen; `None` when nobody does. One list and one read.
    ///
    /// # Errors
    /// Of [`zk_client::Handle::children`] and [`zk_client::Handle::get`], except that a directory
    /// which does not exist has no leader.
    pub async fn current(&self) -> Result<Option<Participant>> {
        Ok(self.look().await?.0)
    }

    /// Who leads, now and after every change, a changed id included. Changes that follow one another
    /// quickly may be told as one. Only the leader's znode is watched, so contenders that come and
    /// go behind it wake nobody. Ends after an error.
    pub fn stream(&self) -> impl Stream<Item = Result<Option<Participant>>> + Send + use<> {
        let start = (self.clone(), Watching::Nothing);
        stream::unfold(start, |(view, watching)| async move {
            let (mut watch, told) = match watching {
                Watching::Nothing => (None, None),
                Watching::Leader(watch, told) => (Some(watch), Some(told)),
                Watching::Ended => return None,
            };
            loop {
                if let Some(watch) = watch {
                    // An end of the watch is the client's, and the next look tells of it.
                    let _event = watch.await;
                }
                match view.look().await {
                    Ok((seen, next)) if told.as_ref() == Some(&seen) => watch = Some(next),
                    Ok((seen, next)) => {
                        let watching = Watching::Leader(next, seen.clone());
                        return Some((Ok(seen), (view, watching)));
                    }
                    Err(error) => return Some((Err(error), (view, Watching::Ended))),
                }
            }
        })
    }

    /// Who leads, and a watch that fires no later than that changes.
    async fn look(&self) -> Result<(Option<Participant>, OneShot)> {
        loop {
            match self.try_look().await {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => {}
                Err(crate::Error::Client(error)) if passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// `None` when what was seen is gone already.
    async fn try_look(&self) -> Result<Option<(Option<Participant>, OneShot)>> {
        let directory = &self.directory;
        let names = match self.handle.children(directory.clone()).await {
            Ok(children) => children.names,
            Err(error) if *error.kind() == Kind::NoNode => {
                let (stat, watch) = self.handle.exists(directory.clone()).watched().await?;
                return Ok(stat.is_none().then_some((None, watch)));
            }
            Err(error) => return Err(error.into()),
        };
        let Some(first) = order(&self.handle, directory, &names).await?.first() else {
            return self.watch_empty().await;
        };
        let path = child(directory, first);
        match self.handle.get(path.clone()).watched().await {
            Ok((node, watch)) => {
                let token = node.stat.czxid.into();
                let id = node.data;
                Ok(Some((Some(Participant { path, id, token }), watch)))
            }
            Err(error) if *error.kind() == Kind::NoNode => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn watch_empty(&self) -> Result<Option<(Option<Participant>, OneShot)>> {
        let directory = &self.directory;
        match self.handle.children(directory.clone()).watched().await {
            Ok((children, watch)) => {
                let queue = order(&self.handle, directory, &children.names).await?;
                Ok(queue.first().is_none().then_some((None, watch)))
            }
            Err(error) if *error.kind() == Kind::NoNode => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// What a stream waits for.
enum Watching {
    Nothing,
    Leader(OneShot, Option<Participant>),
    Ended,
}
