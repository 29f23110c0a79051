//! What a server tells about itself.

use core::time::Duration;

use zk_proto::{ServerId, SessionId, Zxid};

use crate::ConnId;

/// An open session, as `dump` and `cons` tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// Whether the whole ensemble knows it, or only this server.
    pub is_global: bool,
    /// The timeout granted.
    pub timeout: Duration,
    /// When it expires if nothing is heard, on the monotonic clock: the end of its bucket. `None`
    /// on a server that follows another, which decides on it.
    pub expires: Option<Duration>,
    /// The connection that it is on.
    pub conn: Option<ConnId>,
}

/// A server that follows this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerStatus {
    /// Which.
    pub server: ServerId,
    /// Whether it does not vote.
    pub is_observer: bool,
    /// Whether it has all and serves clients.
    pub is_synced: bool,
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
    /// Attempts to resume a session on another connection, whether they succeeded or not.
    pub resumptions: u64,
    /// Writes refused by a hard quota.
    pub quota_refused: u64,
    /// Writes that passed a soft quota; each deserves a warning, at a bounded rate.
    pub quota_passed: u64,
    /// Failed attempts to authenticate.
    pub auth_failed: u64,
    /// Events told, one for each connection: created, deleted, data changed, children changed.
    pub events: [u64; 4],
    /// Events withheld because the client may not read the znode.
    pub events_withheld: u64,
    /// Containers and znodes with a time to live that were deleted.
    pub reaped: u64,
    /// Transactions of a leader that came out otherwise here than there.
    pub digest_mismatches: u64,
}

/// The tree's digest after a transaction, as `hash` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestAt {
    /// The transaction.
    pub zxid: Zxid,
    /// The digest after it.
    pub digest: u64,
}
