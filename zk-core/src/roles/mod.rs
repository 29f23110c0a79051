//! The core: a replica, and the role that the server has for it.

mod standalone;

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use zk_proto::{ConnectRequest, Request, SessionId, Xid, Zxid};

use crate::auth::Identities;
use crate::prep::Asked;
use crate::replica::{Replica, Resuming};
use crate::tracker::Owner;
use crate::tree::{Recovered, Tree};
use crate::{
    ConnId, CoreConfig, Counters, DigestAt, Effect, Incoming, Input, Now, SessionInfo, WatchSummary,
};
use standalone::Standalone;

/// A server's core. See the [crate](crate) for how it is driven.
#[derive(Debug)]
pub struct Core {
    replica: Replica,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Standalone(Standalone),
}

impl Core {
    /// A server that is alone, on top of what storage recovered. Every session gets its whole
    /// timeout from `now` on.
    #[must_use]
    pub fn standalone(config: CoreConfig, recovered: Recovered, now: Now) -> Self {
        let replica = Replica::new(config, recovered, now);
        Self {
            role: Role::Standalone(Standalone::new(&replica, now)),
            replica,
        }
    }

    /// Takes one input. What is to be done about it waits in [`drain_effects`](Self::drain_effects).
    ///
    /// # Panics
    /// When the driver breaks its contract (a connection numbered twice, a flush of what was not
    /// appended), or an invariant of the core is broken.
    pub fn handle(&mut self, now: Now, input: Input) {
        match input {
            Input::Connect {
                conn,
                peer,
                request,
            } => self.on_connect(now, conn, peer, &request),
            Input::Requests { conn, requests } => self.on_requests(now, conn, requests),
            Input::Disconnected { conn } => {
                if let Some(slot) = self.replica.conns.slot_of(conn) {
                    self.replica.forget_connection(slot);
                }
            }
            Input::Flushed { zxid } => match &mut self.role {
                Role::Standalone(role) => role.on_flushed(&mut self.replica, zxid, now),
            },
            Input::SnapshotWritten { .. } => self.replica.on_snapshot_written(),
            Input::Tick => match &mut self.role {
                Role::Standalone(role) => role.authority.on_tick(&mut self.replica, now),
            },
        }
        match &mut self.role {
            Role::Standalone(role) => role.send_made(&mut self.replica),
        }
    }

    /// The effects of all inputs since the last drain, in order.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.replica.effects.drain(..)
    }

    /// When [`Input::Tick`] is due, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        match &self.role {
            Role::Standalone(role) => Some(role.authority.next_deadline()),
        }
    }

    /// Asks for a snapshot of the present state with [`Effect::Snapshot`]; `false` when one is
    /// being written already.
    pub fn begin_snapshot(&mut self) -> bool {
        self.replica.begin_snapshot()
    }

    fn on_connect(&mut self, now: Now, conn: ConnId, peer: IpAddr, request: &ConnectRequest) {
        let who = Identities::of_peer(peer);
        let Some(wanted) = self.replica.on_connect(conn, who, request) else {
            return;
        };
        match &mut self.role {
            Role::Standalone(Standalone { authority }) => match wanted {
                Resuming::New {
                    session,
                    timeout_ms,
                } => authority.create_session(session, Xid(0), timeout_ms, Owner::Here, now),
                Resuming::Own { session, slot } => {
                    let granted = self.replica.conns.get(slot).granted;
                    let is_open = authority.tracker.set_owner(session, Owner::Here);
                    if is_open {
                        authority.tracker.touch(session, granted, now.monotonic);
                    }
                    self.replica.resume(session, is_open);
                }
            },
        }
    }

    fn on_requests(&mut self, now: Now, conn: ConnId, requests: Vec<Incoming>) {
        let Some(slot) = self.replica.conns.slot_of(conn) else {
            return;
        };
        let conn = self.replica.conns.get(slot);
        let (session, granted) = (conn.session, conn.granted);
        match &mut self.role {
            Role::Standalone(Standalone { authority }) => {
                authority.tracker.touch(session, granted, now.monotonic);
            }
        }
        for incoming in requests {
            if !self.replica.is_heard(slot) || !self.hears(session) {
                return;
            }
            let xid = incoming.header.xid;
            if let Some(request) = self.replica.on_request(slot, incoming) {
                self.submit(now, slot, xid, request);
            }
        }
    }

    /// Whether the session is not about to end, as far as this server knows.
    fn hears(&self, session: SessionId) -> bool {
        match &self.role {
            Role::Standalone(role) => role.authority.tracker.is_open(session),
        }
    }

    fn submit(&mut self, now: Now, slot: u32, xid: Xid, request: Request) {
        let ends = matches!(request, Request::CloseSession);
        match &mut self.role {
            Role::Standalone(Standalone { authority }) => {
                self.replica.submit(slot, xid, authority.last_zxid(), ends);
                let conn = self.replica.conns.get(slot);
                if ends {
                    authority.close_session(&self.replica, conn.session, xid, now);
                    return;
                }
                let asked = Asked {
                    tree: &self.replica.tree,
                    policy: &self.replica.policy,
                    counters: &mut self.replica.counters,
                    effects: &mut self.replica.effects,
                    who: &conn.who,
                    session: conn.session,
                    xid,
                    time_ms: now.wall_ms,
                };
                authority.write(asked, request);
            }
        }
    }
}

