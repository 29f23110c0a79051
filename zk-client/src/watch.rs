//! What watches tell, and the two things that listen: a future for one event, a stream for all.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;
use tokio::sync::oneshot;
use zk_proto::{EventType, Zxid};

use crate::driver::Command;
use crate::handle::Handle;
use crate::session::WatcherId;
use crate::state::SessionEnd;

/// Something that happened to a znode. Paths are as the handle that asked sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchEvent {
    /// The znode was created.
    Created {
        /// The znode.
        path: String,
        /// The transaction; servers before 3.9 do not say.
        zxid: Option<Zxid>,
    },
    /// The znode's data was replaced.
    Changed {
        /// The znode.
        path: String,
        /// The transaction, as above.
        zxid: Option<Zxid>,
    },
    /// The znode was deleted.
    Deleted {
        /// The znode.
        path: String,
        /// The transaction, as above.
        zxid: Option<Zxid>,
    },
    /// A child of the znode was created or deleted.
    Children {
        /// The znode, not the child.
        path: String,
        /// The transaction, as above.
        zxid: Option<Zxid>,
    },
    /// Events may be missing here. What was read before is to be read again; compare `czxid` and
    /// `mzxid`, since a znode deleted and created again starts over at version 0.
    Gap {
        /// Everything up to this transaction was told.
        since: Zxid,
        /// Why events may be missing.
        cause: GapCause,
    },
}

/// Why a watch stream has a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapCause {
    /// The session was without a connection; servers do not keep events for it.
    Reconnected,
    /// The session was replaced by another one.
    SessionReplaced,
    /// The stream was read too slowly; all events that waited in it are dropped.
    Overflow,
}

impl WatchEvent {
    pub(crate) fn new(event: EventType, path: String, zxid: Option<Zxid>) -> Option<Self> {
        Some(match event {
            EventType::None => return None,
            EventType::NodeCreated => Self::Created { path, zxid },
            EventType::NodeDeleted => Self::Deleted { path, zxid },
            EventType::NodeDataChanged => Self::Changed { path, zxid },
            EventType::NodeChildrenChanged => Self::Children { path, zxid },
        })
    }

    /// The znode; `None` for a gap.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Created { path, .. }
            | Self::Changed { path, .. }
            | Self::Deleted { path, .. }
            | Self::Children { path, .. } => Some(path),
            Self::Gap { .. } => None,
        }
    }

    /// Whether events may be missing here.
    #[must_use]
    pub const fn is_gap(&self) -> bool {
        matches!(self, Self::Gap { .. })
    }

    fn map_path(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Created { path, zxid } => Self::Created {
                path: change(path),
                zxid,
            },
            Self::Changed { path, zxid } => Self::Changed {
                path: change(path),
                zxid,
            },
            Self::Deleted { path, zxid } => Self::Deleted {
                path: change(path),
                zxid,
            },
            Self::Children { path, zxid } => Self::Children {
                path: change(path),
                zxid,
            },
            gap @ Self::Gap { .. } => gap,
        }
    }
}

/// Why no more events come from a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the watch ended: session {0}")]
pub struct WatchEnd(
    /// Why the session, or the client, is over.
    pub SessionEnd,
);

/// What a watch gives next.
pub type WatchItem = Result<WatchEvent, WatchEnd>;

/// The one event of a one-shot watch, as a future. It outlives reconnects, and, when asked for by a
/// [`Client`](crate::Client), sessions; changes that happened in between are told as well. Dropping
/// it removes the watch.
#[derive(Debug)]
#[must_use = "a watch that is dropped is removed"]
pub struct OneShot {
    receiver: oneshot::Receiver<WatchItem>,
    registration: Registration,
}

impl OneShot {
    pub(crate) fn new(receiver: oneshot::Receiver<WatchItem>, registration: Registration) -> Self {
        Self {
            receiver,
            registration,
        }
    }
}

impl Future for OneShot {
    type Output = WatchItem;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WatchItem> {
        Pin::new(&mut self.receiver).poll(context).map(|received| {
            // The task drops its end without a word only when it is itself dropped.
            let item = received.unwrap_or(Err(WatchEnd(SessionEnd::Closed)));
            item.map(|event| self.registration.localize(event))
        })
    }
}

/// Which events of a persistent watch a stream gives; gaps are always given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Filter {
    #[default]
    All,
    Data,
    Children,
}

impl Filter {
    const fn passes(self, event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Gap { .. } => true,
            WatchEvent::Children { .. } => !matches!(self, Self::Data),
            WatchEvent::Created { .. }
            | WatchEvent::Changed { .. }
            | WatchEvent::Deleted { .. } => !matches!(self, Self::Children),
        }
    }
}

/// The events of a persistent watch, in the order of their transactions. It outlives reconnects,
/// and, when asked for by a [`Client`](crate::Client), sessions, with a [`WatchEvent::Gap`] where
/// events may be missing. It ends after its first error, which says why. Dropping it removes the
/// watch when nobody else in the client shares it.
#[derive(Debug)]
#[must_use = "a watch that is dropped is removed"]
pub struct WatchStream {
    queue: Arc<EventQueue>,
    registration: Registration,
    filter: Filter,
    ended: bool,
}

