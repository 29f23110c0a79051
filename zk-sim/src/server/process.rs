//! One life of a server: connections in, effects out.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use zk_core::election::links::Links;
use zk_core::{ConnId, Core, Effect, Incoming, Input, QuorumEffect, QuorumInput, QuorumLink};
use zk_proto::quorum::Notification;
use zk_proto::{
    ConnectRequest, ErrorCode, Reader, Record as _, ReplyHeader, Request, RequestHeader, ServerId,
    TxnHeader, Xid, split_frame, write_frame,
};

use super::disk::{Disk, Done, Job};
use super::restore::ViewSource;
use super::{MULTI_OPS_MAX, Server};
use crate::context::Context;
use crate::net::{ConnNo, Port, Side};
use crate::planted::Planted;
use crate::schedule::{Event, Time};
use crate::trace::{About, Short};

/// A frame of a client at most.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// How long the log rests before it is settled.
const SETTLE_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) core: Core,
    pub(super) links: Links<Notification>,
    pub(crate) disk: Disk,
    /// This server's ends of connections.
    pub(super) ends: BTreeMap<ConnNo, EndOf>,
    /// What this turn sends.
    outbox: BTreeMap<ConnNo, BytesMut>,
    /// The snapshot that comes from the leader.
    pub(super) receiving: Option<Receiving>,
    /// When it is looked whether the log rests.
    log_rests: Option<Time>,
    /// The earliest wake-ups that are scheduled.
    core_tick: Option<Time>,
    pub(super) links_tick: Option<Time>,
    /// See [`Planted::DeafToVotes`](crate::planted::Planted::DeafToVotes).
    pub(super) is_deaf: bool,
}

/// What a connection is to this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndOf {
    Client {
        is_greeted: bool,
    },
    /// To the leader that this server follows.
    Leader,
    /// To a learner that follows this server.
    Learner,
    /// Dialled to a peer's election port.
    Voter {
        peer: ServerId,
    },
    /// Accepted on the election port; who called, once that is known.
    Caller {
        peer: Option<ServerId>,
    },
}

impl EndOf {
    pub(super) fn side(self) -> Side {
        match self {
            Self::Leader | Self::Voter { .. } => Side::Dialler,
            Self::Client { .. } | Self::Learner | Self::Caller { .. } => Side::Acceptor,
        }
    }
}

/// A snapshot that is to come on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receiving {
    pub(super) link: ConnNo,
    pub(super) stage: ReceivingStage,
    pub(super) is_lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReceivingStage {
    /// Storage is asked to get ready.
    Asked,
    Feeding,
    /// It is whole, or given up.
    Ending,
}

impl Process {
    pub(super) fn new(core: Core, links: Links<Notification>, disk: Disk) -> Self {
        Self {
            core,
            links,
            disk,
            ends: BTreeMap::new(),
            outbox: BTreeMap::new(),
            receiving: None,
            log_rests: None,
            core_tick: None,
            links_tick: None,
            is_deaf: false,
        }
    }

    pub(super) fn put(&mut self, conn: ConnNo, bytes: &[u8]) {
        if self.ends.contains_key(&conn) {
            self.outbox
                .entry(conn)
                .or_default()
                .extend_from_slice(bytes);
        }
    }

    fn put_frame(&mut self, conn: ConnNo, content: impl FnOnce(&mut BytesMut)) {
        if self.ends.contains_key(&conn) {
            write_frame(self.outbox.entry(conn).or_default(), content);
        }
    }
}

pub(super) fn number(link: QuorumLink) -> ConnNo {
    ConnNo::try_from(link.0).expect("links are numbered in 32 bits")
}

fn number_of(conn: ConnId) -> ConnNo {
    ConnNo::try_from(conn.0).expect("connections are numbered in 32 bits")
}

impl Server {
    /// Checks what happened, does what the core says, and sees to it that time goes on.
    pub(super) fn after_input(&mut self, ctx: &mut Context) {
        let Some(process) = &mut self.process else {
            return;
        };
        let epochs = process.disk.epochs();
        let local = self.clock.right(ctx.now);
        let mut effects: Vec<_> = process.core.drain_effects().collect();
        if let Some(planted) = ctx.plan.planted {
            process.distort_effects(planted, &mut effects);
        }
        for effect in &effects {
            if let Effect::Append { zxid, record } = effect {
                let core = &process.core;
                (ctx.checks).on_append(ctx.now, self.no, core, *zxid, record, local);
            }
        }
        ctx.checks
            .after_input(ctx.now, self.no, &process.core, epochs, local);
        for effect in effects {
            self.effect(ctx, effect);
        }
        self.pump_links(ctx);
        self.post(ctx);
        self.work(ctx);
        self.arm(ctx);
        if self.core().is_some_and(|core| core.outstanding() == 0) {
            self.exit(ctx);
        }
    }

