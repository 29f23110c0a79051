//! Requests of clients: writes go to whoever makes transactions, everything else takes its turn
//! behind them.

use alloc::string::String;

use zk_proto::{Auth, ErrorCode, OpCode, Request, Response, SessionId, Xid, Zxid};

use super::{Ask, Replica};
use crate::connections::{AnswerZxid, Turn, Waiting};
use crate::read::{Reader, watch_set};
use crate::sessions::Submitted;
use crate::{CloseReason, Incoming};

impl Replica {
    /// Whether requests of the connection are still taken.
    pub(crate) fn is_heard(&self, slot: u32) -> bool {
        (self.conns.find(slot)).is_some_and(|conn| conn.attached.is_some() && !conn.is_ending)
    }

    /// Takes a request. It has its turn here, unless it is one of those that are submitted: that is
    /// given back, to be [submitted](Self::submit).
    pub(crate) fn on_request(
        &mut self,
        slot: u32,
        incoming: Incoming,
        is_submitted: impl FnOnce(&Request) -> bool,
    ) -> Option<Request> {
        let Incoming { header, request } = incoming;
        let answer = |zxid, result, close| Turn::Answer {
            zxid,
            result,
            close,
        };
        let session = self.conns.get(slot).session;
        let must_prove = !matches!(header.op, OpCode::AUTH | OpCode::SASL)
            && !self.policy.admits(&self.conns.get(slot).who);
        let turn = match request {
            _ if must_prove => {
                let result = Err(ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH);
                answer(AnswerZxid::Zero, result, Some(CloseReason::AuthRequired))
            }
            Ok(Request::CloseSession) if self.is_local(session) => Turn::End,
            Ok(request) if is_submitted(&request) => return Some(request),
            Ok(Request::Auth(auth)) => self.authenticate(slot, auth),
            // Apache's server without SASL answers each token with none, and proves nothing.
            Ok(Request::Sasl { .. }) => answer(AnswerZxid::Zero, Ok(Response::Token(None)), None),
            Ok(Request::Unsupported(op)) => {
                let close = Some(CloseReason::Unsupported(op));
                answer(AnswerZxid::Negative, Err(ErrorCode::UNIMPLEMENTED), close)
            }
            Ok(request) => Turn::Serve(request),
            Err(_) => answer(AnswerZxid::Newest, Err(ErrorCode::MARSHALLING_ERROR), None),
        };
        let xid = if header.op == OpCode::PING {
            Xid::PING
        } else {
            header.xid
        };
        self.stand_in_line(slot, xid, turn);
        None
    }

    /// Answers a request with an error when it has its turn.
    pub(crate) fn refuse_request(&mut self, slot: u32, xid: Xid, code: ErrorCode) {
        let turn = Turn::Answer {
            zxid: AnswerZxid::Newest,
            result: Err(code),
            close: None,
        };
        self.stand_in_line(slot, xid, turn);
    }

    fn stand_in_line(&mut self, slot: u32, xid: Xid, turn: Turn) {
        let conn = self.conns.get_mut(slot);
        conn.is_ending = matches!(turn, Turn::Answer { close: Some(_), .. } | Turn::End);
        let session = self.sessions.get(conn.attached.expect("it is heard"));
        if conn.waiting.is_empty() && session.turn() == session.answered() {
            self.take_turn(slot, xid, turn);
        } else {
            conn.waiting.push_back(Waiting {
                turn: session.turn(),
                xid,
                what: turn,
            });
        }
    }

    /// Notes that a request waits for its transaction, which will be newer than `after`.
    pub(crate) fn submit(&mut self, slot: u32, xid: Xid, after: Zxid, ask: Ask) {
        let is_local = self.is_local(self.conns.get(slot).session);
        let conn = self.conns.get_mut(slot);
        conn.is_ending |= ask == Ask::End;
        let session = (self.sessions).get_mut(conn.attached.expect("it is heard"));
        session.submit(Submitted {
            xid,
            conn: conn.id,
            after,
            wants_too_much: ask == Ask::Ephemeral && is_local,
        });
    }

    /// The leader has seen a client's sync: everything agreed on before is applied.
    pub(crate) fn answer_sync(&mut self, session: SessionId, xid: Xid, path: String) {
        let Some(session) = self.sessions.slot_of(session) else {
            return;
        };
        let session = self.sessions.get_mut(session);
        let Some(answered) = session.take_answered(xid, Zxid(i64::MAX)) else {
            return;
        };
        let Some(slot) = session.conn else {
            return;
        };
        if self.conns.get(slot).id == answered.conn {
            let zxid = self.tree.last_zxid();
            self.reply(answered.conn, xid, zxid, Ok(Response::Path(path)));
        }
        self.take_turns(slot);
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
            zxid: AnswerZxid::Zero,
            result,
            close,
        }
    }

    /// Gives what waits its turn, as far as what was submitted is answered.
    pub(super) fn take_turns(&mut self, slot: u32) {
        while let Some(conn) = self.conns.find(slot)
            && let Some(session) = conn.attached
        {
            let answered = self.sessions.get(session).answered();
            let waiting = &mut self.conns.get_mut(slot).waiting;
            let Some(next) = waiting.pop_front_if(|next| next.turn <= answered) else {
                return;
            };
            self.take_turn(slot, next.xid, next.what);
        }
    }

    fn take_turn(&mut self, slot: u32, xid: Xid, turn: Turn) {
        let conn = self.conns.get(slot).id;
        match turn {
            Turn::Serve(request) => {
                let result = self.serve(slot, &request);
                self.reply(conn, xid, self.tree.last_zxid(), result);
            }
            Turn::End => {
                self.reply(conn, xid, self.tree.last_zxid(), Ok(Response::Empty));
                let session = self.conns.get(slot).session;
                self.drop_session(session, CloseReason::SessionClosed);
            }
            Turn::Answer {
                zxid,
                result,
                close,
            } => {
                let zxid = match zxid {
                    AnswerZxid::Newest => self.tree.last_zxid(),
                    AnswerZxid::Zero => Zxid::ZERO,
                    AnswerZxid::Negative => Zxid(-1),
                };
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
            session: conn.session,
        };
        let result = reader.read(request);
        if let Some((path, about)) = watch_set(request, &result) {
            self.watch_once(slot, path, about)?;
        }
        result
    }
}

/// Whether the request becomes a transaction.
pub(crate) const fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Multi(_)
            | Request::Reconfig(_)
            | Request::CloseSession
    )
}
