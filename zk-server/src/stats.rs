//! Counters of the server and of each connection, as the four-letter words show them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use zk_proto::{OpCode, Xid, Zxid};

/// Counters of one server since its start, or since `srst` where Apache resets them
/// (`ServerStats`, 3.9.5). Latencies are of whole milliseconds.
#[derive(Debug, Default)]
pub(crate) struct ServerStats {
    pub(crate) packets_received: AtomicU64,
    pub(crate) packets_sent: AtomicU64,
    pub(crate) bytes_received: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) latency: Latency,
    pub(crate) responses: ResponseSizes,
    /// Requests read and not yet answered.
    pub(crate) outstanding: AtomicI64,
    pub(crate) connections_rejected: AtomicU64,
    pub(crate) sessionless_expired: AtomicU64,
    pub(crate) bugs: AtomicU64,
}

impl ServerStats {
    /// What `srst` resets.
    pub(crate) fn reset(&self) {
        self.packets_received.store(0, Relaxed);
        self.packets_sent.store(0, Relaxed);
        self.latency.reset();
        self.responses.reset();
    }
}

/// Smallest, mean and largest of many durations, in ms.
#[derive(Debug)]
pub(crate) struct Latency {
    count: AtomicU64,
    total: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            total: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Latency {
    /// Adds what one batch of replies saw.
    pub(crate) fn add(&self, batch: &LatencyBatch) {
        if let Ok(count @ 1..) = u64::try_from(batch.count) {
            self.count.fetch_add(count, Relaxed);
            self.total.fetch_add(batch.total, Relaxed);
            self.min.fetch_min(batch.min, Relaxed);
            self.max.fetch_max(batch.max, Relaxed);
        }
    }

    pub(crate) fn min(&self) -> u64 {
        match self.min.load(Relaxed) {
            u64::MAX => 0,
            min => min,
        }
    }

    pub(crate) fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// The mean to four decimals, as `AvgMinMaxCounter` rounds it.
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub(crate) fn mean(&self) -> f64 {
        let count = self.count.load(Relaxed);
        if count == 0 {
            return 0.0;
        }
        let mean = self.total.load(Relaxed) as f64 / count as f64;
        (mean * 10_000.0).round() / 10_000.0
    }

    fn reset(&self) {
        self.count.store(0, Relaxed);
        self.total.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// Durations gathered without atomics, to be added at once.
#[derive(Debug)]
pub(crate) struct LatencyBatch {
    count: i64,
    total: u64,
    min: u64,
    max: u64,
}

impl Default for LatencyBatch {
    fn default() -> Self {
        Self {
            count: 0,
            total: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl LatencyBatch {
    pub(crate) fn count(&self) -> i64 {
        self.count
    }

    pub(crate) fn add(&mut self, latency_ms: u64) {
        self.count += 1;
        self.total += latency_ms;
        self.min = self.min.min(latency_ms);
        self.max = self.max.max(latency_ms);
    }
}

/// Sizes of replies in bytes, −1 before the first (`BufferStats`, 3.9.5).
#[derive(Debug)]
pub(crate) struct ResponseSizes {
    pub(crate) last: AtomicI64,
    pub(crate) min: AtomicI64,
    pub(crate) max: AtomicI64,
}

impl Default for ResponseSizes {
    fn default() -> Self {
        Self {
            last: AtomicI64::new(-1),
            min: AtomicI64::new(-1),
            max: AtomicI64::new(-1),
        }
    }
}

impl ResponseSizes {
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

    fn reset(&self) {
        for size in [&self.last, &self.min, &self.max] {
            size.store(-1, Relaxed);
        }
    }
}

/// What `cons` and `stat` tell of one connection (`ServerCnxn.dumpConnectionInfo`, 3.9.5).
#[derive(Debug, Clone)]
pub(crate) struct ConnectionStats {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) last_op: Option<OpCode>,
    pub(crate) last_cxid: i32,
    pub(crate) last_zxid: Zxid,
    pub(crate) last_response_ms: u64,
    pub(crate) last_latency_ms: u64,
    min_latency_ms: u64,
    pub(crate) max_latency_ms: u64,
    count: u64,
    total_latency_ms: u64,
}

impl Default for ConnectionStats {
    fn default() -> Self {
        Self {
            received: 0,
            sent: 0,
            last_op: None,
            last_cxid: -1,
            last_zxid: Zxid(-1),
            last_response_ms: 0,
            last_latency_ms: 0,
            min_latency_ms: u64::MAX,
            max_latency_ms: 0,
            count: 0,
            total_latency_ms: 0,
        }
    }
}

impl ConnectionStats {
    /// Counts an answered request.
    pub(crate) fn answered(
        &mut self,
        op: OpCode,
        xid: Xid,
        zxid: Option<Zxid>,
        now_ms: u64,
        latency_ms: u64,
    ) {
        if xid.0 >= 0 {
            self.last_cxid = xid.0;
        }
        self.last_op = Some(op);
        if let Some(zxid) = zxid {
            self.last_zxid = zxid;
        }
        self.last_response_ms = now_ms;
        self.last_latency_ms = latency_ms;
        self.min_latency_ms = self.min_latency_ms.min(latency_ms);
        self.max_latency_ms = self.max_latency_ms.max(latency_ms);
        self.count += 1;
        self.total_latency_ms += latency_ms;
    }

    pub(crate) fn min_latency_ms(&self) -> u64 {
        if self.count == 0 {
            0
        } else {
            self.min_latency_ms
        }
    }

    pub(crate) fn mean_latency_ms(&self) -> u64 {
        self.total_latency_ms.checked_div(self.count).unwrap_or(0)
    }
}

/// Whole milliseconds; far beyond any uptime at its end.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The name that `cons` gives an operation (`FinalRequestProcessor`, 3.9.5).
pub(crate) fn op_label(op: Option<OpCode>) -> &'static str {
    match op {
        Some(OpCode::PING) => "PING",
        Some(OpCode::CREATE_SESSION) => "SESS",
        Some(OpCode::MULTI) => "MULT",
        Some(OpCode::MULTI_READ) => "MLTR",
        Some(OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL) => {
            "CREA"
        }
        Some(OpCode::DELETE | OpCode::DELETE_CONTAINER) => "DELE",
        Some(OpCode::SET_DATA) => "SETD",
        Some(OpCode::RECONFIG) => "RECO",
        Some(OpCode::SET_ACL) => "SETA",
        Some(OpCode::CLOSE_SESSION) => "CLOS",
        Some(OpCode::SYNC) => "SYNC",
        Some(OpCode::CHECK) => "CHEC",
        Some(OpCode::EXISTS) => "EXIS",
        Some(OpCode::GET_DATA) => "GETD",
        Some(OpCode::SET_WATCHES) => "SETW",
        Some(OpCode::SET_WATCHES2) => "STW2",
        Some(OpCode::ADD_WATCH) => "ADDW",
        Some(OpCode::GET_ACL) => "GETA",
        Some(OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2) => "GETC",
        Some(OpCode::GET_ALL_CHILDREN_NUMBER) => "GETACN",
        Some(OpCode::CHECK_WATCHES) => "CHKW",
        Some(OpCode::REMOVE_WATCHES) => "REMW",
        Some(OpCode::WHO_AM_I) => "HOMI",
        Some(OpCode::GET_EPHEMERALS) => "GETE",
        _ => "NA",
    }
}
