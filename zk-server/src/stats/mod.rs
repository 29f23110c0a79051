//! Counters of the server and of each connection, as the four-letter words show them.
//!
//! Whoever counts adds to atomics without a lock, and in batches where there are many.

mod connection;
mod quorum;
mod summary;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use zk_proto::{EventType, OpCode};

pub(crate) use connection::{ConnectionStats, op_label};
pub(crate) use quorum::QuorumStats;
pub(crate) use summary::{Distribution, Summary, Tally};

/// Counters of one server since its start, or since `srst` (`ServerStats` and `ServerMetrics`,
/// 3.9.5). Times are of whole milliseconds.
#[derive(Debug, Default)]
pub(crate) struct ServerStats {
    pub(crate) packets_received: AtomicU64,
    pub(crate) packets_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) reply_bytes: AtomicU64,
    pub(crate) event_bytes: AtomicU64,
    pub(crate) responses: Sizes,
    /// Requests read and not yet answered.
    pub(crate) outstanding: AtomicI64,
    /// From the reading of a request to its reply, of requests that change nothing.
    pub(crate) read_latency: Distribution,
    /// The same of those that become a transaction.
    pub(crate) update_latency: Distribution,
    pub(crate) connection_requests: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    /// Connections that ended from the client's side.
    pub(crate) connections_dropped: AtomicU64,
    pub(crate) sessionless_expired: AtomicU64,
    pub(crate) bugs: AtomicU64,
    /// Connections that one event is told to, by the type of the event.
    pub(crate) watchers: Watchers,
    pub(crate) prep: PrepStats,
    pub(crate) log: LogStats,
    pub(crate) snapshot_time: Summary,
    pub(crate) start: StartStats,
    pub(crate) quorum: QuorumStats,
}

/// Requests on their way to the loop that prepares them.
#[derive(Debug, Default)]
pub(crate) struct PrepStats {
    pub(crate) requests: AtomicU64,
    /// Messages that the loop finds waiting.
    pub(crate) queue_size: Summary,
    pub(crate) queue_time: Distribution,
}

/// Transactions on their way to the disk.
#[derive(Debug, Default)]
pub(crate) struct LogStats {
    pub(crate) txns: AtomicU64,
    /// Transactions that are sent and not yet taken.
    pub(crate) waiting: AtomicU64,
    /// What the thread finds waiting.
    pub(crate) queue_size: Summary,
    pub(crate) queue_time: Distribution,
    /// Transactions of one flush.
    pub(crate) batch_size: Summary,
    /// From taking transactions to their being on disk.
    pub(crate) process_time: Summary,
    /// Writing and syncing, nearly all of which is syncing.
    pub(crate) flush_time: Distribution,
    /// From sending a transaction to its being on disk.
    pub(crate) queue_and_flush_time: Distribution,
    /// From making a transaction to its being applied.
    pub(crate) propagation: Distribution,
}

/// The start.
#[derive(Debug, Default)]
pub(crate) struct StartStats {
    pub(crate) whole_time: Summary,
    pub(crate) snapshot_time: Summary,
    pub(crate) txns_time: Summary,
    pub(crate) txns: Summary,
    /// Digests on disk that differed from the tree's.
    pub(crate) digest_mismatches: AtomicU64,
}

/// Connections that one event is told to.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    pub(crate) created: Summary,
    pub(crate) deleted: Summary,
    pub(crate) changed: Summary,
    pub(crate) children: Summary,
}

impl Watchers {
    /// Counts an event.
    pub(crate) fn add(&self, event: EventType, connections: usize) {
        let summary = match event {
            EventType::None => return,
            EventType::NodeCreated => &self.created,
            EventType::NodeDeleted => &self.deleted,
            EventType::NodeDataChanged => &self.changed,
            EventType::NodeChildrenChanged => &self.children,
        };
        summary.add(connections as u64);
    }
}

impl ServerStats {
    /// Every latency.
    pub(crate) fn latency(&self) -> Tally {
        let mut all = self.read_latency.tally();
        all.merge(&self.update_latency.tally());
        all
    }

    /// What `srst` resets: all but what there is at present.
    pub(crate) fn reset(&self) {
        for counter in [
            &self.packets_received,
            &self.packets_sent,
            &self.bytes_received,
            &self.reply_bytes,
            &self.event_bytes,
            &self.connection_requests,
            &self.connections_rejected,
            &self.connections_dropped,
            &self.sessionless_expired,
            &self.bugs,
            &self.prep.requests,
            &self.log.txns,
            &self.start.digest_mismatches,
        ] {
            counter.store(0, Relaxed);
        }
        for summary in [
            &self.watchers.created,
            &self.watchers.deleted,
            &self.watchers.changed,
            &self.watchers.children,
            &self.prep.queue_size,
            &self.log.queue_size,
            &self.log.batch_size,
            &self.log.process_time,
            &self.snapshot_time,
            &self.start.whole_time,
            &self.start.snapshot_time,
            &self.start.txns_time,
            &self.start.txns,
        ] {
            summary.reset();
        }
        for distribution in [
            &self.read_latency,
            &self.update_latency,
            &self.prep.queue_time,
            &self.log.queue_time,
            &self.log.flush_time,
            &self.log.queue_and_flush_time,
            &self.log.propagation,
        ] {
            distribution.reset();
        }
        self.responses.reset();
        self.quorum.reset();
    }
}

/// Among which latencies a request counts (`ServerStats.updateLatency`, 3.9.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timed {
    /// Those of reads.
    Read,
    /// Those of updates.
    Update,
    /// None: proofs of identity, and the resumption of a session.
    Not,
}

impl Timed {
    /// Of a request of an open session.
    pub(crate) const fn of(op: OpCode) -> Self {
        match op {
            OpCode::AUTH | OpCode::SASL => Self::Not,
            OpCode::CREATE
            | OpCode::CREATE2
            | OpCode::CREATE_CONTAINER
            | OpCode::CREATE_TTL
            | OpCode::DELETE
            | OpCode::SET_DATA
            | OpCode::SET_ACL
            | OpCode::MULTI
            | OpCode::RECONFIG
            | OpCode::CLOSE_SESSION => Self::Update,
            _ => Self::Read,
        }
    }
}

/// Sizes in bytes, −1 before the first (`BufferStats`, 3.9.5).
#[derive(Debug)]
pub(crate) struct Sizes {
    pub(crate) last: AtomicI64,
    pub(crate) min: AtomicI64,
    pub(crate) max: AtomicI64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            last: AtomicI64::new(-1),
            min: AtomicI64::new(-1),
            max: AtomicI64::new(-1),
        }
    }
}

impl Sizes {
    /// Adds a batch: its last, smallest and largest.
    pub(crate) fn add(&self, last: usize, min: usize, max: usize) {
        let [last, min, max] = [last, min, max].map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        self.last.store(last, Relaxed);
        self.max.fetch_max(max, Relaxed);
        if self.min.load(Relaxed) < 0 {
            self.min.store(min, Relaxed);
        } else {
            self.min.fetch_min(min, Relaxed);
        }
    }

    pub(crate) fn reset(&self) {
        for size in [&self.last, &self.min, &self.max] {
            size.store(-1, Relaxed);
        }
    }
}

/// Whole milliseconds; far beyond any uptime at its end.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
