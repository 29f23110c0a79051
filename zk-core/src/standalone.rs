//! A standalone server: all of the pipeline in one value.

use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::{SessionId, Zxid};

use crate::tree::{Recovered, Tree};
use crate::{ConnId, CoreConfig, Effect, Input, Now};

/// A standalone server.
///
/// ```text
/// request ── write ──> prep ──> Append ─ ─ Flushed ──> apply ──> events ──> reply
///         └─ read, ping ──(behind the session's own writes)──────────────> reply
/// ```
#[derive(Debug)]
pub struct Standalone {
    tree: Tree,
    effects: Vec<Effect>,
}

/// An open session, as `dump` and `cons` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// Its timeout.
    pub timeout: Duration,
    /// When it expires if nothing is heard, on the monotonic clock.
    pub expires: Duration,
    /// The connection that it is on.
    pub conn: Option<ConnId>,
}

/// How many watches there are, as `wchs` and `mntr` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchSummary {
    /// Connections with at least one data watch.
    pub connections: usize,
    /// Paths with at least one data watch.
    pub paths: usize,
    /// Data watches: a connection and a path each.
    pub data_watches: usize,
    /// Watches on lists of children: a connection and a path each.
    pub child_watches: usize,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Sessions that expired.
    pub sessions_expired: u64,
    /// Sessions resumed on another connection.
    pub sessions_resumed: u64,
    /// Writes refused by a hard quota.
    pub quota_refused: u64,
    /// Writes that passed a soft quota; each deserves a warning, at a bounded rate.
    pub quota_passed: u64,
    /// Failed attempts to authenticate.
    pub auth_failed: u64,
    /// Events of each type delivered: created, deleted, data changed, children changed.
    pub events: [u64; 4],
    /// Events withheld because the client may not read the znode.
    pub events_withheld: u64,
}

/// The tree's digest after a transaction, as `hash` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestAt {
    /// The transaction.
    pub zxid: Zxid,
    /// The digest after it.
    pub digest: u64,
}

impl Standalone {
    /// Starts from what storage recovered. Every session gets its whole timeout from `now` on.
    #[must_use]
    pub fn new(config: CoreConfig, recovered: Recovered, now: Now) -> Self {
        let _ = (config, now);
        Self {
            tree: recovered.tree,
            effects: Vec::new(),
        }
    }

    /// Takes one input. What is to be done about it waits in [`drain_effects`](Self::drain_effects).
    pub fn handle(&mut self, now: Now, input: Input) {
        let _ = (now, input);
    }

    /// The effects of all inputs since the last drain, in order.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.effects.drain(..)
    }

    /// When [`Input::Tick`] is due, on the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        None
    }

    /// Asks for a snapshot of the present state with [`Effect::Snapshot`]; `false` when one is
    /// being written already.
    pub fn begin_snapshot(&mut self) -> bool {
        false
    }

    /// The data tree: its counters, znodes and ephemerals.
    #[must_use]
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The newest transaction applied.
    #[must_use]
    pub fn last_zxid(&self) -> Zxid {
        self.tree.last_zxid()
    }

    /// Transactions appended and not yet flushed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        0
    }

    /// The open sessions, in order of their ids.
    pub fn sessions(&self) -> impl Iterator<Item = SessionInfo> + '_ {
        core::iter::empty()
    }

    /// Number of open sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        0
    }

    /// The session that a connection carries, once it was accepted.
    #[must_use]
    pub fn session_of(&self, conn: ConnId) -> Option<SessionInfo> {
        let _ = conn;
        None
    }

    /// How many watches there are.
    #[must_use]
    pub fn watch_summary(&self) -> WatchSummary {
        WatchSummary::default()
    }

    /// The data watches by path, in order: each path with the sessions that watch it (`wchp`).
    #[must_use]
    pub fn watches_by_path(&self) -> Vec<(&str, Vec<SessionId>)> {
        Vec::new()
    }

    /// The data watches by session, in order: each session with the paths that it watches (`wchc`).
    #[must_use]
    pub fn watches_by_session(&self) -> Vec<(SessionId, Vec<&str>)> {
        Vec::new()
    }

    /// The tree's digest at every 128th transaction, oldest first, the last 1,024 of them.
    pub fn digest_history(&self) -> impl Iterator<Item = DigestAt> + '_ {
        core::iter::empty()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
