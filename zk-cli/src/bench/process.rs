//! What a process costs, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// A process's CPU time and memory at a moment.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Usage {
    /// User and system time of all its threads, those that ended included.
    #[serde(skip)]
    pub(crate) cpu: Duration,
    /// Resident memory.
    pub(crate) rss_bytes: u64,
    /// The same, shared pages counted by share; unknown where the system does not tell.
    pub(crate) pss_bytes: Option<u64>,
}

impl Usage {
    /// Reads the usage of a process.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let status = read("status")?;
        Ok(Self {
            cpu: parse_cpu(&read("stat")?, rustix::param::clock_ticks_per_second())
                .with_context(|| format!("/proc/{pid}/stat has an unknown form"))?,
            rss_bytes: parse_kib(&status, "VmRSS:")
                .with_context(|| format!("/proc/{pid}/status has no VmRSS"))?,
            // Another user's process does not show it.
            pss_bytes: read("smaps_rollup")
                .ok()
                .and_then(|text| parse_kib(&text, "Pss:")),
        })
    }

    /// The usage of several processes together; of none when there are none.
    pub(crate) fn of_all(pids: &[u32]) -> anyhow::Result<Option<Self>> {
        let add = |sum: Option<Self>, usage: Self| {
            let Some(sum) = sum else { return usage };
            Self {
                cpu: sum.cpu + usage.cpu,
                rss_bytes: sum.rss_bytes + usage.rss_bytes,
                pss_bytes: (sum.pss_bytes.zip(usage.pss_bytes)).map(|(sum, bytes)| sum + bytes),
            }
        };
        (pids.iter()).try_fold(None, |sum, pid| Ok(Some(add(sum, Self::of(*pid)?))))
    }

    /// The usage of this process.
    pub(crate) fn own() -> anyhow::Result<Self> {
        Self::of(std::process::id())
    }
}

/// Fields 14 and 15, counted behind the name in parentheses, which may hold anything.
fn parse_cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = user.checked_add(system)?;
    Some(Duration::from_nanos(ticks.checked_mul(
        1_000_000_000u64.checked_div(ticks_per_second)?,
    )?))
}

fn parse_kib(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    value
        .split_whitespace()
        .next()?
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_stands_behind_a_name_that_may_hold_anything() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 7 7 20 0 9 0 100";
        assert_eq!(parse_cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu("42 (a) S 1", 100), None);
    }

    #[test]
    fn memory_is_in_kib() {
        let status = "Name:\tzk\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        assert_eq!(parse_kib(status, "VmRSS:"), Some(2 << 20));
        assert_eq!(parse_kib(status, "Pss:"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let own = std::process::id();
        let once = Usage::of_all(&[own]).unwrap().unwrap();
        let twice = Usage::of_all(&[own, own]).unwrap().unwrap();
        assert!(once.rss_bytes > 0 && twice.rss_bytes > once.rss_bytes);
        assert!(Usage::of_all(&[]).unwrap().is_none());
    }
}
