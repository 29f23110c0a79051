//! A world: servers and clients, and what happens to them.
//!
//! ```text
//! faults ──────────────────────> heal ── settles ──> clients rest ── all is quiet ──> the power goes
//!                                                                    everywhere ──> all is as it was
//! ```
//!
//! While faults go on nothing wrong may be seen (safety). Once they are over, for good, everything has
//! to come right within a bound (liveness): one leader, all servers serving, every client linked and
//! answered, all trees equal.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use zk_proto::quorum::ServerState;

use crate::check::{Checks, Coverage, Violation};
use crate::client::Client;
use crate::context::Context;
use crate::faults::Faults;
use crate::net::{Arrival, ConnNo, Net, Port, Side};
use crate::plan::Plan;
use crate::planted::Planted;
use crate::random::Random;
use crate::schedule::{ClientNo, Event, Life, Schedule, ServerNo, Time};
use crate::server::clock::Clock;
use crate::server::{Crash, Server};
use crate::trace::{About, Telling, Trace};

/// The least time that a world lasts.
const LASTS: Duration = Duration::from_secs(60);
/// The least number of faults of a world in which something goes wrong.
const FAULTS_MIN: u64 = 10;
/// Events that a world has at most: one that has more goes round in circles.
const EVENTS_MAX: u64 = 5_000_000;
/// Between two looks at whether all is well.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Of each server, and of the rest of the world, so many lines are told of a violation.
const LINES_TOLD: usize = 60;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) ctx: Context,
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: Vec<Client>,
    pub(crate) faults: Faults,
    phase: Phase,
    cuts_power: bool,
    healed_at: Time,
    settled_after: Duration,
}

/// How far the world is. The times are those by which the phase has to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Faulty,
    Settling(Time),
    Calm,
    Resting(Time),
    PowerCut(Time),
    Over,
}

/// What came of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Equal in any two runs of the seed.
    pub trace_hash: u64,
    /// The first thing that was wrong, if anything was.
    pub violation: Option<Violation>,
    /// What happened before it; only when asked for.
    pub last_lines: Vec<String>,
    /// Virtual time that passed.
    pub time: Duration,
    /// Faults that were begun.
    pub faults: u64,
    /// Events that happened.
    pub events: u64,
    /// How long it took until all was well once the faults were over.
    pub settled_after: Duration,
    /// What happened, by how often.
    pub coverage: Coverage,
}

/// How a world is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether anything goes wrong in it.
    pub with_faults: bool,
    /// A bug that its servers have.
    pub planted: Option<Planted>,
    /// What is told of it.
    pub telling: Telling,
}

