//! The core: a replica, and the role that the server has for it.

mod facts;
mod leader;
mod learner;
mod member;
mod read_only;
mod standalone;

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use zk_proto::quorum::{EnsembleConfig, ServerState};
use zk_proto::{ConnectRequest, ErrorCode, Request, ServerId, SessionId, Xid, Zxid};

use crate::auth::Identities;
use crate::authority::{Authority, Claim};
use crate::election::ElectionConfig;
use crate::prep::Asked;
use crate::replica::{Ask, Replica, Resuming, is_write};
use crate::tracker::Owner;
use crate::tree::{Recovered, Tree};
use crate::{
    CloseReason, ConnId, CoreConfig, Counters, DigestAt, Effect, Incoming, Input, LearnerStatus,
    LocalSessions, Now, SessionInfo, SnapshotView, WatchSummary,
};
use facts::Facts;
pub use facts::MemberSettings;
use leader::{Asker, Leader};
use learner::Learner;
use member::Member;
use read_only::ReadOnly;
use standalone::Standalone;

/// A server's core. See the [crate](crate) for how it is driven.
#[derive(Debug)]
pub struct Core {
    replica: Replica,
    role: Role,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
enum Role {
    Standalone(Standalone),
    Member(Member),
}

/// Who decides on what clients of this server ask for.
enum Decider<'a> {
    /// Nobody: the server is not part of a quorum.
    Nobody,
    /// This server, alone.
    Here(&'a mut Authority),
    /// This server, with a quorum.
    Quorum(&'a mut Leader, &'a Facts),
    /// The leader.
    Leader(&'a mut Learner, &'a Facts),
    /// Nobody, but clients may read.
    ReadOnly(&'a mut ReadOnly),
}

/// What makes transactions, here or elsewhere.
enum Maker<'a> {
    Nobody,
    Here(&'a mut Authority),
    Leader(&'a mut Learner),
    ReadOnly(&'a mut ReadOnly),
}

impl<'a> Decider<'a> {
    fn maker(self) -> Maker<'a> {
        match self {
            Self::Nobody => Maker::Nobody,
            Self::Here(authority) => Maker::Here(authority),
            Self::Quorum(leader, _) => leader.authority_mut().map_or(Maker::Nobody, Maker::Here),
            Self::Leader(learner, _) => Maker::Leader(learner),
            Self::ReadOnly(read_only) => Maker::ReadOnly(read_only),
        }
    }
}

impl Core {
    /// A server that is alone, on top of what storage recovered. Every session gets its whole
    /// timeout from `now` on.
    ///
    /// # Panics
    /// When sessions are to begin as local ones: they are known to one server in any case.
    #[must_use]
    pub fn standalone(config: CoreConfig, recovered: Recovered, now: Now) -> Self {
        let local_sessions = config.local_sessions;
        assert_eq!(
            local_sessions,
            LocalSessions::Off,
            "a server alone has none"
        );
        let mut replica = Replica::new(config, recovered, 0, now);
        Self {
            role: Role::Standalone(Standalone::new(&mut replica, now)),
            replica,
        }
    }

    /// A member of an ensemble, on top of what storage recovered: `epochs` are the accepted and the
    /// current one. It begins by looking for a leader.
    #[must_use]
    pub fn member(
        config: CoreConfig,
        settings: MemberSettings,
        election: ElectionConfig,
        ensemble: EnsembleConfig,
        epochs: (u32, u32),
        recovered: Recovered,
        now: Now,
    ) -> Self {
        let mut replica = Replica::new(config, recovered, settings.recent_txns, now);
        let member = Member::new(settings, election, ensemble, epochs, &mut replica, now);
        Self {
            role: Role::Member(member),
            replica,
        }
    }

    /// Takes one input. What is to be done about it waits in [`drain_effects`](Self::drain_effects).
    ///
    /// # Panics
    /// When the driver breaks its contract (a connection numbered twice, a flush of what was not
    /// appended, a packet for a server that is alone), or an invariant of the core is broken.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.replica.watches.forget_some();
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
                Role::Member(member) => member.on_flushed(&mut self.replica, zxid, now),
            },
            Input::Retire => self.replica.is_retiring = true,
            Input::SnapshotWritten { .. } => self.replica.on_snapshot_written(),
            Input::Tick => {
                self.replica.expire_local(now);
                match &mut self.role {
                    Role::Standalone(role) => role.authority.on_tick(&mut self.replica, now),
                    Role::Member(member) => member.on_tick(&mut self.replica, now),
                }
            }
            Input::Quorum(input) => match &mut self.role {
                Role::Standalone(_) => panic!("a server alone has no peers: {input:?}"),
                Role::Member(member) => member.on_quorum(&mut self.replica, input, now),
            },
        }
        match &mut self.role {
            Role::Standalone(role) => role.send_made(&mut self.replica),
            Role::Member(member) => member.propose(&mut self.replica, now),
        }
    }

