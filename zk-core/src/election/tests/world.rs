//! Servers with elections and links, in a world of one seed: connections that are slow, break or
//! vanish, servers that crash and return, and as much of Zab as gives elections their meaning.
//!
//! That Zab: a leader is established once a quorum has joined whose logs end no later than its own;
//! it begins an epoch, and writes, which are committed when a quorum has them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::quorum::{EnsembleConfig, Notification, ServerState};
use zk_proto::{ServerId, Zxid};

use crate::election::links::{Accepted, Dialled, LinkEffect, LinkId, Links, LinksConfig};
use crate::election::{Candidate, Decision, Election, ElectionConfig, ElectionEffect};
use crate::quorum::Quorums;
use crate::random::Random;

/// The logs with which servers begin are of earlier epochs.
const FIRST_EPOCH: i64 = 10;
const JOIN_EVERY: Duration = Duration::from_millis(20);
const JOIN_LIMIT: Duration = Duration::from_secs(1);
const LEAD_LIMIT: Duration = Duration::from_millis(1_500);

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) random: Random,
    pub(super) servers: BTreeMap<ServerId, Server>,
    /// What is committed: no later leader may lack it.
    pub(super) committed: Zxid,
    pub(super) trace: Option<Vec<String>>,
    ensemble: EnsembleConfig,
    pub(super) quorums: Quorums,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    connections: BTreeMap<LinkId, Connection>,
    /// Pairs between whom packets vanish.
    cut: BTreeSet<(ServerId, ServerId)>,
    slow_ms: u64,
    last_epoch: i64,
}

pub(super) struct Server {
    pub(super) is_up: bool,
    pub(super) role: Role,
    pub(super) epoch: i64,
    pub(super) zxid: Zxid,
    /// What it has decided, in all its lives.
    pub(super) decided: Vec<Decision>,
    election: Election,
    links: Links<Notification>,
    /// Tells lives, and elections, apart: what was scheduled for another one is void.
    life: u64,
    generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Role {
    Looking,
    Leading {
        joined: BTreeSet<ServerId>,
        is_established: bool,
    },
    Following {
        leader: ServerId,
        has_joined: bool,
    },
}

struct Connection {
    dialler: ServerId,
    acceptor: ServerId,
    acceptor_life: u64,
    /// Of the dialler and of the acceptor: whether it has closed its end, and when the last frame
    /// that it sent arrives.
    ends: [End; 2],
}

#[derive(Default)]
struct End {
    is_closed: bool,
    arrives: Duration,
}

#[derive(Debug)]
struct Dial {
    from: ServerId,
    to: ServerId,
    life: u64,
    timeout: Duration,
}

#[derive(Debug)]
enum Event {
    Start(ServerId),
    Dialled(Dial),
    DialTimeout(Dial),
    Hello(LinkId),
    Frame {
        link: LinkId,
        to: ServerId,
        frame: Notification,
    },
    Written {
        link: LinkId,
        by: ServerId,
    },
    Closed {
        link: LinkId,
        at: ServerId,
    },
    Join {
        server: ServerId,
        generation: u64,
        until: Duration,
    },
    GiveUp {
        server: ServerId,
        generation: u64,
    },
    Heartbeat,
}

impl World {
    /// Servers that have not started, with these logs.
    pub(super) fn new(seed: u64, ensemble: EnsembleConfig, slow_ms: u64) -> Self {
        let mut world = Self {
            now: Duration::from_secs(1),
            random: Random::new(seed),
            servers: BTreeMap::new(),
            committed: Zxid::ZERO,
            trace: None,
            quorums: Quorums::new(&ensemble, None),
            ensemble,
            events: BTreeMap::new(),
            sequence: 0,
            connections: BTreeMap::new(),
            cut: BTreeSet::new(),
            slow_ms,
            last_epoch: FIRST_EPOCH,
        };
        let ids: Vec<ServerId> = world.ensemble.servers().keys().copied().collect();
        for id in ids {
            let server = world.fresh(id, 0, Zxid::ZERO);
            world.servers.insert(id, server);
        }
        world.schedule(Duration::ZERO, Event::Heartbeat);
        world
    }

    fn fresh(&mut self, id: ServerId, epoch: i64, zxid: Zxid) -> Server {
        Server {
            is_up: false,
            role: Role::Looking,
            epoch,
            zxid,
            decided: Vec::new(),
            election: Election::new(ElectionConfig::new(id), self.ensemble.clone(), None),
            links: Links::new(LinksConfig::new(id, self.random.next())),
            life: self.random.next(),
            generation: self.random.next(),
        }
    }

