//! What goes wrong, and how it ends.

mod kind;

use std::time::Duration;

use zk_storage::memory::Chances;

use crate::context::Context;
use crate::net::{Place, Route, Sides};
use crate::schedule::{Event, Life, ServerNo};
use crate::server::Crash;
use crate::trace::About;
use crate::world::World;
pub(crate) use kind::FaultKind;

/// How long a server that was told to stop goes on at most.
const RETIRE_WITHIN: Duration = Duration::from_secs(2);

/// What is undone when a fault ends.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Unblock(Vec<(Place, Place)>),
    /// The routes that are blocked and unblocked, whether they are blocked, and how often more.
    Flap(Vec<(Place, Place)>, bool, u32),
    Routes(Vec<(Place, Place)>),
    Disk(ServerNo),
    Luck(ServerNo),
    Room(ServerNo),
    Clock(ServerNo),
    Retire(ServerNo, Life),
}

/// The faults that are on.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) begun: u64,
    /// By their number.
    ends: Vec<Option<End>>,
}

impl World {
    /// The next fault begins.
    pub(crate) fn begin_fault(&mut self) {
        let gap = self.ctx.random.wait(self.ctx.plan.faults.gap);
        self.ctx.after(gap, Event::Fault);
        let weights = &self.ctx.plan.faults.weights;
        let Some(drawn) = self.ctx.random.weighted(weights) else {
            return;
        };
        let kind = FaultKind::ALL.get(drawn).copied();
        let kind = kind.expect("a weight for each");
        let Some(server) = self.draw_target(kind) else {
            return;
        };
        self.ctx.tell(About::World, || format!("fault: {kind:?}"));
        self.faults.begun += 1;
        let lasts = self.lasts();
        self.do_wrong(kind, server, lasts);
    }

    /// The server that a fault is about, if it is about one; `None` when it cannot be now.
    fn draw_target(&mut self, kind: FaultKind) -> Option<usize> {
        match kind {
            FaultKind::CrashLeader | FaultKind::IsolateLeader | FaultKind::RetireLeader => {
                self.leader()
            }
            _ => Some(self.draw_server()),
        }
    }

    fn do_wrong(&mut self, kind: FaultKind, server: usize, lasts: Duration) {
        match kind {
            FaultKind::Kill => self.crash(server, Crash::Process, lasts),
            FaultKind::KillMany => self.crash_some(Crash::Process),
            FaultKind::PowerCut => self.crash(server, Crash::Power, lasts),
            FaultKind::PowerCutMany => self.crash_some(Crash::Power),
            FaultKind::CrashLeader => {
                let how = self.ctx.random.pick(&[Crash::Process, Crash::Power]);
                self.crash(server, how, lasts);
            }
            FaultKind::Retire | FaultKind::RetireLeader => self.retire(server, lasts),
            FaultKind::Stop => self.stop(server, lasts),
            FaultKind::Isolate | FaultKind::IsolateLeader => {
                let with_clients = kind == FaultKind::Isolate && self.ctx.random.chance(300);
                self.isolate(server, with_clients, lasts);
            }
            FaultKind::Halves => self.halve(lasts),
            FaultKind::Ring => self.ring(lasts),
            FaultKind::OneWay => {
                let other = self.draw_other(server);
                self.block(|from, to| (from, to) == (server, other), lasts);
            }
            FaultKind::Flapping => self.flap(server),
            FaultKind::Cut => {
                for _ in 0..=self.ctx.random.index(3) {
                    self.cut_one(|_| true);
                }
            }
            FaultKind::CutAll => {
                for _ in 0..self.ctx.net.all().count() {
                    self.cut_one(|places| places.dialler == server || places.acceptor == server);
                }
            }
            FaultKind::SlowRoute => {
                let bytes_per_ms = self.ctx.random.magnitude(2, 200);
                self.change_routes(server, lasts, |route| route.bytes_per_ms = bytes_per_ms);
            }
            FaultKind::LongRoute => {
                let delay = self.ctx.random.wait(self.ctx.plan.tick);
                self.change_routes(server, lasts, |route| route.delay = delay);
            }
            FaultKind::ClientsApart => self.part_clients(server, lasts),
            FaultKind::SlowDisk => {
                let slowness = u32::try_from(self.ctx.random.magnitude(4, 2_000)).expect("small");
                self.server_mut(server).set_slowness(slowness);
                self.end_after(lasts, End::Disk(number(server)));
            }
            FaultKind::DiskFails => {
                let chances = self.draw_chances();
                let seed = self.ctx.random.next();
                self.server_mut(server).disk.misbehave(seed, chances);
                self.end_after(lasts, End::Luck(number(server)));
            }
            FaultKind::DiskFull => self.fill_disk(server, lasts),
            FaultKind::ClockJumps => {
                let ms = i64::try_from(self.ctx.random.magnitude(1_000, 1 << 38)).expect("small");
                let ms = if self.ctx.random.chance(500) { ms } else { -ms };
                self.server_mut(server).clock.jump(ms);
                self.end_after(lasts, End::Clock(number(server)));
            }
            FaultKind::ClockDrifts => self.drift(server),
            FaultKind::ClientsMove => {
                for client in &mut self.clients {
                    if self.ctx.random.chance(700) {
                        client.scare(&mut self.ctx);
                    }
                }
            }
        }
    }