    /// The effects of all inputs since the last drain, in order.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.replica.effects.drain(..)
    }

    /// When [`Input::Tick`] is due, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let is_retiring = self.replica.is_retiring;
        let role = match &self.role {
            Role::Standalone(role) => role.authority.next_deadline(is_retiring),
            Role::Member(member) => member.next_deadline(is_retiring),
        };
        let local = self.replica.local_deadline();
        role.into_iter().chain(local).min()
    }

    /// Asks for a snapshot of the present state with [`Effect::Snapshot`]; `false` when one is
    /// being written already.
    pub fn begin_snapshot(&mut self) -> bool {
        self.replica.begin_snapshot()
    }

    /// The whole state as it is.
    #[must_use]
    pub fn view(&self) -> SnapshotView {
        self.replica.view()
    }

    /// Who decides, and the replica that it decides for.
    fn decider(&mut self) -> (Decider<'_>, &mut Replica) {
        let decider = match &mut self.role {
            _ if self.replica.is_retiring => Decider::Nobody,
            Role::Standalone(role) => Decider::Here(&mut role.authority),
            Role::Member(member) => member.decider(),
        };
        (decider, &mut self.replica)
    }

    fn on_connect(&mut self, now: Now, conn: ConnId, peer: IpAddr, request: &ConnectRequest) {
        let (decider, replica) = self.decider();
        let is_refused = match &decider {
            Decider::Nobody => true,
            Decider::ReadOnly(_) => request.read_only != Some(true),
            Decider::Here(_) | Decider::Quorum(..) | Decider::Leader(..) => false,
        };
        if is_refused {
            replica.refuse(conn, CloseReason::NotServing);
            return;
        }
        let who = Identities::of_peer(peer);
        let Some(wanted) = replica.on_connect(conn, who, request) else {
            return;
        };
        match (decider.maker(), wanted) {
            (Maker::Nobody, _) => {}
            (Maker::ReadOnly(read_only), wanted) => read_only.connect(replica, wanted, now),
            (
                _,
                Resuming::New {
                    session,
                    timeout_ms,
                },
            ) if replica.config.local_sessions != LocalSessions::Off => {
                replica.begin_local(session, timeout_ms, now);
            }
            (_, Resuming::Own { session, slot }) if replica.is_local(session) => {
                replica.resume_local(session, slot, now);
            }
            (
                Maker::Here(authority),
                Resuming::New {
                    session,
                    timeout_ms,
                },
            ) => authority.create_session(session, Xid(0), timeout_ms, Owner::Here, now),
            (Maker::Here(authority), Resuming::Own { session, slot }) => {
                let granted = replica.conns.get(slot).granted;
                let is_open = authority.resume(replica, session, Owner::Here, granted, now);
                replica.resume(session, is_open);
            }
            (
                Maker::Leader(learner),
                Resuming::New {
                    session,
                    timeout_ms,
                },
            ) => learner.create_session(replica, session, timeout_ms),
            (Maker::Leader(learner), Resuming::Own { session, slot }) => {
                let timeout_ms = replica.conns.get(slot).granted_ms();
                learner.revalidate(replica, session, timeout_ms);
            }
        }
    }

    fn on_requests(&mut self, now: Now, conn: ConnId, requests: Vec<Incoming>) {
        let Some(slot) = self.replica.conns.slot_of(conn) else {
            return;
        };
        let conn = self.replica.conns.get(slot);
        let (session, granted, granted_ms) = (conn.session, conn.granted, conn.granted_ms());
        let (decider, replica) = self.decider();
        match decider.maker() {
            _ if replica.touch_local(session, granted, now) => {}
            Maker::Nobody | Maker::ReadOnly(_) => {}
            Maker::Here(authority) => {
                authority.tracker.touch(session, granted, now.monotonic);
            }
            Maker::Leader(learner) => learner.touch(session, granted_ms),
        }
        for incoming in requests {
            if !self.hears(slot, session) {
                return;
            }
            self.on_request(now, slot, incoming);
        }
    }

    /// Whether requests of the connection are still taken: its session is not about to end, as far
    /// as this server knows.
    fn hears(&mut self, slot: u32, session: SessionId) -> bool {
        let (decider, replica) = self.decider();
        replica.is_heard(slot)
            && match decider.maker() {
                Maker::Nobody => false,
                Maker::Here(authority) => {
                    replica.is_local(session) || authority.tracker.is_open(session)
                }
                Maker::Leader(_) | Maker::ReadOnly(_) => true,
            }
    }

    fn on_request(&mut self, now: Now, slot: u32, incoming: Incoming) {
        let xid = incoming.header.xid;
        let (decider, replica) = self.decider();
        match decider {
            Decider::Nobody => {}
            Decider::Here(authority) => {
                if let Some(request) = replica.on_request(slot, incoming, is_write) {
                    submit(authority, replica, slot, xid, request, now);
                }
            }
            Decider::Quorum(leader, facts) => {
                match replica.on_request(slot, incoming, is_write_or_sync) {
                    Some(Request::Sync { path }) => {
                        replica.submit(slot, xid, facts.appended, Ask::Other);
                        let session = replica.conns.get(slot).session;
                        leader.sync_here(facts, replica, session, xid, path);
                    }
                    Some(Request::Reconfig(request)) => {
                        replica.submit(slot, xid, facts.appended, Ask::Other);
                        let conn = replica.conns.get(slot);
                        let (session, who) = (conn.session, conn.who.clone());
                        let asker = Asker {
                            session,
                            xid,
                            who: &who,
                        };
                        leader.reconfig(facts, replica, asker, &request, now);
                    }
                    Some(request) => {
                        let authority = leader.authority_mut().expect("clients are served");
                        submit(authority, replica, slot, xid, request, now);
                    }
                    None => {}
                }
            }
            Decider::ReadOnly(read_only) => {
                if (replica.on_request(slot, incoming, is_write_or_sync)).is_some() {
                    read_only.refuse(replica, slot, xid);
                }
            }
            Decider::Leader(learner, facts) => {
                if let Some(request) = replica.on_request(slot, incoming, is_write_or_sync) {
                    learner.forward(replica, facts, slot, xid, request);
                }
            }
        }
    }
}

