//! A server's place in an ensemble, and how the members deal with each other.

use std::num::NonZeroU32;
use std::time::Duration;
use zk_proto::ServerId;
use zk_proto::quorum::{EnsembleConfig, EnsembleServer};

/// Who the members of an ensemble are, and which of them this server is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// This server: one of the members.
    pub id: ServerId,
    /// All members.
    pub ensemble: EnsembleConfig,
    /// A newer membership that was proposed, and is not known to be in force.
    pub proposed: Option<EnsembleConfig>,
}

impl Membership {
    /// `None` where `id` is no member.
    #[must_use]
    pub fn new(id: ServerId, ensemble: EnsembleConfig) -> Option<Self> {
        let is_member = ensemble.servers().contains_key(&id);
        is_member.then_some(Self {
            id,
            ensemble,
            proposed: None,
        })
    }

    /// This server's line.
    #[must_use]
    pub fn own(&self) -> &EnsembleServer {
        let own = self.ensemble.servers().get(&self.id);
        own.expect("the server is a member")
    }
}

/// How the members of an ensemble deal with each other. A server that runs alone uses none of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct QuorumConfig {
    /// `standaloneEnabled`: whether the only participant runs alone.
    pub may_run_alone: bool,
    /// `initLimit`: ticks in which a quorum has to come together, and a learner to be brought up;
    /// never zero in a member.
    pub init_limit: u32,
    /// `syncLimit`: ticks that a peer may be silent or behind; never zero in a member.
    pub sync_limit: u32,
    /// `connectToLearnerMasterLimit`: ticks that an attempt to connect to the leader may take; `None`
    /// is `init_limit`.
    pub connect_limit: Option<NonZeroU32>,
    /// `leaderConnectDelayDuringRetryMs`: the time between two attempts to connect to the leader.
    pub connect_delay: Duration,
    /// `cnxTimeout`: how long an attempt to connect to an election port may take.
    pub election_connect_timeout: Duration,
    /// `fastleader.minNotificationInterval`: the time before a vote is sent again.
    pub vote_interval_min: Duration,
    /// `fastleader.maxNotificationInterval`: to what that time doubles.
    pub vote_interval_max: Duration,
    /// `leaderServes`: whether a leader serves clients.
    pub leader_serves: bool,
    /// `sync.asksQuorum`: whether a sync waits until a quorum has confirmed that the leader still
    /// leads.
    pub sync_asks_quorum: bool,
    /// `localSessionsEnabled`: whether sessions begin as local ones.
    pub has_local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: whether they become global when they create an ephemeral.
    pub upgrades_local_sessions: bool,
    /// `snapshotSizeFactor`: the share of a snapshot's size up to which a learner is sent the log's
    /// transactions instead; `None` is never.
    pub snapshot_size_factor: Option<f64>,
    /// `quorumListenOnAllIPs`: whether both ports listen on every interface.
    pub listens_on_all: bool,
    /// `electionPortBindRetry`: how often a port is tried to be opened; `None` is without end.
    pub bind_attempts: Option<NonZeroU32>,
    /// `tcpKeepAlive`: whether the system probes idle connections.
    pub has_keep_alive: bool,
    /// `multiAddress.enabled`: whether a server may have several addresses.
    pub allows_many_addresses: bool,
}

impl QuorumConfig {
    /// What the defaults of the key table are written into.
    pub(super) const BLANK: Self = Self {
        may_run_alone: true,
        init_limit: 0,
        sync_limit: 0,
        connect_limit: None,
        connect_delay: Duration::ZERO,
        election_connect_timeout: Duration::ZERO,
        vote_interval_min: Duration::ZERO,
        vote_interval_max: Duration::ZERO,
        leader_serves: true,
        sync_asks_quorum: false,
        has_local_sessions: false,
        upgrades_local_sessions: false,
        snapshot_size_factor: None,
        listens_on_all: false,
        bind_attempts: None,
        has_keep_alive: false,
        allows_many_addresses: false,
    };
}
