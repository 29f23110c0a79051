//! Handshakes: sessions begin and come back (`ZooKeeperServer.processConnectRequest`, 3.9.5).

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::{ConnectRequest, ConnectResponse, SessionId, session_password};

use super::Replica;
use crate::auth::Identities;
use crate::connections::Connection;
use crate::{CloseReason, ConnId, Effect};

/// What the client of a connection wants, which somebody else has to decide on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resuming {
    /// A session that is new.
    New { session: SessionId, timeout_ms: i32 },
    /// Its own session, if that is still open.
    Own { session: SessionId, slot: u32 },
}

impl Replica {
    /// A client comes. What it wants waits for [`attach`](Self::attach); `None` when it was refused.
    pub(crate) fn on_connect(
        &mut self,
        conn: ConnId,
        who: Identities,
        request: &ConnectRequest,
    ) -> Option<Resuming> {
        let ours = self.tree.last_zxid();
        if request.last_zxid_seen > ours {
            let seen = request.last_zxid_seen;
            self.refuse(conn, CloseReason::ClientAhead { seen, ours });
            return None;
        }
        let granted = self.granted_timeout(request.timeout_ms);
        let mut connection = Connection {
            id: conn,
            session: request.session_id,
            attached: None,
            granted,
            who,
            has_read_only_byte: request.read_only.is_some(),
            waiting: VecDeque::new(),
            is_ending: false,
        };
        if request.session_id == SessionId(0) {
            if self.sessions.len() + self.conns.awaiting() >= self.config.sessions_max {
                self.refuse(conn, CloseReason::Limit("sessions_max"));
                return None;
            }
            let Self {
                session_ids,
                sessions,
                conns,
                ..
            } = self;
            let session = session_ids.next(|id| sessions.slot_of(id).is_some() || conns.awaits(id));
            connection.session = session;
            let timeout_ms = connection.granted_ms();
            self.wait_for_session(connection);
            return Some(Resuming::New {
                session,
                timeout_ms,
            });
        }
        self.counters.resumptions += 1;
        if !is_password(request) {
            self.refuse_session(conn, request.read_only.is_some());
            return None;
        }
        self.leave_old_connection(request.session_id);
        let slot = self.wait_for_session(connection);
        Some(Resuming::Own {
            session: request.session_id,
            slot,
        })
    }

    /// The session's client is not there any more. What it asked for there and does not stand in line
    /// yet must not follow what it asked for since, at other servers.
    fn leave_old_connection(&mut self, id: SessionId) {
        let session = self.sessions.slot_of(id);
        if let Some(old) = session.and_then(|session| self.sessions.get(session).conn) {
            self.close(old, CloseReason::SessionMoved);
        }
    }

    fn wait_for_session(&mut self, connection: Connection) -> u32 {
        let slot = self.conns.insert(connection);
        if let Some(before) = self.conns.await_session(slot) {
            // It is not the one that waits any more, so its end leaves the newer one alone.
            self.close(before, CloseReason::SessionMoved);
        }
        slot
    }

    /// The session to resume is found open, or over.
    pub(crate) fn resume(&mut self, id: SessionId, is_open: bool) {
        let Some(slot) = self.conns.take_awaiting(id) else {
            return;
        };
        match self.sessions.slot_of(id) {
            Some(session) if is_open => {
                let old = self.sessions.get(session).conn;
                assert!(old.is_none(), "it was left when the session came back");
                self.attach(slot, session);
            }
            Some(_) | None => {
                let conn = self.conns.get(slot);
                let (id, has_read_only_byte) = (conn.id, conn.has_read_only_byte);
                self.forget_connection(slot);
                self.refuse_session(id, has_read_only_byte);
            }
        }
    }

    /// A session of the ensemble begins; here its connection may wait for it.
    pub(crate) fn open_session(&mut self, id: SessionId, timeout_ms: i32) {
        self.local.remove(id);
        let session = self.sessions.open(id, timeout_ms);
        if let Some(slot) = self.conns.take_awaiting(id) {
            self.attach(slot, session);
        }
    }

    /// A session ends of which no transaction tells.
    pub(crate) fn drop_session(&mut self, id: SessionId, reason: CloseReason) {
        if let Some(session) = self.sessions.slot_of(id) {
            if let Some(slot) = self.sessions.get(session).conn {
                self.close(slot, reason);
            }
            self.forget_session(session);
        }
    }

    pub(super) fn forget_session(&mut self, slot: u32) {
        let session = self.sessions.remove(slot);
        self.local.remove(session.id);
    }

    pub(crate) fn refuse(&mut self, conn: ConnId, reason: CloseReason) {
        self.effects.push(Effect::Close { conn, reason });
    }

    fn refuse_session(&mut self, conn: ConnId, has_read_only_byte: bool) {
        let response = ConnectResponse::expired(has_read_only_byte.then_some(self.is_read_only));
        self.effects.push(Effect::Accept { conn, response });
        self.refuse(conn, CloseReason::SessionRefused);
    }

    fn granted_timeout(&self, asked_ms: i32) -> Duration {
        let asked = Duration::from_millis(u64::try_from(asked_ms).unwrap_or(0));
        let (min, max) = (
            self.config.session_timeout_min,
            self.config.session_timeout_max,
        );
        asked.max(min).min(max)
    }

    /// The connection carries the session from here on, and its client is told so.
    pub(super) fn attach(&mut self, slot: u32, session: u32) {
        self.sessions.get_mut(session).conn = Some(slot);
        let conn = self.conns.get_mut(slot);
        conn.attached = Some(session);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: conn.granted_ms(),
            session_id: conn.session,
            password: Bytes::copy_from_slice(&session_password(conn.session)),
            read_only: conn.has_read_only_byte.then_some(self.is_read_only),
        };
        let conn = conn.id;
        self.effects.push(Effect::Accept { conn, response });
    }
}

/// Whether the client proves the session to be its own. The time it takes does not tell how much
/// of the proof is right.
fn is_password(request: &ConnectRequest) -> bool {
    let password = session_password(request.session_id);
    let differing = password
        .iter()
        .zip(&request.password)
        .fold(0, |bits, (ours, theirs)| bits | (ours ^ theirs));
    request.password.len() == password.len() && differing == 0
}
