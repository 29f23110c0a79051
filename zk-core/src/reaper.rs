//! Deletes containers that lost their children, and znodes whose time to live is over
//! (`ContainerManager`, 3.9.5).
//!
//! A check walks over all of them, a bounded number at a time, so that it never holds up requests;
//! what it finds is deleted one by one, evenly spread, each looked at again before. How long a znode
//! lived is counted on the wall clock, in which its times are written.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use zk_proto::{EphemeralOwner, StatPersisted};

use crate::CoreConfig;
use crate::tree::{ReapPlace, Tree};

/// Znodes looked at in one step.
const STEP: usize = 1_000;

#[derive(Debug)]
pub(crate) struct Reaper {
    check_interval: Duration,
    spacing: Duration,
    never_used_max_ms: Option<i64>,
    extended_types: bool,
    next_check: Duration,
    next_deletion: Duration,
    /// How far the check under way is, and since when its next step is due.
    walk: Option<(ReapPlace, Duration)>,
    candidates: VecDeque<String>,
}

impl Reaper {
    pub(crate) fn new(core: &CoreConfig, now: Duration) -> Self {
        let config = &core.reaper;
        let never_used_max = config.never_used_max.filter(|max| !max.is_zero());
        Self {
            check_interval: config.check_interval.max(Duration::from_millis(1)),
            spacing: Duration::from_secs(60) / config.per_minute_max.max(1),
            never_used_max_ms: never_used_max
                .map(|max| i64::try_from(max.as_millis()).unwrap_or(i64::MAX)),
            extended_types: core.extended_types,
            next_check: now + config.check_interval,
            next_deletion: now,
            walk: None,
            candidates: VecDeque::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Duration {
        match self.walk {
            _ if !self.candidates.is_empty() => self.next_deletion,
            Some((_, due)) => due,
            None => self.next_check,
        }
    }

    /// Looks for candidates when a check is due. One begins when the one before is through.
    pub(crate) fn check(&mut self, tree: &Tree, now: Duration, wall_ms: i64) {
        if !self.candidates.is_empty() {
            return;
        }
        if self.walk.is_none() && now >= self.next_check {
            self.next_check = now + self.check_interval;
            self.walk = Some((ReapPlace::default(), now));
        }
        let Some((from, _)) = self.walk.take() else {
            return;
        };
        self.next_deletion = self.next_deletion.max(now);
        let mut at = from;
        for (looked_at, (place, node)) in tree.reapable_from(from).enumerate() {
            if looked_at == STEP {
                self.walk = Some((at, now));
                return;
            }
            at = place;
            if node.num_children() == 0 && self.is_due(&node.persisted(), wall_ms) {
                self.candidates.push_back(node.path());
            }
        }
    }

    /// Takes the next candidate that may be deleted now.
    pub(crate) fn next(&mut self, now: Duration) -> Option<String> {
        if now < self.next_deletion {
            return None;
        }
        let path = self.candidates.pop_front()?;
        self.next_deletion += self.spacing;
        Some(path)
    }

    /// Whether a znode without children, by its stat, is to be deleted.
    pub(crate) fn is_due(&self, stat: &StatPersisted, wall_ms: i64) -> bool {
        let age_ms = wall_ms.saturating_sub(stat.mtime);
        match EphemeralOwner::from_raw(stat.ephemeral_owner, self.extended_types) {
            EphemeralOwner::Container if stat.cversion > 0 => true,
            EphemeralOwner::Container => self.never_used_max_ms.is_some_and(|max| age_ms > max),
            EphemeralOwner::Ttl(ttl_ms) => ttl_ms > 0 && age_ms > ttl_ms,
            EphemeralOwner::Persistent | EphemeralOwner::Session(_) => false,
        }
    }
}
