//! The clocks of one machine.

use std::time::Duration;

use zk_core::Now;

use crate::planted::Planted;
use crate::schedule::Time;

/// The wall clock's time when the world begins, in ms.
const WALL_MS: i64 = 1_700_000_000_000;
const MILLION: u128 = 1_000_000;

/// A monotonic clock that goes too fast or too slow, and a wall clock that jumps.
#[derive(Debug)]
pub(crate) struct Clock {
    /// When its rate was set, and what it showed then.
    since: Time,
    shown: Duration,
    /// Millionths of the right rate.
    rate: u64,
    wall_offset_ms: i64,
    /// What the server does wrong with it.
    planted: Option<Planted>,
}

impl Clock {
    pub(crate) fn new(shown: Duration, rate: u64, planted: Option<Planted>) -> Self {
        Self {
            since: Time(0),
            shown,
            rate,
            wall_offset_ms: 0,
            planted,
        }
    }

    /// What the server takes the time to be.
    pub(crate) fn now(&self, now: Time) -> Now {
        let right = self.right(now);
        let (ahead, behind) = self.mistaken();
        let monotonic = (right.monotonic + ahead).saturating_sub(behind);
        Now { monotonic, ..right }
    }

    /// How far ahead, and behind, the server takes the monotonic clock to be. See
    /// [`Planted::WallClock`].
    fn mistaken(&self) -> (Duration, Duration) {
        let jumped = Duration::from_millis(self.wall_offset_ms.unsigned_abs());
        match (self.planted, self.wall_offset_ms) {
            (Some(Planted::WallClock), 0..) => (jumped, Duration::ZERO),
            (Some(Planted::WallClock), _) => (Duration::ZERO, jumped),
            _ => (Duration::ZERO, Duration::ZERO),
        }
    }

    /// What its clocks show.
    pub(crate) fn right(&self, now: Time) -> Now {
        let elapsed_ms = i64::try_from(now.0 / 1_000).expect("a world is short");
        Now {
            monotonic: self.monotonic(now),
            wall_ms: WALL_MS + elapsed_ms + self.wall_offset_ms,
        }
    }

    fn monotonic(&self, now: Time) -> Duration {
        let elapsed = now.since(self.since).as_nanos() * u128::from(self.rate) / MILLION;
        self.shown + Duration::from_nanos_u128(elapsed)
    }

    /// When the server will take the monotonic clock to show this.
    pub(crate) fn time_of(&self, shown: Duration) -> Time {
        let (ahead, behind) = self.mistaken();
        let shown = (shown + behind).saturating_sub(ahead);
        let left = shown.saturating_sub(self.shown).as_nanos() * MILLION;
        let micros = left.div_ceil(u128::from(self.rate)).div_ceil(1_000);
        self.since + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    pub(crate) fn set_rate(&mut self, now: Time, rate: u64) {
        self.shown = self.monotonic(now);
        self.since = now;
        self.rate = rate;
    }

    pub(crate) fn jump(&mut self, ms: i64) {
        self.wall_offset_ms += ms;
    }

    pub(crate) fn set_right(&mut self) {
        self.wall_offset_ms = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_come_when_it_is_said_to_come_and_not_before() {
        for rate in [900_000, 999_999, 1_000_000, 1_000_001, 1_100_000] {
            let mut clock = Clock::new(Duration::from_secs(7), 1_000_000, None);
            clock.set_rate(Time(1_234_567), rate);
            for deadline in [
                Duration::from_micros(9_000_001),
                Duration::from_nanos(12_345_678_901),
            ] {
                let at = clock.time_of(deadline);
                assert!(clock.now(at).monotonic >= deadline, "{rate} {deadline:?}");
                let before = Time(at.0 - 1);
                assert!(
                    clock.now(before).monotonic < deadline,
                    "{rate} {deadline:?}"
                );
            }
        }
    }
}
