//! The loop that owns the core: inputs in, effects out.
//!
//! ```text
//! connections ── requests (bounded) ──┐                  ┌──> one batch of replies a connection
//! servers ────── packets, votes ──────┼──> core, effects ┼──> one batch of packets a link
//! storage ────── flushed ─────────────┤                  ├──> one batch of appends
//! timer ──────────────────────────────┘                  └──> snapshot
//! ```
//!
//! Each turn takes everything that waits, and only then hands out what came of it, so that a busy
//! server needs few wake-ups; but of what takes long no more than a [`portion`], so that nobody waits
//! for all that others ask for. It decides nothing: every effect has one arm here.

mod ensemble;
mod outbound;
mod portion;

use std::collections::VecDeque;
use std::fmt;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep_until;
use tracing::{info, warn};
use zk_core::{ConnId, Core, Incoming, Input, Now, QuorumInput};
use zk_proto::ConnectRequest;
use zk_proto::quorum::FromLeader;

use crate::error::ServerError;
use crate::net::Link;
use crate::peers::{FromPeer, PeerMessages, Peers, QuorumEvent};
use crate::shared::Shared;
use crate::stats::whole_ms;
use crate::status::Status;
use crate::storage::{FromStorage, StorageThread};
use ensemble::Ensemble;
use outbound::{Made, Outbound};
use portion::Work;

/// Messages that wait for the loop at most; senders wait for room.
pub(crate) const MESSAGES_WAITING_MAX: usize = 4096;
/// Messages of one turn; what they bring about leaves before the next are looked at.
const MESSAGES_PER_TURN: usize = 256;
/// Bytes of transactions that are not yet on disk at most; at the bound neither clients nor a leader
/// are heard until the disk has caught up.
const UNFLUSHED_BYTES_MAX: usize = 64 << 20;
/// At this bound nobody is heard: a leader whose disk is that far behind loses its followers.
const UNFLUSHED_BYTES_LIMIT: usize = 4 * UNFLUSHED_BYTES_MAX;
/// How long a member that stops waits for what is under way: what a quorum does not agree on may
/// stay so for ever.
const RETIRE_WITHIN: Duration = Duration::from_secs(2);
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
    /// The other servers, in an ensemble.
    pub(crate) peers: Option<(Arc<Peers>, PeerMessages)>,
}

impl Driver {
    /// Serves until told to stop, then until everything appended is on disk; the replies are
    /// posted, the connections still open.
    ///
    /// # Errors
    /// [`ServerError`] when storage failed, or the server must not go on: nothing is acknowledged from
    /// then on.
    pub(crate) async fn run(self) -> Result<(), ServerError> {
        let Self {
            core,
            server,
            mut messages,
            storage,
            mut from_storage,
            peers,
        } = self;
        let clock = server.clock;
        let stop = server.stop.clone();
        let (ensemble, mut peers) = match peers {
            Some((peers, messages)) => {
                let ensemble = Ensemble::new(peers, clock.elapsed());
                (Some(ensemble), messages)
            }
            None => (None, PeerMessages::none()),
        };
        let mut turn = Turn {
            outbound: Outbound::new(Arc::clone(&server), storage, ensemble),
            core,
            server,
            made: VecDeque::new(),
            later: VecDeque::new(),
            had_long_work: false,
            unflushed_bytes: 0,
            retires_until: None,
        };
        let mut stop = pin!(stop.cancelled());
        let mut waiting = Vec::with_capacity(MESSAGES_PER_TURN);
        // Then connections and links that have something for this turn are behind the loop in the
        // queue of the only thread.
        let shares_thread = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        let mut armed = FAR_FUTURE;
        let mut timer = pin!(sleep_until(clock.instant(armed).into()));
        // What the core wants from the start on.
        turn.end(clock.now())?;
        loop {
            // A timer that is early costs a turn, one that is moved with every request costs more.
            if let Some(deadline) = turn.next_deadline()
                && deadline < armed
            {
                armed = deadline;
                timer.as_mut().reset(clock.instant(armed).into());
            }
            let (mut news, mut from_peer, mut from_leader) = (None, None, None);
            tokio::select! {
                biased;
                from = from_storage.recv() => {
                    news = Some(from.ok_or(ServerError::Ended("the storage thread"))?);
                }
                Some(from) = peers.all.recv(), if turn.hears_anybody() => from_peer = Some(from),
                Some(from) = peers.leader.recv(), if turn.hears_more() => from_leader = Some(from),
                _ = messages.recv_many(&mut waiting, MESSAGES_PER_TURN), if turn.hears_more() => {}
                () = &mut timer => {
                    armed = FAR_FUTURE;
                    timer.as_mut().reset(clock.instant(armed).into());
                }
                () = &mut stop, if turn.retires_until.is_none() => turn.retire(clock.now()),
                () = ready(()), if turn.has_later() => {}
            }
            if shares_thread || turn.has_later() {
                yield_now().await;
            }
            let now = clock.now();
            while let Some(from) = news.take().or_else(|| from_storage.try_recv().ok()) {
                turn.on_storage(now, from)?;
            }
            for _ in 0..MESSAGES_PER_TURN {
                let from = from_peer.take();
                let Some(from) = from.or_else(|| peers.all.try_recv().ok()) else {
                    break;
                };
                turn.on_peer(now, from)?;
            }
            for _ in 0..MESSAGES_PER_TURN {
                let from = from_leader.take();
                let Some(from) = from.or_else(|| peers.leader.try_recv().ok()) else {
                    break;
                };
                turn.on_peer(now, from)?;
            }
            turn.on_time(now);
            if turn.hears_more() {
                while waiting.len() < MESSAGES_PER_TURN {
                    let Ok(message) = messages.try_recv() else {
                        break;
                    };
                    waiting.push(message);
                }
            }
            turn.on_clients(now, &mut waiting);
            turn.end(now)?;
            if turn.is_over(now) {
                if let Some(ensemble) = &turn.outbound.ensemble {
                    ensemble.finish().await;
                }
                return Ok(());
            }
        }
    }
}

