//! What goes into the core and what comes out of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::{
    ConnectRequest, ConnectResponse, DecodeError, ReplyHeader, Request, RequestHeader, Response,
    SnapshotSession, WatcherEvent, Zxid,
};

use crate::tree::TreeView;

/// The time of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Since an arbitrary start; never goes back. All deadlines are of this clock.
    pub monotonic: Duration,
    /// Ms since the Unix epoch. It may jump, and only fills the times that clients see.
    pub wall_ms: i64,
}

/// A client's connection, numbered by the shell and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A request as decoded from its frame.
#[derive(Debug)]
pub struct Incoming {
    /// Who asks for what.
    pub header: RequestHeader,
    /// The content, or why the frame holds none; the error takes its place in the session's order.
    pub request: Result<Request, DecodeError>,
}

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A connection's first frame was a handshake. Nothing else comes from the connection before
    /// [`Effect::Accept`].
    Connect {
        /// The connection.
        conn: ConnId,
        /// The client's address: its identity under the scheme `ip`.
        peer: IpAddr,
        /// The handshake.
        request: ConnectRequest,
    },
    /// Requests of one connection, in the order sent.
    Requests {
        /// The connection.
        conn: ConnId,
        /// At least one request.
        requests: Vec<Incoming>,
    },
    /// The connection is gone. After [`Effect::Close`] this comes as well.
    Disconnected {
        /// The connection.
        conn: ConnId,
    },
    /// Every [`Effect::Append`] up to this zxid is on disk.
    Flushed {
        /// The newest transaction on disk.
        zxid: Zxid,
    },
    /// The snapshot asked for by [`Effect::Snapshot`] is on disk.
    SnapshotWritten {
        /// The snapshot's zxid.
        zxid: Zxid,
    },
    /// The deadline has come.
    Tick,
}

/// Something to be done, in the order given. Effects for one connection are sent in that order.
#[derive(Debug)]
pub enum Effect {
    /// Answer the handshake. A response whose session is zero is followed by [`Effect::Close`].
    Accept {
        /// The connection.
        conn: ConnId,
        /// The answer.
        response: ConnectResponse,
    },
    /// Answer a request.
    Reply {
        /// The connection.
        conn: ConnId,
        /// Which request, at which zxid, with which error.
        header: ReplyHeader,
        /// The content; [`Response::Empty`] with an error.
        response: Response,
    },
    /// Tell of an event.
    Notify {
        /// The connections, each once.
        conns: Vec<ConnId>,
        /// The header's zxid: of the transaction, or −1 when setWatches caught up.
        zxid: Zxid,
        /// The event.
        event: WatcherEvent,
    },
    /// Close the connection, after everything before this was sent.
    Close {
        /// The connection.
        conn: ConnId,
        /// Why, for logs and metrics.
        reason: CloseReason,
    },
    /// Append a transaction to the log. Zxids come in order and without a gap.
    Append {
        /// The transaction's id.
        zxid: Zxid,
        /// The encoding of a [`TxnRecord`](zk_proto::TxnRecord), to be framed, not changed.
        record: Bytes,
    },
    /// Write a snapshot, and begin another log with the next [`Effect::Append`]. One at a time:
    /// none follows before [`Input::SnapshotWritten`].
    Snapshot(SnapshotView),
    /// Tell whoever looks after the server that a write passes a quota, at a bounded rate.
    QuotaExceeded(QuotaExceeded),
}

/// A write passes the limit of a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// What the quota is set on.
    pub path: String,
    /// What is limited.
    pub what: QuotaOf,
    /// How much there would be, or is, with the write.
    pub usage: i64,
    /// How much there may be.
    pub limit: i64,
    /// Whether the write is refused for it.
    pub is_hard: bool,
}

/// What a quota limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum QuotaOf {
    Nodes,
    Bytes,
}

/// Why the core closes a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed its session.
    SessionClosed,
    /// The session expired.
    SessionExpired,
    /// The session is over, or the password is wrong.
    SessionRefused,
    /// The session came back on another connection.
    SessionMoved,
    /// The client has seen a transaction that this server has not.
    ClientAhead {
        /// The newest transaction that the client has seen.
        seen: Zxid,
        /// The newest transaction here.
        ours: Zxid,
    },
    /// Authentication failed.
    AuthFailed {
        /// The scheme that was tried.
        scheme: String,
    },
    /// The client asked for something before it proved what it must prove first.
    AuthRequired,
    /// The client asked for an operation that no client may ask for.
    Unsupported(zk_proto::OpCode),
    /// A limit was passed.
    Limit(&'static str),
}

/// The whole state at one zxid: what a snapshot holds.
#[derive(Debug, Clone)]
pub struct SnapshotView {
    /// The newest transaction in it.
    pub zxid: Zxid,
    /// The open sessions, in order of their ids.
    pub sessions: Vec<SnapshotSession>,
    /// The znodes.
    pub tree: TreeView,
}