#[cfg(test)]
impl Core {
    /// Whether nothing is made that is not applied, and no trace of it is left.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.role {
            Role::Standalone(role) => role.authority.is_idle(),
        }
    }
}

/// What the server tells about itself.
impl Core {
    /// The data tree: its counters, znodes and ephemerals.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.replica.tree
    }

    /// The newest transaction applied.
    #[must_use]
    pub const fn last_zxid(&self) -> Zxid {
        self.replica.tree.last_zxid()
    }

    /// Transactions appended and not yet applied.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        match &self.role {
            Role::Standalone(role) => role.authority.outstanding(),
        }
    }

    /// The open sessions, in order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo> + '_ {
        self.replica.sessions.iter().map(|session| {
            let conn = session.conn.map(|slot| self.replica.conns.get(slot));
            let timeout_ms = u64::try_from(session.timeout_ms).unwrap_or(0);
            SessionInfo {
                id: session.id,
                timeout: conn.map_or(Duration::from_millis(timeout_ms), |conn| conn.granted),
                expires: self.expires(session.id),
                conn: conn.map(|conn| conn.id),
            }
        })
    }

    fn expires(&self, session: SessionId) -> Option<Duration> {
        match &self.role {
            Role::Standalone(role) => role.authority.tracker.expires(session),
        }
    }

    /// Number of open sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.replica.sessions.len()
    }

    /// The session that a connection carries or opens.
    #[must_use]
    pub fn session_of(&self, conn: ConnId) -> Option<SessionInfo> {
        let conns = &self.replica.conns;
        let conn = conns.get(conns.slot_of(conn)?);
        Some(SessionInfo {
            id: conn.session,
            timeout: conn.granted,
            expires: self.expires(conn.session),
            conn: Some(conn.id),
        })
    }

    /// How many watches there are.
    #[must_use]
    pub const fn watch_summary(&self) -> WatchSummary {
        self.replica.watches.summary()
    }

    /// The data watches by path, in order: each path with the sessions that watch it (`wchp`).
    #[must_use]
    pub fn watches_by_path(&self) -> Vec<(&str, Vec<SessionId>)> {
        self.replica.watches_by_path()
    }

    /// The data watches by session, in order: each session with the paths that it watches (`wchc`).
    #[must_use]
    pub fn watches_by_session(&self) -> Vec<(SessionId, Vec<&str>)> {
        self.replica.watches_by_session()
    }

    /// The tree's digest at every 128th transaction since the start, oldest first, the last 1,024 of
    /// them.
    pub fn digest_history(&self) -> impl Iterator<Item = DigestAt> + '_ {
        self.replica.digest_history()
    }

    /// What was counted since the start.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.replica.counters
    }
}