    fn effect(&mut self, ctx: &mut Context, effect: Effect) {
        let no = self.no;
        let process = self.process.as_mut().expect("it is up");
        match effect {
            Effect::Accept { conn, response } => {
                ctx.tell(About::Server(no), || {
                    format!("  accepts {} for {}", response.session_id, conn.0)
                });
                process.put_frame(number_of(conn), |out| response.encode(out));
            }
            Effect::Reply {
                conn,
                header,
                response,
            } => {
                ctx.tell(About::Server(no), || {
                    let (xid, zxid, err) = (header.xid, header.zxid, header.err.name());
                    let shown = Short(&response, 60);
                    format!("  replies to {} {xid:?} {zxid} {err} {shown}", conn.0)
                });
                process.put_frame(number_of(conn), |out| {
                    header.encode(out);
                    if header.err.is_ok() {
                        response.encode(out);
                    }
                });
            }
            Effect::Notify { conns, zxid, event } => {
                let header = ReplyHeader {
                    xid: Xid::NOTIFICATION,
                    zxid,
                    err: ErrorCode::OK,
                };
                for conn in conns {
                    ctx.tell(About::Server(no), || {
                        format!("  tells {} {zxid} {:?} {}", conn.0, event.event, event.path)
                    });
                    process.put_frame(number_of(conn), |out| {
                        header.encode(out);
                        event.encode(out);
                    });
                }
            }
            Effect::Close { conn, reason } => {
                ctx.tell(About::Server(no), || {
                    format!("  closes {}: {reason:?}", conn.0)
                });
                self.close_end(ctx, number_of(conn), true);
            }
            Effect::Append { zxid, record } => {
                ctx.tell(About::Server(no), || {
                    let header = TxnHeader::decode(&mut Reader::new(&record));
                    let header = header.expect("a transaction has a header");
                    let (session, xid) = (header.session, header.cxid.0);
                    format!("  appends {zxid}: {session} {xid} {}", header.op)
                });
                process.disk.ask(Job::Append { zxid, record });
            }
            Effect::Snapshot(view) => {
                ctx.tell(About::Server(no), || format!("  snapshot {}", view.zxid));
                process.disk.ask(Job::Snapshot(view));
            }
            Effect::QuotaExceeded(_) => {}
            Effect::Quorum(effect) => self.quorum_effect(ctx, effect),
            Effect::Halt(reason) => {
                ctx.checks.fail(
                    ctx.now,
                    "C1",
                    format!("server {} halts: {reason:?}", self.id),
                );
            }
        }
    }

    fn quorum_effect(&mut self, ctx: &mut Context, effect: QuorumEffect) {
        let no = self.no;
        let process = self.process.as_mut().expect("it is up");
        match effect {
            QuorumEffect::Vote { to, notification } => process.links.send(to, notification),
            QuorumEffect::Dial { to, attempt } => {
                ctx.tell(About::Server(no), || format!("  dials leader {to}"));
                let place = usize::try_from(to.0 - 1).expect("an id of the ensemble");
                let conn = ctx.dial(no.into(), place, Port::Quorum { attempt });
                process.ends.insert(conn, EndOf::Leader);
            }
            QuorumEffect::Send { link, packets } => process.put(number(link), &packets),
            QuorumEffect::SendSnapshot { link, view } => {
                let zxid = view.zxid;
                let mut bytes = Vec::new();
                let sent = zk_storage::send_snapshot(&ViewSource(view), &mut bytes);
                sent.expect("memory takes everything");
                ctx.tell(About::Server(no), || {
                    format!(
                        "  sends the state of {zxid} on {}, {} bytes",
                        link.0,
                        bytes.len()
                    )
                });
                process.put(number(link), &bytes);
            }
            QuorumEffect::Close(link) => {
                ctx.tell(About::Server(no), || format!("  closes link {}", link.0));
                self.close_end(ctx, number(link), true);
            }
            QuorumEffect::Membership { .. } => {}
            QuorumEffect::Promise(promise) => {
                ctx.tell(About::Server(no), || format!("  promises {promise:?}"));
                process.disk.ask(Job::Promise(promise));
            }
            QuorumEffect::Truncate(zxid) => {
                ctx.tell(About::Server(no), || format!("  truncates to {zxid}"));
                ctx.checks.coverage.truncations += 1;
                process.disk.ask(Job::Truncate(zxid));
            }
            QuorumEffect::ReceiveSnapshot { link, zxid } => {
                ctx.tell(About::Server(no), || {
                    format!("  receives the state of {zxid}")
                });
                ctx.checks.coverage.snapshots_received += 1;
                process.disk.ask(Job::Receive { zxid });
                process.receiving = Some(Receiving {
                    link: number(link),
                    stage: ReceivingStage::Asked,
                    is_lost: false,
                });
            }
            QuorumEffect::ReadLog { link, after, to } => {
                ctx.checks.coverage.log_reads += 1;
                let link = number(link);
                process.disk.ask(Job::ReadLog { link, after, to });
            }
            QuorumEffect::Role(state) => {
                ctx.tell(About::Server(no), || format!("  is {state:?}"));
            }
            QuorumEffect::Left(reason) => {
                ctx.tell(About::Server(no), || format!("  leaves its role: {reason}"));
            }
        }
    }

