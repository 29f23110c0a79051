//! `dump`: sessions, ephemerals and connections (`DumpCommand`, 3.9.5).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use zk_core::Core;

use super::report::JavaAddress;
use crate::clock::{Clock, wall_ms};
use crate::shared::Shared;
use crate::stats::whole_ms;

/// What `dump` shows of the connections, and the clock that its times are of.
pub(super) struct Connections {
    clock: Clock,
    /// Address, session and its timeout.
    open: Vec<(String, i64, i32)>,
    tick: Duration,
}

/// Notes the open connections.
pub(super) fn connections(server: &Shared) -> Connections {
    let links = server.registry.links();
    let open = links.iter().map(|link| {
        let (session, timeout_ms) = link.session();
        (JavaAddress(link.peer).to_string(), session.0, timeout_ms)
    });
    Connections {
        clock: server.clock,
        open: open.collect(),
        tick: server.config.tick_time,
    }
}

/// The whole text.
pub(super) fn render(core: &Core, connections: &Connections) -> String {
    let clock = connections.clock;
    let mut text = "SessionTracker dump:\nSession ".to_owned();
    let mut sessions: BTreeMap<Duration, Vec<String>> = BTreeMap::new();
    for session in core.sessions() {
        if let Some(expires) = session.expires {
            let due = sessions.entry(expires).or_default();
            due.push(session.id.to_string());
        }
    }
    render_sets(&mut text, &sessions, clock);
    text.push_str("ephemeral nodes dump:\n");
    let tree = core.tree();
    let owners: Vec<_> = tree.sessions_with_ephemerals().collect();
    _ = writeln!(text, "Sessions with Ephemerals ({}):", owners.len());
    for owner in owners {
        _ = writeln!(text, "{owner}:");
        for path in tree.ephemerals_of(owner) {
            _ = writeln!(text, "\t{path}");
        }
    }
    text.push_str("Connections dump:\nConnections ");
    let now = clock.elapsed();
    let mut sets: BTreeMap<Duration, Vec<String>> = BTreeMap::new();
    for (address, session, timeout_ms) in &connections.open {
        let timeout = Duration::from_millis((*timeout_ms).try_into().unwrap_or(0));
        let due = sets
            .entry(bucket(now + timeout, connections.tick))
            .or_default();
        due.push(format!("ip: {address} sessionId: {session:#x}"));
    }
    render_sets(&mut text, &sets, clock);
    text
}

/// The end of the tick that `at` is in (`ExpiryQueue.roundToNextInterval`).
fn bucket(at: Duration, tick: Duration) -> Duration {
    let tick_ms = whole_ms(tick).max(1);
    Duration::from_millis((whole_ms(at) / tick_ms + 1) * tick_ms)
}

/// What expires when (`ExpiryQueue.dump`).
fn render_sets(text: &mut String, sets: &BTreeMap<Duration, Vec<String>>, clock: Clock) {
    let count: usize = sets.values().map(Vec::len).sum();
    _ = writeln!(text, "Sets ({})/({count}):", sets.len());
    let (now, wall) = (clock.elapsed(), wall_ms());
    for (at, members) in sets {
        let ahead_ms = whole_ms(*at).cast_signed() - whole_ms(now).cast_signed();
        let date = java_date(wall.saturating_add(ahead_ms));
        _ = writeln!(text, "{} expire at {date}:", members.len());
        for member in members {
            _ = writeln!(text, "\t{member}");
        }
    }
}

/// A time in the notation of `java.util.Date`, in UTC: `Sun Nov 22 06:43:15 UTC 2026`. What is beyond
/// the year 9999 stays a number.
fn java_date(wall_ms: i64) -> String {
    match Timestamp::from_millisecond(wall_ms) {
        Ok(time) => time.strftime("%a %b %d %H:%M:%S UTC %Y").to_string(),
        Err(_) => format!("{wall_ms} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_java_writes_them() {
        for (wall_ms, text) in [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_795_329_795_000, "Sun Nov 22 06:43:15 UTC 2026"),
            (1_709_164_800_999, "Thu Feb 29 00:00:00 UTC 2024"),
            (4_107_542_399_000, "Sun Feb 28 23:59:59 UTC 2100"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
            (i64::MAX, "9223372036854775807 ms"),
        ] {
            assert_eq!(java_date(wall_ms), text);
        }
    }

    #[test]
    fn a_time_belongs_to_the_tick_that_ends_after_it() {
        let tick = Duration::from_secs(2);
        for (at, end) in [(0, 2), (1999, 2), (2000, 4), (30_001, 32)] {
            assert_eq!(
                bucket(Duration::from_millis(at), tick),
                Duration::from_secs(end)
            );
        }
    }
}
