//! The bounds on what clients can make the server hold.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Every bound has a key of the same name in the key table, where the behaviour at the bound is
/// documented.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// `jute.maxbuffer`: the longest frame of a client with a session.
    pub frame_bytes_max: NonZeroUsize,
    /// `jute.maxbuffer.extrasize` above `jute.maxbuffer`: the longest string or buffer inside a
    /// stored or replicated record, which may be larger than the request it came from.
    pub record_bytes_max: NonZeroUsize,
    /// `limits.frameBytesBeforeLogin`: the longest frame of a connection without a session.
    pub frame_bytes_before_login_max: NonZeroUsize,
    /// `nio.sessionlessCnxnTimeout`: how long a connection may exist without a session.
    pub handshake_deadline: Duration,
    /// `maxClientCnxns`: connections from one address; `None` is unlimited.
    pub connections_per_address_max: Option<NonZeroU32>,
    /// `maxCnxns`: connections in all; `None` is unlimited.
    pub connections_max: Option<NonZeroU32>,
    /// `limits.sessions`: sessions in all; `None` is unlimited.
    pub sessions_max: Option<NonZeroU32>,
    /// `globalOutstandingLimit`: requests that are read and not yet answered, over all connections.
    pub outstanding_requests_max: NonZeroU32,
    /// `limits.outstandingBytesPerConnection`: bytes of requests that are read and not yet
    /// answered.
    pub outstanding_bytes_per_connection_max: NonZeroUsize,
    /// `limits.replyBytesPerConnection`: bytes of replies and events that the client has not taken
    /// yet.
    pub reply_bytes_per_connection_max: NonZeroUsize,
    /// `limits.multiOps`: operations of one multi or multiRead.
    pub multi_ops_max: NonZeroUsize,
    /// `limits.watchesPerSession`: watches that one session holds.
    pub watches_per_session_max: Option<NonZeroU32>,
    /// `limits.bytesPerPeer`: bytes for another server of the ensemble that it has not taken yet.
    pub bytes_per_peer_max: NonZeroUsize,
}

impl Limits {
    /// What the defaults of the key table are written into.
    pub(super) const BLANK: Self = Self {
        frame_bytes_max: NonZeroUsize::MIN,
        record_bytes_max: NonZeroUsize::MIN,
        frame_bytes_before_login_max: NonZeroUsize::MIN,
        handshake_deadline: Duration::ZERO,
        connections_per_address_max: None,
        connections_max: None,
        sessions_max: None,
        outstanding_requests_max: NonZeroU32::MIN,
        outstanding_bytes_per_connection_max: NonZeroUsize::MIN,
        reply_bytes_per_connection_max: NonZeroUsize::MIN,
        multi_ops_max: NonZeroUsize::MIN,
        watches_per_session_max: None,
        bytes_per_peer_max: NonZeroUsize::MIN,
    };
}
