//! What the loop and a connection's task share: the replies on their way, and figures to show.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Context;

use bytes::Bytes;
use futures::task::AtomicWaker;
use zk_core::ConnId;
use zk_proto::{ConnectResponse, MultiResult, ReplyHeader, Response, SessionId};

use crate::stats::{ConnectionStats, ServerStats};

/// Something for a client.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// The answer to the handshake.
    Accept(ConnectResponse),
    /// The answer to a request.
    Reply(ReplyHeader, Response),
    /// A watch event: a whole frame, shared by all that receive it.
    Event(Bytes),
}

impl Outgoing {
    /// About how much memory this holds until it is written.
    pub(crate) fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Accept(_) => 0,
                Self::Reply(_, response) => response_weight(response),
                Self::Event(frame) => frame.len(),
            }
    }
}

fn response_weight(response: &Response) -> usize {
    match response {
        Response::Empty
        | Response::Stat(_)
        | Response::Number(_)
        | Response::Code(_)
        | Response::Token(None)
        | Response::Data(None, _) => 0,
        Response::Path(path) | Response::PathAndStat(path, _) => path.len(),
        Response::Data(Some(data), _) | Response::Token(Some(data)) => data.len(),
        Response::Acl(acl, _) => size_of_val(acl.as_slice()),
        Response::Identities(ids) => size_of_val(ids.as_slice()),
        Response::Children(names) | Response::ChildrenAndStat(names, _) => {
            size_of_val(names.as_slice())
        }
        Response::Ephemerals(paths) => paths
            .iter()
            .map(|path| size_of::<String>() + path.len())
            .sum(),
        Response::Multi(results) => results.iter().map(result_weight).sum(),
    }
}

fn result_weight(result: &MultiResult) -> usize {
    size_of::<MultiResult>()
        + match result {
            MultiResult::Create(path) | MultiResult::Create2(path, _) => path.len(),
            MultiResult::GetData(data, _) => data.as_ref().map_or(0, Bytes::len),
            MultiResult::GetChildren(names) => size_of_val(names.as_slice()),
            MultiResult::Delete
            | MultiResult::SetData(_)
            | MultiResult::Check
            | MultiResult::Error(_) => 0,
        }
}

/// What the loop last said about a connection's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    Serve,
    /// Write what was posted, then close.
    Close,
    /// Close at once: the client does not take what is posted.
    Abort,
}

/// One connection, as the loop, the registry and its task see it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: ConnId,
    /// The client's address; IPv4 stands as IPv4 on a socket of both families too.
    pub(crate) peer: SocketAddr,
    /// When it was accepted, ms since the Unix epoch.
    pub(crate) established_ms: i64,
    session: AtomicI64,
    session_timeout_ms: AtomicI32,
    outstanding: AtomicUsize,
    /// Weight of what was posted and is not yet written.
    unwritten: AtomicUsize,
    /// Whether the loop has a message of requests: [`NO_MESSAGE`] and following.
    message: AtomicU8,
    posted: Mutex<Posted>,
    waker: AtomicWaker,
    stats: Mutex<ConnectionStats>,
}

/// The loop has no message of requests.
const NO_MESSAGE: u8 = 0;
/// It has one.
const MESSAGE: u8 = 1;
/// It has one, and the task waits for it.
const MESSAGE_AWAITED: u8 = 2;

#[derive(Debug)]
struct Posted {
    items: Vec<Outgoing>,
    order: Order,
}

impl Link {
    pub(crate) fn new(id: ConnId, peer: SocketAddr, established_ms: i64) -> Self {
        Self {
            id,
            peer,
            established_ms,
            session: AtomicI64::new(0),
            session_timeout_ms: AtomicI32::new(0),
            outstanding: AtomicUsize::new(0),
            unwritten: AtomicUsize::new(0),
            message: AtomicU8::new(NO_MESSAGE),
            posted: Mutex::new(Posted {
                items: Vec::new(),
                order: Order::Serve,
            }),
            waker: AtomicWaker::new(),
            stats: Mutex::new(ConnectionStats::default()),
        }
    }

