//! A client: a session over connections to one server after another, and the checks of what it sees.
//!
//! It follows the protocol as Apache's client does: answers come in the order of requests, a
//! connection of which nothing is heard is given up, watches are set again on the next one. What was
//! not answered on a connection is not asked again: whether it took place is for the history to say.

mod watches;
pub(crate) mod workload;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use zk_proto::{
    ConnectRequest, ConnectResponse, ErrorCode, OpCode, Reader, Record as _, ReplyHeader, Request,
    RequestHeader, Response, SessionId, WatcherEvent, Xid, Zxid, split_frame, write_frame,
};

use crate::check::replies::{Answered, is_of_session};
use crate::check::watches::Expected;
use crate::context::Context;
use crate::net::{ConnNo, Place, Port, Side};
use crate::schedule::{ClientNo, Event, Time};
use crate::trace::{About, Short};
use watches::Registered;
use workload::{Act, Workload};

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) no: ClientNo,
    place: Place,
    stage: Stage,
    session: Option<Session>,
    /// The timeout to ask for, then the one granted.
    timeout: Duration,
    sent: VecDeque<Sent>,
    xid: i32,
    /// The newest transaction seen in an answer.
    last_zxid: Zxid,
    registered: Registered,
    expected: Expected,
    workload: Workload,
    acts_at: Time,
    last_sent: Time,
    last_heard: Time,
    /// Time of the wake-up that is scheduled.
    wakes_at: Option<Time>,
    /// Its session may end by what it did.
    may_be_over: bool,
    /// Stays away by choice.
    is_hiding: bool,
    /// Only keeps its session.
    rests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Away { until: Time },
    Dialling { conn: ConnNo },
    Greeting { conn: ConnNo, until: Time },
    Linked { conn: ConnNo },
}

#[derive(Debug, Clone)]
struct Session {
    id: SessionId,
    password: Bytes,
}

#[derive(Debug)]
struct Sent {
    xid: Xid,
    request: Request,
    floor: Zxid,
}

impl Client {
    pub(crate) fn new(no: ClientNo, ctx: &mut Context) -> Self {
        let place = ctx.plan.servers() + usize::from(no) % ctx.plan.sites;
        let (least, most) = ctx.plan.mix.session_timeout_ticks;
        let ticks = u32::try_from(ctx.random.between(least, most)).expect("few ticks");
        let until = ctx.now + ctx.random.wait(ctx.plan.tick);
        let mut client = Self {
            no,
            place,
            stage: Stage::Away { until },
            session: None,
            timeout: ctx.plan.tick * ticks,
            sent: VecDeque::new(),
            xid: 0,
            last_zxid: Zxid::ZERO,
            registered: Registered::default(),
            expected: Expected::default(),
            workload: Workload::default(),
            acts_at: Time(0),
            last_sent: Time(0),
            last_heard: Time(0),
            wakes_at: None,
            may_be_over: false,
            is_hiding: false,
            rests: false,
        };
        client.arm(ctx);
        client
    }

    pub(crate) fn rest(&mut self) {
        self.rests = true;
    }

    /// Whether it is connected, if it wants to be.
    pub(crate) fn is_linked(&self) -> bool {
        self.is_hiding || matches!(self.stage, Stage::Linked { .. })
    }

