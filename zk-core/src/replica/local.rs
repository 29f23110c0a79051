//! Local sessions, which only this server knows (`LocalSessionTracker`, `UpgradeableSessionTracker`,
//! 3.9.5).
//!
//! ```text
//! begins ──> local ── closes, is not heard of ──────────────────────────────────────> over
//!              └── creates an ephemeral ──> upgrading ── createSession applied ──> of the ensemble
//! ```
//!
//! They cost no transaction, expire here, and end with the server's role: nothing of them is written. What
//! they ask to write goes to the leader as that of other sessions. From the upgrade on it is the leader
//! who ends the session, and nobody else may resume it before its createSession is applied.

use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::{Create, CreateMode, MultiOp, Request, SessionId};

use super::Replica;
use crate::tracker::Owner;
use crate::{CloseReason, LocalSessions, Now};

impl Replica {
    /// Whether the session is known here only, and not on its way to be one of the ensemble.
    pub(crate) fn is_local(&self, session: SessionId) -> bool {
        self.local.is_open(session)
    }

    /// A client's session begins, and only this server knows it.
    pub(crate) fn begin_local(&mut self, id: SessionId, timeout_ms: i32, now: Now) {
        let session = self.sessions.open_here(id, timeout_ms);
        let slot = self.conns.take_awaiting(id).expect("its client waits");
        let granted = self.conns.get(slot).granted;
        (self.local).open(id, granted, Some(Owner::Here), now.monotonic);
        self.attach(slot, session);
    }

    /// A client comes back; whether its session is local.
    pub(crate) fn resume_local(&mut self, id: SessionId, slot: u32, now: Now) -> bool {
        let granted = self.conns.get(slot).granted;
        let is_local = self.touch_local(id, granted, now);
        if is_local {
            self.resume(id, true);
        }
        is_local
    }

    /// A client was heard of; whether its session is local.
    pub(crate) fn touch_local(&mut self, id: SessionId, granted: Duration, now: Now) -> bool {
        self.local.touch(id, granted, now.monotonic);
        self.is_local(id)
    }

    /// When [`expire_local`](Self::expire_local) is due.
    pub(crate) fn local_deadline(&self) -> Option<Duration> {
        (self.local.next_deadline()).filter(|_| !self.is_retiring)
    }

    /// Ends the local sessions that were not heard of.
    pub(crate) fn expire_local(&mut self, now: Now) {
        if self.is_retiring {
            return;
        }
        for session in self.local.take_expired(now.monotonic) {
            self.counters.sessions_expired += 1;
            self.drop_session(session, CloseReason::SessionExpired);
        }
    }

    /// The session and its timeout, if it is local and has to be one of the ensemble before it asks. It does
    /// not expire here any more: whoever makes transactions has to be told.
    pub(crate) fn upgrade_for(&mut self, slot: u32, ask: Ask) -> Option<(SessionId, i32)> {
        let conn = self.conns.get(slot);
        let (session, timeout_ms) = (conn.session, conn.granted_ms());
        let upgrades = self.config.local_sessions == LocalSessions::Upgraded;
        if !upgrades || ask != Ask::Ephemeral || !self.is_local(session) {
            return None;
        }
        self.local.remove(session);
        Some((session, timeout_ms))
    }

    /// Ends all sessions that only this server knows. There are no clients.
    pub(crate) fn end_local(&mut self) {
        let here_only = self.sessions.iter().filter(|session| !session.is_global);
        let ids: Vec<_> = here_only.map(|session| session.id).collect();
        for id in ids {
            self.drop_session(id, CloseReason::NotServing);
        }
        assert_eq!(self.local.len(), 0, "every local session was open");
    }
}

/// What a request means to its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// It ends.
    End,
    /// It will own a znode.
    Ephemeral,
    Other,
}

impl Ask {
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::CloseSession => Self::End,
            request if creates_ephemeral(request) => Self::Ephemeral,
            _ => Self::Other,
        }
    }
}

fn creates_ephemeral(request: &Request) -> bool {
    let is_ephemeral = |create: &Create| create.mode().is_some_and(CreateMode::is_ephemeral);
    match request {
        Request::Create(create) => is_ephemeral(create),
        Request::Multi(ops) => {
            (ops.iter()).any(|op| matches!(op, MultiOp::Create(create) if is_ephemeral(create)))
        }
        _ => false,
    }
}
