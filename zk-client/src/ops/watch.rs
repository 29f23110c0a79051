//! Persistent watches.

use std::sync::Arc;
use std::time::Duration;

use zk_proto::{AddWatchMode, OpCode, Request, Response};

use super::operation;
use crate::driver::Sink;
use crate::error::{Error, Kind};
use crate::handle::Handle;
use crate::pending::{Outgoing, Pending, WhenFull};
use crate::watch::{EventQueue, Filter, Registration, WatchStream};

/// Adds a persistent watch and gives its events as a stream. By default it tells of everything that
/// happens to the znode itself and to its list of children. Watches of one client on one path and of
/// one kind share a single watch of the server.
#[derive(Debug)]
#[must_use = "a request is sent by .await or .submit()"]
pub struct Watch {
    handle: Handle,
    path: String,
    mode: AddWatchMode,
    filter: Filter,
    timeout: Option<Duration>,
}

impl Watch {
    /// The znode and everything below it. Such a watch tells of creations and deletions of children
    /// by their own paths, not as [`WatchEvent::Children`](crate::WatchEvent::Children).
    pub fn recursive(mut self) -> Self {
        self.mode = AddWatchMode::PersistentRecursive;
        self
    }

    /// Only what happens to the znode itself.
    pub fn data(mut self) -> Self {
        self.filter = Filter::Data;
        self
    }

    /// Only changes of the list of children.
    pub fn children(mut self) -> Self {
        self.filter = Filter::Children;
        self
    }

    fn start(self, full: WhenFull) -> Pending<WatchStream> {
        let handle = self.handle;
        if self.mode == AddWatchMode::PersistentRecursive && self.filter == Filter::Children {
            let kind = Kind::BadArguments("a recursive watch has no events of lists of children");
            let error = Error::not_applied(OpCode::ADD_WATCH, Some(self.path), kind);
            return Pending::failed(error);
        }
        let path = match handle.absolute(OpCode::ADD_WATCH, self.path) {
            Ok(path) => path,
            Err(error) => return Pending::failed(error),
        };
        let id = handle.next_watcher();
        let queue = Arc::new(EventQueue::new(handle.shared().watch_events_max));
        let registration = Registration::new(handle.clone(), id);
        let stream = WatchStream::new(Arc::clone(&queue), registration, self.filter);
        let mode = self.mode.to_raw();
        let request = Request::AddWatch(zk_proto::AddWatch { path, mode });
        let mut outgoing = Outgoing::new(request, self.timeout);
        outgoing.watch = Some((id, Sink::Stream(queue)));
        let reply = outgoing.send(handle, full, |_, response| {
            matches!(response, Response::Code(_)).then_some(())
        });
        Pending::steps(async move { reply.await.map(|()| stream) })
    }
}

operation!(Watch => WatchStream);

impl Handle {
    /// Adds a persistent watch and gives its events as a stream.
    ///
    /// ```no_run
    /// # async fn doc(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = zk.watch("/config").recursive().await?;
    /// while let Some(event) = events.next().await {
    ///     match event? {
    ///         gap if gap.is_gap() => println!("read everything again"),
    ///         event => println!("{event:?}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self, path: impl Into<String>) -> Watch {
        Watch {
            handle: self.clone(),
            path: path.into(),
            mode: AddWatchMode::Persistent,
            filter: Filter::default(),
            timeout: None,
        }
    }
}
