//! Ensembles: servers, their disks, and links between them that keep the order.

mod local_sessions;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::quorum::{
    EnsembleConfig, FromLeader, FromLearner, Notification, Packet, ServerState, split_packet,
};
use zk_proto::{
    ConnectRequest, CreateMode, ErrorCode, OpCode, Reader, Reconfig, Record as _, ReplyHeader,
    Request, Response, ServerId, SessionId, TxnRecord, Xid, Zxid,
};

use super::world::{connect_request, incoming};
use super::{create, create_mode, get_data, set_data, sync};
use crate::election::ElectionConfig;
use crate::tree::{Recovered, Replay, TreeOptions};
use crate::unapplied::Unapplied;
use crate::{
    ConnId, Core, CoreConfig, Effect, EpochPromise, Input, LocalSessions, MemberSettings, Now,
    QuorumEffect, QuorumInput, QuorumLink,
};

const TICK: Duration = Duration::from_millis(100);
const PACKET_MAX: usize = 1 << 20;

/// What survives a crash of one server.
#[derive(Debug, Default, Clone)]
struct Disk {
    log: Vec<(Zxid, Bytes)>,
    accepted: u32,
    current: u32,
    /// Appended and not flushed.
    unflushed: Vec<(Zxid, Bytes)>,
    config: Option<EnsembleConfig>,
    next_config: Option<EnsembleConfig>,
    /// The state that a leader sent, with which the log begins.
    base: Option<Base>,
}

/// A state as of one transaction: all transactions that led to it.
#[derive(Debug, Clone)]
struct Base {
    txns: Vec<(Zxid, Bytes)>,
}

impl Disk {
    fn history(&self) -> Vec<(Zxid, Bytes)> {
        let base = self.base.iter().flat_map(|base| base.txns.clone());
        base.chain(self.log.clone()).collect()
    }

    fn recover(&self) -> Recovered {
        let mut replay = Replay::empty(TreeOptions::default());
        for (_, record) in self.history() {
            replay
                .replay(&TxnRecord::decode(&mut Reader::new(&record)).unwrap())
                .unwrap();
        }
        replay.finish()
    }
}

struct Server {
    core: Option<Core>,
    disk: Disk,
    replies: Vec<(ConnId, ReplyHeader, Response)>,
    accepted: BTreeMap<ConnId, SessionId>,
    closed: BTreeSet<ConnId>,
    snapshots: BTreeMap<QuorumLink, VecDeque<Vec<(Zxid, Bytes)>>>,
}

/// One direction of a link.
enum OnWay {
    Packets(Bytes),
    State(Vec<(Zxid, Bytes)>),
    /// The other end closed the link.
    End,
}

impl Server {
    /// Who logs a reconfig, and may acknowledge it, has the membership already.
    fn assert_keeps_membership(&self, zxid: Zxid, record: &Bytes) {
        let txn = Unapplied::decode(record.clone()).unwrap();
        if txn.header.op == OpCode::RECONFIG {
            let kept = [&self.disk.config, &self.disk.next_config];
            let newest = kept.into_iter().flatten().map(EnsembleConfig::version);
            assert!(newest.max() >= Some(zxid));
        }
    }
}

struct Ensemble {
    servers: BTreeMap<ServerId, Server>,
    config: EnsembleConfig,
    now: Now,
    /// Learner and leader of each link.
    links: BTreeMap<QuorumLink, (ServerId, ServerId)>,
    votes: VecDeque<(ServerId, ServerId, Notification)>,
    on_way: VecDeque<(QuorumLink, ServerId, OnWay)>,
    next: u64,
    cut: BTreeSet<ServerId>,
    recent_txns: usize,
    sync_asks_quorum: bool,
    reconfig_enabled: bool,
    skip_acl: bool,
    read_only_after: Option<Duration>,
    local_sessions: LocalSessions,
    /// Whether disks flush by themselves.
    flushes: bool,
    /// Whether disks are done when they are to forget transactions.
    truncates: bool,
    /// Whether disks find what a learner misses.
    reads_log: bool,
    /// Whether states stay on their way.
    holds_states: bool,
    held: Vec<(QuorumLink, ServerId, OnWay)>,
    /// How many transactions of its state a leader sends again behind it.
    repeats: usize,
}

impl Ensemble {
    fn new(voters: i64, observers: i64) -> Self {
        let line = |id: i64| {
            let role = if id > voters {
                "observer"
            } else {
                "participant"
            };
            format!("127.0.0.1:{}:{}:{role};{}", 2000 + id, 3000 + id, 4000 + id)
        };
        let entries: Vec<_> = (1..=voters + observers)
            .map(|id| (format!("server.{id}"), line(id)))
            .collect();
        let entries = entries
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let mut ensemble = Self {
            servers: BTreeMap::new(),
            config: EnsembleConfig::from_entries(entries).unwrap(),
            now: Now {
                monotonic: Duration::from_secs(1_000),
                wall_ms: 1_700_000_000_000,
            },
            links: BTreeMap::new(),
            votes: VecDeque::new(),
            on_way: VecDeque::new(),
            next: 0,
            cut: BTreeSet::new(),
            recent_txns: 500,
            sync_asks_quorum: false,
            reconfig_enabled: false,
            skip_acl: false,
            read_only_after: None,
            local_sessions: LocalSessions::Off,
            flushes: true,
            truncates: true,
            reads_log: true,
            holds_states: false,
            held: Vec::new(),
            repeats: 0,
        };
        for id in (1..=voters + observers).map(ServerId) {
            let server = Server {
                core: None,
                disk: Disk::default(),
                replies: Vec::new(),
                accepted: BTreeMap::new(),
                closed: BTreeSet::new(),
                snapshots: BTreeMap::new(),
            };
            ensemble.servers.insert(id, server);
        }
        for id in ensemble.ids() {
            ensemble.start(id);
        }
        ensemble
    }

    fn ids(&self) -> Vec<ServerId> {
        self.servers.keys().copied().collect()
    }

    fn start(&mut self, id: ServerId) {
        let config = CoreConfig {
            server_id: u8::try_from(id.0).unwrap(),
            tick: TICK,
            session_timeout_min: TICK * 2,
            session_timeout_max: TICK * 200,
            reconfig_enabled: self.reconfig_enabled,
            skip_acl: self.skip_acl,
            local_sessions: self.local_sessions,
            ..CoreConfig::default()
        };
        let settings = MemberSettings {
            id,
            tick: TICK,
            init_limit: 10,
            sync_limit: 5,
            leader_serves: true,
            recent_txns: self.recent_txns,
            multi_ops_max: 1_000,
            sync_asks_quorum: self.sync_asks_quorum,
            voters_min: 2,
            read_only_after: self.read_only_after,
            last_seen: self.servers[&id].disk.next_config.clone(),
            dial_delay: Duration::from_millis(10),
        };
        let disk = &self.servers[&id].disk;
        let (epochs, recovered) = ((disk.accepted, disk.current), disk.recover());
        let core = Core::member(
            config,
            settings,
            ElectionConfig::new(id),
            disk.config.clone().unwrap_or_else(|| self.config.clone()),
            epochs,
            recovered,
            self.now,
        );
        self.servers.get_mut(&id).unwrap().core = Some(core);
        self.cut.remove(&id);
        for other in self.ids() {
            if other != id && self.is_up(other) {
                self.quorum(id, QuorumInput::VoterConnected(other));
                self.quorum(other, QuorumInput::VoterConnected(id));
            }
        }
        self.obey(id);
    }