    /// Sends what the turn brought, and gives up those who do not take it.
    fn post(&mut self, ctx: &mut Context) {
        let Some(process) = &mut self.process else {
            return;
        };
        let mut stuck = Vec::new();
        for (conn, bytes) in std::mem::take(&mut process.outbox) {
            let Some(end) = process.ends.get(&conn) else {
                continue;
            };
            if ctx.net.unread(conn, end.side()) > ctx.plan.net.unread_bytes_max {
                stuck.push(conn);
            }
            ctx.send(conn, end.side(), bytes.freeze());
        }
        for conn in stuck {
            ctx.tell(About::Server(self.no), || {
                format!("gives up {conn}, which does not read")
            });
            self.close_end(ctx, conn, false);
        }
    }

    /// Closes this server's end, of which the core is told.
    pub(super) fn close_end(&mut self, ctx: &mut Context, conn: ConnNo, after_all: bool) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(&end) = process.ends.get(&conn) else {
            return;
        };
        if let Some(bytes) = process.outbox.remove(&conn) {
            ctx.send(conn, end.side(), bytes.freeze());
        }
        ctx.close(conn, end.side(), after_all);
        let event = Event::ClosedHere(self.no, self.life, conn);
        ctx.schedule.add(ctx.now, event);
    }

    /// A connection is gone.
    pub(crate) fn on_ended(&mut self, ctx: &mut Context, conn: ConnNo) {
        let Some(process) = &mut self.process else {
            return;
        };
        let Some(end) = process.ends.remove(&conn) else {
            return;
        };
        match end {
            EndOf::Client { is_greeted: true } => {
                let conn = ConnId(conn.into());
                self.input(ctx, Input::Disconnected { conn });
            }
            EndOf::Client { is_greeted: false } => {}
            EndOf::Leader | EndOf::Learner => {
                let link = QuorumLink(conn.into());
                self.input(ctx, Input::Quorum(QuorumInput::Closed(link)));
                self.lose_snapshot(ctx, conn);
            }
            EndOf::Voter { peer } => self.on_vote_link_ended(ctx, conn, Some(peer)),
            EndOf::Caller { peer } => self.on_vote_link_ended(ctx, conn, peer),
        }
    }

    /// Somebody connected to one of this server's ports.
    pub(crate) fn on_accepted(&mut self, ctx: &mut Context, conn: ConnNo, port: Port) {
        let Some(process) = &mut self.process else {
            return;
        };
        match port {
            Port::Client { .. } => {
                process
                    .ends
                    .insert(conn, EndOf::Client { is_greeted: false });
            }
            Port::Quorum { .. } => {
                process.ends.insert(conn, EndOf::Learner);
                let link = QuorumLink(conn.into());
                self.input(ctx, Input::Quorum(QuorumInput::Accepted(link)));
            }
            Port::Election { .. } => {
                process.ends.insert(conn, EndOf::Caller { peer: None });
            }
        }
    }

    /// A dial of this server is answered.
    pub(crate) fn on_connected(&mut self, ctx: &mut Context, conn: ConnNo, port: Port) {
        match port {
            Port::Client { .. } => unreachable!("servers dial no client ports"),
            Port::Quorum { attempt } => {
                let link = QuorumLink(conn.into());
                self.input(ctx, Input::Quorum(QuorumInput::Dialled { attempt, link }));
            }
            Port::Election { to } => self.on_vote_link_dialled(ctx, conn, to),
        }
    }

    /// A dial of this server is refused, or not answered.
    pub(crate) fn on_dial_failed(&mut self, ctx: &mut Context, conn: ConnNo, port: Port) {
        let Some(process) = &mut self.process else {
            return;
        };
        if process.ends.remove(&conn).is_none() {
            return;
        }
        match port {
            Port::Client { .. } => unreachable!("servers dial no client ports"),
            Port::Quorum { attempt } => {
                self.input(ctx, Input::Quorum(QuorumInput::DialFailed { attempt }));
            }
            Port::Election { to } => self.on_vote_link_failed(ctx, to),
        }
    }

    /// There is something to read.
    pub(crate) fn on_bytes(&mut self, ctx: &mut Context, conn: ConnNo) {
        let Some(process) = &self.process else {
            return;
        };
        match process.ends.get(&conn) {
            None => {}
            Some(&EndOf::Client { is_greeted }) => self.read_client(ctx, conn, is_greeted),
            Some(EndOf::Leader | EndOf::Learner) => self.read_quorum(ctx, conn),
            Some(EndOf::Voter { .. } | EndOf::Caller { .. }) => self.read_votes(ctx, conn),
        }
    }

    fn read_client(&mut self, ctx: &mut Context, conn: ConnNo, is_greeted: bool) {
        let Some(input) = ctx.net.input(conn, Side::Acceptor) else {
            return;
        };
        let mut next = || {
            let frame = split_frame(input, FRAME_BYTES_MAX);
            frame.expect("clients of this world send well-formed frames")
        };
        let id = ConnId(conn.into());
        if !is_greeted {
            let Some(frame) = next() else {
                return;
            };
            let request = ConnectRequest::decode(&mut Reader::new(&frame));
            let request = request.expect("clients of this world send well-formed handshakes");
            let process = self.process.as_mut().expect("it is up");
            process
                .ends
                .insert(conn, EndOf::Client { is_greeted: true });
            let connect = Input::Connect {
                conn: id,
                peer: [10, 0, 1, 1].into(),
                request,
            };
            self.input(ctx, connect);
            return;
        }
        let mut requests = Vec::new();
        while let Some(frame) = next() {
            requests.push(incoming(&frame));
        }
        if !requests.is_empty() {
            self.input(ctx, Input::Requests { conn: id, requests });
        }
    }

    /// Lets the threads of storage begin what waits.
    pub(super) fn work(&mut self, ctx: &mut Context) {
        let Some(process) = &mut self.process else {
            return;
        };
        if let Some(takes) = process.disk.begin_snapshot(&mut ctx.random) {
            ctx.after(takes, Event::SnapshotDone(self.no, self.life));
        }
        if let Some(takes) = process.disk.begin(&mut ctx.random) {
            ctx.after(takes, Event::LogDone(self.no, self.life));
            if let Some(done) = process.disk.done_too_early(process.core.is_serving()) {
                self.on_done(ctx, done);
            }
        }
    }

    pub(crate) fn on_log_done(&mut self, ctx: &mut Context) {
        let process = self.process.as_mut().expect("it is up");
        match process.disk.finish() {
            Ok(done) => self.on_done(ctx, done),
            Err(_) if ctx.plan.planted == Some(Planted::LogFailureSurvived) => {}
            Err(failure) => self.fail(ctx, &failure),
        }
    }

    fn on_done(&mut self, ctx: &mut Context, done: Done) {
        let process = self.process.as_mut().expect("it is up");
        let input = match done {
            Done::Flushed(zxid) => {
                if process.log_rests.is_none() {
                    ctx.after(SETTLE_AFTER, Event::LogRests(self.no, self.life));
                }
                process.log_rests = Some(ctx.now + SETTLE_AFTER);
                Some(Input::Flushed { zxid })
            }
            Done::Promised => Some(Input::Quorum(QuorumInput::Promised)),
            Done::Reloaded(recovered, read) => {
                ctx.checks.on_recovered(ctx.now, self.no, &recovered);
                ctx.checks.on_reloaded(ctx.now, self.no, &read);
                return self.on_reload(ctx, QuorumInput::Reloaded(recovered));
            }
            Done::ReloadFailed => return self.on_reload(ctx, QuorumInput::ReloadFailed),
            Done::MayFeed => return self.on_may_feed(ctx),
            Done::LogRead { link, txns } => {
                let link = QuorumLink(link.into());
                Some(Input::Quorum(QuorumInput::LogRead { link, txns }))
            }
            Done::Nothing => None,
        };
        match input {
            Some(input) => self.input(ctx, input),
            None => self.work(ctx),
        }
    }

    pub(crate) fn on_snapshot_done(&mut self, ctx: &mut Context) {
        let process = self.process.as_mut().expect("it is up");
        match process.disk.finish_snapshot() {
            Ok(zxid) => self.input(ctx, Input::SnapshotWritten { zxid }),
            Err(failure) => self.fail(ctx, &failure),
        }
    }

    pub(crate) fn on_log_rests(&mut self, ctx: &mut Context) {
        let process = self.process.as_mut().expect("it is up");
        let at = process.log_rests.take().expect("it was scheduled");
        if at > ctx.now {
            process.log_rests = Some(at);
            ctx.schedule.add(at, Event::LogRests(self.no, self.life));
        } else if process.disk.rests_unsettled() {
            process.disk.ask(Job::Settle);
            self.work(ctx);
        }
    }

    pub(crate) fn on_core_tick(&mut self, ctx: &mut Context) {
        let process = self.process.as_mut().expect("it is up");
        process.core_tick = None;
        let now = self.clock.now(ctx.now).monotonic;
        let process = self.process.as_ref().expect("it is up");
        if process.core.next_deadline().is_some_and(|at| at <= now) {
            self.input(ctx, Input::Tick);
        } else {
            self.arm(ctx);
        }
    }

    /// Wakes up when the next deadline comes.
    pub(super) fn arm(&mut self, ctx: &mut Context) {
        let Some(process) = &mut self.process else {
            return;
        };
        let core_at = process
            .core
            .next_deadline()
            .map(|at| self.clock.time_of(at));
        if let Some(at) = earlier(core_at, process.core_tick) {
            let at = at.max(ctx.now);
            process.core_tick = Some(at);
            ctx.schedule.add(at, Event::CoreTick(self.no, self.life));
        }
        let links_at = process
            .links
            .next_deadline()
            .map(|at| self.clock.time_of(at));
        if let Some(at) = earlier(links_at, process.links_tick) {
            let at = at.max(ctx.now);
            process.links_tick = Some(at);
            ctx.schedule.add(at, Event::LinksTick(self.no, self.life));
        }
    }

    /// After its clock was changed: what is scheduled may come too late.
    pub(crate) fn rearm(&mut self, ctx: &mut Context) {
        if let Some(process) = &mut self.process {
            process.core_tick = None;
            process.links_tick = None;
        }
        self.arm(ctx);
    }
}

