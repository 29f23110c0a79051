//! What users see of the session: its state, its end, and how long it surely lives.

use std::fmt;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zk_proto::SessionId;

/// What a client is doing.
///
/// ```text
///  Connecting ──► Connected ◄──► Suspended
///      ▲           │               │ session over
///      └───────────┴───────────────┘       any ──► Closed, AuthFailed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// There is no session; one is being opened.
    Connecting,
    /// The session is connected to a server.
    Connected {
        /// The server is cut off from its quorum and refuses writes.
        read_only: bool,
    },
    /// There is a session, but no connection. It may be over without the client knowing.
    Suspended,
    /// The client was closed or detached.
    Closed,
    /// An identity of the client was refused.
    AuthFailed,
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateChange {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// The epoch of the newest session, zero before the first.
    pub epoch: u64,
    /// When it changed.
    pub at: Instant,
    /// The server, when connected.
    pub server: Option<SocketAddr>,
}

/// Why a session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionEnd {
    /// A server says that it expired, or gave another session when asked for this one.
    Expired,
    /// No server has acknowledged anything for so long that it has expired, by the client's clock.
    ExpiredLocally,
    /// The client closed it.
    Closed,
    /// The client was detached; the session may go on elsewhere.
    Detached,
    /// An identity was refused, after which the client does nothing more.
    AuthFailed,
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "expired",
            Self::ExpiredLocally => "expired by the client's clock",
            Self::Closed => "closed",
            Self::Detached => "detached",
            Self::AuthFailed => "authentication failed",
        })
    }
}

/// What [`Client::close`](crate::Client::close) left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "tells whether anything was left behind"]
pub struct CloseReport {
    /// Whether the server confirmed the end of the session. If not, the session expires by itself.
    pub session_closed: bool,
    /// Requests that had no reply when the time ran out. They failed with [`Kind::Closed`](crate::Kind::Closed).
    pub requests_failed: usize,
    /// Znodes that were still to be deleted in the background. Ephemeral ones go with the session.
    pub cleanups_left: usize,
}

/// One session as its client's task publishes it.
#[derive(Debug)]
pub(crate) struct SessionInfo {
    pub(crate) epoch: u64,
    pub(crate) id: SessionId,
    pub(crate) timeout: Duration,
    origin: Instant,
    valid_until_nanos: AtomicU64,
    end: OnceLock<SessionEnd>,
    ended: CancellationToken,
}

impl SessionInfo {
    pub(crate) fn new(epoch: u64, id: SessionId, timeout: Duration, origin: Instant) -> Self {
        Self {
            epoch,
            id,
            timeout,
            origin,
            valid_until_nanos: AtomicU64::new(0),
            end: OnceLock::new(),
            ended: CancellationToken::new(),
        }
    }

    pub(crate) fn set_valid_until(&self, since_origin: Duration) {
        let nanos = u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX);
        self.valid_until_nanos.store(nanos, Ordering::Relaxed);
    }

    /// Nothing holds beyond the end.
    pub(crate) fn shorten_validity(&self, since_origin: Duration) {
        let nanos = u64::try_from(since_origin.as_nanos()).unwrap_or(u64::MAX);
        self.valid_until_nanos.fetch_min(nanos, Ordering::Relaxed);
    }

    pub(crate) fn valid_until(&self) -> Instant {
        self.origin + Duration::from_nanos(self.valid_until_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn set_end(&self, end: SessionEnd) {
        self.end.get_or_init(|| end);
        self.ended.cancel();
    }

    pub(crate) fn end(&self) -> Option<SessionEnd> {
        self.end.get().copied()
    }

    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// Changes of state, from the moment the stream was asked for. A reader that is slower than the
/// changes misses the oldest ones, never the newest. Ends when the client's task ends.
pub struct StateStream(BoxStream<'static, StateChange>);

impl StateStream {
    pub(crate) fn new(receiver: Option<broadcast::Receiver<StateChange>>) -> Self {
        let changes = stream::unfold(receiver, |receiver| async move {
            let mut receiver = receiver?;
            loop {
                match receiver.recv().await {
                    Ok(change) => return Some((change, Some(receiver))),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        Self(changes.boxed())
    }
}

impl Stream for StateStream {
    type Item = StateChange;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<StateChange>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for StateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StateStream")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a change has a time")]
    async fn a_slow_reader_of_states_misses_the_oldest_and_never_the_newest() {
        let (changes, receiver) = broadcast::channel(4);
        let stream = StateStream::new(Some(receiver));
        for epoch in 0..100 {
            let change = StateChange {
                from: State::Connecting,
                to: State::Suspended,
                epoch,
                at: Instant::now(),
                server: None,
            };
            changes.send(change).unwrap();
        }
        drop(changes);
        let seen = stream.map(|change| change.epoch).collect::<Vec<_>>();
        assert_eq!(seen.await, [96, 97, 98, 99]);
    }
}
