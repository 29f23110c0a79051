//! Measures this project's server and Apache ZooKeeper 3.8.0 (Debian's packages) in one run: the
//! same machine, the same `zoo.cfg`, the same load, one server after the other. Prints a table in
//! Markdown.
//!
//! ```text
//! cargo build --release -p zk-server -p zk-cli -p side-by-side
//! target/release/side-by-side > table.md
//! ```
//!
//! | part | what is done |
//! |---|---|
//! | start | an empty data directory, from starting the process to its first answer to `srvr` |
//! | reads, writes | `zk bench`, after a warm-up by the same load (15 s, for the JIT of Java) |
//! | znodes | a million of 100 bytes: resident memory, then stop and start until it serves again |
//! | sessions | 12,000 that only ping: growth of resident memory divided by their number |
//!
//! Data is synced (`forceSync`), so the directory of `--data` has to be on a real disk.
//!
//! `--hostile` measures something else instead: what a well-behaved client notices of hostile ones
//! ([`hostile`]).
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

mod figures;
mod hostile;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use figures::{Figures, table};
use server::{Flavour, Server};

/// Options.
#[derive(Debug, Parser)]
#[command(about = "Measures zk-server and Apache ZooKeeper in one run", long_about = None)]
struct Options {
    /// Where data directories are made; on a real disk
    #[arg(long, default_value = ".")]
    data: PathBuf,
    /// How long a server is loaded before it is measured
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    warm_up: Duration,
    /// How long reads, and writes, are measured
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Sessions that read and write
    #[arg(long, default_value_t = 30)]
    sessions: usize,
    /// Requests that each has on the way
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Length of a value in bytes
    #[arg(long, default_value_t = 1024)]
    value_bytes: usize,
    /// Znodes of 100 bytes
    #[arg(long, default_value_t = 1_000_000)]
    znodes: usize,
    /// Sessions that only ping
    #[arg(long, default_value_t = 12_000)]
    idle_sessions: usize,
    /// Options of the Java virtual machine, such as -Xmx4g; by default its own
    #[arg(long, allow_hyphen_values = true)]
    java_option: Vec<String>,
    /// Measure this project's server alone
    #[arg(long)]
    without_apache: bool,
    /// Measure a good client alone and beside hostile ones instead, for --duration each
    #[arg(long)]
    hostile: bool,
    /// Of the hostile clients only those whose name contains this
    #[arg(long, value_name = "TEXT", requires = "hostile")]
    only: Option<String>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side-by-side: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    raise_open_files()?;
    if options.hostile {
        return hostile::run(options);
    }
    let apache = match options.without_apache {
        true => None,
        false => Some(measure(options, Flavour::Apache).context("Apache ZooKeeper")?),
    };
    let ours = measure(options, Flavour::Ours).context("zk-server")?;
    println!("{}", table(options, apache.as_ref(), &ours));
    Ok(())
}

/// Servers and load inherit the limit.
fn raise_open_files() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
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
    let seconds = |duration: Duration| format!("{}ms", duration.as_millis());
    let load = [
        ("--sessions", options.sessions.to_string()),
        ("--in-flight", options.in_flight.to_string()),
        ("--value-bytes", options.value_bytes.to_string()),
        ("--warm-up", seconds(options.warm_up)),
        ("--duration", seconds(options.duration)),
    ];
    eprintln!("{flavour}: reads");
    figures.reads = server.bench("read", &load)?.try_into()?;
    eprintln!("{flavour}: writes");
    figures.writes = server.bench("write", &load)?.try_into()?;
    server.stop().map(drop)
}

fn znodes(options: &Options, flavour: Flavour, figures: &mut Figures) -> anyhow::Result<()> {
    eprintln!("{flavour}: {} znodes", options.znodes);
    let server = Server::start(flavour, options)?;
    let report = server.bench(
        "fill",
        &[
            ("--keys", options.znodes.to_string()),
            ("--value-bytes", "100".to_owned()),
        ],
    )?;
    figures.filled_bytes = figures::number(&report, "/server/end/rss_bytes")?;
    let server = server.stop()?.start_again(options)?;
    figures.restart = server.started_within();
    figures.restarted_bytes = server.resident_bytes()?;
    server.stop().map(drop)
}

fn sessions(options: &Options, flavour: Flavour, figures: &mut Figures) -> anyhow::Result<()> {
    eprintln!("{flavour}: {} sessions", options.idle_sessions);
    let server = Server::start(flavour, options)?;
    let report = server.bench(
        "idle",
        &[
            ("--sessions", options.idle_sessions.to_string()),
            ("--duration", "10s".to_owned()),
        ],
    )?;
    figures.session_bytes = figures::number(&report, "/server/bytes_per_session")?;
    server.stop().map(drop)
}