    /// Whether it is connected and everything that it asked for is answered.
    pub(crate) fn is_content(&self) -> bool {
        self.is_linked() && self.sent.iter().all(|sent| sent.request == Request::Ping)
    }

    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session.as_ref().map(|session| session.id)
    }

    fn conn(&self) -> Option<ConnNo> {
        match self.stage {
            Stage::Away { .. } => None,
            Stage::Dialling { conn } | Stage::Greeting { conn, .. } | Stage::Linked { conn } => {
                Some(conn)
            }
        }
    }

    fn fail(&self, ctx: &mut Context, check: &'static str, what: &str) {
        let what = format!("client {}: {what}", self.no);
        ctx.checks.fail(ctx.now, check, what);
    }

    pub(crate) fn on_wake(&mut self, ctx: &mut Context) {
        self.wakes_at = None;
        match self.stage {
            Stage::Away { until } if until <= ctx.now => self.connect(ctx),
            Stage::Greeting { until, .. } if until <= ctx.now => self.leave(ctx, Duration::ZERO),
            Stage::Linked { .. } if self.is_deaf(ctx.now) => {
                ctx.tell(About::World, || format!("client {} hears nothing", self.no));
                self.leave(ctx, Duration::ZERO);
            }
            Stage::Linked { .. } => {
                self.act_if_due(ctx);
                if self.last_sent + self.timeout / 3 <= ctx.now {
                    self.send(ctx, Request::Ping);
                }
            }
            Stage::Away { .. } | Stage::Dialling { .. } | Stage::Greeting { .. } => {}
        }
        self.arm(ctx);
    }

    fn is_deaf(&self, now: Time) -> bool {
        self.last_heard + self.timeout * 2 / 3 <= now
    }

    fn arm(&mut self, ctx: &mut Context) {
        let at = match self.stage {
            Stage::Away { until } | Stage::Greeting { until, .. } => until,
            // The network says when a dial has taken too long.
            Stage::Dialling { .. } => return,
            Stage::Linked { .. } => {
                let deaf = self.last_heard + self.timeout * 2 / 3;
                let ping = self.last_sent + self.timeout / 3;
                match self.may_act(ctx) {
                    true => deaf.min(ping).min(self.acts_at),
                    false => deaf.min(ping),
                }
            }
        };
        if self.wakes_at.is_none_or(|scheduled| at < scheduled) {
            self.wakes_at = Some(at);
            ctx.schedule
                .add(at.max(ctx.now), Event::ClientWakes(self.no));
        }
    }

    fn may_act(&self, ctx: &Context) -> bool {
        !self.rests && self.sent.len() < ctx.plan.mix.in_flight_max
    }

    fn connect(&mut self, ctx: &mut Context) {
        self.is_hiding = false;
        let server = ctx.random.index(ctx.plan.servers());
        let conn = ctx.dial(self.place, server, Port::Client { client: self.no });
        self.stage = Stage::Dialling { conn };
    }

    /// Leaves the connection, if there is one, and looks for another after a while.
    fn leave(&mut self, ctx: &mut Context, wait: Duration) {
        if let Some(conn) = self.conn() {
            let after_all = ctx.random.chance(500);
            ctx.close(conn, Side::Dialler, after_all);
        }
        self.sent.clear();
        let until = ctx.now + wait + ctx.random.wait(ctx.plan.tick / 4);
        self.stage = Stage::Away { until };
        self.arm(ctx);
    }

    /// All connections of this client break, as far as it knows.
    pub(crate) fn scare(&mut self, ctx: &mut Context) {
        self.leave(ctx, Duration::ZERO);
    }

    pub(crate) fn on_dial_failed(&mut self, ctx: &mut Context, conn: ConnNo) {
        if self.conn() == Some(conn) {
            self.leave(ctx, ctx.plan.tick / 4);
        }
    }

    pub(crate) fn on_connected(&mut self, ctx: &mut Context, conn: ConnNo) {
        if self.conn() != Some(conn) {
            return;
        }
        let (session_id, password) = match &self.session {
            Some(session) => (session.id, session.password.clone()),
            None => (SessionId(0), Bytes::from_static(&[0; 16])),
        };
        let timeout_ms = i32::try_from(self.timeout.as_millis()).expect("a short timeout");
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout_ms,
            session_id,
            password,
            read_only: Some(false),
        };
        let mut frame = BytesMut::new();
        write_frame(&mut frame, |out| request.encode(out));
        ctx.send(conn, Side::Dialler, frame.freeze());
        let until = ctx.now + self.timeout / 2;
        self.stage = Stage::Greeting { conn, until };
        self.arm(ctx);
    }

    pub(crate) fn on_ended(&mut self, ctx: &mut Context, conn: ConnNo) {
        if self.conn() == Some(conn) {
            self.leave(ctx, ctx.plan.tick / 10);
        }
    }

    pub(crate) fn on_bytes(&mut self, ctx: &mut Context, conn: ConnNo) {
        while self.conn() == Some(conn)
            && let Some(input) = ctx.net.input(conn, Side::Dialler)
            && let Some(frame) =
                split_frame(input, 1 << 20).expect("servers send well-formed frames")
        {
            match self.stage {
                Stage::Greeting { .. } => self.on_greeted(ctx, conn, &frame),
                Stage::Linked { .. } => self.on_frame(ctx, &frame),
                Stage::Away { .. } | Stage::Dialling { .. } => {
                    unreachable!("there is no connection to read from")
                }
            }
        }
        self.arm(ctx);
    }

    fn on_greeted(&mut self, ctx: &mut Context, conn: ConnNo, frame: &Bytes) {
        let response = ConnectResponse::decode(&mut Reader::new(frame));
        let response = response.expect("servers send well-formed answers");
        if response.session_id == SessionId(0) {
            return self.on_session_over(ctx);
        }
        if let Some(session) = &self.session {
            if session.id != response.session_id {
                let what = format!("got {} for {}", response.session_id, session.id);
                return self.fail(ctx, "C8", &what);
            }
            ctx.checks.coverage.sessions_resumed += 1;
        } else {
            self.xid = 0;
        }
        let id = response.session_id;
        ctx.tell(About::World, || {
            format!("client {} has session {id}", self.no)
        });
        self.session = Some(Session {
            id,
            password: response.password,
        });
        let timeout_ms = u64::try_from(response.timeout_ms).unwrap_or(0);
        self.timeout = Duration::from_millis(timeout_ms);
        self.last_heard = ctx.now;
        self.expected = Expected::default();
        self.stage = Stage::Linked { conn };
        self.may_be_over = false;
        self.acts_at = ctx.now + ctx.random.wait(ctx.plan.mix.think);
        if let Some(watches) = self.registered.to_restore(self.last_zxid) {
            self.send(ctx, Request::SetWatches(watches));
        }
    }

    /// The server says that the session is over.
    fn on_session_over(&mut self, ctx: &mut Context) {
        let Some(session) = self.session.take() else {
            return self.fail(ctx, "C8", "a new session was refused");
        };
        ctx.tell(About::World, || {
            format!("client {} lost {}", self.no, session.id)
        });
        if !self.may_be_over && self.is_patient(ctx) {
            ctx.checks.on_refused(ctx.now, session.id);
        }
        self.forget_session();
        self.leave(ctx, Duration::ZERO);
    }

    /// Whether the session outlasts the change of a connection without a fault: a third of its time is
    /// left when it finds that nothing is heard.
    fn is_patient(&self, ctx: &Context) -> bool {
        self.timeout / 3 >= ctx.plan.net.delay_max() * 8 + ctx.plan.tick * 2
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.registered = Registered::default();
        self.sent.clear();
    }

    fn on_frame(&mut self, ctx: &mut Context, frame: &Bytes) {
        self.last_heard = ctx.now;
        let mut reader = Reader::new(frame);
        let header = ReplyHeader::decode(&mut reader).expect("servers send well-formed answers");
        if header.xid == Xid::NOTIFICATION {
            let event = WatcherEvent::decode(&mut reader).expect("servers send well-formed events");
            return self.on_event(ctx, header.zxid, &event);
        }
        let Some(sent) = self.sent.pop_front().filter(|sent| sent.xid == header.xid) else {
            let what = format!("the answer {:?} is not the next", header.xid);
            return self.fail(ctx, "C5", &what);
        };
        let result = match header.err.is_ok() {
            true => Ok(Response::decode(sent.request.op(), &mut reader)
                .expect("servers send well-formed answers")),
            false => Err(header.err),
        };
        self.on_reply(ctx, &sent, header.zxid, result);
    }

    fn on_event(&mut self, ctx: &mut Context, zxid: Zxid, event: &WatcherEvent) {
        ctx.checks.coverage.watch_events += 1;
        if zxid > ctx.checks.newest() {
            return self.fail(
                ctx,
                "C7",
                &format!("{event:?} of {zxid}, which nobody has shown"),
            );
        }
        self.registered.on_event(event);
        if let Err(what) = self.expected.on_event(&ctx.checks.model, zxid, event) {
            self.fail(ctx, "C7", &what);
        }
    }

    fn on_reply(
        &mut self,
        ctx: &mut Context,
        sent: &Sent,
        zxid: Zxid,
        result: Result<Response, ErrorCode>,
    ) {
        ctx.tell(About::World, || {
            let shown = Short(&result, 60);
            format!("client {} got {:?} {zxid} {shown}", self.no, sent.xid)
        });
        if zxid < self.last_zxid {
            let what = format!("{:?} shows {zxid} after {}", sent.xid, self.last_zxid);
            return self.fail(ctx, "C5", &what);
        }
        self.last_zxid = zxid;
        let told = (self.expected).on_reply(&ctx.checks.model, zxid, &sent.request, &result);
        if let Err(what) = told {
            return self.fail(ctx, "C7", &what);
        }
        self.registered.on_reply(&sent.request, &result);
        self.remember(&sent.request, &result);
        let session = self.session().unwrap_or_default();
        let answered = Answered {
            session,
            xid: sent.xid,
            request: &sent.request,
            floor: sent.floor,
            zxid,
            result,
        };
        let is_over = matches!(&answered.result, Err(code) if is_of_session(*code));
        ctx.checks.on_answered(ctx.now, answered);
        if sent.request == Request::CloseSession {
            self.forget_session();
            let wait = ctx.random.wait(ctx.plan.mix.think);
            self.leave(ctx, wait);
        } else if is_over {
            self.leave(ctx, Duration::ZERO);
        }
    }

    fn remember(&mut self, request: &Request, result: &Result<Response, ErrorCode>) {
        if let (Request::Create(create), Ok(response)) = (request, result)
            && create.mode().is_some_and(|mode| mode.is_sequential())
            && let Response::Path(path) | Response::PathAndStat(path, _) = response
        {
            self.workload.on_created(path);
        }
    }

    fn act_if_due(&mut self, ctx: &mut Context) {
        while self.acts_at <= ctx.now
            && self.may_act(ctx)
            && matches!(self.stage, Stage::Linked { .. })
        {
            self.acts_at = self.acts_at.max(ctx.now) + ctx.random.wait(ctx.plan.mix.think);
            let Some(act) = ctx.random.weighted(&ctx.plan.mix.acts) else {
                return;
            };
            let act = Act::ALL.get(act).copied().expect("a weight for each");
            match act {
                Act::Move => self.leave(ctx, Duration::ZERO),
                Act::Vanish => {
                    ctx.tell(About::World, || format!("client {} vanishes", self.no));
                    let wait = self.timeout * 2;
                    self.may_be_over = true;
                    self.leave(ctx, wait);
                    self.is_hiding = true;
                }
                act => {
                    let request = self.workload.draw(act, &ctx.plan.mix, &mut ctx.random);
                    let ends = request == Request::CloseSession;
                    self.send(ctx, request);
                    if ends {
                        self.may_be_over = true;
                        // Nothing is asked of a session that was asked to end.
                        self.acts_at = ctx.now + Duration::from_secs(3_600);
                    }
                }
            }
        }
    }

    fn send(&mut self, ctx: &mut Context, request: Request) {
        let Stage::Linked { conn } = self.stage else {
            return;
        };
        let session = self.session().expect("a link carries a session");
        let xid = match request.op() {
            OpCode::PING => Xid::PING,
            OpCode::SET_WATCHES | OpCode::SET_WATCHES2 => Xid::SET_WATCHES,
            _ => {
                self.xid += 1;
                Xid(self.xid)
            }
        };
        ctx.tell(About::World, || {
            let shown = Short(&request, 100);
            format!("client {} asks {xid:?} {shown}", self.no)
        });
        let floor = ctx.checks.on_asked(session, xid, &request);
        let header = RequestHeader {
            xid,
            op: request.op(),
        };
        let mut frame = BytesMut::with_capacity(128);
        write_frame(&mut frame, |out| {
            header.encode(out);
            request.encode(out);
        });
        self.last_sent = ctx.now;
        ctx.send(conn, Side::Dialler, frame.freeze());
        self.sent.push_back(Sent {
            xid,
            request,
            floor,
        });
    }
}
