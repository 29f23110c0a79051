//! The loop that owns the core: inputs in, effects out.
//!
//! ```text
//! connections ── requests (bounded) ──┐                 ┌──> one batch of replies a connection
//! storage ── flushed ─────────────────┼──> core, effects ┼──> one batch of appends
//! timer ──────────────────────────────┘                 └──> snapshot
//! ```
//!
//! Each turn takes everything that waits, and only then hands out what came of it, so that a busy
//! server needs few wake-ups. It decides nothing: every effect has one arm here.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing::{debug, info, warn};
use zk_core::{CloseReason, ConnId, Core, Effect, Incoming, Input};
use zk_proto::{
    ConnectRequest, ErrorCode, Record, ReplyHeader, WatcherEvent, Xid, Zxid, write_frame,
};

use crate::error::ServerError;
use crate::net::{Link, Outgoing};
use crate::quota_log::QuotaLog;
use crate::shared::Shared;
use crate::stats::whole_ms;
use crate::storage::{FromStorage, StorageThread, ToStorage};

/// Messages that wait for the loop at most; senders wait for room.
pub(crate) const MESSAGES_WAITING_MAX: usize = 4096;
/// Messages of one turn; what they bring about leaves before the next are looked at.
const MESSAGES_PER_TURN: usize = 256;
/// Bytes of transactions that are not yet on disk at most; at the bound clients are not heard
/// until the disk has caught up.
const UNFLUSHED_BYTES_MAX: usize = 64 << 20;
/// The timer's setting while the core has no deadline.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A message of a connection to the loop.
pub(crate) enum ToCore {
    /// A handshake: the first that the loop hears of a connection.
    Connect {
        /// The connection.
        link: Arc<Link>,
        /// The handshake.
        request: ConnectRequest,
    },
    /// Requests of one connection, in the order sent.
    Requests {
        /// The connection.
        conn: ConnId,
        /// At least one request.
        requests: Vec<Incoming>,
        /// When they were sent, in ms since the server's start.
        sent_ms: u64,
    },
    /// A connection is gone: the last that the loop hears of it.
    Disconnected {
        /// The connection.
        conn: ConnId,
    },
    /// A question about the core's state.
    Inspect(Box<dyn FnOnce(&Core) + Send>),
}

impl fmt::Debug for ToCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { link, .. } => write!(f, "Connect({:?})", link.id),
            Self::Requests { conn, requests, .. } => {
                write!(f, "Requests({conn:?}, {})", requests.len())
            }
            Self::Disconnected { conn } => write!(f, "Disconnected({conn:?})"),
            Self::Inspect(_) => f.write_str("Inspect"),
        }
    }
}

/// The loop and what it owns.
pub(crate) struct Driver {
    pub(crate) core: Core,
    pub(crate) server: Arc<Shared>,
    pub(crate) messages: mpsc::Receiver<ToCore>,
    pub(crate) storage: StorageThread,
    pub(crate) from_storage: mpsc::UnboundedReceiver<FromStorage>,
}

/// Transactions made in one turn.
struct Made {
    last: Zxid,
    txns: u64,
    ms: u64,
}

/// A connection as the loop sees it.
struct Peer {
    link: Arc<Link>,
    replies: Vec<Outgoing>,
    weight: usize,
    /// Whether it is among those that something is to be handed to.
    is_touched: bool,
    ends_message: bool,
    closes: bool,
}