    pub(super) fn start_within(&mut self, id: ServerId, ms: u64) {
        let wait = Duration::from_micros(self.random.below(ms * 1_000 + 1));
        self.schedule(wait, Event::Start(id));
    }

    /// Runs until this is so, or that time has passed. Returns how long it took.
    pub(super) fn run_until(
        &mut self,
        limit: Duration,
        is_done: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let (begin, until) = (self.now, self.now + limit);
        while !is_done(self) {
            let ticks = self.servers.iter().filter(|(_, server)| server.is_up);
            let tick = ticks
                .filter_map(|(&id, server)| Some((server.deadline()?, id)))
                .min();
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let next = [tick.map(|(at, _)| at), event].into_iter().flatten().min();
            let Some(next) = next.filter(|&at| at <= until) else {
                self.now = until;
                return None;
            };
            self.now = self.now.max(next);
            match tick.filter(|&(at, _)| at == next) {
                Some((_, id)) => self.tick(id),
                None => {
                    let (_, event) = self.events.pop_first().expect("it is the next");
                    self.on_event(event);
                }
            }
        }
        Some(self.now - begin)
    }

    pub(super) fn run(&mut self, time: Duration) {
        let done = self.run_until(time, |_| false);
        assert_eq!(done, None);
    }

    /// A leader that has begun its epoch.
    pub(super) fn leader(&self) -> Option<ServerId> {
        let is_established = |role: &Role| {
            matches!(
                role,
                Role::Leading {
                    is_established: true,
                    ..
                }
            )
        };
        let mut leaders = self
            .servers
            .iter()
            .filter(|(_, it)| is_established(&it.role));
        Some(*leaders.next()?.0)
    }

    /// The leader that everybody follows.
    pub(super) fn settled_on(&self) -> Option<ServerId> {
        let leader = self.leader()?;
        let follows = |role: &Role| {
            *role
                == Role::Following {
                    leader,
                    has_joined: true,
                }
        };
        let all = self
            .servers
            .iter()
            .all(|(&id, it)| it.is_up && (id == leader || follows(&it.role)));
        all.then_some(leader)
    }

    pub(super) fn crash(&mut self, id: ServerId) {
        self.note(|| format!("{id} crashes"));
        let (epoch, zxid) = (self.servers[&id].epoch, self.servers[&id].zxid);
        let server = self.fresh(id, epoch, zxid);
        let before = self.servers.insert(id, server).expect("it is a member");
        self.server(id).decided = before.decided;
        let links: Vec<LinkId> = self.connections.keys().copied().collect();
        for link in links {
            self.close_end(link, id);
        }
    }

    pub(super) fn cut(&mut self, a: ServerId, b: ServerId) {
        self.note(|| format!("{a} and {b} are cut"));
        self.cut.insert((a.min(b), a.max(b)));
    }

    pub(super) fn heal(&mut self) {
        self.note(|| "all is healed".into());
        self.cut.clear();
    }

    /// One of the open connections breaks at both ends.
    pub(super) fn break_one(&mut self) {
        let open = u64::try_from(self.connections.len()).expect("connections are few");
        let picked = self.random.below(open.max(1));
        let picked = usize::try_from(picked).expect("it is below their number");
        if let Some((&link, connection)) = self.connections.iter().nth(picked) {
            for at in [connection.dialler, connection.acceptor] {
                self.schedule(Duration::ZERO, Event::Closed { link, at });
            }
        }
    }

    fn can_reach(&self, a: ServerId, b: ServerId) -> bool {
        self.servers[&a].is_up && self.servers[&b].is_up && !self.is_cut(a, b)
    }

