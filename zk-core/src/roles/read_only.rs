//! A server without a leader that lets clients read (`ReadOnlyZooKeeperServer`, 3.9.5).
//!
//! Its sessions are local, and end with it. A client that has a session of the ensemble is sent away,
//! since only a leader knows whether that is still open; any other session that is not open here is over.

use zk_proto::{ErrorCode, Xid};

use crate::replica::{Replica, Resuming};
use crate::{CloseReason, Now};

#[derive(Debug)]
pub(crate) struct ReadOnly;

impl ReadOnly {
    /// Begins to serve.
    pub(crate) fn begin(replica: &mut Replica) -> Self {
        replica.is_read_only = true;
        Self
    }

    /// A client that may be served read-only came.
    pub(crate) fn connect(&self, replica: &mut Replica, wanted: Resuming, now: Now) {
        match wanted {
            Resuming::New {
                session,
                timeout_ms,
            } => replica.begin_local(session, timeout_ms, now),
            Resuming::Own { session, slot } if replica.sessions.is_global(session) => {
                replica.close(slot, CloseReason::NotServing);
            }
            Resuming::Own { session, slot } => {
                if !replica.resume_local(session, slot, now) {
                    replica.resume(session, false);
                }
            }
        }
    }

    /// A client wants to change something.
    pub(crate) fn refuse(&self, replica: &mut Replica, slot: u32, xid: Xid) {
        replica.refuse_request(slot, xid, ErrorCode::NOT_READ_ONLY);
    }

    /// Ends all sessions, and with them the service.
    pub(crate) fn end(self, replica: &mut Replica) {
        for slot in replica.conns.slots() {
            replica.close(slot, CloseReason::NotServing);
        }
        replica.end_local();
        replica.is_read_only = false;
    }
}