impl Driver {
    /// Serves until told to stop, then until everything appended is on disk; the replies are
    /// posted, the connections still open.
    ///
    /// # Errors
    /// [`ServerError`] when storage failed: nothing is acknowledged from then on.
    pub(crate) async fn run(self) -> Result<(), ServerError> {
        let Self {
            mut core,
            server,
            mut messages,
            storage,
            mut from_storage,
        } = self;
        let clock = server.clock;
        let stop = server.stop.clone();
        let stats = Arc::clone(&server.stats);
        let mut made: VecDeque<Made> = VecDeque::new();
        let mut outbound = Outbound::new(server);
        let mut stop = pin!(stop.cancelled());
        let mut is_stopping = false;
        let mut waiting = Vec::with_capacity(MESSAGES_PER_TURN);
        let mut unflushed_bytes = 0;
        let mut armed = FAR_FUTURE;
        let mut timer = pin!(sleep_until(clock.instant(armed).into()));
        loop {
            // A timer that is early costs a turn, one that is moved with every request costs more.
            if let Some(deadline) = core.next_deadline()
                && deadline < armed
            {
                armed = deadline;
                timer.as_mut().reset(clock.instant(armed).into());
            }
            let mut news = None;
            tokio::select! {
                biased;
                from = from_storage.recv() => {
                    news = Some(from.ok_or(ServerError::Ended("the storage thread"))?);
                }
                _ = messages.recv_many(&mut waiting, MESSAGES_PER_TURN),
                    if unflushed_bytes < UNFLUSHED_BYTES_MAX => {}
                () = &mut timer => {
                    armed = FAR_FUTURE;
                    timer.as_mut().reset(clock.instant(armed).into());
                }
                () = &mut stop, if !is_stopping => is_stopping = true,
            }
            let now = clock.now();
            let now_ms = whole_ms(now.monotonic);
            if !waiting.is_empty() {
                stats.prep.queue_size.add(waiting.len() as u64);
            }
            news = news.or_else(|| from_storage.try_recv().ok());
            while let Some(from) = news {
                match from {
                    FromStorage::Flushed { zxid, bytes } => {
                        unflushed_bytes -= bytes;
                        while let Some(made) = made.pop_front_if(|made| made.last <= zxid) {
                            let propagation = &stats.log.propagation;
                            propagation.add_many(now_ms.saturating_sub(made.ms), made.txns);
                        }
                        core.handle(now, Input::Flushed { zxid });
                    }
                    FromStorage::SnapshotWritten { zxid } => {
                        core.handle(now, Input::SnapshotWritten { zxid });
                    }
                    FromStorage::Failed(error) => return Err(error),
                }
                news = from_storage.try_recv().ok();
            }
            outbound.take(core.drain_effects());
            if core.next_deadline().is_some_and(|at| at <= now.monotonic) {
                core.handle(now, Input::Tick);
                outbound.take(core.drain_effects());
            }
            for message in waiting.drain(..) {
                match message {
                    ToCore::Connect { link, request } if !is_stopping => {
                        let input = Input::Connect {
                            conn: link.id,
                            peer: link.peer.ip(),
                            request,
                        };
                        outbound.add_peer(link);
                        core.handle(now, input);
                    }
                    ToCore::Disconnected { conn } => {
                        if outbound.remove_peer(conn) {
                            core.handle(now, Input::Disconnected { conn });
                        }
                    }
                    ToCore::Requests {
                        conn,
                        requests,
                        sent_ms,
                    } if !is_stopping => {
                        let count = requests.len() as u64;
                        stats.prep.requests.fetch_add(count, Relaxed);
                        let queued_ms = now_ms.saturating_sub(sent_ms);
                        stats.prep.queue_time.add_many(queued_ms, count);
                        outbound.end_message(conn);
                        core.handle(now, Input::Requests { conn, requests });
                    }
                    ToCore::Inspect(question) => question(&core),
                    ToCore::Connect { .. } | ToCore::Requests { .. } => {}
                }
                // After each message, so that what one client asks for is bounded when it is
                // handed over, not when the turn ends.
                outbound.take(core.drain_effects());
            }
            outbound.post();
            made.extend(outbound.made(now_ms));
            unflushed_bytes += outbound.append(&storage)?;
            if is_stopping && core.outstanding() == 0 {
                return Ok(());
            }
        }
    }
}

/// The effects of a turn, gathered by where they go.
struct Outbound {
    server: Arc<Shared>,
    peers: HashMap<ConnId, Peer>,
    /// The peers that something is to be handed to.
    touched: Vec<ConnId>,
    to_storage: Vec<ToStorage>,
    quota_log: QuotaLog,
}

impl Outbound {
    fn new(server: Arc<Shared>) -> Self {
        Self {
            server,
            peers: HashMap::new(),
            touched: Vec::new(),
            to_storage: Vec::new(),
            quota_log: QuotaLog::default(),
        }
    }

    fn add_peer(&mut self, link: Arc<Link>) {
        let peer = Peer {
            replies: Vec::new(),
            weight: 0,
            is_touched: false,
            ends_message: false,
            closes: false,
            link,
        };
        self.peers.insert(peer.link.id, peer);
    }

    /// The connection, noted as one that something is to be handed to; `None` when it is gone.
    fn touch(&mut self, conn: ConnId) -> Option<&mut Peer> {
        let peer = self.peers.get_mut(&conn)?;
        if !peer.is_touched {
            peer.is_touched = true;
            self.touched.push(conn);
        }
        Some(peer)
    }

    fn end_message(&mut self, conn: ConnId) {
        if let Some(peer) = self.touch(conn) {
            peer.ends_message = true;
        }
    }

    fn remove_peer(&mut self, conn: ConnId) -> bool {
        self.peers.remove(&conn).is_some()
    }

