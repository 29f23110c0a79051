//! What a run measured.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use zk_proto::OpCode;

use super::BenchArgs;
use super::process::Usage;
use crate::output::Answer;

/// Latencies in µs by operation.
#[derive(Debug, Default)]
pub(crate) struct Tally(Vec<(OpCode, Histogram<u64>)>);

impl Tally {
    pub(crate) fn record(&mut self, op: OpCode, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.of(op).saturating_record(micros);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (op, histogram) in &other.0 {
            self.of(*op)
                .add(histogram)
                .expect("all histograms have the same bounds");
        }
    }

    fn of(&mut self, op: OpCode) -> &mut Histogram<u64> {
        let at = self.0.iter().position(|(known, _)| *known == op);
        let at = at.unwrap_or_else(|| {
            let histogram = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3);
            self.0
                .push((op, histogram.expect("the bounds are constant")));
            self.0.len() - 1
        });
        &mut self.0.get_mut(at).expect("the place was just found").1
    }
}

/// Longer latencies count as this one.
const LATENCY_MICROS_MAX: u64 = 3_600_000_000;

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    workload: String,
    generator: &'static str,
    sessions: usize,
    /// From the first attempt to connect to the last session that was open.
    opened_within_seconds: f64,
    in_flight: usize,
    value_bytes: usize,
    keys: usize,
    threads: usize,
    seconds: f64,
    operations: u64,
    per_second: f64,
    latency_micros: Vec<Latency>,
    /// CPU time of this process for one operation.
    generator_cpu_micros: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Server>,
}

/// Percentiles of one operation.
#[derive(Debug, Serialize)]
struct Latency {
    op: &'static str,
    count: u64,
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

/// What the run cost the server.
#[derive(Debug, Serialize)]
struct Server {
    cpu_seconds: f64,
    cpu_micros_per_operation: Option<f64>,
    before: Usage,
    start: Usage,
    end: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_session: Option<f64>,
}

impl Report {
    pub(crate) fn new(args: &BenchArgs, opened_within: Duration) -> Self {
        Self {
            workload: format!("{:?}", args.workload).to_lowercase(),
            generator: "raw frames",
            sessions: args.sessions,
            opened_within_seconds: opened_within.as_secs_f64(),
            in_flight: args.in_flight,
            value_bytes: args.value_bytes,
            keys: args.keys,
            threads: args.threads,
            seconds: 0.0,
            operations: 0,
            per_second: 0.0,
            latency_micros: Vec::new(),
            generator_cpu_micros: 0.0,
            server: None,
        }
    }

    pub(crate) fn fill(&mut self, tally: &Tally, elapsed: Duration, own_cpu: Duration) {
        self.latency_micros = tally
            .0
            .iter()
            .map(|(op, times)| latency(*op, times))
            .collect();
        self.operations = tally.0.iter().map(|(_, times)| times.len()).sum();
        self.seconds = elapsed.as_secs_f64();
        self.per_second = self.operations as f64 / self.seconds;
        self.generator_cpu_micros = micros_each(own_cpu, self.operations).unwrap_or(0.0);
    }

    pub(crate) fn fill_server(&mut self, before: Usage, start: Usage, end: Usage, idle: bool) {
        let cpu = end.cpu.saturating_sub(start.cpu);
        let grown = start.rss_bytes as f64 - before.rss_bytes as f64;
        self.server = Some(Server {
            cpu_seconds: cpu.as_secs_f64(),
            cpu_micros_per_operation: micros_each(cpu, self.operations),
            before,
            start,
            end,
            bytes_per_session: idle.then(|| grown / self.sessions as f64),
        });
    }
}

fn micros_each(time: Duration, operations: u64) -> Option<f64> {
    (operations > 0).then(|| time.as_secs_f64() * 1e6 / operations as f64)
}

fn latency(op: OpCode, times: &Histogram<u64>) -> Latency {
    Latency {
        op: op.name(),
        count: times.len(),
        mean: times.mean(),
        p50: times.value_at_quantile(0.5),
        p90: times.value_at_quantile(0.9),
        p99: times.value_at_quantile(0.99),
        p999: times.value_at_quantile(0.999),
        max: times.max(),
    }
}

impl Answer for Report {
    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{}: {} sessions x {} in flight, {} bytes, {} keys, {:.1} s",
            self.workload, self.sessions, self.in_flight, self.value_bytes, self.keys, self.seconds
        )?;
        writeln!(
            out,
            "{} operations, {:.0}/s; generator ({}): {:.2} us CPU each",
            self.operations, self.per_second, self.generator, self.generator_cpu_micros
        )?;
        writeln!(
            out,
            "sessions opened within {:.2} s",
            self.opened_within_seconds
        )?;
        for latency in &self.latency_micros {
            writeln!(out, "{latency}")?;
        }
        match &self.server {
            Some(server) => writeln!(out, "{server}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<12} {:>10}  us: p50 {} p90 {} p99 {} p99.9 {} max {}",
            self.op, self.count, self.p50, self.p90, self.p99, self.p999, self.max
        )
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server: {:.2} s CPU", self.cpu_seconds)?;
        if let Some(micros) = self.cpu_micros_per_operation {
            write!(f, ", {micros:.2} us an operation")?;
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(f, "; resident {:.1} MiB", mib(self.end.rss_bytes))?;
        if let Some(pss) = self.end.pss_bytes {
            write!(f, ", proportional {:.1} MiB", mib(pss))?;
        }
        if let Some(bytes) = self.bytes_per_session {
            write!(f, "; {bytes:.0} bytes a session")?;
        }
        Ok(())
    }
}