    fn lasts(&mut self) -> Duration {
        self.ctx.random.wait(self.ctx.plan.faults.lasts)
    }

    fn draw_server(&mut self) -> usize {
        self.ctx.random.index(self.servers.len())
    }

    fn draw_other(&mut self, than: usize) -> usize {
        let drawn = self.ctx.random.index(self.servers.len() - 1);
        drawn + usize::from(drawn >= than)
    }

    fn draw_many(&mut self) -> usize {
        match self.ctx.random.chance(300) {
            true => self.servers.len(),
            false => self.ctx.random.index(self.servers.len()) + 1,
        }
    }

    /// Routes between a server and another, or all others, one way or both.
    fn draw_pairs(&mut self, one: usize) -> Vec<(Place, Place)> {
        let other = self.draw_other(one);
        let with_all = self.ctx.random.chance(300);
        let both_ways = self.ctx.random.chance(500);
        let is_it = |from, to| {
            let (is_from, is_to) = (from == one, to == one);
            match with_all {
                true => is_from || both_ways && is_to,
                false => is_from && to == other || both_ways && is_to && from == other,
            }
        };
        pairs(self.places(), is_it)
    }

    fn places(&self) -> usize {
        self.servers.len() + self.ctx.plan.sites
    }

    /// Some calls of a disk fail, once in five to thousand; some never do.
    fn draw_chances(&mut self) -> Chances {
        let random = &mut self.ctx.random;
        let mut draw = || match random.chance(500) {
            true => 0,
            false => 1_000_000 / u32::try_from(random.magnitude(5, 1_000)).expect("small"),
        };
        Chances {
            read_error: draw(),
            write_error: draw(),
            sync_error: draw(),
            name_error: draw(),
            no_space: draw(),
            power_off: 0,
        }
    }

    fn crash_some(&mut self, how: Crash) {
        let mut servers: Vec<usize> = (0..self.servers.len()).collect();
        let lasts = self.lasts();
        for _ in 0..self.draw_many() {
            let at = self.ctx.random.index(servers.len());
            let server = servers.swap_remove(at);
            let lasts = match self.ctx.random.chance(300) {
                true => lasts,
                false => self.lasts(),
            };
            self.crash(server, how, lasts);
        }
    }

    /// A server crashes and is started again after a while.
    fn crash(&mut self, server: usize, how: Crash, lasts: Duration) {
        let (server, ctx) = self.server(server);
        server.crash(ctx, how);
        ctx.after(lasts, Event::Start(server.no, server.life));
    }

    /// A server ends what it is at, within a bound, and then itself.
    fn retire(&mut self, server: usize, lasts: Duration) {
        let (server, ctx) = self.server(server);
        let (no, life) = (server.no, server.life);
        server.retire(ctx, lasts);
        self.end_after(RETIRE_WITHIN, End::Retire(no, life));
    }

    fn stop(&mut self, server: usize, lasts: Duration) {
        let until = self.ctx.now + lasts;
        let (server, ctx) = self.server(server);
        if server.process.is_some() && server.stopped.is_none() {
            server.stopped = Some(Vec::new());
            ctx.net.machine_mut(server.no.into()).is_stopped = true;
            let event = Event::Continue(server.no, server.life);
            ctx.schedule.add(until, event);
        }
    }

    fn isolate(&mut self, server: usize, with_clients: bool, lasts: Duration) {
        let count = self.servers.len();
        let is_it = move |from: Place, to: Place| {
            let is_between = from == server || to == server;
            is_between && (with_clients || from < count && to < count)
        };
        self.block(is_it, lasts);
    }

    fn halve(&mut self, lasts: Duration) {
        let random = &mut self.ctx.random;
        let places = self.servers.len() + self.ctx.plan.sites;
        let here: Vec<bool> = (0..places).map(|_| random.chance(500)).collect();
        let side = |place: Place| here.get(place).copied().unwrap_or_default();
        self.block(|from, to| side(from) != side(to), lasts);
    }

    fn ring(&mut self, lasts: Duration) {
        let count = self.servers.len();
        let is_far = move |from: Place, to: Place| {
            let apart = from.abs_diff(to);
            from < count && to < count && apart > 1 && apart < count - 1
        };
        self.block(is_far, lasts);
    }

    fn flap(&mut self, server: usize) {
        let other = self.draw_other(server);
        let pairs = vec![(server, other), (other, server)];
        self.set_blocks(&pairs, true);
        let wait = self.ctx.random.wait(self.ctx.plan.tick);
        let more = u32::try_from(self.ctx.random.between(2, 12)).expect("few");
        self.end_after(wait, End::Flap(pairs, true, more));
    }

    fn part_clients(&mut self, server: usize, lasts: Duration) {
        let site = self.servers.len() + self.ctx.random.index(self.ctx.plan.sites);
        let both_ways = self.ctx.random.chance(700);
        let is_it =
            |from, to| (from, to) == (site, server) || both_ways && (from, to) == (server, site);
        self.block(is_it, lasts);
    }

