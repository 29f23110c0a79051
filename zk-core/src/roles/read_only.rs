//! A server without a leader that lets clients read (`ReadOnlyZooKeeperServer`, 3.9.5).
//!
//! Its sessions are its own, and end with it: nothing of them is written. A client that has a session of
//! the ensemble is sent away, since only a leader knows whether that is still open.

use zk_proto::{ErrorCode, Request, Response, Xid};

use crate::replica::{Replica, Resuming};
use crate::tracker::{Owner, Tracker};
use crate::{CloseReason, ConnId, Now};

#[derive(Debug)]
pub(crate) struct ReadOnly {
    pub(crate) tracker: Tracker,
}

impl ReadOnly {
    /// Begins to serve.
    pub(crate) fn begin(replica: &mut Replica) -> Self {
        replica.is_read_only = true;
        Self {
            tracker: Tracker::new(replica.config.tick),
        }
    }

    /// A client that may be served read-only came.
    pub(crate) fn connect(&mut self, replica: &mut Replica, wanted: Resuming, now: Now) {
        match wanted {
            Resuming::New {
                session,
                timeout_ms,
            } => {
                replica.open_session(session, timeout_ms);
                if let Some(granted) = replica.granted(session) {
                    let owner = Some(Owner::Here);
                    self.tracker.open(session, granted, owner, now.monotonic);
                }
            }
            Resuming::Own { session, .. } if self.tracker.is_open(session) => {
                replica.resume(session, true);
            }
            Resuming::Own { slot, .. } => replica.close(slot, CloseReason::NotServing),
        }
    }

    /// A client wants to change something, or to end its session, which is all that it may change.
    pub(crate) fn refuse(
        &mut self,
        replica: &mut Replica,
        slot: u32,
        conn: ConnId,
        xid: Xid,
        request: &Request,
    ) {
        let zxid = replica.tree.last_zxid();
        if matches!(request, Request::CloseSession) {
            replica.reply(conn, xid, zxid, Ok(Response::Empty));
            let session = replica.conns.get(slot).session;
            self.tracker.remove(session);
            replica.drop_session(session, CloseReason::SessionClosed);
        } else {
            replica.reply(conn, xid, zxid, Err(ErrorCode::NOT_READ_ONLY));
        }
    }

    /// Ends the sessions that were not heard of.
    pub(crate) fn on_tick(&mut self, replica: &mut Replica, now: Now) {
        for session in self.tracker.take_expired(now.monotonic) {
            self.tracker.remove(session);
            replica.drop_session(session, CloseReason::SessionExpired);
        }
    }

    /// Ends all sessions, and with them the service.
    pub(crate) fn end(self, replica: &mut Replica) {
        for session in self.tracker.ids() {
            replica.drop_session(session, CloseReason::NotServing);
        }
        for slot in replica.conns.slots() {
            replica.close(slot, CloseReason::NotServing);
        }
        replica.is_read_only = false;
    }
}
