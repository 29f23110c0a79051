//! Three servers: what a quorum costs, and how long it cannot be written to when its leader goes.
//!
//! | part | what is done |
//! |---|---|
//! | start | empty data directories, from starting the processes to the last one's answer to `srvr`; resident memory after that |
//! | reads, writes, mix | `zk bench` over all three; CPU is that of the three together |
//! | one write | one session with one write on the way |
//! | locks | 50 sessions, each with a lock of its own: create, list, delete |
//! | watchers | one session writes when the last write has reached the 2,000 others |
//! | sessions | opened 64 at a time; growth of resident memory divided by their number |
//! | gaps | a writer at each server; the leader is killed, or asked to stop, and started again; the median of several rounds |

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::figures::{Better, Load, MIB, Row, compare, number};
use crate::gap::Writers;
use crate::server::{Flavour, Place, Server, bench, free_address};
use crate::{Options, milliseconds};

const SERVERS: u8 = 3;
/// What follows a start, before memory is looked at.
const SETTLE: Duration = Duration::from_secs(2);
/// The writing before and after a leader goes.
const AROUND: Duration = Duration::from_secs(2);
/// Leaders that go in each way.
const ROUNDS: usize = 5;
const LOCKS: usize = 50;
const WATCHERS: usize = 2_000;

/// All figures of one kind of servers.
#[derive(Debug, Default)]
struct Figures {
    start: Duration,
    idle_bytes: f64,
    reads: Load,
    writes: Load,
    mix: Load,
    one_write: Load,
    locks: Load,
    all_watchers: Load,
    sessions_per_second: f64,
    session_bytes: f64,
    killed: Duration,
    stopped: Duration,
}

const ROWS: &[Row<Figures>] = &[
    ("writes/s", Better::More, |f| f.writes.per_second, 0),
    (
        "server CPU per write, all three, µs",
        Better::Less,
        |f| f.writes.cpu_micros,
        2,
    ),
    ("write p50, µs", Better::Less, |f| f.writes.p50_micros, 0),
    ("write p99, µs", Better::Less, |f| f.writes.p99_micros, 0),
    ("reads/s", Better::More, |f| f.reads.per_second, 0),
    (
        "server CPU per read, µs",
        Better::Less,
        |f| f.reads.cpu_micros,
        2,
    ),
    ("read p50, µs", Better::Less, |f| f.reads.p50_micros, 0),
    ("read p99, µs", Better::Less, |f| f.reads.p99_micros, 0),
    (
        "70 % reads, operations/s",
        Better::More,
        |f| f.mix.per_second,
        0,
    ),
    (
        "the same, CPU per operation, µs",
        Better::Less,
        |f| f.mix.cpu_micros,
        2,
    ),
    (
        "one write on the way, p50, µs",
        Better::Less,
        |f| f.one_write.p50_micros,
        0,
    ),
    (
        "the same, p99, µs",
        Better::Less,
        |f| f.one_write.p99_micros,
        0,
    ),
    ("lock cycles/s", Better::More, |f| f.locks.per_second, 0),
    (
        "CPU per lock cycle, µs",
        Better::Less,
        |f| f.locks.cpu_micros,
        1,
    ),
    (
        "write gap, leader killed, ms",
        Better::Less,
        |f| f.killed.as_secs_f64() * 1e3,
        0,
    ),
    (
        "write gap, leader stopped, ms",
        Better::Less,
        |f| f.stopped.as_secs_f64() * 1e3,
        0,
    ),
    (
        "2,000 watchers told, the last one, p50, ms",
        Better::Less,
        |f| f.all_watchers.p50_micros / 1e3,
        1,
    ),
    (
        "three servers idle, resident, MiB",
        Better::Less,
        |f| f.idle_bytes / MIB,
        0,
    ),
    (
        "start of three to serving, ms",
        Better::Less,
        |f| f.start.as_secs_f64() * 1e3,
        0,
    ),
    (
        "sessions opened/s",
        Better::More,
        |f| f.sessions_per_second,
        0,
    ),
    (
        "a session, all servers, bytes",
        Better::Less,
        |f| f.session_bytes,
        0,
    ),
];

/// Measures both kinds of servers; gives the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    let table = compare(options, ROWS, |flavour| measure(options, flavour))?;
    let (load, sessions) = (options.load_text(), options.idle_sessions);
    Ok(format!(
        "{SERVERS} servers; {load}; {sessions} sessions\n\n{table}"
    ))
}

