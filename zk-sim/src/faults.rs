//! What goes wrong, and how it ends.

use std::time::Duration;

use zk_storage::memory::Chances;

use crate::context::Context;
use crate::net::Place;
use crate::schedule::{Event, ServerNo};
use crate::server::Crash;
use crate::trace::About;
use crate::world::World;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The process of one server ends; it is started again.
    Kill,
    /// Those of several servers, or of all.
    KillMany,
    /// One machine loses power.
    PowerCut,
    /// Several do, or all.
    PowerCutMany,
    /// The leader crashes, one way or the other.
    CrashLeader,
    /// A process is stopped for a while (SIGSTOP).
    Stop,
    /// One server is cut off from all others.
    Isolate,
    /// The leader is cut off from the other servers, but not from clients.
    IsolateLeader,
    /// Two halves do not hear of each other.
    Halves,
    /// Each server hears of its neighbours alone.
    Ring,
    /// One server does not hear of another, which hears it.
    OneWay,
    /// Two servers hear of each other now and then.
    Flapping,
    /// Connections break.
    Cut,
    /// All connections of a server break.
    CutAll,
    /// A route takes little at once: whoever is there reads slowly.
    SlowRoute,
    /// A route takes much longer.
    LongRoute,
    /// Some clients do not reach some servers.
    ClientsApart,
    /// A disk is slow.
    SlowDisk,
    /// Calls of a disk fail, now and then.
    DiskFails,
    /// A disk is full.
    DiskFull,
    /// A wall clock jumps.
    ClockJumps,
    /// A monotonic clock goes at another rate.
    ClockDrifts,
    /// Many clients leave their servers at once.
    ClientsMove,
}

impl FaultKind {
    pub(crate) const ALL: [Self; 23] = [
        Self::Kill,
        Self::KillMany,
        Self::PowerCut,
        Self::PowerCutMany,
        Self::CrashLeader,
        Self::Stop,
        Self::Isolate,
        Self::IsolateLeader,
        Self::Halves,
        Self::Ring,
        Self::OneWay,
        Self::Flapping,
        Self::Cut,
        Self::CutAll,
        Self::SlowRoute,
        Self::LongRoute,
        Self::ClientsApart,
        Self::SlowDisk,
        Self::DiskFails,
        Self::DiskFull,
        Self::ClockJumps,
        Self::ClockDrifts,
        Self::ClientsMove,
    ];