    fn change_routes(&mut self, server: usize, lasts: Duration, change: impl Fn(&mut Route)) {
        let pairs = self.draw_pairs(server);
        for &(from, to) in &pairs {
            change(self.ctx.net.route_mut(from, to));
        }
        self.end_after(lasts, End::Routes(pairs));
    }

    /// Leaves room for some bytes more than there are.
    fn fill_disk(&mut self, server: usize, lasts: Duration) {
        let room = self.ctx.random.below(2_000);
        let disk = &self.server_mut(server).disk;
        let paths = disk.paths();
        let contents = paths.iter().filter_map(|path| disk.content(path));
        let used: u64 = contents.map(|content| content.len() as u64).sum();
        disk.set_capacity(Some(used + room));
        self.end_after(lasts, End::Room(number(server)));
    }

    fn drift(&mut self, server: usize) {
        let off = self.ctx.random.below(self.ctx.plan.drift_ppm + 1);
        let rate = match self.ctx.random.chance(500) {
            true => 1_000_000 + off,
            false => 1_000_000 - off,
        };
        let (server, ctx) = self.server(server);
        server.clock.set_rate(ctx.now, rate);
        server.rearm(ctx);
    }

    fn block(&mut self, is_blocked: impl Fn(Place, Place) -> bool, lasts: Duration) {
        let pairs = pairs(self.places(), is_blocked);
        self.set_blocks(&pairs, true);
        self.end_after(lasts, End::Unblock(pairs));
    }

    fn set_blocks(&mut self, pairs: &[(Place, Place)], is_on: bool) {
        for &(from, to) in pairs {
            let blocks = &mut self.ctx.net.route_mut(from, to).blocks;
            match is_on {
                true => *blocks += 1,
                false => *blocks -= 1,
            }
        }
        if !is_on {
            self.ctx.try_stalled();
        }
    }

    fn cut_one(&mut self, is_it: impl Fn(Sides<Place>) -> bool) {
        let net = &self.ctx.net;
        let of = |&conn: &u32| net.get(conn).is_some_and(|conn| is_it(conn.places()));
        let conns: Vec<u32> = net.all().filter(of).collect();
        if !conns.is_empty() {
            let conn = self.ctx.random.pick(&conns);
            self.ctx.cut(conn);
        }
    }

    fn end_after(&mut self, wait: Duration, end: End) {
        let number = u32::try_from(self.faults.ends.len()).expect("few faults");
        self.faults.ends.push(Some(end));
        self.ctx.after(wait, Event::FaultEnds(number));
    }

    pub(crate) fn end_fault(&mut self, number: u32) {
        let end = self
            .faults
            .ends
            .get_mut(number as usize)
            .and_then(Option::take);
        if let Some(end) = end {
            self.end(end, false);
        }
    }

    /// Ends all faults, for good.
    pub(crate) fn end_faults(&mut self) {
        for end in std::mem::take(&mut self.faults.ends).into_iter().flatten() {
            self.end(end, true);
        }
        for index in 0..self.servers.len() {
            let (server, ctx) = self.server(index);
            server.clock.set_rate(ctx.now, 1_000_000);
            server.rearm(ctx);
        }
    }

    fn end(&mut self, end: End, for_good: bool) {
        match end {
            End::Unblock(pairs) => self.set_blocks(&pairs, false),
            End::Flap(pairs, is_on, more) => {
                if is_on {
                    self.set_blocks(&pairs, false);
                }
                if more > 0 && !for_good {
                    if !is_on {
                        self.set_blocks(&pairs, true);
                    }
                    let wait = self.ctx.random.wait(self.ctx.plan.tick);
                    self.end_after(wait, End::Flap(pairs, !is_on, more - 1));
                }
            }
            End::Routes(pairs) => {
                for (from, to) in pairs {
                    let route = self.ctx.net.route_mut(from, to);
                    route.delay = Duration::ZERO;
                    route.bytes_per_ms = 0;
                }
            }
            End::Luck(server) => {
                let disk = &self.server_mut(server.into()).disk;
                disk.misbehave(0, Chances::default());
            }
            End::Room(server) => self.server_mut(server.into()).disk.set_capacity(None),
            End::Disk(server) => self.server_mut(server.into()).set_slowness(1),
            End::Retire(server, life) => {
                let (server, ctx) = self.server(server.into());
                if server.life == life {
                    server.exit(ctx);
                }
            }
            End::Clock(server) => self.server_mut(server.into()).clock.set_right(),
        }
    }

    fn server(&mut self, index: usize) -> (&mut crate::server::Server, &mut Context) {
        let server = self.servers.get_mut(index);
        (server.expect("a server of the world"), &mut self.ctx)
    }
}

fn pairs(places: usize, is_it: impl Fn(Place, Place) -> bool) -> Vec<(Place, Place)> {
    let all = (0..places).flat_map(|from| (0..places).map(move |to| (from, to)));
    all.filter(|&(from, to)| from != to && is_it(from, to))
        .collect()
}

fn number(server: usize) -> ServerNo {
    ServerNo::try_from(server).expect("few servers")
}
