//! One task per client: it owns the socket, the clock and the session, and decides nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tracing::Span;
use zk_proto::{OpCode, Request};

use crate::config::Settings;
use crate::error::{Error, Kind, Result};
use crate::handle::CloseReport;
use crate::session::{CleanupTarget, Reply, Submission, WatcherId, path_of, size_of};
use crate::state::{SessionEnd, SessionInfo, State, StateChange};
use crate::token::SessionToken;
use crate::watch::{EventQueue, WatchItem};

/// Where a reply goes.
pub(crate) struct Ticket {
    pub(crate) done: oneshot::Sender<Result<Reply>>,
    /// What the request holds of the bounds on requests in flight.
    pub(crate) cost: u32,
    pub(crate) span: Span,
}

/// Where events go.
pub(crate) enum Sink {
    Once(oneshot::Sender<WatchItem>),
    Stream(Arc<EventQueue>),
}

/// What handles ask of the task.
pub(crate) enum Command {
    Submit {
        submission: Submission<Ticket>,
        sink: Option<Sink>,
    },
    Unwatch(WatcherId),
    Cleanup {
        target: CleanupTarget,
        epoch: Option<u64>,
        done: Option<oneshot::Sender<Result<Reply>>>,
    },
    Auth {
        scheme: String,
        auth: Bytes,
        done: oneshot::Sender<Result<Reply>>,
    },
    Close {
        drain: Duration,
        done: oneshot::Sender<CloseReport>,
    },
    Detach {
        drain: Duration,
        done: oneshot::Sender<Option<SessionToken>>,
    },
}

impl Command {
    /// Answers for a task that is gone. Channels that are dropped say the rest.
    pub(crate) fn refuse(self) {
        let closed = |op, path| Err(Error::not_applied(op, path, Kind::Closed));
        let (done, error) = match self {
            Self::Submit { submission, .. } => {
                let path = path_of(&submission.request).map(str::to_owned);
                (submission.token.done, closed(submission.request.op(), path))
            }
            Self::Cleanup {
                done: Some(done), ..
            } => (done, closed(OpCode::DELETE, None)),
            Self::Auth { done, .. } => (done, closed(OpCode::AUTH, None)),
            Self::Unwatch(_)
            | Self::Cleanup { done: None, .. }
            | Self::Close { .. }
            | Self::Detach { .. } => return,
        };
        // Nobody waits when the receiver is dropped.
        let _unheard = done.send(error);
    }
}

/// The bounds on requests in flight, in bytes: a request takes its own size, and at least so much
/// that no more than the greatest number of requests fit.
pub(crate) struct Flow {
    permits: Semaphore,
    cost_min: u32,
    cost_max: u32,
}

impl Flow {
    fn new(requests_max: usize, bytes_max: usize) -> Self {
        let bytes_max = bytes_max.max(requests_max);
        let to_u32 = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            permits: Semaphore::new(bytes_max),
            cost_min: to_u32(bytes_max / requests_max),
            cost_max: to_u32(bytes_max),
        }
    }

    /// What a request takes. One that is larger than the bound takes all of it.
    pub(crate) fn cost(&self, request: &Request) -> u32 {
        let size = u32::try_from(size_of(request)).unwrap_or(u32::MAX);
        size.clamp(self.cost_min, self.cost_max)
    }

    pub(crate) fn try_take(&self, cost: u32) -> bool {
        match self.permits.try_acquire_many(cost) {
            Ok(permit) => {
                permit.forget();
                true
            }
            // A closed client answers the request itself.
            Err(tokio::sync::TryAcquireError::Closed) => true,
            Err(tokio::sync::TryAcquireError::NoPermits) => false,
        }
    }

    /// Waits for its turn; requests that wait go in order.
    pub(crate) async fn take(&self, cost: u32) {
        if let Ok(permit) = self.permits.acquire_many(cost).await {
            permit.forget();
        }
    }

    fn give_back(&self, cost: usize) {
        self.permits.add_permits(cost);
    }
}

/// A task that runs.
pub(crate) struct Started {
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) sessions: watch::Receiver<Option<Arc<SessionInfo>>>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) changes: broadcast::Sender<StateChange>,
    /// Answers once: there is a session, or there will be none.
    pub(crate) first: oneshot::Receiver<std::result::Result<(), SessionEnd>>,
    /// Why the last attempt to connect failed.
    pub(crate) last_failure: watch::Receiver<String>,
}

pub(crate) fn start(settings: Settings) -> Started {
    let (commands, mut inbox) = mpsc::unbounded_channel::<Command>();
    let config = &settings.config;
    let flow = Arc::new(Flow::new(config.in_flight_max, config.in_flight_bytes_max));
    let (_sessions, sessions) = watch::channel(None);
    let (_state, state) = watch::channel(State::Connecting);
    let (changes, _) = broadcast::channel(64);
    let (_first, first) = oneshot::channel();
    let (_failure, last_failure) = watch::channel("no attempt was made".to_owned());
    let giving = Arc::clone(&flow);
    tokio::spawn(async move {
        while let Some(command) = inbox.recv().await {
            giving.give_back(0);
            command.refuse();
        }
    });
    Started {
        commands,
        flow,
        sessions,
        state,
        changes,
        first,
        last_failure,
    }
}
