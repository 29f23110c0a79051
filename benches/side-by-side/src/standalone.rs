//! One server: how fast it reads and writes, and what znodes and sessions cost it.

use std::time::Duration;

use crate::Options;
use crate::figures::{Better, Load, MIB, Row, compare, number};
use crate::server::{Flavour, Server, bench};

/// All figures of one kind of server.
#[derive(Debug, Default)]
struct Figures {
    start: Duration,
    reads: Load,
    writes: Load,
    filled_bytes: f64,
    restart: Duration,
    restarted_bytes: f64,
    session_bytes: f64,
}

const ROWS: &[Row<Figures>] = &[
    ("reads/s", Better::More, |f| f.reads.per_second, 0),
    (
        "server CPU per read, µs",
        Better::Less,
        |f| f.reads.cpu_micros,
        2,
    ),
    ("read p50, µs", Better::Less, |f| f.reads.p50_micros, 0),
    ("read p99, µs", Better::Less, |f| f.reads.p99_micros, 0),
    ("read p99.9, µs", Better::Less, |f| f.reads.p999_micros, 0),
    ("writes/s", Better::More, |f| f.writes.per_second, 0),
    (
        "server CPU per write, µs",
        Better::Less,
        |f| f.writes.cpu_micros,
        2,
    ),
    ("write p50, µs", Better::Less, |f| f.writes.p50_micros, 0),
    ("write p99, µs", Better::Less, |f| f.writes.p99_micros, 0),
    ("write p99.9, µs", Better::Less, |f| f.writes.p999_micros, 0),
    (
        "resident with the znodes, MiB",
        Better::Less,
        |f| f.filled_bytes / MIB,
        0,
    ),
    (
        "the same after a restart, MiB",
        Better::Less,
        |f| f.restarted_bytes / MIB,
        0,
    ),
    (
        "restart with the znodes, s",
        Better::Less,
        |f| f.restart.as_secs_f64(),
        2,
    ),
    (
        "an idle session, bytes",
        Better::Less,
        |f| f.session_bytes,
        0,
    ),
    (
        "start to serving, ms",
        Better::Less,
        |f| f.start.as_secs_f64() * 1000.0,
        0,
    ),
];

/// Measures both kinds of servers; gives the table.
pub(crate) fn run(options: &Options) -> anyhow::Result<String> {
    let table = compare(options, ROWS, |flavour| measure(options, flavour))?;
    let (load, znodes, sessions) = (options.load_text(), options.znodes, options.idle_sessions);
    Ok(format!(
        "{load}; {znodes} znodes of 100 bytes; {sessions} idle sessions\n\n{table}"
    ))
}

/// Takes all figures of one kind of server.
fn measure(options: &Options, flavour: Flavour) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    load(options, flavour, &mut figures)?;
    znodes(options, flavour, &mut figures)?;
    sessions(options, flavour, &mut figures)?;
    Ok(figures)
}

fn load(options: &Options, flavour: Flavour, figures: &mut Figures) -> anyhow::Result<()> {
    let server = Server::start(flavour, options)?;
    figures.start = server.started_within();
    let load = options.load();
    eprintln!("{flavour}: reads");
    figures.reads = bench(&[&server], "read", &load)?.try_into()?;
    eprintln!("{flavour}: writes");
    figures.writes = bench(&[&server], "write", &load)?.try_into()?;
    server.stop().map(drop)
}

fn znodes(options: &Options, flavour: Flavour, figures: &mut Figures) -> anyhow::Result<()> {
    eprintln!("{flavour}: {} znodes", options.znodes);
    let server = Server::start(flavour, options)?;
    let report = bench(
        &[&server],
        "fill",
        &[
            ("--keys", options.znodes.to_string()),
            ("--value-bytes", "100".to_owned()),
        ],
    )?;
    figures.filled_bytes = number(&report, "/server/end/rss_bytes")?;
    let server = server.stop()?.start_again(options)?;
    figures.restart = server.started_within();
    figures.restarted_bytes = server.resident_bytes()?;
    server.stop().map(drop)
}

fn sessions(options: &Options, flavour: Flavour, figures: &mut Figures) -> anyhow::Result<()> {
    eprintln!("{flavour}: {} sessions", options.idle_sessions);
    let server = Server::start(flavour, options)?;
    let report = bench(
        &[&server],
        "idle",
        &[
            ("--sessions", options.idle_sessions.to_string()),
            ("--duration", "10s".to_owned()),
        ],
    )?;
    figures.session_bytes = number(&report, "/server/bytes_per_session")?;
    server.stop().map(drop)
}
