//! What every task of one server shares.

use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::driver::ToCore;
use crate::net::Registry;
use crate::quota_log::QuotaRefusals;
use crate::stats::ServerStats;

/// What every task of one server shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) stats: ServerStats,
    pub(crate) quota_refusals: QuotaRefusals,
    pub(crate) registry: Registry,
    /// The port that was given; zero before.
    pub(crate) client_port: AtomicU16,
    /// Cancelled when the server is to stop.
    pub(crate) stop: CancellationToken,
    /// To the loop that owns the core.
    pub(crate) core: mpsc::Sender<ToCore>,
}

impl Shared {
    pub(crate) fn new(config: Config, clock: Clock, core: mpsc::Sender<ToCore>) -> Self {
        let limits = &config.limits;
        let registry = Registry::new(limits.connections_per_address_max, limits.connections_max);
        Self {
            config,
            stats: ServerStats::default(),
            quota_refusals: QuotaRefusals::default(),
            clock,
            registry,
            client_port: AtomicU16::new(0),
            stop: CancellationToken::new(),
            core,
        }
    }

    /// Whether more requests are under way than globalOutstandingLimit. Then connections that have
    /// some wait with reading more (`ZooKeeperServer.shouldThrottle`, 3.9.5).
    pub(crate) fn is_saturated(&self) -> bool {
        let max = self.config.limits.outstanding_requests_max;
        self.stats.outstanding.load(Relaxed) > i64::from(max.get())
    }
}
