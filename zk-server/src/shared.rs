//! What every task of one server shares.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU16};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use zk_core::Counters;
use zk_proto::quorum::Address;

use crate::clock::Clock;
use crate::complaints::ClientComplaints;
use crate::config::{Config, ListenAddress};
use crate::driver::ToCore;
use crate::net::Registry;
use crate::quota_log::QuotaRefusals;
use crate::stats::ServerStats;
use crate::status::Status;

/// The trace mask at the start: requests, packets, sessions and warnings (`ZooTrace`, 3.9.5).
const TRACE_MASK: i64 = 306;

/// What every task of one server shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) stats: Arc<ServerStats>,
    /// What the core had counted at the last `srst`.
    counters_before: Mutex<Counters>,
    /// What `stmk` set and `gtmk` shows. It chooses nothing: what is logged is for `--log` to say.
    pub(crate) trace_mask: AtomicI64,
    pub(crate) quota_refusals: QuotaRefusals,
    pub(crate) complaints: ClientComplaints,
    pub(crate) registry: Registry,
    /// The port that was given; zero before.
    pub(crate) client_port: AtomicU16,
    /// Where the client port is to be; it may move while the server runs.
    pub(crate) client_address: watch::Sender<(ListenAddress, u16)>,
    /// What the loop last told of itself.
    pub(crate) status: watch::Sender<Status>,
    /// Cancelled when the server is to stop.
    pub(crate) stop: CancellationToken,
    /// To the loop that owns the core.
    pub(crate) core: mpsc::Sender<ToCore>,
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        clock: Clock,
        stats: Arc<ServerStats>,
        core: mpsc::Sender<ToCore>,
    ) -> Self {
        let limits = &config.limits;
        let registry = Registry::new(limits.connections_per_address_max, limits.connections_max);
        let client_port = &config.client_port;
        let client_address = (client_port.address.clone(), client_port.port);
        Self {
            config,
            client_address: watch::Sender::new(client_address),
            stats,
            counters_before: Mutex::default(),
            trace_mask: AtomicI64::new(TRACE_MASK),
            quota_refusals: QuotaRefusals::default(),
            complaints: ClientComplaints::default(),
            clock,
            registry,
            client_port: AtomicU16::new(0),
            status: watch::Sender::default(),
            stop: CancellationToken::new(),
            core,
        }
    }

    /// Lets clients connect elsewhere from now on.
    pub(crate) fn move_client_port(&self, there: &Address) {
        let to = (ListenAddress::from(&there.host), there.port);
        self.client_address.send_if_modified(|address| {
            // Whoever has no IPv6 listens everywhere else.
            let is_everywhere = to.0 == ListenAddress::Any && address.0 == ListenAddress::AnyIpv4;
            let has_moved = to.1 != address.1 || (to.0 != address.0 && !is_everywhere);
            if has_moved {
                *address = to;
            }
            has_moved
        });
    }

    /// Begins all counters anew; the core has counted so far.
    pub(crate) fn reset_stats(&self, counters: Counters) {
        self.stats.reset();
        self.quota_refusals.counts().clear();
        *self.lock_counters() = counters;
    }

    /// What the core had counted when the counters began anew.
    pub(crate) fn counters_before(&self) -> Counters {
        *self.lock_counters()
    }

    fn lock_counters(&self) -> MutexGuard<'_, Counters> {
        let counters = self.counters_before.lock();
        counters.expect("nothing panics while it holds the counters")
    }

    /// Whether more requests are under way than globalOutstandingLimit. Then connections that have
    /// some wait with reading more (`ZooKeeperServer.shouldThrottle`, 3.9.5).
    pub(crate) fn is_saturated(&self) -> bool {
        let max = self.config.limits.outstanding_requests_max;
        self.stats.outstanding.load(Relaxed) > i64::from(max.get())
    }
}
