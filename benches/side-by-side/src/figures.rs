//! Figures, and their table.

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::Options;

/// All figures of one kind of server.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) start: Duration,
    pub(crate) reads: Load,
    pub(crate) writes: Load,
    pub(crate) filled_bytes: f64,
    pub(crate) restart: Duration,
    pub(crate) restarted_bytes: f64,
    pub(crate) session_bytes: f64,
}

/// Reads, or writes.
#[derive(Debug, Default)]
pub(crate) struct Load {
    per_second: f64,
    cpu_micros: f64,
    p50_micros: f64,
    p99_micros: f64,
    p999_micros: f64,
}

/// A number of a report of `zk bench`.
pub(crate) fn number(report: &Value, pointer: &str) -> anyhow::Result<f64> {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.with_context(|| format!("the report has no {pointer}: {report}"))
}

impl TryFrom<Value> for Load {
    type Error = anyhow::Error;

    fn try_from(report: Value) -> anyhow::Result<Self> {
        Ok(Self {
            per_second: number(&report, "/per_second")?,
            cpu_micros: number(&report, "/server/cpu_micros_per_operation")?,
            p50_micros: number(&report, "/latency_micros/0/p50")?,
            p99_micros: number(&report, "/latency_micros/0/p99")?,
            p999_micros: number(&report, "/latency_micros/0/p999")?,
        })
    }
}

/// Whether a bigger figure is the better one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
}

/// One row: a name, what is better, how to read it, and how many digits to show.
type Row = (&'static str, Better, fn(&Figures) -> f64, usize);

const MIB: f64 = 1_048_576.0;

const ROWS: &[Row] = &[
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

/// The table in Markdown. A ratio says how many times better this project's figure is.
pub(crate) fn table(options: &Options, apache: Option<&Figures>, ours: &Figures) -> String {
    let mut text = format!(
        "{} sessions × {} in flight, {} bytes, fsync on; {} znodes of 100 bytes; {} idle sessions\n\n\
         | | Apache 3.8.0 | zk-server | ratio |\n|---|---:|---:|---:|\n",
        options.sessions,
        options.in_flight,
        options.value_bytes,
        options.znodes,
        options.idle_sessions
    );
    for (name, better, read, digits) in ROWS {
        let our = read(ours);
        let (their, ratio) = match apache.map(read) {
            None => ("–".to_owned(), "–".to_owned()),
            Some(their) => {
                let ratio = match better {
                    Better::More => our / their,
                    Better::Less => their / our,
                };
                (format!("{their:.digits$}"), format!("{ratio:.1}×"))
            }
        };
        writeln!(text, "| {name} | {their} | {our:.digits$} | {ratio} |")
            .expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn a_ratio_says_how_many_times_better_ours_is() {
        let load = |per_second, cpu_micros| Load {
            per_second,
            cpu_micros,
            ..Load::default()
        };
        let apache = Figures {
            reads: load(100.0, 20.0),
            ..Figures::default()
        };
        let ours = Figures {
            reads: load(500.0, 2.0),
            ..Figures::default()
        };
        let text = table(&Options::parse_from(["side-by-side"]), Some(&apache), &ours);
        assert!(text.contains("| reads/s | 100 | 500 | 5.0× |\n"), "{text}");
        assert!(
            text.contains("| server CPU per read, µs | 20.00 | 2.00 | 10.0× |\n"),
            "{text}"
        );
        let alone = table(&Options::parse_from(["side-by-side"]), None, &ours);
        assert!(alone.contains("| reads/s | – | 500 | – |\n"), "{alone}");
    }

    #[test]
    fn a_report_without_a_figure_is_refused() {
        let report = serde_json::json!({ "per_second": 1.0 });
        assert!(Load::try_from(report).is_err());
    }
}
