//! Bugs to plant into the servers of a world, so that the checks themselves are tested.
//!
//! Each is a bug that Apache ZooKeeper had, or could have had, in the form it takes between the
//! core and what is around it: the core and storage stay as they are, and whoever carries out what
//! they say does it wrongly. What is planted is in every server, from the beginning.

use clap::ValueEnum;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Planted {
    /// What was asked of the log counts as flushed once the disk is at it (ZOOKEEPER-3911, -3023,
    /// -4646).
    AckBeforeFlush,
    /// While a learner is brought up, its epoch and its acknowledgement do not wait for the history that
    /// they vouch for (ZOOKEEPER-4643, -4785).
    EpochBeforeHistory,
    /// A proposal without its commit, which comes while a learner is brought up, is forgotten
    /// (ZOOKEEPER-4394).
    ProposalForgotten,
    /// What an observer is told while it is brought up is forgotten (ZOOKEEPER-1551).
    InformForgotten,
    /// A learner is brought up from the log across a gap in it (ZOOKEEPER-2099, -2418).
    DiffWithHole,
    /// A snapshot carries the zxid of the end of its writing, not of its beginning
    /// (ZOOKEEPER-3104).
    SnapshotNamedAhead,
    /// The leader's state is taken into memory, not on disk (ZOOKEEPER-3642).
    SnapshotInMemory,
    /// A snapshot is not synced (ZOOKEEPER-2872).
    SnapshotNotSynced,
    /// What was cut off the log stays in memory (ZOOKEEPER-2845).
    TruncatedInMemory,
    /// The log cannot be cut, and nobody minds (ZOOKEEPER-3701).
    TruncForgotten,
    /// A promise counts once the disk is at it (ZOOKEEPER-1653, -2307).
    PromiseBeforeFile,
    /// Directories are not synced (ZOOKEEPER-4269).
    NamesNotSynced,
    /// Whoever hears votes is gone after a link broke (ZOOKEEPER-3769).
    DeafToVotes,
    /// Some servers were started with the membership of before (ZOOKEEPER-3829).
    OldMembership,
    /// The log's disk fails, and the server lives on (ZOOKEEPER-2247).
    LogFailureSurvived,
    /// A sync that fails counts as done, as after a retry.
    SyncErrorIgnored,
    /// Restored watches are held against the server's zxid, not the client's (ZOOKEEPER-1412).
    WatchesRestoredLate,
    /// Events of a turn come after its answers.
    EventAfterReply,
    /// A change of children is told twice (ZOOKEEPER-4475).
    EventTwice,
    /// Answers of a turn come in another order (ZOOKEEPER-1863).
    RepliesSwapped,
    /// Answers carry the zxid at which they are sent, not that of the state that they show.
    ZxidOfLater,
    /// Sessions expire by the wall clock (ZOOKEEPER-1366).
    WallClock,
    /// A leader does not take from its followers who is there.
    TouchesForgotten,
}