    fn is_up(&self, id: ServerId) -> bool {
        self.servers[&id].core.is_some() && !self.cut.contains(&id)
    }

    /// Loses power: what was not flushed is gone.
    fn kill(&mut self, id: ServerId) {
        let server = self.servers.get_mut(&id).unwrap();
        server.core = None;
        server.disk.unflushed.clear();
        self.part(id);
    }

    /// Breaks every link of the server.
    fn part(&mut self, id: ServerId) {
        self.votes.retain(|(from, to, _)| *from != id && *to != id);
        for other in self.ids() {
            if other != id && self.is_up(other) {
                self.quorum(other, QuorumInput::VoterDisconnected(id));
                self.quorum(other, QuorumInput::VoterUnreachable(id));
                if self.servers[&id].core.is_some() {
                    self.quorum(id, QuorumInput::VoterDisconnected(other));
                    self.quorum(id, QuorumInput::VoterUnreachable(other));
                }
            }
        }
        let broken: Vec<_> = (self.links.iter())
            .filter_map(|(&link, &(a, b))| (a == id || b == id).then_some(link))
            .collect();
        for link in broken {
            self.break_link(link);
        }
    }

    fn isolate(&mut self, id: ServerId) {
        self.part(id);
        self.cut.insert(id);
    }

    fn rejoin(&mut self, id: ServerId) {
        self.cut.remove(&id);
        for other in self.ids() {
            if other != id && self.is_up(other) {
                self.quorum(id, QuorumInput::VoterConnected(other));
                self.quorum(other, QuorumInput::VoterConnected(id));
            }
        }
    }

    fn break_link(&mut self, link: QuorumLink) {
        let Some((learner, leader)) = self.links.remove(&link) else {
            return;
        };
        self.on_way.retain(|(on, _, _)| *on != link);
        for end in [learner, leader] {
            if self.servers[&end].core.is_some() {
                self.quorum(end, QuorumInput::Closed(link));
            }
        }
    }

    fn input(&mut self, id: ServerId, input: Input) {
        let now = self.now;
        if let Some(core) = &mut self.servers.get_mut(&id).unwrap().core {
            core.handle(now, input);
            self.obey(id);
        }
    }

    fn quorum(&mut self, id: ServerId, input: QuorumInput) {
        self.input(id, Input::Quorum(input));
    }