fn measure(options: &Options, flavour: Flavour) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    let mut ensemble = Ensemble::start(options, flavour)?;
    figures.start = ensemble.started_within();
    thread::sleep(SETTLE);
    figures.idle_bytes = ensemble.resident_bytes()?;
    loads(options, &ensemble, flavour, &mut figures)?;
    for (what, graceful) in [("leader killed", false), ("leader stopped", true)] {
        eprintln!("{flavour}: {what}");
        let mut gaps = Vec::new();
        for _ in 0..ROUNDS {
            gaps.push(ensemble.gap(options, graceful)?);
        }
        gaps.sort();
        eprintln!("{flavour}: {what}: {gaps:?}");
        let median = *gaps.get(ROUNDS / 2).context("there are rounds")?;
        match graceful {
            false => figures.killed = median,
            true => figures.stopped = median,
        }
    }
    drop(ensemble);
    sessions(options, flavour, &mut figures)?;
    Ok(figures)
}

fn loads(
    options: &Options,
    ensemble: &Ensemble,
    flavour: Flavour,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let run = |workload: &str, more: &[(&'static str, String)]| -> anyhow::Result<Load> {
        eprintln!("{flavour}: {workload} {more:?}");
        let mut load = options.load();
        load.retain(|(option, _)| more.iter().all(|(other, _)| other != option));
        load.extend_from_slice(more);
        ensemble.bench(workload, &load)?.try_into()
    };
    figures.reads = run("read", &[])?;
    figures.writes = run("write", &[])?;
    figures.mix = run("mix", &[("--read-percent", "70".to_owned())])?;
    let one = || "1".to_owned();
    figures.one_write = run("write", &[("--sessions", one()), ("--in-flight", one())])?;
    let locks = LOCKS.to_string();
    figures.locks = run("lock", &[("--sessions", locks.clone()), ("--keys", locks)])?;
    let watchers = (WATCHERS + 1).to_string();
    figures.all_watchers = run("fanout", &[("--sessions", watchers)])?;
    Ok(())
}

/// In an ensemble that has done nothing else, so that the growth of memory is that of the sessions.
fn sessions(options: &Options, flavour: Flavour, figures: &mut Figures) -> anyhow::Result<()> {
    eprintln!("{flavour}: {} sessions", options.idle_sessions);
    let report = Ensemble::start(options, flavour)?.bench(
        "idle",
        &[
            ("--sessions", options.idle_sessions.to_string()),
            ("--duration", milliseconds(SETTLE)),
        ],
    )?;
    figures.sessions_per_second =
        options.idle_sessions as f64 / number(&report, "/opened_within_seconds")?;
    figures.session_bytes = number(&report, "/server/bytes_per_session")?;
    Ok(())
}

struct Ensemble(Vec<Server>);

impl Ensemble {
    /// Starts servers with empty data directories and waits until all serve.
    fn start(options: &Options, flavour: Flavour) -> anyhow::Result<Self> {
        let mut lines = "initLimit=10\nsyncLimit=5\n".to_owned();
        for id in 1..=SERVERS {
            let (quorum, election) = (free_address()?, free_address()?);
            let election = election.port();
            lines.push_str(&format!("server.{id}={quorum}:{election}\n"));
        }
        let places = (1..=SERVERS).map(|id| Place::new(flavour, options, &lines, Some(id)));
        let places: Vec<Place> = places.collect::<anyhow::Result<_>>()?;
        let servers = places.into_iter().map(|place| place.spawn(options));
        let mut ensemble = Self(servers.collect::<anyhow::Result<_>>()?);
        ensemble.wait_until_serving()?;
        Ok(ensemble)
    }

    fn wait_until_serving(&mut self) -> anyhow::Result<()> {
        self.0.iter_mut().try_for_each(Server::wait_until_serving)
    }

    /// From the start of the first process to the answer of the last server to serve.
    fn started_within(&self) -> Duration {
        let times = self.0.iter().map(Server::started_within);
        times.max().unwrap_or_default()
    }

    fn resident_bytes(&self) -> anyhow::Result<f64> {
        self.0.iter().map(Server::resident_bytes).sum()
    }

    fn bench(
        &self,
        workload: &str,
        options: &[(&'static str, String)],
    ) -> anyhow::Result<serde_json::Value> {
        let servers: Vec<&Server> = self.0.iter().collect();
        bench(&servers, workload, options)
    }

    /// Lets the leader go and come back while there are writers; gives the longest time in which
    /// none of them got through.
    fn gap(&mut self, options: &Options, graceful: bool) -> anyhow::Result<Duration> {
        let addresses: Vec<SocketAddr> = self.0.iter().map(Server::address).collect();
        let writers = Writers::start(&addresses)?;
        thread::sleep(AROUND);
        let is_leader = |server: &Server| server.mode().is_some_and(|mode| mode == "leader");
        let leader = self.0.iter().position(is_leader);
        let leader = self.0.swap_remove(leader.context("nobody leads")?);
        let place = match graceful {
            false => leader.kill()?,
            true => leader.stop()?,
        };
        thread::sleep(AROUND);
        let gap = writers.longest_gap()?;
        self.0.push(place.spawn(options)?);
        self.wait_until_serving()?;
        Ok(gap)
    }
}