    fn take(&mut self, effects: impl Iterator<Item = Effect>) {
        for effect in effects {
            match effect {
                Effect::Accept { conn, response } => {
                    self.hand(conn, Outgoing::Accept(response));
                }
                Effect::Reply {
                    conn,
                    header,
                    response,
                } => self.hand(conn, Outgoing::Reply(header, response)),
                Effect::Notify { conns, zxid, event } => {
                    // What setWatches catches up with is no event of a transaction.
                    if zxid >= Zxid::ZERO {
                        self.server.stats.watchers.add(event.event, conns.len());
                    }
                    let frame = encode_event(zxid, &event);
                    for conn in conns {
                        self.hand(conn, Outgoing::Event(frame.clone()));
                    }
                }
                Effect::Close { conn, reason } => self.close(conn, &reason),
                Effect::Append { zxid, record } => {
                    self.to_storage.push(ToStorage::Append { zxid, record });
                }
                Effect::Snapshot(view) => self.to_storage.push(ToStorage::Snapshot(view)),
                Effect::Quorum(_) | Effect::Halt(_) => {
                    unreachable!("the server is alone")
                }
                Effect::QuotaExceeded(exceeded) => {
                    self.quota_log.tell(&exceeded, self.server.clock.elapsed());
                    if exceeded.is_hard {
                        self.server.quota_refusals.count(&exceeded);
                    }
                }
            }
        }
    }

    /// Notes something for a connection. It is dropped if the connection is gone, or lets more
    /// pile up than it may, and is then aborted. What a turn adds does not count before it is
    /// handed over: one answer is always let through, and a client that takes its replies is never
    /// aborted for having asked for many.
    fn hand(&mut self, conn: ConnId, item: Outgoing) {
        let weight_max = self
            .server
            .config
            .limits
            .reply_bytes_per_connection_max
            .get();
        let Some(peer) = self.touch(conn) else {
            return;
        };
        if peer.link.unwritten() > weight_max {
            peer.link.abort();
        } else {
            peer.weight += item.weight();
            peer.replies.push(item);
        }
    }

    fn close(&mut self, conn: ConnId, reason: &CloseReason) {
        let Some(peer) = self.touch(conn) else {
            return;
        };
        peer.closes = true;
        log_close(&peer.link, reason);
    }

    /// Hands each connection what the turn brought, as one batch.
    fn post(&mut self) {
        for conn in self.touched.drain(..) {
            let Some(peer) = self.peers.get_mut(&conn) else {
                continue;
            };
            peer.is_touched = false;
            if !peer.replies.is_empty() {
                let replies = std::mem::take(&mut peer.replies);
                peer.link.post(replies, std::mem::take(&mut peer.weight));
            }
            if std::mem::take(&mut peer.ends_message) {
                peer.link.end_message();
            }
            if peer.closes {
                peer.link.close();
            }
        }
    }

    /// The transactions of the turn, if there are any.
    fn made(&self, ms: u64) -> Option<Made> {
        let zxids = || {
            self.to_storage.iter().filter_map(|item| match item {
                ToStorage::Append { zxid, .. } => Some(*zxid),
                ToStorage::Snapshot(_) => None,
            })
        };
        let txns = zxids().count() as u64;
        zxids().last().map(|last| Made { last, txns, ms })
    }

    /// Hands storage what the turn brought, as one batch; returns its bytes.
    fn append(&mut self, storage: &StorageThread) -> Result<usize, ServerError> {
        if self.to_storage.is_empty() {
            return Ok(0);
        }
        let batch = std::mem::take(&mut self.to_storage);
        let bytes = batch.iter().map(ToStorage::bytes).sum();
        storage.send(batch)?;
        Ok(bytes)
    }
}

/// Encodes an event once for all that receive it.
fn encode_event(zxid: Zxid, event: &WatcherEvent) -> Bytes {
    let mut frame = BytesMut::new();
    write_frame(&mut frame, |out| {
        ReplyHeader {
            xid: Xid::NOTIFICATION,
            zxid,
            err: ErrorCode::OK,
        }
        .encode(out);
        event.encode(out);
    });
    frame.freeze()
}

fn log_close(link: &Link, reason: &CloseReason) {
    let (session, _) = link.session();
    let peer = link.peer;
    match reason {
        CloseReason::SessionClosed => debug!(%peer, %session, "session closed by its client"),
        CloseReason::SessionExpired => info!(%peer, %session, "session expired"),
        CloseReason::SessionRefused => {
            info!(%peer, "the session to resume is over, or its password is wrong");
        }
        CloseReason::SessionMoved => {
            debug!(%peer, %session, "session resumed on another connection");
        }
        CloseReason::ClientAhead { seen, ours } => {
            warn!(%peer, %seen, %ours, "refused: the client has seen a transaction that is not here");
        }
        CloseReason::AuthFailed { scheme } => {
            let scheme: String = scheme.chars().take(64).collect();
            warn!(%peer, %session, ?scheme, "authentication failed, the connection is closed");
        }
        CloseReason::AuthRequired => {
            warn!(%peer, %session, "not authenticated as enforce.auth.schemes asks, the connection is closed");
        }
        CloseReason::Unsupported(op) => {
            warn!(%peer, %session, %op, "operation not for clients, the connection is closed");
        }
        CloseReason::Limit(limit) => {
            warn!(%peer, %session, limit, "limit passed, the connection is closed");
        }
        reason => info!(%peer, %session, ?reason, "connection closed"),
    }
}
