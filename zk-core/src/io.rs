//! What goes into the core and what comes out of it.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use bytes::Bytes;
use zk_proto::quorum::{EnsembleConfig, FromLeader, FromLearner, Notification, ServerState};
use zk_proto::{
    ConnectRequest, ConnectResponse, DecodeError, ReplyHeader, Request, RequestHeader, Response,
    ServerId, SnapshotSession, WatcherEvent, Zxid,
};

use crate::tree::{Recovered, TreeView};

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

/// A connection of the quorum port, between a leader and a learner, numbered by the shell and never
/// reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuorumLink(pub u64);

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
    /// The server is about to stop in order. Nothing more is taken from clients and learners; once
    /// [`Core::outstanding`](crate::Core::outstanding) is zero it may end, and as a leader leaves
    /// followers that lack nothing.
    Retire,
    /// Something from the other servers of the ensemble, or about them.
    Quorum(QuorumInput),
}

/// What comes from the other servers of an ensemble, and what storage answers about them.
#[derive(Debug)]
pub enum QuorumInput {
    /// A vote came on the election port.
    Vote {
        /// Who sent it.
        from: ServerId,
        /// The vote.
        notification: Notification,
    },
    /// There is a fresh link to a server's election port.
    VoterConnected(ServerId),
    /// The link to a server's election port broke.
    VoterDisconnected(ServerId),
    /// A server's election port was dialled in vain.
    VoterUnreachable(ServerId),
    /// The leader asked for with [`QuorumEffect::Dial`] is connected.
    Dialled {
        /// As it was asked.
        attempt: u64,
        /// The link.
        link: QuorumLink,
    },
    /// The leader asked for with [`QuorumEffect::Dial`] does not answer.
    DialFailed {
        /// As it was asked.
        attempt: u64,
    },
    /// Packets of the leader that this server follows.
    FromLeader {
        /// The link.
        link: QuorumLink,
        /// The packets, in order.
        packets: Vec<FromLeader>,
    },
    /// A learner connected; its packets follow.
    Accepted(QuorumLink),
    /// Packets of a learner that follows this server.
    FromLearner {
        /// The link.
        link: QuorumLink,
        /// The packets, in order.
        packets: Vec<FromLearner>,
    },
    /// A learner takes the state of [`QuorumEffect::SendSnapshot`]: more of it was written, or all.
    Taken(QuorumLink),
    /// A link is gone. After [`QuorumEffect::Close`] it comes as well.
    Closed(QuorumLink),
    /// The epoch of [`QuorumEffect::Promise`] is on disk.
    Promised,
    /// The state on disk is another, as [`QuorumEffect::Truncate`] or
    /// [`QuorumEffect::ReceiveSnapshot`] asked, and was read back.
    Reloaded(Box<Recovered>),
    /// The snapshot of [`QuorumEffect::ReceiveSnapshot`] did not come whole: the state on disk is
    /// what it was.
    ReloadFailed,
    /// What [`QuorumEffect::ReadLog`] asked for.
    LogRead {
        /// The learner it is for.
        link: QuorumLink,
        /// The transactions, in order and without a gap; `None` when the log does not reach back so
        /// far, or they are too many.
        txns: Option<Vec<(Zxid, Bytes)>>,
    },
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
    /// Something for the other servers of the ensemble, or about them.
    Quorum(QuorumEffect),
    /// Stop the server: going on would tell what is not true.
    Halt(HaltReason),
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

/// What is to be done for, and about, the other servers of an ensemble. What goes to one link is
/// sent in the order given.
#[derive(Debug)]
pub enum QuorumEffect {
    /// Send a vote to a server's election port, in place of whatever waits for it.
    Vote {
        /// To whom.
        to: ServerId,
        /// The vote.
        notification: Notification,
    },
    /// Connect to a server's quorum port, and answer with [`QuorumInput::Dialled`] or
    /// [`QuorumInput::DialFailed`].
    Dial {
        /// Which server.
        to: ServerId,
        /// Goes into the answer.
        attempt: u64,
    },
    /// Send these bytes: one packet or more.
    Send {
        /// The link.
        link: QuorumLink,
        /// Whole packets.
        packets: Bytes,
    },
    /// Send the state as it stands on the stream after a SNAP packet.
    SendSnapshot {
        /// The link.
        link: QuorumLink,
        /// The state.
        view: SnapshotView,
    },
    /// Close the link, after what was sent before; a peer that does not take that is not waited for.
    Close(QuorumLink),
    /// Make an epoch durable, and answer with [`QuorumInput::Promised`]. One at a time.
    Promise(EpochPromise),
    /// Forget all transactions after this one, on disk, and read the rest back.
    Truncate(Zxid),
    /// Take the state that follows the SNAP packet on the stream in the place of what is on disk.
    ReceiveSnapshot {
        /// The link, of which nothing more is read before the answer.
        link: QuorumLink,
        /// The state's transaction.
        zxid: Zxid,
    },
    /// Read the log for a learner, and answer with [`QuorumInput::LogRead`].
    ReadLog {
        /// The learner's link.
        link: QuorumLink,
        /// The last transaction that the learner has.
        after: Zxid,
        /// The last transaction to read, which is on disk.
        to: Zxid,
    },
    /// Keep who the members are from here on, before anything that is asked for later is on disk.
    Membership {
        /// The membership in force.
        in_force: EnsembleConfig,
        /// A newer one that was proposed and may be in force soon.
        proposed: Option<EnsembleConfig>,
    },
    /// The server has another role.
    Role(ServerState),
    /// The server left its role.
    Left(LeaveReason),
}

/// Why a server leaves its role and looks for a leader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LeaveReason {
    /// As a leader: no quorum came together within `initLimit`.
    #[error("no quorum of followers came together in time")]
    NoQuorumInTime,
    /// As a leader: too few followers are heard of.
    #[error("fewer followers than a quorum are heard of")]
    QuorumLost,
    /// As a leader: a follower has a newer history.
    #[error("a follower has a newer history: epoch {epoch}, last transaction {zxid}")]
    FollowerAhead {
        /// Its current epoch.
        epoch: u32,
        /// Its last transaction.
        zxid: Zxid,
    },
    /// As a leader: a follower accepted a newer epoch, and would refuse this one for ever.
    #[error("a follower accepted epoch {seen}, this leader begins {ours}")]
    NewerEpochAccepted {
        /// The epoch that it accepted.
        seen: u32,
        /// The leader's epoch.
        ours: u32,
    },
    /// As a leader: the zxids of the epoch run out.
    #[error("the zxids of the epoch run out")]
    ZxidsRunOut,
    /// As a learner: the leader does not answer.
    #[error("the leader cannot be reached")]
    LeaderUnreachable,
    /// As a learner: the link broke.
    #[error("the link to the leader broke")]
    LeaderLost,
    /// As a learner: nothing is heard of the leader.
    #[error("nothing is heard of the leader")]
    LeaderSilent,
    /// As a learner: the leader begins an epoch older than one accepted.
    #[error("the leader begins epoch {seen}, this server accepted {accepted}")]
    OldEpoch {
        /// The leader's epoch.
        seen: u32,
        /// The epoch accepted.
        accepted: u32,
    },
    /// As a learner: a packet came out of place.
    #[error("the leader sent a packet out of place")]
    UnexpectedPacket,
    /// As a learner: the leader's state did not come whole.
    #[error("the leader's state did not come whole")]
    StateNotTaken,
    /// The membership is another, and with it who leads or whether this server votes.
    #[error("the membership of the ensemble changed")]
    Reconfigured {
        /// Who leads from here on, where that is said.
        leader: Option<ServerId>,
    },
    /// Those who voted for the leader vote for another.
    #[error("those who voted for the leader look for another")]
    Deserted,
}

