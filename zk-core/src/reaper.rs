//! Deletes containers that lost their children, and znodes whose time to live is over
//! (`ContainerManager`, 3.9.5).
//!
//! At every check the candidates are listed; then they are deleted one by one, evenly spread, each
//! looked at again before. How long a znode lived is counted on the wall clock, in which its times
//! are written.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::time::Duration;

use zk_proto::{EphemeralOwner, StatPersisted};

use crate::CoreConfig;
use crate::tree::{Node, Tree};

#[derive(Debug)]
pub(crate) struct Reaper {
    check_interval: Duration,
    spacing: Duration,
    never_used_max_ms: Option<i64>,
    extended_types: bool,
    next_check: Duration,
    next_deletion: Duration,
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
            candidates: VecDeque::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Duration {
        if self.candidates.is_empty() {
            self.next_check
        } else {
            self.next_check.min(self.next_deletion)
        }
    }

    /// Lists the candidates when a check is due. One that comes while the list of the one before is
    /// not through is left out.
    pub(crate) fn check(&mut self, tree: &Tree, now: Duration, wall_ms: i64) {
        if now < self.next_check {
            return;
        }
        self.next_check = now + self.check_interval;
        if self.candidates.is_empty() {
            let all = tree.containers().chain(tree.ttls());
            self.candidates = all
                .filter(|node| node.num_children() == 0 && self.is_due(node.persisted(), wall_ms))
                .map(|node: Node<'_>| node.path())
                .collect();
            self.next_deletion = self.next_deletion.max(now);
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