/// The time to schedule a wake-up at, unless one is scheduled that is early enough.
fn earlier(wanted: Option<Time>, scheduled: Option<Time>) -> Option<Time> {
    wanted.filter(|&at| scheduled.is_none_or(|scheduled| at < scheduled))
}

fn incoming(frame: &Bytes) -> Incoming {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader);
    let header = header.expect("clients of this world send well-formed requests");
    let request = Request::decode(header.op, &mut reader, MULTI_OPS_MAX);
    Incoming { header, request }
}

/// An input as one line.
pub(super) fn describe(input: &Input) -> String {
    match input {
        Input::Connect { conn, request, .. } => {
            let (session, seen) = (request.session_id, request.last_zxid_seen);
            format!("connect {}: session {session}, seen {seen}", conn.0)
        }
        Input::Requests { conn, requests } => {
            let requests = requests.iter().map(|request| {
                let xid = request.header.xid.0;
                format!("{xid} {}", Short(&request.request, 70))
            });
            format!(
                "requests {}: {}",
                conn.0,
                requests.collect::<Vec<_>>().join("; ")
            )
        }
        Input::Disconnected { conn } => format!("disconnected {}", conn.0),
        Input::Flushed { zxid } => format!("flushed {zxid}"),
        Input::SnapshotWritten { zxid } => format!("snapshot written {zxid}"),
        Input::Tick => "tick".into(),
        Input::Retire => "retire".into(),
        Input::Quorum(QuorumInput::Reloaded(recovered)) => {
            format!("reloaded {}", recovered.last_zxid)
        }
        Input::Quorum(input) => Short(input, 160).to_string(),
    }
}