    fn obey(&mut self, id: ServerId) {
        loop {
            let server = self.servers.get_mut(&id).unwrap();
            let Some(core) = &mut server.core else { return };
            let effects: Vec<_> = core.drain_effects().collect();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.effect(id, effect);
            }
        }
    }

    fn effect(&mut self, id: ServerId, effect: Effect) {
        let server = self.servers.get_mut(&id).unwrap();
        match effect {
            Effect::Accept { conn, response } => {
                server.accepted.insert(conn, response.session_id);
            }
            Effect::Reply {
                conn,
                header,
                response,
            } => {
                server.replies.push((conn, header, response));
            }
            Effect::Notify { .. } | Effect::Snapshot(_) | Effect::QuotaExceeded(_) => {}
            Effect::Close { conn, .. } => {
                server.closed.insert(conn);
            }
            Effect::Append { zxid, record } => {
                if self.reconfig_enabled {
                    server.assert_keeps_membership(zxid, &record);
                }
                server.disk.unflushed.push((zxid, record));
            }
            Effect::Halt(reason) => panic!("{id}: {reason:?}"),
            Effect::Quorum(effect) => self.quorum_effect(id, effect),
        }
    }

    fn quorum_effect(&mut self, id: ServerId, effect: QuorumEffect) {
        let server = self.servers.get_mut(&id).unwrap();
        match effect {
            QuorumEffect::Vote { to, notification } => {
                if self.is_up(id) && self.is_up(to) {
                    self.votes.push_back((id, to, notification));
                }
            }
            QuorumEffect::Dial { to, attempt } => {
                if self.is_up(id) && self.is_up(to) {
                    self.next += 1;
                    let link = QuorumLink(self.next);
                    self.links.insert(link, (id, to));
                    self.quorum(id, QuorumInput::Dialled { attempt, link });
                    self.quorum(to, QuorumInput::Accepted(link));
                } else {
                    self.quorum(id, QuorumInput::DialFailed { attempt });
                }
            }
            QuorumEffect::Send { link, packets } => {
                if let Some(&(learner, leader)) = self.links.get(&link) {
                    let to = if learner == id { leader } else { learner };
                    self.on_way.push_back((link, to, OnWay::Packets(packets)));
                }
            }
            QuorumEffect::SendSnapshot { link, view } => {
                let history = server.disk.history().into_iter();
                let unflushed = server.disk.unflushed.clone();
                let txns = history
                    .chain(unflushed)
                    .filter(|(zxid, _)| *zxid <= view.zxid);
                let txns: Vec<_> = txns.collect();
                let mut repeated = BytesMut::new();
                for (zxid, record) in txns.iter().rev().take(self.repeats).rev().cloned() {
                    FromLeader::Proposal { zxid, record }.encode(&mut repeated);
                    FromLeader::Commit { zxid }.encode(&mut repeated);
                }
                if let Some(&(learner, _)) = self.links.get(&link) {
                    self.on_way.push_back((link, learner, OnWay::State(txns)));
                    let repeated = OnWay::Packets(repeated.freeze());
                    self.on_way.push_back((link, learner, repeated));
                }
            }
            QuorumEffect::Close(link) => {
                if let Some(&(learner, leader)) = self.links.get(&link) {
                    let to = if learner == id { leader } else { learner };
                    // What is on its way to this end is not heard any more.
                    self.on_way.retain(|(on, end, _)| *on != link || *end == to);
                    self.on_way.push_back((link, to, OnWay::End));
                    self.quorum(id, QuorumInput::Closed(link));
                }
            }
            QuorumEffect::Membership { in_force, proposed } => {
                server.disk.config = Some(in_force);
                server.disk.next_config = proposed;
            }
            QuorumEffect::Promise(promise) => {
                match promise {
                    EpochPromise::Accepted(epoch) => server.disk.accepted = epoch,
                    EpochPromise::Current(epoch) => server.disk.current = epoch,
                }
                self.quorum(id, QuorumInput::Promised);
            }
            QuorumEffect::Truncate(_) if !self.truncates => {}
            QuorumEffect::Truncate(to) => {
                assert!(
                    server.disk.log.iter().any(|(zxid, _)| *zxid == to),
                    "{to} is there"
                );
                server.disk.log.retain(|(zxid, _)| *zxid <= to);
                let recovered = server.disk.recover();
                self.quorum(id, QuorumInput::Reloaded(recovered.into()));
            }
            QuorumEffect::ReceiveSnapshot { link, .. } => {
                server.snapshots.entry(link).or_default();
            }
            QuorumEffect::ReadLog { link, after, to } => {
                let history = server.disk.history();
                let is_there =
                    after == Zxid::ZERO || history.iter().any(|(zxid, _)| *zxid == after);
                let is_whole = self.reads_log && is_there;
                let txns = is_whole.then(|| {
                    let is_asked = |(zxid, _): &(Zxid, Bytes)| *zxid > after && *zxid <= to;
                    history.into_iter().filter(is_asked).collect()
                });
                self.quorum(id, QuorumInput::LogRead { link, txns });
            }
            QuorumEffect::Role(_) | QuorumEffect::Left(_) => {}
        }
    }

    /// Delivers one message, if there is one.
    fn step(&mut self) -> bool {
        if let Some((from, to, notification)) = self.votes.pop_front() {
            if self.is_up(from) && self.is_up(to) {
                self.quorum(to, QuorumInput::Vote { from, notification });
            }
            return true;
        }
        if let Some((link, to, what)) = self.on_way.pop_front() {
            match what {
                OnWay::Packets(bytes) => self.deliver(link, to, &bytes),
                OnWay::End => {
                    self.links.remove(&link);
                    self.quorum(to, QuorumInput::Closed(link));
                }
                OnWay::State(_) if self.holds_states => self.held.push((link, to, what)),
                OnWay::State(txns) => {
                    let server = self.servers.get_mut(&to).unwrap();
                    server.disk.base = Some(Base { txns });
                    server.disk.log.clear();
                    let recovered = server.disk.recover();
                    self.quorum(to, QuorumInput::Reloaded(recovered.into()));
                }
            }
            return true;
        }
        false
    }

    fn deliver(&mut self, link: QuorumLink, to: ServerId, bytes: &Bytes) {
        let mut stream = BytesMut::from(&bytes[..]);
        let Some(&(learner, _)) = self.links.get(&link) else {
            return;
        };
        let input = if learner == to {
            let packets = split_all(&mut stream);
            QuorumInput::FromLeader { link, packets }
        } else {
            let packets = split_all(&mut stream);
            QuorumInput::FromLearner { link, packets }
        };
        self.quorum(to, input);
    }

    fn flush(&mut self, id: ServerId) -> bool {
        let disk = &mut self.servers.get_mut(&id).unwrap().disk;
        let Some(&(zxid, _)) = disk.unflushed.last() else {
            return false;
        };
        let flushed = core::mem::take(&mut disk.unflushed);
        disk.log.extend(flushed);
        self.input(id, Input::Flushed { zxid });
        true
    }

    /// Delivers and flushes until nothing moves.
    fn settle(&mut self) {
        loop {
            let mut moved = self.step();
            if self.flushes {
                for id in self.ids() {
                    moved |= self.flush(id);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time go.
    fn run(&mut self, time: Duration) {
        let end = self.now.monotonic + time;
        self.settle();
        while self.now.monotonic < end {
            self.now.monotonic += Duration::from_millis(5);
            self.now.wall_ms += 5;
            for id in self.ids() {
                let core = self.servers[&id].core.as_ref();
                let deadline = core.and_then(Core::next_deadline);
                if deadline.is_some_and(|at| at <= self.now.monotonic) {
                    self.input(id, Input::Tick);
                }
            }
            self.settle();
        }
    }

    fn core(&self, id: ServerId) -> &Core {
        self.servers[&id].core.as_ref().unwrap()
    }

    fn leader(&self) -> ServerId {
        let leads = |id: &ServerId| {
            let core = self.servers[id].core.as_ref();
            core.is_some_and(|core| core.state() == Some(ServerState::Leading) && core.is_serving())
        };
        let leaders: Vec<_> = self.ids().into_iter().filter(leads).collect();
        assert_eq!(leaders.len(), 1, "leaders: {leaders:?}");
        leaders[0]
    }

    fn followers(&self) -> Vec<ServerId> {
        let leader = self.leader();
        let is_follower = |id: &ServerId| {
            *id != leader
                && self.is_up(*id)
                && self.core(*id).state() == Some(ServerState::Following)
        };
        self.ids().into_iter().filter(is_follower).collect()
    }

    fn connect(&mut self, id: ServerId) -> Client {
        self.connect_as(id, connect_request(4_000))
    }

    fn connect_as(&mut self, id: ServerId, request: ConnectRequest) -> Client {
        self.next += 1;
        let conn = ConnId(self.next);
        let peer = "127.0.0.1".parse().unwrap();
        self.input(
            id,
            Input::Connect {
                conn,
                peer,
                request,
            },
        );
        self.settle();
        let session = self.servers[&id].accepted.get(&conn).copied();
        Client {
            server: id,
            conn,
            session: session.unwrap_or_default(),
            xid: 0,
        }
    }

    fn send(&mut self, client: &mut Client, request: Request) -> Xid {
        client.xid += 1;
        let xid = Xid(client.xid);
        let requests = vec![incoming(xid, request)];
        self.input(
            client.server,
            Input::Requests {
                conn: client.conn,
                requests,
            },
        );
        xid
    }

    fn reply(&self, client: &Client, xid: Xid) -> Option<(ReplyHeader, Response)> {
        let replies = &self.servers[&client.server].replies;
        let found = replies
            .iter()
            .find(|(conn, header, _)| *conn == client.conn && header.xid == xid);
        found.map(|(_, header, response)| (*header, response.clone()))
    }

    fn call(&mut self, client: &mut Client, request: Request) -> Result<Response, ErrorCode> {
        let xid = self.send(client, request);
        self.settle();
        let (header, response) = self.reply(client, xid).expect("the request is answered");
        if header.err.is_ok() {
            Ok(response)
        } else {
            Err(header.err)
        }
    }

    /// All servers that are up have the same tree and the same log.
    fn assert_agreed(&self) {
        let up: Vec<_> = self
            .ids()
            .into_iter()
            .filter(|&id| self.is_up(id))
            .collect();
        let state = |id: ServerId| {
            let core = self.core(id);
            (
                core.last_zxid(),
                core.tree().digest(),
                core.global_session_count(),
            )
        };
        for &id in &up {
            assert_eq!(state(id), state(up[0]), "{id} and {}", up[0]);
            assert_eq!(self.core(id).counters().digest_mismatches, 0);
            let (ours, theirs) = (&self.servers[&id].disk, &self.servers[&up[0]].disk);
            assert_eq!(ours.history(), theirs.history(), "{id} and {}", up[0]);
        }
    }
}

#[derive(Debug, Clone)]
struct Client {
    server: ServerId,
    conn: ConnId,
    session: SessionId,
    xid: i32,
}

/// The packets that were sent as one piece.
fn split_all<P: Packet>(stream: &mut BytesMut) -> Vec<P> {
    let mut packets = Vec::new();
    while let Some(packet) = split_packet(stream, PACKET_MAX).unwrap() {
        packets.push(packet);
    }
    assert!(stream.is_empty(), "packets are sent whole");
    packets
}

fn elected(voters: i64, observers: i64) -> Ensemble {
    let mut ensemble = Ensemble::new(voters, observers);
    ensemble.run(Duration::from_millis(600));
    ensemble
}

#[test]
fn servers_elect_a_leader_and_all_serve() {
    let ensemble = elected(3, 1);
    ensemble.leader();
    for id in ensemble.ids() {
        assert!(ensemble.core(id).is_serving(), "{id}");
        assert_eq!(ensemble.servers[&id].disk.current, 1);
    }
}

#[test]
fn the_members_are_told_in_the_tree() {
    let mut ensemble = elected(3, 1);
    let mut client = ensemble.connect(ServerId(2));
    let told = ensemble.call(&mut client, get_data("/zookeeper/config", false));
    let Ok(Response::Data(Some(text), stat)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(text, ensemble.config.to_string());
    assert!(text.ends_with(b"version=0"));
    assert_eq!((stat.version, stat.mzxid), (-1, Zxid::ZERO));
    ensemble.assert_agreed();
}

#[test]
fn writes_through_every_server_are_applied_everywhere() {
    let mut ensemble = elected(3, 1);
    for id in ensemble.ids() {
        let mut client = ensemble.connect(id);
        let path = format!("/by-{id}");
        ensemble.call(&mut client, create(&path)).unwrap();
        let refused = ensemble.call(&mut client, create(&path));
        assert_eq!(refused, Err(ErrorCode::NODE_EXISTS));
        assert!(ensemble.call(&mut client, get_data(&path, false)).is_ok());
        assert_eq!(
            ensemble.call(&mut client, sync()),
            Ok(Response::Path("/".into()))
        );
    }
    ensemble.assert_agreed();
    assert_eq!(ensemble.core(ServerId(1)).global_session_count(), 4);
}

#[test]
fn a_write_is_answered_when_a_quorum_has_it_on_disk() {
    let mut ensemble = elected(3, 0);
    let leader = ensemble.leader();
    let follower = ensemble.followers()[0];
    let mut client = ensemble.connect(leader);
    ensemble.flushes = false;
    let xid = ensemble.send(&mut client, create("/a"));
    ensemble.settle();
    ensemble.flush(leader);
    ensemble.settle();
    assert_eq!(ensemble.reply(&client, xid), None, "one of three has it");
    ensemble.flush(follower);
    ensemble.settle();
    assert!(ensemble.reply(&client, xid).is_some());
    assert!(ensemble.core(leader).tree().get("/a").is_some());
}

#[test]
fn acknowledgements_that_come_together_are_committed_together() {
    let mut ensemble = elected(3, 0);
    let leader = ensemble.leader();
    let follower = ensemble.followers()[0];
    let mut client = ensemble.connect(leader);
    ensemble.flushes = false;
    for path in ["/a", "/b", "/c"] {
        ensemble.send(&mut client, create(path));
    }
    ensemble.settle();
    ensemble.flush(leader);
    ensemble.flush(follower);
    let acknowledged = |(_, to, _): &(_, ServerId, _)| *to == leader;
    assert_eq!(
        ensemble.on_way.iter().filter(|on| acknowledged(on)).count(),
        1
    );
    assert!(ensemble.step(), "the leader hears of them");
    assert_eq!(ensemble.on_way.len(), 2, "one piece for each follower");
    assert!(ensemble.core(leader).tree().get("/c").is_some());
}

#[test]
fn what_was_answered_survives_the_leader() {
    let mut ensemble = elected(3, 0);
    for round in 0..5 {
        let leader = ensemble.leader();
        let mut client = ensemble.connect(leader);
        let path = format!("/round-{round}");
        ensemble.call(&mut client, create(&path)).unwrap();
        ensemble.kill(leader);
        ensemble.run(Duration::from_millis(600));
        let next = ensemble.leader();
        assert!(ensemble.core(next).tree().get(&path).is_some());
        ensemble.start(leader);
        ensemble.run(Duration::from_millis(600));
        ensemble.assert_agreed();
    }
}

#[test]
fn what_an_isolated_leader_logged_alone_is_forgotten() {
    let mut ensemble = elected(3, 0);
    let old = ensemble.leader();
    let mut client = ensemble.connect(old);
    ensemble.call(&mut client, create("/kept")).unwrap();
    ensemble.isolate(old);
    let xid = ensemble.send(&mut client, create("/lost"));
    ensemble.settle();
    assert_eq!(ensemble.reply(&client, xid), None);
    ensemble.run(Duration::from_secs(1));
    assert!(!ensemble.core(old).is_serving());
    let leader = ensemble.leader();
    let mut other = ensemble.connect(leader);
    ensemble.call(&mut other, create("/after")).unwrap();
    ensemble.rejoin(old);
    ensemble.run(Duration::from_secs(2));
    ensemble.assert_agreed();
    let tree = ensemble.core(old).tree();
    assert!(tree.get("/lost").is_none() && tree.get("/after").is_some());
}

#[test]
fn a_learner_far_behind_is_served_from_the_log_or_gets_the_state() {
    for recent_txns in [500, 3, 0] {
        let mut ensemble = Ensemble::new(3, 0);
        ensemble.recent_txns = recent_txns;
        let mut ensemble = restarted(ensemble);
        let late = ensemble.followers()[0];
        ensemble.kill(late);
        let leader = ensemble.leader();
        let mut client = ensemble.connect(leader);
        for n in 0..20 {
            ensemble
                .call(&mut client, create(&format!("/n{n}")))
                .unwrap();
        }
        ensemble.start(late);
        ensemble.run(Duration::from_secs(1));
        assert!(ensemble.core(late).is_serving());
        ensemble.assert_agreed();
    }
}

/// Apache's leader notes what to forward before it looks up which transaction its state is sent as
/// (`LearnerHandler`, 3.9.5).
#[test]
fn transactions_that_a_leader_repeats_behind_its_state_are_passed_over() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.recent_txns = 0;
    ensemble.reads_log = false;
    ensemble.repeats = 3;
    let mut ensemble = restarted(ensemble);
    let late = ensemble.followers()[0];
    ensemble.kill(late);
    let leader = ensemble.leader();
    let mut client = ensemble.connect(leader);
    for n in 0..5 {
        ensemble
            .call(&mut client, create(&format!("/n{n}")))
            .unwrap();
    }
    ensemble.start(late);
    ensemble.run(Duration::from_secs(1));
    assert!(ensemble.core(late).is_serving());
    assert!(
        ensemble.servers[&late].disk.base.is_some(),
        "it got the state"
    );
    ensemble.call(&mut client, create("/after")).unwrap();
    ensemble.assert_agreed();
}

#[test]
fn a_learner_is_waited_for_as_long_as_it_takes_the_state() {
    for takes in [true, false] {
        let mut ensemble = Ensemble::new(3, 0);
        (ensemble.recent_txns, ensemble.reads_log) = (0, false);
        let mut ensemble = restarted(ensemble);
        let late = ensemble.followers()[0];
        ensemble.kill(late);
        let leader = ensemble.leader();
        let mut client = ensemble.connect(leader);
        ensemble.call(&mut client, create("/missed")).unwrap();
        ensemble.holds_states = true;
        ensemble.start(late);
        ensemble.run(Duration::from_millis(100));
        let (link, to, state) = ensemble.held.pop().unwrap();
        for n in 0..10 {
            if takes {
                ensemble.quorum(leader, QuorumInput::Taken(link));
            }
            let mut client = ensemble.connect(leader);
            ensemble
                .call(&mut client, create(&format!("/n{n}")))
                .unwrap();
            ensemble.run(TICK * 5);
        }
        assert_eq!(ensemble.links.contains_key(&link), takes);
        if takes {
            ensemble.holds_states = false;
            ensemble.on_way.push_back((link, to, state));
            ensemble.run(Duration::from_secs(1));
            assert!(ensemble.core(late).is_serving());
            ensemble.assert_agreed();
        }
    }
}

/// It refuses older epochs than the one that it accepted, from a leader that then lost its quorum.
#[test]
fn a_follower_that_accepted_a_newer_epoch_comes_back() {
    let mut ensemble = elected(3, 0);
    let follower = ensemble.followers()[0];
    ensemble.kill(follower);
    ensemble.servers.get_mut(&follower).unwrap().disk.accepted += 2;
    ensemble.start(follower);
    ensemble.run(Duration::from_secs(3));
    assert!(ensemble.core(follower).is_serving());
    ensemble.assert_agreed();
}

#[test]
fn a_learner_that_waits_for_its_disk_asks_for_no_tick() {
    let mut ensemble = elected(3, 0);
    let old = ensemble.leader();
    let mut client = ensemble.connect(old);
    ensemble.call(&mut client, create("/kept")).unwrap();
    ensemble.isolate(old);
    ensemble.send(&mut client, create("/lost"));
    ensemble.run(Duration::from_secs(1));
    ensemble.truncates = false;
    ensemble.rejoin(old);
    ensemble.run(Duration::from_millis(500));
    assert_eq!(
        ensemble.core(old).state(),
        Some(ServerState::Following),
        "it waits"
    );
    assert!(!ensemble.core(old).is_serving(), "its disk is slow");
    ensemble.now.monotonic += Duration::from_secs(3_600);
    ensemble.input(old, Input::Tick);
    assert_eq!(ensemble.core(old).next_deadline(), None);
}

/// A leader of Apache's takes nothing else for the acknowledgement that it waits for, and closes the
/// link (`LearnerHandler.run`, 3.8.0 and 3.9.5); its learners pass pings over until then.
#[test]
fn a_learner_that_is_synchronizing_says_nothing_before_it_acknowledges() {
    let mut ensemble = elected(3, 0);
    let late = ensemble.followers()[0];
    ensemble.kill(late);
    let leader = ensemble.leader();
    let mut client = ensemble.connect(leader);
    ensemble.call(&mut client, create("/a")).unwrap();
    ensemble.flushes = false;
    ensemble.start(late);
    ensemble.settle();
    let link = *(ensemble.links.iter())
        .find_map(|(link, (learner, _))| (*learner == late).then_some(link))
        .unwrap();
    let zxid = Zxid::of_epoch(1);
    let ping = || QuorumInput::FromLeader {
        link,
        packets: vec![FromLeader::Ping { zxid }],
    };
    assert!(!ensemble.core(late).is_serving(), "its disk is slow");
    ensemble.quorum(late, ping());
    assert!(ensemble.on_way.is_empty(), "the leader awaits an ACK");
    ensemble.flush(late);
    assert!(!ensemble.on_way.is_empty(), "what came is on disk");
    ensemble.settle();
    assert!(ensemble.core(late).is_serving());
    ensemble.quorum(late, ping());
    assert!(!ensemble.on_way.is_empty(), "a learner that serves answers");
}

/// A follower of Apache's logs what it lacked on a thread of its own, whose acknowledgements may overtake that
/// of NEWLEADER (`Learner.syncWithLeader`, 3.8.0).
#[test]
fn a_follower_may_acknowledge_transactions_before_the_leader() {
    let mut ensemble = elected(3, 0);
    let late = ensemble.followers()[0];
    ensemble.kill(late);
    let leader = ensemble.leader();
    let mut client = ensemble.connect(leader);
    ensemble.call(&mut client, create("/a")).unwrap();
    ensemble.flushes = false;
    ensemble.start(late);
    ensemble.settle();
    let link = *(ensemble.links.iter())
        .find_map(|(link, (learner, _))| (*learner == late).then_some(link))
        .unwrap();
    let xid = ensemble.send(&mut client, create("/b"));
    ensemble.flush(leader);
    ensemble.settle();
    assert!(ensemble.reply(&client, xid).is_none(), "one has it");
    let zxid = ensemble.servers[&leader].disk.log.last().unwrap().0;
    for zxid in [zxid, Zxid::of_epoch(1)] {
        let packets = vec![FromLearner::Ack { zxid }];
        ensemble.quorum(leader, QuorumInput::FromLearner { link, packets });
    }
    assert!(ensemble.reply(&client, xid).is_some(), "two have it");
}

#[test]
fn a_leader_with_a_slow_disk_leaves_no_hole_between_its_log_and_its_memory() {
    for recent_txns in [500, 1, 0] {
        let mut ensemble = Ensemble::new(3, 0);
        ensemble.recent_txns = recent_txns;
        let mut ensemble = restarted(ensemble);
        let leader = ensemble.leader();
        let followers = ensemble.followers();
        ensemble.kill(followers[0]);
        let mut client = ensemble.connect(leader);
        ensemble.call(&mut client, create("/on-disk")).unwrap();
        // The others agree on what is not on the leader's own disk yet.
        ensemble.start(followers[0]);
        ensemble.run(Duration::from_millis(500));
        ensemble.flushes = false;
        for path in ["/a", "/b", "/c"] {
            let xid = ensemble.send(&mut client, create(path));
            ensemble.settle();
            for &id in &followers {
                ensemble.flush(id);
            }
            ensemble.settle();
            assert!(ensemble.reply(&client, xid).is_some());
        }
        ensemble.kill(followers[0]);
        ensemble
            .servers
            .get_mut(&followers[0])
            .unwrap()
            .disk
            .log
            .truncate(1);
        ensemble.start(followers[0]);
        for _ in 0..50 {
            ensemble.run(Duration::from_millis(5));
            for &id in &followers {
                ensemble.flush(id);
            }
        }
        ensemble.flushes = true;
        ensemble.run(Duration::from_millis(500));
        ensemble.assert_agreed();
    }
}

#[test]
fn what_a_leader_makes_as_it_gives_up_never_happened() {
    let mut ensemble = elected(3, 0);
    let old = ensemble.leader();
    let client = ensemble.connect_as(old, connect_request(300));
    ensemble.isolate(old);
    // Stopped for long, it finds in one step that the session expired and that nobody follows it.
    ensemble.now.monotonic += Duration::from_secs(2);
    ensemble.input(old, Input::Tick);
    ensemble.settle();
    assert!(!ensemble.core(old).is_serving());
    let mut sessions = ensemble.core(old).sessions();
    assert!(sessions.any(|session| session.id == client.session));
    drop(sessions);
    ensemble.rejoin(old);
    ensemble.run(Duration::from_secs(2));
    ensemble.assert_agreed();
}

#[test]
fn a_session_moves_to_another_server_and_its_ephemeral_lives_on() {
    let mut ensemble = elected(3, 0);
    let leader = ensemble.leader();
    let followers = ensemble.followers();
    let mut client = ensemble.connect(followers[0]);
    ensemble
        .call(&mut client, create_mode("/e", CreateMode::Ephemeral))
        .unwrap();
    let password = zk_proto::session_password(client.session);
    let resume = |client: &Client| ConnectRequest {
        session_id: client.session,
        password: Bytes::copy_from_slice(&password),
        ..connect_request(4_000)
    };
    for to in [followers[1], leader, followers[0]] {
        let mut moved = ensemble.connect_as(to, resume(&client));
        assert_eq!(moved.session, client.session, "{to}");
        ensemble.call(&mut moved, set_data("/e", "there")).unwrap();
        if to != client.server {
            ensemble.send(&mut client, set_data("/e", "late"));
            ensemble.settle();
            assert!(
                ensemble.servers[&client.server]
                    .closed
                    .contains(&client.conn),
                "moved away"
            );
        }
        client = moved;
    }
    ensemble.run(Duration::from_millis(4_500));
    ensemble.assert_agreed();
    assert!(
        ensemble.core(leader).tree().get("/e").is_none(),
        "nobody is heard of"
    );
}

/// The client may have been served elsewhere since: what it asked for on the old connection would take
/// place after what it asked for later.
#[test]
fn a_session_that_comes_back_is_not_heard_on_its_old_connection() {
    let mut ensemble = elected(3, 0);
    let follower = ensemble.followers()[0];
    let mut old = ensemble.connect(follower);
    let request = ConnectRequest {
        session_id: old.session,
        password: Bytes::copy_from_slice(&zk_proto::session_password(old.session)),
        ..connect_request(4_000)
    };
    let (conn, peer) = (ConnId(1 << 32), "127.0.0.1".parse().unwrap());
    ensemble.input(
        follower,
        Input::Connect {
            conn,
            peer,
            request,
        },
    );
    // The leader is still to be asked for the session.
    ensemble.send(&mut old, create("/late"));
    ensemble.settle();
    assert!(ensemble.servers[&follower].closed.contains(&old.conn));
    assert_eq!(
        ensemble.servers[&follower].accepted.get(&conn),
        Some(&old.session)
    );
    assert!(ensemble.core(follower).tree().get("/late").is_none());
}

#[test]
fn a_session_on_a_follower_is_kept_alive_by_its_pings() {
    let mut ensemble = elected(3, 1);
    for id in ensemble.ids() {
        let mut client = ensemble.connect(id);
        ensemble
            .call(
                &mut client,
                create_mode(&format!("/e{id}"), CreateMode::Ephemeral),
            )
            .unwrap();
        for _ in 0..6 {
            ensemble.run(Duration::from_millis(1_500));
            ensemble.send(&mut client, Request::Ping);
        }
        assert!(ensemble.core(id).tree().get(&format!("/e{id}")).is_some());
    }
}

#[test]
fn a_leader_that_retires_leaves_followers_that_lack_nothing() {
    let mut ensemble = elected(3, 0);
    let leader = ensemble.leader();
    let follower = ensemble.followers()[0];
    let mut client = ensemble.connect(leader);
    let mut other = ensemble.connect(follower);
    ensemble.flushes = false;
    let xid = ensemble.send(&mut client, create("/taken"));
    ensemble.settle();
    ensemble.input(leader, Input::Retire);
    ensemble.send(&mut client, create("/late"));
    ensemble.send(&mut other, create("/late-elsewhere"));
    ensemble.settle();
    assert_eq!(ensemble.core(leader).outstanding(), 1);
    ensemble.flushes = true;
    ensemble.settle();
    assert_eq!(ensemble.core(leader).outstanding(), 0);
    assert!(ensemble.reply(&client, xid).is_some());
    ensemble.kill(leader);
    ensemble.run(Duration::from_millis(50));
    let next = ensemble.core(ensemble.leader()).tree();
    assert!(next.get("/taken").is_some() && next.get("/late").is_none());
}

/// Starts all servers anew.
fn restarted(mut ensemble: Ensemble) -> Ensemble {
    for id in ensemble.ids() {
        ensemble.kill(id);
    }
    for id in ensemble.ids() {
        ensemble.start(id);
    }
    ensemble.run(Duration::from_millis(600));
    ensemble
}

#[test]
fn a_write_behind_a_sync_is_answered_behind_it() {
    for asks in [false, true] {
        let mut ensemble = Ensemble::new(3, 0);
        ensemble.sync_asks_quorum = asks;
        let mut ensemble = restarted(ensemble);
        let (leader, follower) = (ensemble.leader(), ensemble.followers()[0]);
        for asked in [leader, follower] {
            let mut other = ensemble.connect(leader);
            let mut client = ensemble.connect(asked);
            ensemble.flushes = false;
            let path = format!("/before-{asked}");
            ensemble.send(&mut other, create(&path));
            ensemble.settle();
            let synced = ensemble.send(&mut client, sync());
            let path = format!("/behind-{asked}");
            let written = ensemble.send(&mut client, create(&path));
            ensemble.settle();
            // Both are agreed on at once.
            ensemble.flushes = true;
            for id in ensemble.ids() {
                ensemble.flush(id);
            }
            ensemble.settle();
            let read = ensemble.send(&mut client, get_data(&path, false));
            ensemble.settle();
            for xid in [synced, written, read] {
                let reply = ensemble.reply(&client, xid);
                assert!(reply.is_some(), "{asked}, asks a quorum: {asks}, {xid:?}");
            }
        }
    }
}

#[test]
fn a_leader_that_was_cut_off_answers_a_sync_only_where_it_need_not_ask() {
    for asks_quorum in [false, true] {
        let mut ensemble = Ensemble::new(3, 1);
        ensemble.sync_asks_quorum = asks_quorum;
        let mut ensemble = restarted(ensemble);
        for id in ensemble.ids() {
            let mut client = ensemble.connect(id);
            ensemble
                .call(&mut client, create(&format!("/{id}")))
                .unwrap();
            assert!(ensemble.call(&mut client, sync()).is_ok(), "{id}");
            assert!(ensemble.call(&mut client, get_data("/1", false)).is_ok());
        }
        let leader = ensemble.leader();
        let mut client = ensemble.connect(leader);
        // Nothing is delivered, and nobody knows yet.
        let xid = ensemble.send(&mut client, sync());
        assert_eq!(ensemble.reply(&client, xid).is_none(), asks_quorum);
        ensemble.settle();
        assert!(ensemble.reply(&client, xid).is_some());
    }
}

fn reconfig(joining: Option<&str>, leaving: Option<&str>) -> Request {
    Request::Reconfig(Reconfig {
        joining: joining.map(String::from),
        leaving: leaving.map(String::from),
        new_members: None,
        current_config: Zxid(-1),
    })
}

fn reconfigurable(voters: i64, observers: i64) -> Ensemble {
    let mut ensemble = Ensemble::new(voters, observers);
    ensemble.reconfig_enabled = true;
    ensemble.skip_acl = true;
    restarted(ensemble)
}

/// The line of a server that votes.
fn participant(id: ServerId) -> String {
    format!(
        "server.{id}=127.0.0.1:{}:{}:participant;{}",
        2000 + id.0,
        3000 + id.0,
        4000 + id.0
    )
}

impl Ensemble {
    /// All servers that are up have the membership `ids`, and what is written is agreed on.
    fn assert_members(&mut self, ids: &[i64]) {
        let leader = self.leader();
        let mut client = self.connect(leader);
        let path = format!("/written-by-{}", self.next);
        self.call(&mut client, create(&path)).unwrap();
        self.assert_agreed();
        for id in self.ids().into_iter().filter(|&id| self.is_up(id)) {
            let disk = &self.servers[&id].disk;
            let config = disk.config.as_ref().unwrap();
            let members: Vec<_> = config.participants().map(|(id, _)| id.0).collect();
            assert_eq!(members, ids, "{id}");
            let text = self.core(id).tree().get("/zookeeper/config").unwrap();
            assert_eq!(text.data(), Some(config.to_string().as_bytes()), "{id}");
        }
    }
}

#[test]
fn a_first_leader_gives_the_membership_its_version() {
    let ensemble = reconfigurable(3, 1);
    for id in ensemble.ids() {
        let config = ensemble.servers[&id].disk.config.as_ref().unwrap();
        assert_eq!(config.version(), Zxid::of_epoch(1), "{id}");
        assert_eq!(config.servers(), ensemble.config.servers());
    }
}

#[test]
fn who_may_not_write_the_membership_cannot_change_it() {
    let mut ensemble = reconfigurable(3, 0);
    ensemble.skip_acl = false;
    let mut ensemble = restarted(ensemble);
    for id in ensemble.ids() {
        let mut client = ensemble.connect(id);
        let refused = ensemble.call(&mut client, reconfig(None, Some("1")));
        assert_eq!(refused, Err(ErrorCode::NO_AUTH), "{id}");
    }
    ensemble.assert_agreed();
    let mut ensemble = elected(3, 0);
    let mut client = ensemble.connect(ServerId(1));
    let refused = ensemble.call(&mut client, reconfig(None, Some("1")));
    assert_eq!(refused, Err(ErrorCode::RECONFIG_DISABLED));
}

#[test]
fn a_follower_is_removed_and_the_rest_decides() {
    let mut ensemble = reconfigurable(4, 0);
    let removed = ensemble.followers()[0];
    let asked_at = ensemble.followers()[1];
    let mut client = ensemble.connect(asked_at);
    let made = ensemble.call(&mut client, reconfig(None, Some(&removed.to_string())));
    let Ok(Response::Data(Some(text), stat)) = made else {
        panic!("{made:?}");
    };
    assert!(!text.is_empty());
    assert_eq!(stat.version, -1);
    let rest: Vec<_> = (1..=4).filter(|&id| id != removed.0).collect();
    ensemble.assert_members(&rest);
    ensemble.kill(removed);
    ensemble.kill(asked_at);
    ensemble.run(Duration::from_millis(300));
    ensemble.assert_members(&rest);
}

#[test]
fn an_observer_is_made_a_voter() {
    let mut ensemble = reconfigurable(3, 1);
    let leader = ensemble.leader();
    let mut client = ensemble.connect(leader);
    let line = participant(ServerId(4));
    ensemble
        .call(&mut client, reconfig(Some(&line), None))
        .unwrap();
    ensemble.run(Duration::from_millis(300));
    ensemble.assert_members(&[1, 2, 3, 4]);
    assert_eq!(
        ensemble.core(ServerId(4)).state(),
        Some(ServerState::Following)
    );
    // Two of four are no quorum.
    for id in ensemble.followers().into_iter().take(2) {
        ensemble.kill(id);
    }
    ensemble.run(Duration::from_secs(1));
    for id in ensemble.ids() {
        assert!(
            !ensemble.is_up(id) || !ensemble.core(id).is_serving(),
            "{id}"
        );
    }
}

#[test]
fn a_leader_that_is_removed_leaves_the_lead_to_a_voter() {
    let mut ensemble = reconfigurable(4, 0);
    let old = ensemble.leader();
    let asked_at = ensemble.followers()[0];
    let mut client = ensemble.connect(asked_at);
    let xid = ensemble.send(&mut client, reconfig(None, Some(&old.to_string())));
    ensemble.settle();
    assert!(ensemble.reply(&client, xid).is_some());
    ensemble.run(Duration::from_millis(300));
    assert_ne!(ensemble.leader(), old);
    let rest: Vec<_> = (1..=4).filter(|&id| id != old.0).collect();
    ensemble.kill(old);
    ensemble.assert_members(&rest);
}

#[test]
fn a_reconfig_under_way_survives_its_leader() {
    let mut ensemble = reconfigurable(4, 0);
    let leader = ensemble.leader();
    let removed = ensemble.followers()[0];
    let mut client = ensemble.connect(leader);
    ensemble.flushes = false;
    ensemble.send(&mut client, reconfig(None, Some(&removed.to_string())));
    ensemble.settle();
    for id in ensemble.followers() {
        ensemble.flush(id);
    }
    ensemble.kill(leader);
    ensemble.flushes = true;
    ensemble.run(Duration::from_secs(1));
    ensemble.start(leader);
    ensemble.run(Duration::from_secs(1));
    let rest: Vec<_> = (1..=4).filter(|&id| id != removed.0).collect();
    ensemble.assert_members(&rest);
}

#[test]
fn a_reconfig_that_nobody_else_has_is_forgotten_with_its_transaction() {
    let mut ensemble = reconfigurable(4, 0);
    let old = ensemble.leader();
    let removed = ensemble.followers()[0];
    let mut client = ensemble.connect(old);
    ensemble.flushes = false;
    ensemble.send(&mut client, reconfig(None, Some(&removed.to_string())));
    ensemble.isolate(old);
    ensemble.flush(old);
    assert!(ensemble.servers[&old].disk.next_config.is_some());
    ensemble.kill(old);
    ensemble.flushes = true;
    ensemble.run(Duration::from_secs(1));
    ensemble.start(old);
    ensemble.run(Duration::from_secs(1));
    ensemble.assert_members(&[1, 2, 3, 4]);
    assert_eq!(ensemble.servers[&old].disk.next_config, None);
}

#[test]
fn who_is_brought_up_during_a_reconfig_waits_for_its_commit() {
    let mut ensemble = reconfigurable(4, 0);
    let leader = ensemble.leader();
    let (late, removed) = (ensemble.followers()[0], ensemble.followers()[1]);
    ensemble.kill(late);
    let mut client = ensemble.connect(leader);
    ensemble.flushes = false;
    let xid = ensemble.send(&mut client, reconfig(None, Some(&removed.to_string())));
    ensemble.settle();
    let version = ensemble.servers[&leader].disk.next_config.clone();
    let version = version.unwrap().version();
    ensemble.start(late);
    for _ in 0..10 {
        ensemble.run(Duration::from_millis(20));
        ensemble.flush(late);
    }
    assert!(ensemble.core(late).is_serving());
    assert!(ensemble.reply(&client, xid).is_none());
    let disk = &ensemble.servers[&late].disk;
    assert!(disk.config.as_ref().unwrap().version() < version);
    assert_eq!(disk.next_config.as_ref().unwrap().version(), version);
    ensemble.flushes = true;
    for id in ensemble.ids() {
        ensemble.flush(id);
    }
    ensemble.settle();
    assert!(ensemble.reply(&client, xid).is_some());
    let rest: Vec<_> = (1..=4).filter(|&id| id != removed.0).collect();
    ensemble.kill(removed);
    ensemble.assert_members(&rest);
}

#[test]
fn a_leader_that_moves_leaves_the_lead_to_another() {
    let mut ensemble = reconfigurable(3, 0);
    let old = ensemble.leader();
    let mut client = ensemble.connect(old);
    let moved = participant(old).replace(&format!(":{}:", 2000 + old.0), ":2999:");
    let xid = ensemble.send(&mut client, reconfig(Some(&moved), None));
    ensemble.settle();
    assert!(ensemble.reply(&client, xid).is_some());
    ensemble.run(Duration::from_millis(300));
    assert_ne!(ensemble.leader(), old);
    ensemble.assert_members(&[1, 2, 3]);
}

#[test]
fn one_reconfig_at_a_time_and_only_with_a_quorum_of_the_new_members() {
    let mut ensemble = reconfigurable(3, 0);
    let leader = ensemble.leader();
    let mut client = ensemble.connect(leader);
    let absent: Vec<_> = (5..=9).map(|id| participant(ServerId(id))).collect();
    let refused = ensemble.call(&mut client, reconfig(Some(&absent.join(",")), None));
    assert_eq!(refused, Err(ErrorCode::NEW_CONFIG_NO_QUORUM));
    ensemble.flushes = false;
    let first = ensemble.send(&mut client, reconfig(Some(&participant(ServerId(5))), None));
    let second = ensemble.send(&mut client, reconfig(Some(&participant(ServerId(6))), None));
    ensemble.flushes = true;
    ensemble.settle();
    assert!(ensemble.reply(&client, first).unwrap().0.err.is_ok());
    let refused = ensemble.reply(&client, second).unwrap().0.err;
    assert_eq!(refused, ErrorCode::RECONFIG_IN_PROGRESS);
    ensemble.assert_members(&[1, 2, 3, 5]);
}

#[test]
fn a_server_without_a_leader_lets_clients_read_that_are_content_with_it() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.read_only_after = Some(Duration::from_millis(500));
    let mut ensemble = restarted(ensemble);
    let left = ensemble.followers()[0];
    let mut global = ensemble.connect(left);
    ensemble.call(&mut global, create("/a")).unwrap();
    for id in ensemble.ids() {
        if id != left {
            ensemble.kill(id);
        }
    }
    let reader = ConnectRequest {
        read_only: Some(true),
        ..connect_request(4_000)
    };
    let early = ensemble.connect_as(left, reader.clone());
    assert_eq!(early.session, SessionId(0), "it may still find a leader");
    ensemble.run(Duration::from_secs(1));
    assert!(ensemble.core(left).is_read_only());
    let writer = ensemble.connect(left);
    assert_eq!(
        writer.session,
        SessionId(0),
        "it does not want to only read"
    );
    let password = zk_proto::session_password(global.session);
    let returning = ensemble.connect_as(
        left,
        ConnectRequest {
            session_id: global.session,
            password: Bytes::copy_from_slice(&password),
            ..reader
        },
    );
    assert_eq!(
        returning.session,
        SessionId(0),
        "only a leader knows its session"
    );
    assert!(ensemble.servers[&left].closed.contains(&returning.conn));
    let answered = &ensemble.servers[&left].accepted;
    assert_eq!(answered.get(&returning.conn), None, "it may be open");
    let mut client = ensemble.connect_as(left, reader.clone());
    assert!(ensemble.call(&mut client, get_data("/a", false)).is_ok());
    for refused in [create("/b"), set_data("/a", ""), sync()] {
        assert_eq!(
            ensemble.call(&mut client, refused),
            Err(ErrorCode::NOT_READ_ONLY)
        );
    }
    let mut second = ensemble.connect_as(left, reader.clone());
    assert_eq!(
        ensemble.call(&mut second, Request::CloseSession),
        Ok(Response::Empty)
    );
    assert!(ensemble.servers[&left].closed.contains(&second.conn));
    let password = zk_proto::session_password(second.session);
    let late = ensemble.connect_as(
        left,
        ConnectRequest {
            session_id: second.session,
            password: Bytes::copy_from_slice(&password),
            ..reader
        },
    );
    let answered = &ensemble.servers[&left].accepted;
    assert_eq!(answered.get(&late.conn), Some(&SessionId(0)), "it is over");
    for id in ensemble.ids() {
        if id != left {
            ensemble.start(id);
        }
    }
    ensemble.run(Duration::from_secs(1));
    assert!(ensemble.servers[&left].closed.contains(&client.conn));
    assert!(!ensemble.core(left).is_read_only());
    ensemble.leader();
    ensemble.assert_agreed();
}

#[test]
fn a_silent_reader_of_a_server_without_a_leader_is_let_go() {
    let mut ensemble = Ensemble::new(3, 0);
    ensemble.read_only_after = Some(Duration::ZERO);
    for id in ensemble.ids() {
        ensemble.kill(id);
    }
    ensemble.start(ServerId(2));
    ensemble.run(Duration::from_millis(100));
    let reader = ConnectRequest {
        read_only: Some(true),
        ..connect_request(1_000)
    };
    let mut client = ensemble.connect_as(ServerId(2), reader);
    for _ in 0..10 {
        ensemble.run(Duration::from_millis(500));
        ensemble.send(&mut client, Request::Ping);
    }
    assert!(!ensemble.servers[&ServerId(2)].closed.contains(&client.conn));
    ensemble.run(Duration::from_millis(1_500));
    assert!(ensemble.servers[&ServerId(2)].closed.contains(&client.conn));
    assert_eq!(ensemble.core(ServerId(2)).local_session_count(), 0);
}

#[test]
fn a_leader_that_is_lost_is_replaced_without_a_wait() {
    let mut ensemble = elected(3, 1);
    for _ in 0..4 {
        let leader = ensemble.leader();
        ensemble.kill(leader);
        ensemble.settle();
        let next = ensemble.leader();
        for id in ensemble.ids() {
            assert!(
                !ensemble.is_up(id) || ensemble.core(id).is_serving(),
                "{id} under {next}"
            );
        }
        ensemble.start(leader);
        ensemble.run(Duration::from_millis(600));
    }
}

#[test]
fn the_same_inputs_give_the_same_history() {
    let run = || -> Vec<String> {
        let mut ensemble = elected(3, 0);
        let id = ensemble.followers()[0];
        let mut client = ensemble.connect(id);
        for n in 0..10 {
            ensemble
                .call(&mut client, create(&format!("/n{n}")))
                .unwrap();
        }
        let replies = &ensemble.servers[&id].replies;
        replies.iter().map(|reply| format!("{reply:?}")).collect()
    };
    assert_eq!(run(), run());
}
