//! The benchmark: load on a server, and what it costs.
//!
//! The load does not come from `zk-client`: a request there passes a queue, a task and a future,
//! which costs more than a fast server needs to answer it, and both share the machine. Here a
//! session is one task that keeps a window of prepared frames full, and takes replies and sends
//! requests in batches ([`wire`], [`pipeline`]). Every reply is real and checked: its number, its
//! error code and the length of its data.

mod fanout;
mod idle;
mod lock;
mod pipeline;
mod process;
mod report;
mod run;
mod wire;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::args::parse_duration;

pub(crate) use run::run;

/// Options of `bench`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Sessions connect to the servers of --server in turn. Znodes are made under --path and deleted at the
end. Latency is from handing a request to the socket to reading its reply, so it includes waiting
behind the requests of the same window. With --pid the server's CPU and memory are read from /proc,
which needs it to be on this machine.")]
pub(crate) struct BenchArgs {
    /// What to do
    pub(crate) workload: Workload,
    /// How many sessions
    #[arg(long, default_value_t = 30, value_parser = positive)]
    pub(crate) sessions: usize,
    /// How many requests a session has on the way (read, write, mix, fill)
    #[arg(long, default_value_t = 16, value_parser = positive)]
    pub(crate) in_flight: usize,
    /// Length of the data in bytes
    #[arg(long, default_value_t = 1024)]
    pub(crate) value_bytes: usize,
    /// How many znodes to spread requests over; for lock, how many locks
    #[arg(long, default_value_t = 1000, value_parser = keys)]
    pub(crate) keys: usize,
    /// How much of mix is reads, in percent
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) read_percent: u8,
    /// How long to measure
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "D")]
    pub(crate) duration: Duration,
    /// How long to load the server before that
    #[arg(long, default_value = "2s", value_parser = parse_duration, value_name = "D")]
    pub(crate) warm_up: Duration,
    /// The server's process id, for its CPU and memory; of an ensemble all, with commas between
    #[arg(long = "pid", value_name = "PID", value_delimiter = ',')]
    pub(crate) pids: Vec<u32>,
    /// Where to make znodes
    #[arg(long, default_value = "/zk-bench")]
    pub(crate) path: String,
    /// Threads that make the load
    #[arg(long, default_value_t = 1, value_parser = positive)]
    pub(crate) threads: usize,
    /// Leave the znodes
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What sessions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Read data
    Read,
    /// Replace data
    Write,
    /// Read and replace data
    Mix,
    /// Take and release locks: create, list, wait if need be, delete
    Lock,
    /// One session writes, all others watch
    Fanout,
    /// Only keep sessions alive
    Idle,
    /// Create the znodes and leave them; takes as long as it takes
    Fill,
}

/// Whom to load, and as whom.
#[derive(Debug)]
pub(crate) struct Target {
    /// Sessions connect to them in turn.
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) session_timeout: Duration,
    pub(crate) read_only: bool,
    /// Identities that every session proves.
    pub(crate) auth: Vec<(String, String)>,
}

/// As many keys as the pattern of their paths has digits for.
const KEYS_MAX: usize = 10_000_000;

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("expected a number from 1".to_owned()),
    }
}

fn keys(text: &str) -> Result<usize, String> {
    positive(text).and_then(|number| match number {
        ..=KEYS_MAX => Ok(number),
        _ => Err(format!("expected a number up to {KEYS_MAX}")),
    })
}
