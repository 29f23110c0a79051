//! What the core has to be done, gathered by where it goes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};
use hashbrown::HashMap;
use tracing::{debug, info};
use zk_core::{CloseReason, ConnId, Effect, HaltReason, QuorumEffect};
use zk_proto::quorum::ServerState;
use zk_proto::{ErrorCode, Record, ReplyHeader, WatcherEvent, Xid, Zxid, write_frame};

use super::ensemble::Ensemble;
use crate::complaints::{ClientComplaints, complain};
use crate::error::ServerError;
use crate::net::{Link, Outgoing};
use crate::peers::ToPeer;
use crate::quota_log::QuotaLog;
use crate::shared::Shared;
use crate::storage::{StorageThread, ToStorage};

/// The effects of a turn, gathered by where they go.
pub(super) struct Outbound {
    server: Arc<Shared>,
    clients: HashMap<ConnId, Client>,
    /// The clients that something is to be handed to.
    touched: Vec<ConnId>,
    storage: StorageThread,
    to_storage: Vec<ToStorage>,
    /// The other servers, in an ensemble.
    pub(super) ensemble: Option<Ensemble>,
    leads: bool,
    /// Why the server must not go on.
    halted: Option<HaltReason>,
    quota_log: QuotaLog,
}

/// A connection as the loop sees it.
struct Client {
    link: Arc<Link>,
    replies: Vec<Outgoing>,
    weight: usize,
    /// Whether it is among those that something is to be handed to.
    is_touched: bool,
    ends_message: bool,
    closes: bool,
}

/// Transactions made in one turn.
pub(super) struct Made {
    pub(super) last: Zxid,
    pub(super) txns: u64,
    pub(super) ms: u64,
}

impl Outbound {
    pub(super) fn new(
        server: Arc<Shared>,
        storage: StorageThread,
        ensemble: Option<Ensemble>,
    ) -> Self {
        Self {
            server,
            clients: HashMap::new(),
            touched: Vec::new(),
            storage,
            to_storage: Vec::new(),
            ensemble,
            leads: false,
            halted: None,
            quota_log: QuotaLog::default(),
        }
    }

    pub(super) fn add_client(&mut self, link: Arc<Link>) {
        let client = Client {
            replies: Vec::new(),
            weight: 0,
            is_touched: false,
            ends_message: false,
            closes: false,
            link,
        };
        self.clients.insert(client.link.id, client);
    }

    /// The connection, noted as one that something is to be handed to; `None` when it is gone.
    fn touch(&mut self, conn: ConnId) -> Option<&mut Client> {
        let client = self.clients.get_mut(&conn)?;
        if !client.is_touched {
            client.is_touched = true;
            self.touched.push(conn);
        }
        Some(client)
    }

    pub(super) fn end_message(&mut self, conn: ConnId) {
        if let Some(client) = self.touch(conn) {
            client.ends_message = true;
        }
    }

    /// About how many bytes of replies the turn has for a client.
    pub(super) fn reply_bytes(&self, conn: ConnId) -> usize {
        self.clients.get(&conn).map_or(0, |client| client.weight)
    }

    pub(super) fn remove_client(&mut self, conn: ConnId) -> bool {
        self.clients.remove(&conn).is_some()
    }

