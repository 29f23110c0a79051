//! Figures of a load, and tables of figures.

use std::fmt::Write;

use anyhow::Context;
use serde_json::Value;

use crate::Options;
use crate::server::Flavour;

/// Figures of a load.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    pub(crate) cpu_micros: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    pub(crate) p999_micros: f64,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// One row: a name, what is better, how to read it, and how many digits to show.
pub(crate) type Row<F> = (&'static str, Better, fn(&F) -> f64, usize);

/// Bytes of a MiB.
pub(crate) const MIB: f64 = 1_048_576.0;

/// Measures Apache's servers, unless they are left out, and then this project's; gives the table.
pub(crate) fn compare<F>(
    options: &Options,
    rows: &[Row<F>],
    measure: impl Fn(Flavour) -> anyhow::Result<F>,
) -> anyhow::Result<String> {
    let measure = |flavour: Flavour| measure(flavour).with_context(|| flavour.to_string());
    let apache = match options.without_apache {
        true => None,
        false => Some(measure(Flavour::Apache)?),
    };
    Ok(table(rows, apache.as_ref(), &measure(Flavour::Ours)?))
}

/// The table in Markdown. A ratio says how many times better this project's figure is.
fn table<F>(rows: &[Row<F>], apache: Option<&F>, ours: &F) -> String {
    let mut text = "| | Apache 3.8.0 | zk-server | ratio |\n|---|---:|---:|---:|\n".to_owned();
    for (name, better, read, digits) in rows {
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
    use super::*;

    #[test]
    fn a_ratio_says_how_many_times_better_ours_is() {
        let load = |per_second, cpu_micros| Load {
            per_second,
            cpu_micros,
            ..Load::default()
        };
        let rows: &[Row<Load>] = &[
            ("reads/s", Better::More, |load| load.per_second, 0),
            ("CPU, µs", Better::Less, |load| load.cpu_micros, 2),
        ];
        let (apache, ours) = (load(100.0, 20.0), load(500.0, 2.0));
        let text = table(rows, Some(&apache), &ours);
        assert!(text.contains("| reads/s | 100 | 500 | 5.0× |\n"), "{text}");
        assert!(
            text.contains("| CPU, µs | 20.00 | 2.00 | 10.0× |\n"),
            "{text}"
        );
        let alone = table(rows, None, &ours);
        assert!(alone.contains("| reads/s | – | 500 | – |\n"), "{alone}");
    }

    #[test]
    fn a_report_without_a_figure_is_refused() {
        let report = serde_json::json!({ "per_second": 1.0 });
        assert!(Load::try_from(report).is_err());
    }
}
