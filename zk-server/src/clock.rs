//! The clocks that the core is driven by.
#![expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clocks for the core"
)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zk_core::Now;

/// Reads both clocks; the monotonic one counts from the clock's creation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Both clocks, for an input.
    pub(crate) fn now(&self) -> Now {
        Now {
            monotonic: self.elapsed(),
            wall_ms: wall_ms(),
        }
    }

    /// The instant at which the monotonic clock shows `monotonic`.
    pub(crate) fn instant(&self, monotonic: Duration) -> Instant {
        self.start + monotonic
    }
}

/// Ms since the Unix epoch; zero for a clock set before it.
pub(crate) fn wall_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