/// An epoch to be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochPromise {
    /// The newest epoch that this server lets a leader begin (`acceptedEpoch`).
    Accepted(u32),
    /// The newest epoch whose leader's history this server holds (`currentEpoch`).
    Current(u32),
}

/// Why a server must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HaltReason {
    /// The leader sent a transaction that does not follow the one before.
    #[error("it proposes {seen} after {after}, and nothing between them")]
    ProposalGap {
        /// The transaction before.
        after: Zxid,
        /// The transaction that came.
        seen: Zxid,
    },
    /// The leader committed a transaction that is not the oldest one proposed.
    #[error("it commits {seen}, and the oldest proposal is {}", shown(*expected))]
    UnmatchedCommit {
        /// The oldest transaction that is proposed and not committed.
        expected: Option<Zxid>,
        /// The transaction that was committed.
        seen: Zxid,
    },
    /// A transaction came that is none.
    #[error("what it proposes as {zxid} is no transaction")]
    BadProposal {
        /// Its zxid.
        zxid: Zxid,
    },
}

fn shown(zxid: Option<Zxid>) -> String {
    zxid.map_or_else(|| "none".to_owned(), |zxid| zxid.to_string())
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
    /// The client asked for an operation that no client may ask for.
    Unsupported(zk_proto::OpCode),
    /// The client asked for something before it proved what it must prove first.
    AuthRequired,
    /// A limit was passed.
    Limit(&'static str),
    /// The server is not, or no longer, part of a quorum.
    NotServing,
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