/// What the loop does in a turn.
struct Turn {
    core: Core,
    server: Arc<Shared>,
    outbound: Outbound,
    made: VecDeque<Made>,
    /// What clients sent and the turn did not take.
    later: VecDeque<ToCore>,
    /// Whether the turn has done its share of long work.
    had_long_work: bool,
    unflushed_bytes: usize,
    /// The server is told to stop, and does so then at the latest, if it is a member.
    retires_until: Option<Duration>,
}

impl Turn {
    fn next_deadline(&self) -> Option<Duration> {
        let election = self.outbound.ensemble.as_ref();
        let election = election.and_then(Ensemble::next_deadline);
        let retires = self.retires_until;
        [self.core.next_deadline(), election, retires]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether clients and a leader are heard.
    fn hears_more(&self) -> bool {
        self.unflushed_bytes < UNFLUSHED_BYTES_MAX
    }

    /// Whether other servers are heard.
    fn hears_anybody(&self) -> bool {
        self.unflushed_bytes < UNFLUSHED_BYTES_LIMIT
    }

    fn handle(&mut self, now: Now, input: Input) {
        self.core.handle(now, input);
        self.outbound.take(self.core.drain_effects());
    }

    fn retire(&mut self, now: Now) {
        self.retires_until = Some(now.monotonic + RETIRE_WITHIN);
        self.handle(now, Input::Retire);
    }

    /// Whether a server that was told to stop has nothing under way any more.
    fn is_over(&self, now: Now) -> bool {
        let Some(until) = self.retires_until else {
            return false;
        };
        let outstanding = self.core.outstanding();
        if outstanding > 0 && self.outbound.ensemble.is_some() && now.monotonic >= until {
            warn!(outstanding, "stopping with transactions that no quorum has");
            return true;
        }
        outstanding == 0
    }

    fn on_storage(&mut self, now: Now, from: FromStorage) -> Result<(), ServerError> {
        let input = match from {
            FromStorage::Flushed { zxid, bytes } => {
                self.unflushed_bytes -= bytes;
                let now_ms = whole_ms(now.monotonic);
                while let Some(made) = self.made.pop_front_if(|made| made.last <= zxid) {
                    let propagation = &self.server.stats.log.propagation;
                    propagation.add_many(now_ms.saturating_sub(made.ms), made.txns);
                }
                Input::Flushed { zxid }
            }
            FromStorage::SnapshotWritten { zxid } => Input::SnapshotWritten { zxid },
            FromStorage::Promised => Input::Quorum(QuorumInput::Promised),
            FromStorage::Reloaded(recovered) => Input::Quorum(QuorumInput::Reloaded(recovered)),
            FromStorage::ReloadFailed => Input::Quorum(QuorumInput::ReloadFailed),
            FromStorage::LogRead { link, txns } => {
                Input::Quorum(QuorumInput::LogRead { link, txns })
            }
            FromStorage::Failed(error) => return Err(error),
        };
        self.handle(now, input);
        Ok(())
    }

    fn on_peer(&mut self, now: Now, from: FromPeer) -> Result<(), ServerError> {
        let ensemble = self.outbound.ensemble.as_mut();
        let ensemble = ensemble.expect("only members hear of other servers");
        match from {
            FromPeer::Election(event) => {
                if let Some(input) = ensemble.on_election(now.monotonic, event) {
                    self.handle(now, Input::Quorum(input));
                }
                self.on_election_links(now);
            }
            FromPeer::Quorum(QuorumEvent::FromLearner { link, packets }) => {
                let input = QuorumInput::FromLearner { link, packets };
                self.handle(now, Input::Quorum(input));
            }
            FromPeer::Quorum(QuorumEvent::FromLeader {
                link,
                packets,
                state,
            }) => {
                ensemble.note_state(link, state);
                let stats = &self.server.stats.quorum;
                let (mut proposals, mut commits) = (0, 0);
                for packet in &packets {
                    match packet {
                        FromLeader::Proposal { .. } => proposals += 1,
                        FromLeader::Commit { .. } => commits += 1,
                        _ => {}
                    }
                }
                stats.proposals_heard.fetch_add(proposals, Relaxed);
                stats.commits_heard.fetch_add(commits, Relaxed);
                let input = QuorumInput::FromLeader { link, packets };
                self.handle(now, Input::Quorum(input));
            }
            FromPeer::Quorum(event) => {
                let input = ensemble.on_quorum(event);
                self.handle(now, Input::Quorum(input));
            }
            FromPeer::PortFailed(error) => return Err(error),
        }
        Ok(())
    }

    /// Tells the core of links to election ports, as they come and go, and sends its votes.
    fn on_election_links(&mut self, now: Now) {
        while let Some(input) = (self.outbound.ensemble.as_mut()).and_then(Ensemble::next_input) {
            self.handle(now, Input::Quorum(input));
        }
    }

    /// Does what is due.
    fn on_time(&mut self, now: Now) {
        let due = self.core.next_deadline();
        if due.is_some_and(|at| at <= now.monotonic) {
            self.handle(now, Input::Tick);
        }
        if let Some(ensemble) = &mut self.outbound.ensemble {
            ensemble.on_time(now.monotonic);
        }
    }

    /// Whether clients have something for the next turn already.
    fn has_later(&self) -> bool {
        !self.later.is_empty() && self.hears_more()
    }

    fn on_clients(&mut self, now: Now, messages: &mut Vec<ToCore>) {
        if !messages.is_empty() {
            let prep = &self.server.stats.prep;
            prep.queue_size.add(messages.len() as u64);
        }
        self.had_long_work = false;
        if self.hears_more() {
            for message in std::mem::take(&mut self.later) {
                self.on_client(now, message);
            }
        }
        for message in messages.drain(..) {
            self.on_client(now, message);
        }
    }

    fn on_client(&mut self, now: Now, message: ToCore) {
        let is_stopping = self.retires_until.is_some();
        match message {
            ToCore::Connect { link, request } if !is_stopping => {
                let input = Input::Connect {
                    conn: link.id,
                    peer: link.peer.ip(),
                    request,
                };
                self.outbound.add_client(link);
                self.handle(now, input);
            }
            // What it asked for before comes first, were it to end its session.
            ToCore::Disconnected { conn } if self.asks_later(conn) => self.later.push_back(message),
            ToCore::Disconnected { conn } => {
                if self.outbound.remove_client(conn) {
                    self.handle(now, Input::Disconnected { conn });
                }
            }
            ToCore::Requests {
                conn,
                requests,
                sent_ms,
            } if !is_stopping => self.on_requests(now, conn, requests, sent_ms),
            ToCore::Inspect(question) => question(&self.core),
            ToCore::Connect { .. } | ToCore::Requests { .. } => {}
        }
    }

    fn asks_later(&self, conn: ConnId) -> bool {
        let mut later = self.later.iter();
        later.any(|message| matches!(message, ToCore::Requests { conn: asks, .. } if *asks == conn))
    }

    /// Hands a connection's requests over, but for what has to wait for the next turn. What they bring is
    /// taken after each part, so that what one client asks for is bounded when it is handed over, not
    /// when the turn ends.
    fn on_requests(&mut self, now: Now, conn: ConnId, mut requests: Vec<Incoming>, sent_ms: u64) {
        let queued_ms = whole_ms(now.monotonic).saturating_sub(sent_ms);
        loop {
            let part = portion::next(&requests);
            if self.had_long_work && part.work != Work::Little {
                break;
            }
            let rest = requests.split_off(part.requests);
            let prep = &self.server.stats.prep;
            prep.requests.fetch_add(part.requests as u64, Relaxed);
            prep.queue_time.add_many(queued_ms, part.requests as u64);
            self.handle(now, Input::Requests { conn, requests });
            requests = rest;
            let is_long =
                part.work == Work::Long || self.outbound.reply_bytes(conn) >= portion::REPLY_BYTES;
            self.had_long_work |= is_long;
            if requests.is_empty() {
                self.outbound.end_message(conn);
                return;
            }
            if is_long {
                break;
            }
        }
        self.later.push_back(ToCore::Requests {
            conn,
            requests,
            sent_ms,
        });
    }

    /// Hands out what the turn brought.
    fn end(&mut self, now: Now) -> Result<(), ServerError> {
        self.outbound.take(self.core.drain_effects());
        self.on_election_links(now);
        self.outbound.post();
        self.made
            .extend(self.outbound.made(whole_ms(now.monotonic)));
        self.unflushed_bytes += self.outbound.append()?;
        self.show();
        Ok(())
    }

    /// Tells, and logs, what became of the server's role.
    fn show(&self) {
        let status = Status {
            is_serving: self.core.is_serving() && self.retires_until.is_none(),
            role: self.core.state(),
            leader: self.core.leader(),
        };
        let before = *self.server.status.borrow();
        if status == before {
            return;
        }
        self.server.status.send_replace(status);
        if self.outbound.ensemble.is_none() {
            return;
        }
        let leader = status.leader.map(|leader| leader.0);
        if status.is_serving {
            info!(leader, "serving clients");
        } else if before.is_serving {
            info!("no longer serving clients");
        } else if leader.is_some() {
            info!(leader, "there is a leader");
        }
    }
}