    /// How often it happens, beside the others.
    pub(crate) fn weight(self) -> u32 {
        match self {
            Self::CrashLeader | Self::PowerCut | Self::Cut => 6,
            Self::Kill | Self::PowerCutMany | Self::KillMany | Self::Isolate => 4,
            Self::IsolateLeader | Self::CutAll | Self::Stop | Self::SlowDisk => 4,
            Self::Halves | Self::OneWay | Self::DiskFails | Self::Ring => 3,
            Self::DiskFull | Self::Flapping | Self::SlowRoute | Self::LongRoute | Self::ClientsApart => 2,
            Self::ClockJumps | Self::ClockDrifts | Self::ClientsMove => 2,
        }
    }
}

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
        self.ctx.tell(About::World, || format!("fault: {kind:?}"));
        self.faults.begun += 1;
        let lasts = self.lasts();
        match kind {
            FaultKind::Kill => self.crash_some(1, Crash::Process),
            FaultKind::PowerCut => self.crash_some(1, Crash::Power),
            FaultKind::KillMany => {
                let count = self.draw_many();
                self.crash_some(count, Crash::Process);
            }
            FaultKind::PowerCutMany => {
                let count = self.draw_many();
                self.crash_some(count, Crash::Power);
            }
            FaultKind::CrashLeader => {
                let how = self.ctx.random.pick(&[Crash::Process, Crash::Power]);
                if let Some(leader) = self.leader() {
                    self.crash(leader, how, lasts);
                }
            }
            FaultKind::Stop => {
                let server = self.draw_server();
                self.stop(server, lasts);
            }
            FaultKind::Isolate => {
                let server = self.draw_server();
                self.isolate(server, lasts);
            }
            FaultKind::IsolateLeader => {
                if let Some(leader) = self.leader() {
                    self.isolate(leader, lasts);
                }
            }
            FaultKind::Halves => {
                let here: Vec<bool> = (0..self.places())
                    .map(|_| self.ctx.random.chance(500))
                    .collect();
                let side = |place: Place| here.get(place).copied().unwrap_or_default();
                self.block(|from, to| side(from) != side(to), lasts);
            }
            FaultKind::Ring => {
                let count = self.servers.len();
                let is_far = move |from: Place, to: Place| {
                    let apart = from.abs_diff(to);
                    from < count && to < count && apart > 1 && apart < count - 1
                };
                self.block(is_far, lasts);
            }
            FaultKind::OneWay => {
                let (one, other) = (self.draw_server(), self.draw_server());
                self.block(|from, to| (from, to) == (one, other), lasts);
            }
            FaultKind::Flapping => {
                let (one, other) = (self.draw_server(), self.draw_server());
                let pairs = vec![(one, other), (other, one)];
                self.set_blocks(&pairs, true);
                let wait = self.ctx.random.wait(self.ctx.plan.tick);
                let more = u32::try_from(self.ctx.random.between(2, 12)).expect("few");
                self.end_after(wait, End::Flap(pairs, true, more));
            }
            FaultKind::Cut => {
                let count = self.ctx.random.index(3) + 1;
                for _ in 0..count {
                    self.cut_one(|_| true);
                }
            }
            FaultKind::CutAll => {
                let server = self.draw_server();
                for _ in 0..self.ctx.net.all().count() {
                    self.cut_one(|places| places.contains(&server));
                }
            }
            FaultKind::SlowRoute => {
                let bytes_per_ms = self.ctx.random.magnitude(2, 200);
                let pairs = self.draw_pairs();
                for &(from, to) in &pairs {
                    self.ctx.net.route_mut(from, to).bytes_per_ms = bytes_per_ms;
                }
                self.end_after(lasts, End::Routes(pairs));
            }
            FaultKind::LongRoute => {
                let delay = self.ctx.random.wait(self.ctx.plan.tick);
                let pairs = self.draw_pairs();
                for &(from, to) in &pairs {
                    self.ctx.net.route_mut(from, to).delay = delay;
                }
                self.end_after(lasts, End::Routes(pairs));
            }
            FaultKind::ClientsApart => {
                let server = self.draw_server();
                let site = self.servers.len() + self.ctx.random.index(self.ctx.plan.sites);
                let both_ways = self.ctx.random.chance(700);
                let is_it = |from, to| {
                    (from, to) == (site, server) || both_ways && (from, to) == (server, site)
                };
                self.block(is_it, lasts);
            }
            FaultKind::SlowDisk => {
                let server = self.draw_server();
                let slowness = u32::try_from(self.ctx.random.magnitude(4, 2_000)).expect("small");
                self.server_mut(server).set_slowness(slowness);
                self.end_after(lasts, End::Disk(number(server)));
            }
            FaultKind::DiskFails => {
                let server = self.draw_server();
                let chances = self.draw_chances();
                let seed = self.ctx.random.next();
                self.server_mut(server).disk.misbehave(seed, chances);
                self.end_after(lasts, End::Luck(number(server)));
            }
            FaultKind::DiskFull => {
                let server = self.draw_server();
                let room = self.ctx.random.below(2_000);
                let disk = &self.server_mut(server).disk;
                let paths = disk.paths();
                let contents = paths.iter().filter_map(|path| disk.content(path));
                let used: u64 = contents.map(|content| content.len() as u64).sum();
                disk.set_capacity(Some(used + room));
                self.end_after(lasts, End::Room(number(server)));
            }
            FaultKind::ClockJumps => {
                let server = self.draw_server();
                let ms = i64::try_from(self.ctx.random.magnitude(1_000, 1 << 38)).expect("small");
                let ms = if self.ctx.random.chance(500) { ms } else { -ms };
                self.server_mut(server).clock.jump(ms);
                self.end_after(lasts, End::Clock(number(server)));
            }
            FaultKind::ClockDrifts => {
                let server = self.draw_server();
                let off = self.ctx.random.below(self.ctx.plan.drift_ppm + 1);
                let rate = match self.ctx.random.chance(500) {
                    true => 1_000_000 + off,
                    false => 1_000_000 - off,
                };
                let (server, ctx) = self.server(server);
                server.clock.set_rate(ctx.now, rate);
                server.rearm(ctx);
            }
            FaultKind::ClientsMove => {
                for index in 0..self.clients.len() {
                    if self.ctx.random.chance(700)
                        && let Some(client) = self.clients.get_mut(index)
                    {
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

    fn draw_many(&mut self) -> usize {
        match self.ctx.random.chance(300) {
            true => self.servers.len(),
            false => self.ctx.random.index(self.servers.len()) + 1,
        }
    }

    /// Routes between two servers, or between one and all, one way or both.
    fn draw_pairs(&mut self) -> Vec<(Place, Place)> {
        let (one, other) = (self.draw_server(), self.draw_server());
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

    fn crash_some(&mut self, count: usize, how: Crash) {
        let mut servers: Vec<usize> = (0..self.servers.len()).collect();
        let lasts = self.lasts();
        for _ in 0..count {
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

    fn stop(&mut self, server: usize, lasts: Duration) {
        let until = self.ctx.now + lasts;
        let (server, ctx) = self.server(server);
        if server.process.is_some() && server.stopped_until.is_none() {
            server.stopped_until = Some(until);
            ctx.net.machine_mut(server.no.into()).is_stopped = true;
            let event = Event::Continue(server.no, server.life);
            ctx.schedule.add(until, event);
        }
    }

    fn isolate(&mut self, server: usize, lasts: Duration) {
        let count = self.servers.len();
        let with_clients = self.ctx.random.chance(300);
        let is_it = move |from: Place, to: Place| {
            let is_between = from == server || to == server;
            is_between && (with_clients || from < count && to < count)
        };
        self.block(is_it, lasts);
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

    fn cut_one(&mut self, is_it: impl Fn([Place; 2]) -> bool) {
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
        let end = self.faults.ends.get_mut(number as usize).and_then(Option::take);
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