impl WatchStream {
    pub(crate) fn new(queue: Arc<EventQueue>, registration: Registration, filter: Filter) -> Self {
        Self {
            queue,
            registration,
            filter,
            ended: false,
        }
    }

    /// The next event; `None` after the end.
    ///
    /// # Cancel safety
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<WatchItem> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for WatchStream {
    type Item = WatchItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchItem>> {
        if self.ended {
            return Poll::Ready(None);
        }
        loop {
            match self.queue.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(end)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(end)));
                }
                Poll::Ready(Ok(event)) if self.filter.passes(&event) => {
                    return Poll::Ready(Some(Ok(self.registration.localize(event))));
                }
                Poll::Ready(Ok(_)) => {}
            }
        }
    }
}

/// A place in the client's table of watches, given up when dropped.
pub(crate) struct Registration {
    handle: Handle,
    id: WatcherId,
}

impl Registration {
    pub(crate) fn new(handle: Handle, id: WatcherId) -> Self {
        Self { handle, id }
    }

    fn localize(&self, event: WatchEvent) -> WatchEvent {
        event.map_path(|path| self.handle.local(path))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.handle.send(Command::Unwatch(self.id));
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.id)
    }
}

/// A bounded queue of events with one reader. At the bound everything in it becomes one gap.
#[derive(Debug)]
pub(crate) struct EventQueue {
    inner: Mutex<QueueInner>,
    events_max: usize,
}

#[derive(Debug, Default)]
struct QueueInner {
    events: VecDeque<WatchEvent>,
    /// Nothing up to this transaction is missing before the first event of the queue.
    told_at_first: Zxid,
    end: Option<WatchEnd>,
    waker: Option<Waker>,
}

impl EventQueue {
    pub(crate) fn new(events_max: usize) -> Self {
        Self {
            inner: Mutex::default(),
            events_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueInner> {
        // The queue is whole between any two statements, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event or the end. `told` is the newest transaction before which nothing is missing.
    pub(crate) fn push(&self, item: WatchItem, told: Zxid) {
        let mut inner = self.lock();
        match item {
            Err(end) => inner.end = Some(end),
            Ok(event) => {
                if inner.events.len() >= self.events_max {
                    let since = inner.told_at_first;
                    inner.events.clear();
                    inner.events.push_back(WatchEvent::Gap {
                        since,
                        cause: GapCause::Overflow,
                    });
                } else {
                    if inner.events.is_empty() {
                        inner.told_at_first = told;
                    }
                    inner.events.push_back(event);
                }
            }
        }
        if let Some(waker) = inner.waker.take() {
            drop(inner);
            waker.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<WatchItem> {
        let mut inner = self.lock();
        if let Some(event) = inner.events.pop_front() {
            return Poll::Ready(Ok(event));
        }
        match inner.end {
            Some(end) => Poll::Ready(Err(end)),
            None => {
                inner.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn event(zxid: i64) -> WatchItem {
        Ok(WatchEvent::Changed {
            path: "/a".to_owned(),
            zxid: Some(Zxid(zxid)),
        })
    }

    fn next(queue: &EventQueue) -> Option<WatchItem> {
        std::future::poll_fn(|context| queue.poll(context)).now_or_never()
    }

    #[test]
    fn a_full_queue_becomes_one_gap_from_where_the_reader_stands() {
        let queue = EventQueue::new(2);
        for zxid in 1..=5 {
            queue.push(event(zxid), Zxid(zxid - 1));
        }
        let gap = WatchEvent::Gap {
            since: Zxid(0),
            cause: GapCause::Overflow,
        };
        // The third turned itself and two before into a gap, the fifth that gap and the fourth.
        assert_eq!(next(&queue), Some(Ok(gap)));
        assert_eq!(next(&queue), None);
        queue.push(event(6), Zxid(5));
        queue.push(Err(WatchEnd(SessionEnd::Closed)), Zxid(6));
        assert_eq!(next(&queue), Some(event(6)));
        assert_eq!(next(&queue), Some(Err(WatchEnd(SessionEnd::Closed))));
    }

    #[test]
    fn filters_let_every_gap_through() {
        let gap = WatchEvent::Gap {
            since: Zxid(1),
            cause: GapCause::Reconnected,
        };
        let changed = event(2).unwrap();
        let children = WatchEvent::Children {
            path: "/a".to_owned(),
            zxid: None,
        };
        let passes = |filter: Filter| [&gap, &changed, &children].map(|event| filter.passes(event));
        assert_eq!(passes(Filter::All), [true, true, true]);
        assert_eq!(passes(Filter::Data), [true, true, false]);
        assert_eq!(passes(Filter::Children), [true, false, true]);
    }
}