    pub(super) fn take(&mut self, effects: impl Iterator<Item = Effect>) {
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
                    if self.leads {
                        self.server.stats.quorum.on_proposal(record.len());
                    }
                    self.to_storage.push(ToStorage::Append { zxid, record });
                }
                Effect::Snapshot(view) => self.to_storage.push(ToStorage::Snapshot(view)),
                Effect::Quorum(effect) => self.take_quorum(effect),
                Effect::Halt(reason) => {
                    self.halted.get_or_insert(reason);
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

    fn take_quorum(&mut self, effect: QuorumEffect) {
        let ensemble = self.ensemble.as_mut();
        let ensemble = ensemble.expect("a server that runs alone has no others");
        match effect {
            QuorumEffect::Vote { to, notification } => ensemble.vote(to, &notification),
            QuorumEffect::Dial { to, attempt } => ensemble.dial(to, attempt),
            QuorumEffect::Send { link, packets } => ensemble.send(link, ToPeer::Packets(packets)),
            QuorumEffect::SendSnapshot { link, view } => {
                let states_sent = &self.server.stats.quorum.states_sent;
                states_sent.fetch_add(1, Relaxed);
                ensemble.send(link, ToPeer::State(view));
            }
            QuorumEffect::Close(link) => ensemble.close(link),
            QuorumEffect::Promise(promise) => self.to_storage.push(ToStorage::Promise(promise)),
            QuorumEffect::Truncate(to) => self.to_storage.push(ToStorage::Truncate(to)),
            QuorumEffect::ReceiveSnapshot { link, zxid } => {
                let state = ensemble.take_state(link);
                self.to_storage.push(ToStorage::Receive { zxid, state });
            }
            QuorumEffect::ReadLog { link, after, to } => self.storage.read_log(link, after, to),
            QuorumEffect::Membership { in_force, proposed } => {
                let keep = ToStorage::Membership {
                    in_force: in_force.clone(),
                    proposed: proposed.clone(),
                };
                self.to_storage.push(keep);
                let now = self.server.clock.elapsed();
                if let Some(address) = ensemble.change(now, in_force, proposed) {
                    self.server.move_client_port(&address);
                }
            }
            QuorumEffect::Role(role) => {
                self.leads = role == ServerState::Leading;
                let now = self.server.clock.elapsed();
                self.server.stats.quorum.on_role(role, now);
                log_role(role);
            }
            QuorumEffect::Left(reason) => info!(%reason, "the role is left"),
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
        let Some(client) = self.touch(conn) else {
            return;
        };
        if client.link.unwritten() > weight_max {
            client.link.abort();
        } else {
            client.weight += item.weight();
            client.replies.push(item);
        }
    }

    fn close(&mut self, conn: ConnId, reason: &CloseReason) {
        let Some(client) = self.touch(conn) else {
            return;
        };
        client.closes = true;
        let link = Arc::clone(&client.link);
        log_close(&link, reason, &self.server.complaints);
    }

    /// Hands each connection what the turn brought, as one batch.
    pub(super) fn post(&mut self) {
        for conn in self.touched.drain(..) {
            let Some(client) = self.clients.get_mut(&conn) else {
                continue;
            };
            client.is_touched = false;
            if !client.replies.is_empty() {
                let replies = std::mem::take(&mut client.replies);
                client
                    .link
                    .post(replies, std::mem::take(&mut client.weight));
            }
            if std::mem::take(&mut client.ends_message) {
                client.link.end_message();
            }
            if client.closes {
                client.link.close();
            }
        }
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.post();
        }
    }

    /// The transactions of the turn, if there are any.
    pub(super) fn made(&self, ms: u64) -> Option<Made> {
        let zxids = || {
            self.to_storage.iter().filter_map(|item| match item {
                ToStorage::Append { zxid, .. } => Some(*zxid),
                ToStorage::Snapshot(_)
                | ToStorage::Promise(_)
                | ToStorage::Membership { .. }
                | ToStorage::Truncate(_)
                | ToStorage::Receive { .. } => None,
            })
        };
        let txns = zxids().count() as u64;
        zxids().last().map(|last| Made { last, txns, ms })
    }

    /// Hands storage what the turn brought, as one batch; returns its bytes.
    ///
    /// # Errors
    /// [`ServerError::Halted`] when the server must not go on, or storage is gone.
    pub(super) fn append(&mut self) -> Result<usize, ServerError> {
        if let Some(reason) = self.halted.take() {
            return Err(ServerError::Halted(reason));
        }
        if self.to_storage.is_empty() {
            return Ok(0);
        }
        let batch = std::mem::take(&mut self.to_storage);
        let bytes = batch.iter().map(ToStorage::bytes).sum();
        self.storage.send(batch)?;
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

fn log_close(link: &Link, reason: &CloseReason, complaints: &ClientComplaints) {
    let (session, _) = link.session();
    let peer = link.peer;
    match reason {
        CloseReason::SessionClosed => debug!(%peer, %session, "session closed by its client"),
        CloseReason::SessionExpired => info!(%peer, %session, "session expired"),
        CloseReason::SessionRefused => {
            let kind = &complaints.session_refused;
            complain!(kind, %peer, "the session to resume is over, or its password is wrong");
        }
        CloseReason::SessionMoved => {
            debug!(%peer, %session, "session resumed on another connection");
        }
        CloseReason::ClientAhead { seen, ours } => {
            let kind = &complaints.client_ahead;
            complain!(kind, %peer, %seen, %ours, "refused: the client has seen a transaction that is not here");
        }
        CloseReason::AuthFailed { scheme } => {
            let scheme: String = scheme.chars().take(64).collect();
            let kind = &complaints.auth_failed;
            complain!(kind, %peer, %session, ?scheme, "authentication failed, the connection is closed");
        }
        CloseReason::AuthRequired => {
            let kind = &complaints.auth_required;
            complain!(kind, %peer, %session, "not authenticated as enforce.auth.schemes asks, the connection is closed");
        }
        CloseReason::Unsupported(op) => {
            let kind = &complaints.unsupported;
            complain!(kind, %peer, %session, %op, "operation not for clients, the connection is closed");
        }
        CloseReason::Limit(limit) => {
            let kind = &complaints.limit;
            complain!(kind, %peer, %session, limit, "limit passed, the connection is closed");
        }
        CloseReason::NotServing => {
            debug!(%peer, %session, "not serving, the connection is closed");
        }
        reason => info!(%peer, %session, ?reason, "connection closed"),
    }
}

fn log_role(role: ServerState) {
    match role {
        ServerState::Looking => info!("looking for a leader"),
        ServerState::Leading => info!("elected to lead"),
        ServerState::Following => info!("following a leader"),
        ServerState::Observing => info!("observing a leader"),
    }
}
