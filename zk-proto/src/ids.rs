//! Numbers that identify things: transactions, sessions, requests, servers.

use core::fmt;

/// A transaction id: the epoch in the upper 32 bits, a counter in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Zxid(pub i64);

impl Zxid {
    /// Before the first transaction.
    pub const ZERO: Self = Self(0);

    /// The first id of `epoch`, which numbers no transaction.
    #[must_use]
    pub const fn of_epoch(epoch: u32) -> Self {
        Self((epoch as i64) << 32)
    }

    /// The epoch in which a leader made the transaction.
    #[must_use]
    #[expect(clippy::cast_sign_loss, reason = "an epoch is a bit pattern")]
    pub const fn epoch(self) -> u32 {
        ((self.0 as u64) >> 32) as u32
    }

    /// The transaction's number within its epoch.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the lower half is what is asked for"
    )]
    #[expect(clippy::cast_sign_loss, reason = "a counter is a bit pattern")]
    pub const fn counter(self) -> u32 {
        self.0 as u32
    }

    /// The next transaction's id. In the last id of an epoch the carry enters the epoch, which a
    /// standalone server does and a leader must never do (it hands over first).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A session's id, unique over the life of an ensemble. Zero means no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SessionId(pub i64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A client's number for a request, or one of the reserved negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Xid(pub i32);

impl Xid {
    /// Carried by watch events.
    pub const NOTIFICATION: Self = Self(-1);
    /// Carried by pings and their replies.
    pub const PING: Self = Self(-2);
    /// Carried by auth packets and their replies.
    pub const AUTH: Self = Self(-4);
    /// Carried by setWatches after a reconnect.
    pub const SET_WATCHES: Self = Self(-8);
}

/// The number of a server within its ensemble, the content of `myid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub i64);

impl ServerId {
    /// Sent on the election port by an observer without a number of its own; each such connection
    /// is then given a negative number (`QuorumPeer.OBSERVER_ID`).
    pub const ANONYMOUS_OBSERVER: Self = Self(i64::MAX);
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