const fn is_write_or_sync(request: &Request) -> bool {
    is_write(request) || matches!(request, Request::Sync { .. })
}

/// Makes a transaction of what a client of this server asks for.
fn submit(
    authority: &mut Authority,
    replica: &mut Replica,
    slot: u32,
    xid: Xid,
    request: Request,
    now: Now,
) {
    let ask = Ask::of(&request);
    if let Some((session, timeout_ms)) = replica.upgrade_for(slot, ask) {
        authority.create_session(session, Xid(0), timeout_ms, Owner::Here, now);
    }
    replica.submit(slot, xid, authority.last_zxid(), ask);
    let conn = replica.conns.get(slot);
    let session = conn.session;
    let claimed = authority.claim(replica, session, Owner::Here);
    if let Err(code) = claimed {
        authority.refuse(session, xid, now, code);
    } else if ask == Ask::End {
        authority.close_session(replica, session, xid, now);
    } else {
        let asked = Asked {
            tree: &replica.tree,
            policy: &replica.policy,
            counters: &mut replica.counters,
            effects: &mut replica.effects,
            who: &conn.who,
            session,
            may_own: match claimed {
                Ok(Claim::Local) => Err(ErrorCode::EPHEMERAL_ON_LOCAL_SESSION),
                _ => Ok(()),
            },
            xid,
            time_ms: now.wall_ms,
        };
        authority.write(asked, request);
    }
}

