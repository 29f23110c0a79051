//! Handshakes: sessions begin and come back (`ZooKeeperServer.processConnectRequest`, 3.9.5).

use alloc::collections::VecDeque;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::{ConnectRequest, ConnectResponse, SessionId, session_password};

use super::{Origin, Standalone};
use crate::auth::Identities;
use crate::connections::Connection;
use crate::sessions::SessionState;
use crate::{CloseReason, ConnId, Effect, Now};

impl Standalone {
    pub(super) fn on_connect(
        &mut self,
        now: Now,
        conn: ConnId,
        who: Identities,
        request: &ConnectRequest,
    ) {
        let ours = self.tree.last_zxid();
        if request.last_zxid_seen > ours {
            let seen = request.last_zxid_seen;
            self.refuse(conn, CloseReason::ClientAhead { seen, ours });
            return;
        }
        let timeout = self.granted_timeout(request.timeout_ms);
        let connection = |session| Connection {
            id: conn,
            session,
            who,
            has_read_only_byte: request.read_only.is_some(),
            waiting: VecDeque::new(),
            is_ending: false,
        };
        if request.session_id == SessionId(0) {
            if self.sessions.len() >= self.config.sessions_max {
                self.refuse(conn, CloseReason::Limit("sessions_max"));
                return;
            }
            let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
            let session = self.sessions.open(timeout_ms, now.monotonic);
            let slot = self.conns.insert(connection(session));
            self.sessions.get_mut(session).conn = Some(slot);
            let id = self.sessions.get(session).id;
            let prepared = self.prep.create_session(id, timeout_ms, now.wall_ms);
            self.append(prepared, Origin::Client { session, conn });
        } else if let Some(session) = self.resumable(request) {
            if let Some(old) = self.sessions.get(session).conn {
                self.close(old, CloseReason::SessionMoved);
            }
            let slot = self.conns.insert(connection(session));
            let state = self.sessions.get_mut(session);
            state.conn = Some(slot);
            state.granted = timeout;
            self.sessions.touch(session, now.monotonic);
            self.counters.sessions_resumed += 1;
            self.accept(slot);
        } else {
            let read_only = request.read_only.map(|_| false);
            let response = ConnectResponse::expired(read_only);
            self.effects.push(Effect::Accept { conn, response });
            self.refuse(conn, CloseReason::SessionRefused);
        }
    }

    /// The session that the client proves to be its own.
    fn resumable(&self, request: &ConnectRequest) -> Option<u32> {
        let slot = self.sessions.slot_of(request.session_id)?;
        let is_open = self.sessions.get(slot).state == SessionState::Open;
        let password = session_password(request.session_id);
        let differing = password
            .iter()
            .zip(&request.password)
            .fold(0, |bits, (ours, theirs)| bits | (ours ^ theirs));
        (is_open && request.password.len() == password.len() && differing == 0).then_some(slot)
    }

    fn granted_timeout(&self, asked_ms: i32) -> Duration {
        let asked = Duration::from_millis(u64::try_from(asked_ms).unwrap_or(0));
        let (min, max) = (
            self.config.session_timeout_min,
            self.config.session_timeout_max,
        );
        asked.max(min).min(max)
    }

    fn refuse(&mut self, conn: ConnId, reason: CloseReason) {
        self.effects.push(Effect::Close { conn, reason });
    }

    /// Tells a connection that it carries its session.
    pub(super) fn accept(&mut self, slot: u32) {
        let conn = self.conns.get(slot);
        let session = self.sessions.get(conn.session);
        let response = ConnectResponse {
            protocol_version: 0,
            timeout_ms: i32::try_from(session.granted.as_millis()).unwrap_or(i32::MAX),
            session_id: session.id,
            password: Bytes::copy_from_slice(&session_password(session.id)),
            read_only: conn.has_read_only_byte.then_some(false),
        };
        let conn = conn.id;
        self.effects.push(Effect::Accept { conn, response });
    }
}