/// Runs the world of a seed.
#[must_use]
pub fn run(seed: u64, options: Options) -> Report {
    let mut world = World::new(seed, options);
    let mut events = 0;
    let run = AssertUnwindSafe(|| {
        while world.phase != Phase::Over && world.step() {
            events += 1;
            if events == EVENTS_MAX {
                let what = format!("{EVENTS_MAX} events, and no end");
                world.ctx.checks.fail(world.ctx.now, "C9", what);
                break;
            }
        }
    });
    if let Err(panic) = std::panic::catch_unwind(run) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        let what = format!("panic: {}", text.unwrap_or("of a strange kind"));
        world.ctx.checks.fail(world.ctx.now, "assert", what);
    }
    world.report(events)
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        let plan = Plan {
            planted: options.planted,
            ..Plan::draw(seed, options.with_faults)
        };
        let mut random = Random::new(seed);
        let servers = (0..plan.servers()).map(|index| {
            let shown = Duration::from_secs(1 + random.below(1_000_000));
            let off = random.below(plan.drift_ppm + 1);
            let no = ServerNo::try_from(index).expect("few servers");
            Server::new(
                no,
                Clock::new(shown, 1_000_000 - plan.drift_ppm / 2 + off, plan.planted),
            )
        });
        let servers: Vec<_> = servers.collect();
        let cuts_power = random.chance(300);
        let ctx = Context {
            now: Time(0),
            schedule: Schedule::default(),
            net: Net::new(plan.net.clone(), plan.servers(), plan.sites),
            trace: Trace::new(options.telling, plan.servers()),
            checks: Checks::new(&plan),
            random,
            plan,
        };
        let mut world = Self {
            ctx,
            servers,
            clients: Vec::new(),
            faults: Faults::default(),
            phase: Phase::Faulty,
            cuts_power,
            healed_at: Time(0),
            settled_after: Duration::ZERO,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let ctx = &mut self.ctx;
        let plan = ctx.plan.clone();
        ctx.tell(About::World, || format!("{plan:#?}"));
        for server in &self.servers {
            let wait = ctx.random.wait(Duration::from_millis(50));
            ctx.after(wait, Event::Start(server.no, 0));
        }
        for client in 0..plan.clients {
            let no = ClientNo::try_from(client).expect("few clients");
            self.clients.push(Client::new(no, ctx));
        }
        let first = ctx.random.wait(plan.faults.gap) + plan.tick * 5;
        ctx.after(first, Event::Fault);
        ctx.after(plan.faults.time, Event::Heal);
    }

    /// The next event; `false` when something is wrong.
    fn step(&mut self) -> bool {
        let Some((at, event)) = self.ctx.schedule.next() else {
            let what = "nothing is left to happen".into();
            self.ctx.checks.fail(self.ctx.now, "C9", what);
            return false;
        };
        self.ctx.now = at;
        self.ctx.trace.mix(at.0);
        self.on_event(event);
        self.ctx.checks.violation.is_none()
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Arrive(conn, side) => self.arrive(conn, side),
            Event::DialTimeout(conn) => self.dial_timeout(conn),
            Event::ClosedHere(no, life, conn) => {
                self.of_server(no, life, event, |server, ctx| server.on_ended(ctx, conn));
            }
            Event::CoreTick(no, life) => self.of_server(no, life, event, Server::on_core_tick),
            Event::LinksTick(no, life) => self.of_server(no, life, event, Server::on_links_tick),
            Event::LogDone(no, life) => self.of_server(no, life, event, Server::on_log_done),
            Event::LogRests(no, life) => self.of_server(no, life, event, Server::on_log_rests),
            Event::SnapshotDone(no, life) => {
                self.of_server(no, life, event, Server::on_snapshot_done);
            }
            Event::Start(no, life) => {
                let server = self.servers.get_mut(usize::from(no));
                let server = server.expect("a server of the world");
                if server.life == life && server.process.is_none() {
                    server.start(&mut self.ctx);
                }
            }
            Event::Continue(no, life) => self.go_on(no, life),
            Event::ClientWakes(no) => {
                let client = self.clients.get_mut(usize::from(no));
                client
                    .expect("a client of the world")
                    .on_wake(&mut self.ctx);
            }
            Event::Fault if self.phase == Phase::Faulty => self.begin_fault(),
            Event::Fault => {}
            Event::FaultEnds(number) => self.end_fault(number),
            Event::Heal => self.heal(),
            Event::Look => self.look(),
        }
    }

    /// Hands an event to the life of a server that it is about; later if that is stopped.
    fn of_server(
        &mut self,
        no: ServerNo,
        life: Life,
        event: Event,
        handle: impl FnOnce(&mut Server, &mut Context),
    ) {
        let server = self.servers.get_mut(usize::from(no));
        let server = server.expect("a server of the world");
        if server.life != life || server.process.is_none() {
            return;
        }
        match &mut server.stopped {
            Some(waiting) => waiting.push(event),
            None => handle(server, &mut self.ctx),
        }
    }

    fn go_on(&mut self, no: ServerNo, life: Life) {
        let server = self.servers.get_mut(usize::from(no));
        let server = server.expect("a server of the world");
        if server.life == life {
            for event in server.stopped.take().into_iter().flatten() {
                self.ctx.schedule.add(self.ctx.now, event);
            }
            self.ctx.net.machine_mut(no.into()).is_stopped = false;
            self.ctx.try_stalled();
        }
    }

    fn arrive(&mut self, number: ConnNo, side: Side) {
        let Some(conn) = self.ctx.net.get(number) else {
            return;
        };
        let (port, place) = (conn.port, conn.place(side));
        let arrival = self.ctx.arrive(number, side);
        let ctx = &mut self.ctx;
        if let Some(server) = self.servers.get_mut(place) {
            match arrival {
                Arrival::Nothing => {}
                Arrival::Accepted => server.on_accepted(ctx, number, port),
                Arrival::Connected => server.on_connected(ctx, number, port),
                Arrival::Refused => server.on_dial_failed(ctx, number, port),
                Arrival::Bytes => server.on_bytes(ctx, number),
                Arrival::Ended => server.on_ended(ctx, number),
            }
            return;
        }
        let Port::Client { client } = port else {
            unreachable!("clients dial client ports");
        };
        let client = self.clients.get_mut(usize::from(client));
        let client = client.expect("a client of the world");
        match arrival {
            Arrival::Nothing => {}
            Arrival::Accepted => unreachable!("clients listen nowhere"),
            Arrival::Connected => client.on_connected(ctx, number),
            Arrival::Refused => client.on_dial_failed(ctx, number),
            Arrival::Bytes => client.on_bytes(ctx, number),
            Arrival::Ended => client.on_ended(ctx, number),
        }
    }

    fn dial_timeout(&mut self, number: ConnNo) {
        let Some(conn) = self.ctx.net.get(number) else {
            return;
        };
        let (port, place) = (conn.port, conn.place(Side::Dialler));
        if !self.ctx.give_up_dial(number) {
            return;
        }
        let ctx = &mut self.ctx;
        if let Some(server) = self.servers.get_mut(place) {
            server.on_dial_failed(ctx, number, port);
        } else if let Port::Client { client } = port
            && let Some(client) = self.clients.get_mut(usize::from(client))
        {
            client.on_dial_failed(ctx, number);
        }
    }

    pub(crate) fn server_mut(&mut self, index: usize) -> &mut Server {
        self.servers.get_mut(index).expect("a server of the world")
    }

    /// The server that leads, as it believes, with the newest history.
    pub(crate) fn leader(&self) -> Option<usize> {
        let leads = |server: &Server| {
            let core = server.core()?;
            (core.state() == Some(ServerState::Leading)).then_some(core.last_zxid())
        };
        let leaders = self.servers.iter().enumerate();
        let leaders = leaders.filter_map(|(index, server)| Some((leads(server)?, index)));
        leaders.max().map(|(_, index)| index)
    }

    /// How long everything may take to come right.
    fn bound(&self) -> Duration {
        let plan = &self.ctx.plan;
        Duration::from_secs(20) + plan.tick * plan.init_limit * 6
    }

    /// All faults end, once there were enough.
    fn heal(&mut self) {
        if self.ctx.plan.faults.has_any() && self.faults.begun < FAULTS_MIN {
            return self.ctx.after(self.ctx.plan.faults.gap, Event::Heal);
        }
        self.healed_at = self.ctx.now;
        self.ctx.tell(About::World, || "all faults end".into());
        self.end_faults();
        self.ctx.net.calm();
        for index in 0..self.servers.len() {
            let Server { no, life, .. } = *self.server_mut(index);
            self.go_on(no, life);
        }
        for server in &mut self.servers {
            if server.process.is_none() {
                server.start(&mut self.ctx);
            }
        }
        self.phase = Phase::Settling(self.ctx.now + self.bound());
        self.ctx.after(LOOK_EVERY, Event::Look);
    }

    fn look(&mut self) {
        let now = self.ctx.now;
        self.ctx.after(LOOK_EVERY, Event::Look);
        let ill = self.ill();
        match self.phase {
            Phase::Settling(_) if ill.is_none() => {
                self.ctx.tell(About::World, || "all is well".into());
                self.settled_after = now.since(self.healed_at);
                self.ctx.checks.is_calm = true;
                self.phase = Phase::Calm;
            }
            Phase::Calm if now >= Time(0) + LASTS => {
                self.ctx.tell(About::World, || "clients rest".into());
                for client in &mut self.clients {
                    client.rest();
                }
                self.phase = Phase::Resting(now + self.bound());
            }
            Phase::Resting(_) if ill.is_none() && self.is_quiet() => {
                self.compare();
                if self.cuts_power {
                    self.cut_power();
                } else {
                    self.phase = Phase::Over;
                }
            }
            Phase::PowerCut(_) if ill.is_none() && self.is_quiet() => {
                self.compare();
                self.phase = Phase::Over;
            }
            Phase::Settling(until) | Phase::Resting(until) | Phase::PowerCut(until)
                if now >= until =>
            {
                let ill = ill.unwrap_or_else(|| "servers are not equal".into());
                let what = format!("{:?} after {:?}: {ill}", self.phase, self.bound());
                self.ctx.checks.fail(now, "C9", what);
            }
            _ => {}
        }
    }

    /// What is not as it should be without faults.
    fn ill(&self) -> Option<String> {
        let leaders = self.servers.iter().filter(|server| {
            let state = server.core().and_then(|core| core.state());
            state == Some(ServerState::Leading)
        });
        let leaders = leaders.count();
        if leaders != 1 {
            return Some(format!("{leaders} servers lead"));
        }
        for server in &self.servers {
            let serves = server.core().is_some_and(|core| {
                let leads = core.state() == Some(ServerState::Leading);
                core.is_serving() || leads && !self.ctx.plan.leader_serves
            });
            if !serves {
                return Some(format!("server {} does not serve", server.id));
            }
        }
        let sad = self.clients.iter().find(|client| !client.is_linked());
        sad.map(|client| format!("client {} is not linked", client.no))
    }

    /// Whether nothing is under way.
    fn is_quiet(&self) -> bool {
        let newest = self.ctx.checks.newest();
        let is_equal = |server: &Server| {
            (server.core())
                .is_some_and(|core| core.last_zxid() == newest && core.outstanding() == 0)
        };
        self.servers.iter().all(is_equal) && self.clients.iter().all(Client::is_content)
    }

    fn compare(&mut self) {
        for server in &self.servers {
            let core = server.core().expect("it serves");
            self.ctx.checks.compare(self.ctx.now, server.no, core);
        }
    }

    /// All machines lose what they have not synced.
    fn cut_power(&mut self) {
        self.ctx
            .tell(About::World, || "the power goes everywhere".into());
        self.ctx.checks.is_calm = false;
        for server in &mut self.servers {
            server.crash(&mut self.ctx, Crash::Power);
            let wait = self.ctx.random.wait(self.ctx.plan.tick);
            let event = Event::Start(server.no, server.life);
            self.ctx.after(wait, event);
        }
        self.phase = Phase::PowerCut(self.ctx.now + self.bound());
    }

    fn report(self, events: u64) -> Report {
        let Self { ctx, faults, .. } = self;
        let mut trace = ctx.trace;
        trace.mix(ctx.checks.newest().0.cast_unsigned());
        Report {
            seed: ctx.plan.seed,
            trace_hash: trace.hash(),
            violation: ctx.checks.violation,
            last_lines: trace.last_lines(LINES_TOLD),
            time: ctx.now.since(Time(0)),
            faults: faults.begun,
            events,
            settled_after: self.settled_after,
            coverage: ctx.checks.coverage,
        }
    }
}