    fn is_cut(&self, a: ServerId, b: ServerId) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn schedule(&mut self, wait: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + wait, self.sequence), event);
    }

    fn delay(&mut self) -> Duration {
        let is_slow = self.random.below(20) == 0;
        let most = if is_slow { self.slow_ms } else { 2 };
        Duration::from_micros(100 + self.random.below(most * 1_000))
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now:?} {}", text()));
        }
    }

    fn server(&mut self, id: ServerId) -> &mut Server {
        self.servers.get_mut(&id).expect("it is a member")
    }

    fn tick(&mut self, id: ServerId) {
        let now = self.now;
        let server = self.server(id);
        server.election.on_tick(now);
        server.links.on_tick(now);
        self.obey(id);
    }

    fn on_event(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Start(id) => self.start(id),
            Event::Dialled(dial) => self.on_dialled(dial),
            Event::DialTimeout(dial) => {
                if self.servers[&dial.from].life == dial.life {
                    self.fail_dial(dial.from, dial.to);
                }
            }
            Event::Hello(link) => self.on_hello(link),
            Event::Frame { link, to, frame } => self.on_frame(link, to, &frame),
            Event::Written { link, by } => {
                let peer = self
                    .connections
                    .get(&link)
                    .map(|connection| connection.other(by));
                if let Some(peer) = peer {
                    self.server(by).links.on_written(peer, link);
                    self.obey(by);
                }
            }
            Event::Closed { link, at } => {
                let Some(connection) = self.connections.get(&link) else {
                    return;
                };
                let peer = connection.other(at);
                self.close_end(link, at);
                self.server(at).links.on_closed(now, peer, link);
                self.obey(at);
            }
            Event::Join {
                server,
                generation,
                until,
            } => self.join(server, generation, until),
            Event::GiveUp { server, generation } => {
                let it = self.server(server);
                let is_waiting = matches!(
                    it.role,
                    Role::Leading {
                        is_established: false,
                        ..
                    }
                );
                if it.is_up && it.generation == generation && is_waiting {
                    self.look(server);
                }
            }
            Event::Heartbeat => self.heartbeat(),
        }
    }

    fn start(&mut self, id: ServerId) {
        if self.servers[&id].is_up {
            return;
        }
        let (now, voters) = (self.now, self.quorums.voters().clone());
        let server = self.server(id);
        server.is_up = true;
        server.links.set_members(now, voters);
        self.look(id);
    }

    fn look(&mut self, id: ServerId) {
        let now = self.now;
        let server = self.server(id);
        server.generation += 1;
        server.role = Role::Looking;
        let (zxid, epoch) = (server.zxid, server.epoch);
        server.election.begin(now, Candidate { zxid, epoch });
        self.note(|| format!("{id} looks with {zxid} {epoch}"));
        self.obey(id);
    }

    /// What a shell does: everything that election and links say, and nothing else.
    fn obey(&mut self, id: ServerId) {
        loop {
            let server = self.server(id);
            let effects: Vec<ElectionEffect> = server.election.drain_effects().collect();
            if !effects.is_empty() {
                for effect in effects {
                    self.obey_election(id, effect);
                }
            } else if let Some(effect) = server.links.next_effect() {
                self.obey_links(id, effect);
            } else {
                return;
            }
        }
    }

    fn obey_election(&mut self, id: ServerId, effect: ElectionEffect) {
        match effect {
            ElectionEffect::Send { to, notification } => {
                self.server(id).links.send(to, notification);
            }
            ElectionEffect::Decided(decision) => self.on_decided(id, decision),
            ElectionEffect::Deserted => {
                self.note(|| format!("{id} is deserted"));
                self.look(id);
            }
            ElectionEffect::ConfigSeen(config) => panic!("{config}"),
        }
    }

    fn obey_links(&mut self, id: ServerId, effect: LinkEffect<Notification>) {
        let now = self.now;
        let server = self.server(id);
        match effect {
            LinkEffect::Up { peer } => server.election.on_connected(now, peer),
            LinkEffect::Down { peer } => server.election.on_disconnected(peer),
            LinkEffect::Unreachable { peer } => server.election.on_unreachable(now, peer),
            LinkEffect::Close { link } => self.close_end(link, id),
            LinkEffect::Dial { peer, timeout, .. } => {
                let (from, to, life) = (id, peer, server.life);
                let wait = self.delay();
                let dial = Dial {
                    from,
                    to,
                    life,
                    timeout,
                };
                self.schedule(wait, Event::Dialled(dial));
            }
            LinkEffect::Write {
                peer,
                link,
                message,
            } => self.write(id, peer, link, message),
        }
    }

    fn write(&mut self, from: ServerId, to: ServerId, link: LinkId, frame: Notification) {
        self.note(|| format!("{from} to {to}: {}", summary(&frame)));
        let (now, delay) = (self.now, self.delay());
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        let end = connection.end_mut(from);
        end.arrives = end.arrives.max(now + delay);
        let wait = end.arrives - now;
        self.schedule(wait, Event::Frame { link, to, frame });
        self.schedule(Duration::from_micros(50), Event::Written { link, by: from });
    }

    fn on_dialled(&mut self, dial: Dial) {
        let Dial { from, to, .. } = dial;
        if self.servers[&from].life != dial.life {
            return;
        }
        if self.is_cut(from, to) {
            return self.schedule(dial.timeout, Event::DialTimeout(dial));
        }
        if !self.servers[&to].is_up {
            return self.fail_dial(from, to);
        }
        let now = self.now;
        self.sequence += 1;
        let link = LinkId(self.sequence);
        let became = self.server(from).links.on_dialled(now, to, link);
        self.note(|| format!("{from} dialled {to}: {became:?}"));
        if became != Dialled::Drop {
            let delay = self.delay();
            let arrives = now + delay;
            let dialler = End {
                arrives,
                ..End::default()
            };
            let connection = Connection {
                dialler: from,
                acceptor: to,
                acceptor_life: self.servers[&to].life,
                ends: [dialler, End::default()],
            };
            self.connections.insert(link, connection);
            self.schedule(delay, Event::Hello(link));
        }
        if became == Dialled::Announce {
            self.close_end(link, from);
        }
        self.obey(from);
    }

    fn fail_dial(&mut self, from: ServerId, to: ServerId) {
        let now = self.now;
        self.server(from).links.on_dial_failed(now, to);
        self.obey(from);
    }

    /// The initial message arrives.
    fn on_hello(&mut self, link: LinkId) {
        let Some(connection) = self.connections.get(&link) else {
            return;
        };
        let (from, to, now) = (connection.dialler, connection.acceptor, self.now);
        if self.servers[&to].life != connection.acceptor_life {
            return self.close_end(link, to);
        }
        if self.is_cut(from, to) {
            return self.lose(link);
        }
        let became = self
            .server(to)
            .links
            .on_accepted(now, link, from, Vec::new());
        self.note(|| format!("{to} accepts {from}: {became:?}"));
        if became != Accepted::Keep(from) {
            self.close_end(link, to);
        }
        self.obey(to);
    }

    fn on_frame(&mut self, link: LinkId, to: ServerId, frame: &Notification) {
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        let from = connection.other(to);
        if connection.end_mut(to).is_closed {
            return self.close_end(link, to);
        }
        if self.is_cut(from, to) {
            return self.lose(link);
        }
        let now = self.now;
        let server = self.server(to);
        if server.links.is_current(from, link) {
            server.election.on_notification(now, from, frame);
            self.obey(to);
        }
    }

    /// A packet vanished, and both ends give the connection up after a while.
    fn lose(&mut self, link: LinkId) {
        let (a, b) = (
            self.connections[&link].dialler,
            self.connections[&link].acceptor,
        );
        for at in [a, b] {
            let wait = Duration::from_millis(500 + self.random.below(2_500));
            self.schedule(wait, Event::Closed { link, at });
        }
    }

    /// One end is closed, which the other learns unless packets vanish.
    fn close_end(&mut self, link: LinkId, by: ServerId) {
        let (now, delay) = (self.now, self.delay());
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        let at = connection.other(by);
        if by != connection.dialler && by != connection.acceptor {
            return;
        }
        let end = connection.end_mut(by);
        end.is_closed = true;
        end.arrives = end.arrives.max(now + delay);
        let wait = end.arrives - now;
        if connection.ends.iter().all(|end| end.is_closed) {
            self.connections.remove(&link);
        } else if !self.is_cut(by, at) {
            self.schedule(wait, Event::Closed { link, at });
        }
    }

    fn on_decided(&mut self, id: ServerId, decision: Decision) {
        self.note(|| format!("{id} decides {decision:?}"));
        let leader = decision.vote.leader;
        let server = self.server(id);
        let generation = server.generation;
        server.role = if decision.state == ServerState::Leading {
            Role::Leading {
                joined: BTreeSet::new(),
                is_established: false,
            }
        } else {
            Role::Following {
                leader,
                has_joined: false,
            }
        };
        let is_leader = decision.state == ServerState::Leading;
        assert_eq!(is_leader, leader == id);
        server.decided.push(decision);
        if is_leader {
            self.schedule(
                LEAD_LIMIT,
                Event::GiveUp {
                    server: id,
                    generation,
                },
            );
            self.establish(id);
        } else {
            let until = self.now + JOIN_LIMIT;
            let join = Event::Join {
                server: id,
                generation,
                until,
            };
            self.schedule(Duration::from_millis(1), join);
        }
    }

    /// A follower tries to join its leader.
    fn join(&mut self, id: ServerId, generation: u64, until: Duration) {
        let it = &self.servers[&id];
        let Role::Following {
            leader,
            has_joined: false,
        } = it.role
        else {
            return;
        };
        if !it.is_up || it.generation != generation {
            return;
        }
        let log = (it.epoch, it.zxid);
        let can_reach = self.can_reach(id, leader);
        let is_voter = self.quorums.is_voter(id);
        let ahead = self.server(leader);
        let leads = matches!(ahead.role, Role::Leading { .. });
        if !can_reach || !leads {
            if self.now >= until {
                self.look(id);
            } else {
                self.schedule(
                    JOIN_EVERY,
                    Event::Join {
                        server: id,
                        generation,
                        until,
                    },
                );
            }
            return;
        }
        let is_ahead = is_voter && log > (ahead.epoch, ahead.zxid);
        if let Role::Leading {
            joined,
            is_established,
        } = &mut ahead.role
        {
            if is_ahead && !*is_established {
                return self.look(leader);
            }
            joined.insert(id);
        }
        self.server(id).role = Role::Following {
            leader,
            has_joined: true,
        };
        self.establish(leader);
    }

    /// Syncs who has joined, in a new epoch if they are the quorum that it takes.
    fn establish(&mut self, leader: ServerId) {
        let (next_epoch, committed) = (self.last_epoch + 1, self.committed);
        let quorums = self.quorums.clone();
        let it = self.server(leader);
        let Role::Leading {
            joined,
            is_established,
        } = &mut it.role
        else {
            return;
        };
        if !*is_established {
            if !quorums.has_all_by(|id| id == leader || joined.contains(&id)) {
                return;
            }
            assert!(it.zxid >= committed, "{leader} lacks {committed}");
            *is_established = true;
            it.epoch = next_epoch;
            self.last_epoch = next_epoch;
        }
        let it = self.server(leader);
        let (epoch, zxid) = (it.epoch, it.zxid);
        it.election.on_synced(epoch);
        let Role::Leading { joined, .. } = &it.role else {
            return;
        };
        for id in joined.clone() {
            let follower = self.server(id);
            if follower.epoch != epoch {
                (follower.epoch, follower.zxid) = (epoch, zxid);
                follower.election.on_synced(epoch);
            }
        }
        self.note(|| format!("{leader} is established in {epoch}"));
    }

    /// Leaders write; leaders without a quorum and followers without a leader look again.
    fn heartbeat(&mut self) {
        let ids: Vec<ServerId> = self.servers.keys().copied().collect();
        for &id in &ids {
            match self.servers[&id].role.clone() {
                Role::Leading {
                    joined,
                    is_established: true,
                } => self.lead(id, joined),
                Role::Following {
                    leader,
                    has_joined: true,
                } => {
                    let is_joined = match &self.servers[&leader].role {
                        Role::Leading { joined, .. } => joined.contains(&id),
                        Role::Looking | Role::Following { .. } => false,
                    };
                    if !is_joined || !self.can_reach(id, leader) {
                        self.look(id);
                    }
                }
                Role::Looking | Role::Leading { .. } | Role::Following { .. } => {}
            }
        }
        let wait = Duration::from_millis(20 + self.random.below(30));
        self.schedule(wait, Event::Heartbeat);
    }

    fn lead(&mut self, leader: ServerId, mut joined: BTreeSet<ServerId>) {
        let follows = Role::Following {
            leader,
            has_joined: true,
        };
        joined.retain(|&id| self.servers[&id].role == follows && self.can_reach(id, leader));
        if !self
            .quorums
            .has_all_by(|id| id == leader || joined.contains(&id))
        {
            return self.look(leader);
        }
        let it = self.server(leader);
        let first = Zxid::of_epoch(u32::try_from(it.epoch).expect("epochs are few"));
        it.zxid = it.zxid.max(first).next();
        let zxid = it.zxid;
        let mut acks = BTreeSet::from([leader]);
        for &id in &joined {
            if self.random.below(5) > 0 {
                self.server(id).zxid = zxid;
                acks.insert(id);
            }
        }
        if self.quorums.has_all(&acks) {
            self.committed = zxid;
        }
        if let Role::Leading { joined: before, .. } = &mut self.server(leader).role {
            *before = joined;
        }
    }
}

impl Server {
    fn deadline(&self) -> Option<Duration> {
        let (election, links) = (self.election.next_deadline(), self.links.next_deadline());
        [election, links].into_iter().flatten().min()
    }
}

impl Connection {
    fn other(&self, id: ServerId) -> ServerId {
        if id == self.dialler {
            self.acceptor
        } else {
            self.dialler
        }
    }

    fn end_mut(&mut self, id: ServerId) -> &mut End {
        let [dialler, acceptor] = &mut self.ends;
        if id == self.dialler {
            dialler
        } else {
            acceptor
        }
    }
}

fn summary(vote: &Notification) -> String {
    let Notification {
        state,
        leader,
        zxid,
        round,
        peer_epoch,
        ..
    } = vote;
    format!("{state:?} {leader} at {zxid} epoch {peer_epoch} round {round}")
}