#[cfg(test)]
impl Core {
    /// Whether nothing is made that is not applied, and no trace of it is left.
    pub(crate) fn is_idle(&self) -> bool {
        match &self.role {
            Role::Standalone(role) => role.authority.is_idle(),
            Role::Member(member) => member.outstanding() == 0,
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
            Role::Member(member) => member.outstanding(),
        }
    }

    /// The open sessions, in order of their ids, the local ones of this server among them.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo> + '_ {
        self.replica.sessions.iter().map(|session| {
            let conn = session.conn.map(|slot| self.replica.conns.get(slot));
            let timeout_ms = u64::try_from(session.timeout_ms).unwrap_or(0);
            SessionInfo {
                id: session.id,
                is_global: session.is_global,
                timeout: conn.map_or(Duration::from_millis(timeout_ms), |conn| conn.granted),
                expires: self.expires(session.id),
                conn: conn.map(|conn| conn.id),
            }
        })
    }

    fn expires(&self, session: SessionId) -> Option<Duration> {
        let here = self.replica.local.expires(session);
        here.or_else(|| match &self.role {
            Role::Standalone(role) => role.authority.tracker.expires(session),
            Role::Member(member) => member.expires(session),
        })
    }

    /// What the server does in its ensemble; `None` when it is alone.
    #[must_use]
    pub fn state(&self) -> Option<ServerState> {
        match &self.role {
            Role::Standalone(_) => None,
            Role::Member(member) => Some(member.state()),
        }
    }

    /// Whether clients are served, but may only read.
    #[must_use]
    pub const fn is_read_only(&self) -> bool {
        self.replica.is_read_only
    }

    /// Whether clients are served.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        match &self.role {
            Role::Standalone(_) => true,
            Role::Member(member) => member.is_serving(),
        }
    }

    /// Whom the server follows, or itself while it leads; `None` when it is alone or looks for one.
    #[must_use]
    pub fn leader(&self) -> Option<ServerId> {
        match &self.role {
            Role::Standalone(_) => None,
            Role::Member(member) => member.leader(),
        }
    }

    /// The servers that follow this one while it leads, in the order in which they came.
    #[must_use]
    pub fn learners(&self) -> Vec<LearnerStatus> {
        match &self.role {
            Role::Standalone(_) => Vec::new(),
            Role::Member(member) => member.learners(),
        }
    }

    /// Syncs of clients that wait for a quorum, while this server leads.
    #[must_use]
    pub fn pending_syncs(&self) -> usize {
        match &self.role {
            Role::Standalone(_) => 0,
            Role::Member(member) => member.pending_syncs(),
        }
    }

    /// The membership in force; `None` when the server is alone.
    #[must_use]
    pub fn ensemble(&self) -> Option<&EnsembleConfig> {
        match &self.role {
            Role::Standalone(_) => None,
            Role::Member(member) => Some(&member.facts.ensemble),
        }
    }

    /// Number of open sessions that the whole ensemble knows.
    #[must_use]
    pub fn global_session_count(&self) -> usize {
        self.replica.sessions.global_len()
    }

    /// Number of open sessions that only this server knows.
    #[must_use]
    pub fn local_session_count(&self) -> usize {
        self.replica.local.len()
    }

    /// The session that a connection carries or opens.
    #[must_use]
    pub fn session_of(&self, conn: ConnId) -> Option<SessionInfo> {
        let conns = &self.replica.conns;
        let conn = conns.get(conns.slot_of(conn)?);
        Some(SessionInfo {
            id: conn.session,
            is_global: self.replica.sessions.is_global(conn.session),
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
