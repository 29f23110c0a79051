//! What clients are answered.

use zk_proto::{ErrorCode, Request, SessionId, Xid, Zxid};

use super::ledger::Result;
use super::{Asked, Checks};
use crate::model;
use crate::schedule::Time;

/// A request whose answer came.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) session: SessionId,
    pub(crate) xid: Xid,
    pub(crate) request: &'a Request,
    /// The newest write that was answered, to anybody, before it was asked.
    pub(crate) floor: Zxid,
    pub(crate) zxid: Zxid,
    pub(crate) result: Result,
}

impl Checks {
    /// A client asks for something; gives what to keep until the answer.
    pub(crate) fn on_asked(&mut self, session: SessionId, xid: Xid, request: &Request) -> Zxid {
        if is_write(request) {
            let asked = Asked {
                request: request.clone(),
                floor: self.floor,
                done: None,
            };
            let before = self.asked.insert((session, xid), asked);
            assert!(before.is_none(), "a client uses each xid once");
        }
        self.floor
    }

    /// A client is answered. Its session's order is the client's to check.
    pub(crate) fn on_answered(&mut self, now: Time, mut answered: Answered<'_>) {
        if let Ok(response) = &mut answered.result {
            model::sort(response);
        }
        if answered.zxid > self.newest() {
            let what = format!("{answered:?}: nobody has shown that zxid");
            return self.fail(now, "C1", what);
        }
        match answered.request {
            request if is_write(request) => self.on_write_answered(now, &answered),
            Request::Sync { .. } => {
                if answered.zxid < answered.floor {
                    self.coverage.stale_syncs += 1;
                }
                self.on_read_answered(now, &answered);
            }
            Request::Ping
            | Request::SetWatches(_)
            | Request::AddWatch(_)
            | Request::RemoveWatches { .. } => {}
            _ => self.on_read_answered(now, &answered),
        }
    }

    fn on_write_answered(&mut self, now: Time, answered: &Answered<'_>) {
        let key = (answered.session, answered.xid);
        let done = self.asked.get(&key).and_then(|asked| asked.done.as_ref());
        let Some((zxid, result)) = done else {
            let what = format!("{answered:?}: no server has shown it");
            return self.fail(now, "C12", what);
        };
        if *zxid != answered.zxid || *result != answered.result {
            let what = format!("{answered:?}, expected {result:?} at {zxid}");
            return self.fail(now, "C3", what);
        }
        self.floor = self.floor.max(*zxid);
        self.asked.remove(&key);
    }

    fn on_read_answered(&mut self, now: Time, answered: &Answered<'_>) {
        self.coverage.reads += 1;
        let expected = (self.model).read(answered.request, answered.session, answered.zxid);
        if expected != answered.result {
            let what = format!("{answered:?}, expected {expected:?}");
            self.fail(now, "C4", what);
        }
    }

    /// A client is told that its session is over. While all is well it has to be.
    pub(crate) fn on_refused(&mut self, now: Time, session: SessionId) {
        if self.is_calm {
            let is_open = self.is_open(session);
            let what =
                format!("session {session} was ended, open as far as anybody sees: {is_open}");
            self.fail(now, "C8", what);
        }
    }
}

/// Whether a request becomes a transaction.
pub(crate) fn is_write(request: &Request) -> bool {
    matches!(
        request,
        Request::Create(_)
            | Request::Delete { .. }
            | Request::SetData { .. }
            | Request::SetAcl { .. }
            | Request::Multi(_)
            | Request::CloseSession
    )
}

/// Whether an error says that the session is somewhere else, or over.
pub(crate) fn is_of_session(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::SESSION_MOVED | ErrorCode::SESSION_EXPIRED)
}
