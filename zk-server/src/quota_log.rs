//! What is told of writes that pass quotas: lines of the log, at a bounded rate, and counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tracing::warn;
use zk_core::{QuotaExceeded, QuotaOf};

/// The time that a line of the log stands for (`RateLogger`, 3.9.5).
const LINE_EVERY: Duration = Duration::from_millis(100);

/// Lines of the log about quotas: one for the first write that passes one, then at most one each
/// [`LINE_EVERY`], with the number of writes that had none.
#[derive(Debug, Default)]
pub(crate) struct QuotaLog {
    next_line: Duration,
    untold: u64,
}

/// Writes refused by hard quotas, by the first name of the quota's path.
#[derive(Debug, Default)]
pub(crate) struct QuotaRefusals(Mutex<BTreeMap<String, u64>>);

impl QuotaLog {
    /// A write passes a quota, `now` after the server's start.
    pub(crate) fn tell(&mut self, exceeded: &QuotaExceeded, now: Duration) {
        let Some(untold) = self.untold_at(now) else {
            return;
        };
        let QuotaExceeded {
            path, usage, limit, ..
        } = exceeded;
        let of = match exceeded.what {
            QuotaOf::Nodes => "count",
            QuotaOf::Bytes => "bytes",
        };
        if exceeded.is_hard {
            warn!(quota = ?path, of, usage, limit, untold, "quota exceeded, the write is refused");
        } else {
            warn!(quota = ?path, of, usage, limit, untold, "quota exceeded, but it is a soft one");
        }
    }

    /// How many writes were not told of before this one; `None` when it is one of them.
    fn untold_at(&mut self, now: Duration) -> Option<u64> {
        if now < self.next_line {
            self.untold += 1;
            return None;
        }
        self.next_line = now + LINE_EVERY;
        Some(std::mem::take(&mut self.untold))
    }
}

impl QuotaRefusals {
    pub(crate) fn count(&self, exceeded: &QuotaExceeded) {
        let namespace = exceeded.path.trim_start_matches('/').split('/').next();
        let namespace = namespace.unwrap_or_default();
        let mut counts = self.counts();
        match counts.get_mut(namespace) {
            Some(count) => *count += 1,
            None => {
                counts.insert(namespace.to_owned(), 1);
            }
        }
    }

    /// The counts by name.
    pub(crate) fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.lock().expect("nothing panics while it counts")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_writes_is_a_few_lines_that_tell_how_many_there_were() {
        let mut log = QuotaLog::default();
        let at = |ms| Duration::from_millis(ms);
        let told = [5000, 5001, 5099, 5100, 5150, 5500].map(|ms| log.untold_at(at(ms)));
        assert_eq!(told, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn refusals_are_counted_by_the_first_name_of_the_path() {
        let refusals = QuotaRefusals::default();
        for path in ["/a", "/a/b", "/b"] {
            refusals.count(&QuotaExceeded {
                path: path.to_owned(),
                what: QuotaOf::Nodes,
                usage: 2,
                limit: 1,
                is_hard: true,
            });
        }
        let counts = refusals.counts().clone();
        let expected = [("a".to_owned(), 2), ("b".to_owned(), 1)];
        assert_eq!(counts, expected.into());
    }
}
