//! What happens because time passes.

use std::time::Duration;

use super::link::Entry;
use super::{Action, Phase, Repeat, Session};
use crate::error::{Kind, Outcome};
use crate::state::{SessionEnd, State};

/// The shortest time that one attempt to connect has.
const ATTEMPT_MIN: Duration = Duration::from_millis(200);

/// Silence on the link after which it is given up.
fn read_timeout(timeout: Duration) -> Duration {
    timeout * 2 / 3
}

/// Silence towards the server after which it is pinged.
fn ping_interval(timeout: Duration) -> Duration {
    timeout / 3
}

/// Time since the last acknowledged request after which the session is over in any case
/// (ZOOKEEPER-4508).
fn local_expiry(timeout: Duration) -> Duration {
    timeout * 4 / 3
}

impl<T> Session<T> {
    /// When [`on_tick`](Self::on_tick) has something to do at the latest; earlier calls do no harm.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let of_phase = match &self.phase {
            Phase::Over => return None,
            Phase::Waiting { until } => *until,
            Phase::Connecting { deadline } | Phase::Handshake { deadline, .. } => *deadline,
            Phase::Linked(link) => {
                let timeout = self.timeout();
                let ping = link.last_sent + ping_interval(timeout);
                ping.min(link.last_received + read_timeout(timeout))
            }
        };
        let deadlines = [
            Some(of_phase),
            self.expiry(),
            self.earliest,
            self.closing.as_ref().map(|closing| closing.deadline),
            self.cleanups.retry_at(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn on_tick(&mut self, now: Duration) {
        self.expire_requests(now);
        if self.expiry().is_some_and(|expiry| expiry <= now) {
            self.end_session(now, SessionEnd::ExpiredLocally);
        }
        match &self.phase {
            Phase::Waiting { until } if *until <= now => {
                let within = self.attempt_timeout();
                self.phase = Phase::Connecting {
                    deadline: now + within,
                };
                self.actions.push_back(Action::Connect { within });
            }
            Phase::Connecting { deadline } | Phase::Handshake { deadline, .. }
                if *deadline <= now =>
            {
                self.give_up(now);
            }
            Phase::Linked(link) => {
                let timeout = self.timeout();
                if link.last_received + read_timeout(timeout) <= now {
                    self.give_up(now);
                } else if link.last_sent + ping_interval(timeout) <= now {
                    self.send_ping(now);
                }
            }
            Phase::Waiting { .. }
            | Phase::Connecting { .. }
            | Phase::Handshake { .. }
            | Phase::Over => {}
        }
        self.retry_cleanups(now);
        self.advance_closing(now);
    }

    fn give_up(&mut self, now: Duration) {
        self.actions.push_back(Action::Disconnect);
        self.lost(now, Repeat::Allowed);
    }

    fn timeout(&self) -> Duration {
        self.open
            .as_ref()
            .map_or(self.config.timeout, |open| open.timeout)
    }

    /// When the session is over by this clock. On a link the read timeout comes first.
    fn expiry(&self) -> Option<Duration> {
        let open = self.open.as_ref()?;
        Some(open.acked_sent + local_expiry(open.timeout))
    }

    /// Every server gets its turn before a link's silence would end the session.
    fn attempt_timeout(&self) -> Duration {
        let servers = u32::try_from(self.config.servers.max(1)).unwrap_or(u32::MAX);
        (read_timeout(self.timeout()) / servers).max(ATTEMPT_MIN)
    }

    /// Counts a failure. None is waited for until every server had its turn; then the waits double.
    pub(super) fn next_wait(&mut self) -> Duration {
        let servers = u32::try_from(self.config.servers.max(1)).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let rounds = (self.failures - 1) / servers;
        if rounds == 0 {
            return Duration::ZERO;
        }
        let longest = 1_u32
            .checked_shl(rounds - 1)
            .and_then(|factor| self.config.backoff_min.checked_mul(factor))
            .map_or(self.config.backoff_max, |wait| {
                wait.min(self.config.backoff_max)
            });
        // Between half of it and all of it, so that clients do not come back in step.
        longest / 2 + longest.mul_f64(self.random_fraction() / 2.0)
    }

    /// From 0 to 1; the generator is SplitMix64.
    fn random_fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let upper = u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or(0);
        f64::from(upper) / f64::from(u32::MAX)
    }

    /// The queue and the link are searched only when something in them may be due: `earliest` is
    /// never later than the earliest deadline, and is made exact by each search.
    fn expire_requests(&mut self, now: Duration) {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return;
        }
        let due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        for mut entry in std::mem::take(&mut self.queue) {
            if due(entry.deadline) {
                self.fail(&mut entry, Kind::Timeout, Outcome::NotApplied);
            } else {
                self.queue.push_back(entry);
            }
        }
        let mut late = Vec::new();
        if let Phase::Linked(link) = &mut self.phase {
            let entries = link.entries_mut().filter(|entry| due(entry.deadline));
            late.extend(entries.map(Entry::abandon));
        }
        for mut entry in late {
            let outcome = entry.outcome_unanswered();
            self.fail(&mut entry, Kind::Timeout, outcome);
        }
        let linked = match &self.phase {
            Phase::Linked(link) => Some(link.entries()),
            _ => None,
        };
        self.earliest = linked
            .into_iter()
            .flatten()
            .chain(&self.queue)
            .filter_map(|entry| entry.deadline)
            .min();
    }

    pub(super) fn set_state_unlinked(&mut self) {
        let state = match self.open {
            Some(_) => State::Suspended,
            None => State::Connecting,
        };
        self.set_state(state);
    }
}
