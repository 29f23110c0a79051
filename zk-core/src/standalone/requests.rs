//! Requests of clients: writes go to the log, everything else takes its turn behind them.

use alloc::vec::Vec;

use zk_proto::{Auth, ErrorCode, OpCode, Request, Response, Xid, Zxid};

use super::{Origin, Standalone};
use crate::connections::{Turn, Waiting};
use crate::prep::Asked;
use crate::read::{Reader, watch_set};
use crate::sessions::SessionState;
use crate::{CloseReason, ConnId, Incoming, Now};

/// The zxid in replies to auth and sasl.
const NO_ZXID: Option<Zxid> = Some(Zxid::ZERO);
/// The zxid in replies to operations that are none (`UnimplementedRequestProcessor`).
const UNIMPLEMENTED_ZXID: Option<Zxid> = Some(Zxid(-1));

impl Standalone {
    pub(super) fn on_requests(&mut self, now: Now, conn: ConnId, requests: Vec<Incoming>) {
        let Some(slot) = self.conns.slot_of(conn) else {
            return;
        };
        self.sessions
            .touch(self.conns.get(slot).session, now.monotonic);
        for incoming in requests {
            if !self.is_heard(slot) {
                return;
            }
            self.on_request(now, slot, incoming);
        }
    }

    /// Whether the connection is still there, and its session not over.
    fn is_heard(&self, slot: u32) -> bool {
        self.conns.find(slot).is_some_and(|conn| {
            !conn.is_ending && self.sessions.get(conn.session).state == SessionState::Open
        })
    }

    fn on_request(&mut self, now: Now, slot: u32, incoming: Incoming) {
        let Incoming { header, request } = incoming;
        let answer = |zxid, result, close| Turn::Answer {
            zxid,
            result,
            close,
        };
        let turn = match request {
            Ok(Request::CloseSession) => return self.close_session(now, slot, header.xid),
            Ok(request) if is_write(&request) => return self.write(now, slot, header.xid, request),
            Ok(Request::Auth(auth)) => self.authenticate(slot, auth),
            // Apache's server without SASL answers each token with none, and proves nothing.
            Ok(Request::Sasl { .. }) => answer(NO_ZXID, Ok(Response::Token(None)), None),
            Ok(Request::Unsupported(op)) => {
                let close = Some(CloseReason::Unsupported(op));
                answer(UNIMPLEMENTED_ZXID, Err(ErrorCode::UNIMPLEMENTED), close)
            }
            Ok(request) => Turn::Serve(request),
            Err(_) => answer(None, Err(ErrorCode::MARSHALLING_ERROR), None),
        };
        let xid = if header.op == OpCode::PING {
            Xid::PING
        } else {
            header.xid
        };
        let conn = self.conns.get_mut(slot);
        conn.is_ending = matches!(turn, Turn::Answer { close: Some(_), .. });
        let after = self.sessions.get(conn.session).last_write;
        if conn.waiting.is_empty() && after <= self.tree.last_zxid() {
            self.take_turn(slot, xid, turn);
        } else {
            conn.waiting.push_back(Waiting { after, xid, turn });
        }
    }

    fn write(&mut self, now: Now, slot: u32, xid: Xid, request: Request) {
        let conn = self.conns.get(slot);
        let asked = Asked {
            tree: &self.tree,
            policy: &self.policy,
            counters: &mut self.counters,
            who: &conn.who,
            session: self.sessions.get(conn.session).id,
            xid,
            time_ms: now.wall_ms,
        };
        let origin = Origin::Client {
            session: conn.session,
            conn: conn.id,
        };
        let prepared = self.prep.write(asked, request);
        self.append(prepared, origin);
    }

    fn close_session(&mut self, now: Now, slot: u32, xid: Xid) {
        let conn = self.conns.get(slot);
        let origin = Origin::Client {
            session: conn.session,
            conn: conn.id,
        };
        let session = self.sessions.get_mut(conn.session);
        session.state = SessionState::Closing;
        let prepared = self
            .prep
            .close_session(&self.tree, session.id, xid, now.wall_ms);
        self.append(prepared, origin);
    }

    /// What is proven counts from here on, though the answer has to wait for its turn.
    fn authenticate(&mut self, slot: u32, auth: Auth) -> Turn {
        let who = &mut self.conns.get_mut(slot).who;
        let (result, close) = if self.policy.authenticate(who, &auth) {
            (Ok(Response::Empty), None)
        } else {
            self.counters.auth_failed += 1;
            let scheme = auth.scheme;
            let reason = CloseReason::AuthFailed { scheme };
            (Err(ErrorCode::AUTH_FAILED), Some(reason))
        };
        Turn::Answer {
            zxid: NO_ZXID,
            result,
            close,
        }
    }

    /// Gives what waits its turn, as far as the transactions applied allow.
    pub(super) fn take_turns(&mut self, slot: u32) {
        let applied = self.tree.last_zxid();
        while self.conns.find(slot).is_some() {
            let waiting = &mut self.conns.get_mut(slot).waiting;
            let Some(next) = waiting.pop_front_if(|next| next.after <= applied) else {
                return;
            };
            self.take_turn(slot, next.xid, next.turn);
        }
    }

    fn take_turn(&mut self, slot: u32, xid: Xid, turn: Turn) {
        let conn = self.conns.get(slot).id;
        match turn {
            Turn::Serve(request) => {
                let result = self.serve(slot, &request);
                self.reply(conn, xid, self.tree.last_zxid(), result);
            }
            Turn::Answer {
                zxid,
                result,
                close,
            } => {
                let zxid = zxid.unwrap_or(self.tree.last_zxid());
                self.reply(conn, xid, zxid, result);
                if let Some(reason) = close {
                    self.close(slot, reason);
                }
            }
        }
    }

    fn serve(&mut self, slot: u32, request: &Request) -> Result<Response, ErrorCode> {
        match request {
            Request::AddWatch(add) => self.add_watch(slot, add),
            Request::SetWatches(watches) => self.set_watches(slot, watches),
            Request::CheckWatches { path, kind } => self.check_watches(slot, path, *kind),
            Request::RemoveWatches { path, kind } => self.remove_watches(slot, path, *kind),
            request => self.read(slot, request),
        }
    }

    fn read(&mut self, slot: u32, request: &Request) -> Result<Response, ErrorCode> {
        let conn = self.conns.get(slot);
        let reader = Reader {
            tree: &self.tree,
            policy: &self.policy,
            who: &conn.who,
            session: self.sessions.get(conn.session).id,
        };
        let result = reader.read(request);
        if let Some((path, about)) = watch_set(request, &result) {
            self.watch_once(slot, path, about)?;
        }
        result
    }
}

const fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Multi(_)
            | Request::Reconfig(_)
    )
}