    /// Hands over `items` of a total `weight` and wakes the task.
    pub(crate) fn post(&self, items: Vec<Outgoing>, weight: usize) {
        self.unwritten.fetch_add(weight, Ordering::Relaxed);
        {
            let mut posted = self.posted();
            if posted.items.is_empty() {
                posted.items = items;
            } else {
                posted.items.extend(items);
            }
        }
        self.waker.wake();
    }

    /// The task sends a message of requests. It sends no other before the loop has looked at this
    /// one, so that a client's replies are weighed before it asks for more.
    pub(crate) fn begin_message(&self) {
        self.message.store(MESSAGE, Ordering::Relaxed);
    }

    /// Whether the loop still has the task's message; then the task is woken when it no longer has.
    pub(crate) fn awaits_loop(&self) -> bool {
        let (success, failure) = (Ordering::Relaxed, Ordering::Acquire);
        let before = self
            .message
            .compare_exchange(MESSAGE, MESSAGE_AWAITED, success, failure);
        before != Err(NO_MESSAGE)
    }

    /// The loop has looked at the message and posted what came of it at once.
    pub(crate) fn end_message(&self) {
        if self.message.swap(NO_MESSAGE, Ordering::AcqRel) == MESSAGE_AWAITED {
            self.waker.wake();
        }
    }

    /// Orders the task to close once all that is posted is written.
    pub(crate) fn close(&self) {
        {
            let mut posted = self.posted();
            if posted.order == Order::Serve {
                posted.order = Order::Close;
            }
        }
        self.waker.wake();
    }

    /// Orders the task to close at once.
    pub(crate) fn abort(&self) {
        self.posted().order = Order::Abort;
        self.waker.wake();
    }

    /// Takes what is posted, for the task alone. The task is woken by whatever is posted later.
    pub(crate) fn take(&self, context: &Context<'_>) -> (Vec<Outgoing>, Order) {
        self.waker.register(context.waker());
        let mut posted = self.posted();
        (std::mem::take(&mut posted.items), posted.order)
    }

    /// Takes what is posted when the task ends.
    pub(crate) fn take_rest(&self) -> Vec<Outgoing> {
        std::mem::take(&mut self.posted().items)
    }

    /// The order alone; what is posted stays. The task is woken as by [`take`](Self::take).
    pub(crate) fn order(&self, context: &Context<'_>) -> Order {
        self.waker.register(context.waker());
        self.posted().order
    }

    /// Everything taken so far is written.
    pub(crate) fn written(&self, weight: usize) {
        self.unwritten.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Weight of what was posted and is not yet written.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Relaxed)
    }

    pub(crate) fn set_session(&self, session: SessionId, timeout_ms: i32) {
        self.session.store(session.0, Ordering::Relaxed);
        self.session_timeout_ms.store(timeout_ms, Ordering::Relaxed);
    }

    /// The session, zero before it exists, and its timeout.
    pub(crate) fn session(&self) -> (SessionId, i32) {
        (
            SessionId(self.session.load(Ordering::Relaxed)),
            self.session_timeout_ms.load(Ordering::Relaxed),
        )
    }

    pub(crate) fn set_outstanding(&self, count: usize) {
        self.outstanding.store(count, Ordering::Relaxed);
    }

    /// Requests read and not yet answered.
    pub(crate) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts packets that came, here and for the whole server.
    pub(super) fn count_received(&self, server: &ServerStats, count: usize, bytes: usize) {
        server
            .packets_received
            .fetch_add(count as u64, Ordering::Relaxed);
        server
            .bytes_received
            .fetch_add(bytes as u64, Ordering::Relaxed);
        self.stats().received += count as u64;
    }

    pub(crate) fn stats(&self) -> MutexGuard<'_, ConnectionStats> {
        self.stats
            .lock()
            .expect("nothing panics while it holds a connection's stats")
    }

    fn posted(&self) -> MutexGuard<'_, Posted> {
        self.posted
            .lock()
            .expect("nothing panics while it holds a connection's posted items")
    }
}
