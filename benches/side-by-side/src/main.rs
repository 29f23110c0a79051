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
//! `--ensemble` measures three servers of each kind instead ([`ensemble`]), `--hostile` what a
//! well-behaved client notices of hostile ones ([`hostile`]).
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

mod client;
mod ensemble;
mod figures;
mod gap;
mod hostile;
mod server;
mod standalone;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

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
    /// Measure three servers of each kind as an ensemble instead
    #[arg(long, conflicts_with = "hostile")]
    ensemble: bool,
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
    let text = match options.ensemble {
        true => ensemble::run(options)?,
        false => standalone::run(options)?,
    };
    println!("{text}");
    Ok(())
}

impl Options {
    /// The options of `zk bench` for the load.
    fn load(&self) -> Vec<(&'static str, String)> {
        vec![
            ("--sessions", self.sessions.to_string()),
            ("--in-flight", self.in_flight.to_string()),
            ("--value-bytes", self.value_bytes.to_string()),
            ("--warm-up", milliseconds(self.warm_up)),
            ("--duration", milliseconds(self.duration)),
        ]
    }

    fn load_text(&self) -> String {
        format!(
            "{} sessions × {} in flight, {} bytes, fsync on",
            self.sessions, self.in_flight, self.value_bytes
        )
    }
}

/// A duration as `zk bench` takes it.
fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
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
