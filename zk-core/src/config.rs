//! Settings of the core. Every limit is here, with what happens when it is reached.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// Settings of a server's core. [`Default`] is Apache's server, 3.9.5, where it has the setting.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The server's number; the top byte of the session ids made here. Standalone servers use 1.
    pub server_id: u8,
    /// Seed of what is drawn at random: how soon a snapshot follows the one before.
    pub seed: u64,
    /// Width of the buckets in which sessions expire (`tickTime`).
    pub tick: Duration,
    /// Shortest session timeout granted; a shorter one asked for is raised to it.
    pub session_timeout_min: Duration,
    /// Longest session timeout granted; a longer one asked for is lowered to it.
    pub session_timeout_max: Duration,
    /// Open sessions. At the bound a client that asks for another session is disconnected, with
    /// [`CloseReason::Limit`](crate::CloseReason::Limit); those that resume one are served.
    pub sessions_max: usize,
    /// Watches of one connection, a path counted once for its data and once for its children. The
    /// request that would pass the bound is refused with QUOTAEXCEEDED and sets no watch.
    pub watches_per_session_max: usize,
    /// Identities of one connection. An addauth beyond the bound fails as if the proof were wrong.
    pub identities_per_connection_max: usize,
    /// Length of a created znode's path in bytes; a longer one is answered with BADARGUMENTS.
    pub path_bytes_max: usize,
    /// Parts of a created znode's path; more are answered with BADARGUMENTS.
    pub path_depth_max: usize,
    /// Length of a transaction in the log, without header. A write that would become a longer one is
    /// answered with MARSHALLINGERROR. The default is the longest that Apache's server reads back:
    /// `jute.maxbuffer` and as much again.
    pub txn_bytes_max: usize,
    /// Length of the list of paths in a session's closeSession. The creation of an ephemeral that
    /// would pass it is answered with QUOTAEXCEEDED. It must be below `txn_bytes_max`.
    pub ephemeral_bytes_per_session_max: usize,
    /// Whether znodes with a time to live exist (`extendedTypesEnabled`).
    pub extended_types: bool,
    /// Whether hard quotas refuse writes and soft ones are counted (`enforceQuota`).
    pub enforce_quota: bool,
    /// Whether sessions begin as local ones. A server that is alone knows none.
    pub local_sessions: LocalSessions,
    /// Whether ACLs are not looked at (`skipACL`).
    pub skip_acl: bool,
    /// Whether reconfig is answered with UNIMPLEMENTED instead of RECONFIGDISABLED
    /// (`reconfigEnabled`): a standalone server has no membership to change.
    pub reconfig_enabled: bool,
    /// Whether transactions carry the digest of the tree after them (`digest.enabled`).
    pub digest: bool,
    /// Whether closeSession transactions list the ephemerals that they delete
    /// (`closeSessionTxn.enabled`).
    pub close_session_paths: bool,
    /// A snapshot is asked for after half to all of this many transactions (`snapCount`); below
    /// 2 it is 2.
    pub snapshot_txns: u32,
    /// A snapshot is also asked for after half to all of this many bytes of log
    /// (`snapSizeLimitInKb`); `None` for never.
    pub snapshot_log_bytes: Option<u64>,
    /// How containers and znodes with a time to live are deleted.
    pub reaper: ReaperConfig,
    /// How clients prove who they are.
    pub auth: AuthConfig,
}

/// Whether sessions begin as local ones, which only the server knows that their clients are connected
/// to: they cost no transaction, and cannot own ephemerals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalSessions {
    /// Every session is known to the whole ensemble.
    Off,
    /// They stay local: the creation of an ephemeral is refused with EPHEMERALONLOCALSESSION
    /// (`localSessionsEnabled`).
    Kept,
    /// They become sessions of the ensemble when they first create an ephemeral
    /// (`localSessionsUpgradingEnabled` as well).
    Upgraded,
}

/// How containers and znodes with a time to live are deleted (`ContainerManager`).
#[derive(Debug, Clone)]
pub struct ReaperConfig {
    /// Time between two searches for znodes to delete (`znode.container.checkIntervalMs`).
    pub check_interval: Duration,
    /// Deletions a minute, evenly spread (`znode.container.maxPerMinute`); below 1 it is 1.
    pub per_minute_max: u32,
    /// A container that never had a child is deleted this long after its last change; `None` for
    /// never (`znode.container.maxNeverUsedIntervalMs`).
    pub never_used_max: Option<Duration>,
}

/// How clients prove who they are.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// Whether the scheme `digest` exists (`DigestAuthenticationProvider.enabled`).
    pub digest_enabled: bool,
    /// The hash of the scheme `digest` (`DigestAuthenticationProvider.digestAlg`).
    pub digest_algorithm: DigestAlgorithm,
    /// `user:hash` of the super user, whom no ACL binds
    /// (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<String>,
    /// Schemes of which a client must have proven one before anything but addauth is served
    /// (`enforce.auth.schemes`); none for no such rule. What comes before is answered with
    /// SESSIONCLOSEDREQUIRESASLAUTH, and the connection closed.
    pub enforced_schemes: Vec<String>,
}

/// The hash of the scheme `digest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the algorithms' own")]
pub enum DigestAlgorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Default for CoreConfig {
    fn default() -> Self {
        let tick = Duration::from_secs(3);
        Self {
            server_id: 1,
            seed: 0,
            tick,
            session_timeout_min: tick * 2,
            session_timeout_max: tick * 20,
            sessions_max: 1_000_000,
            watches_per_session_max: 1_000_000,
            identities_per_connection_max: 64,
            path_bytes_max: 64 << 10,
            path_depth_max: 1_000,
            txn_bytes_max: 2 * 0xf_ffff,
            ephemeral_bytes_per_session_max: 0xf_ffff,
            extended_types: false,
            local_sessions: LocalSessions::Off,
            enforce_quota: false,
            skip_acl: false,
            reconfig_enabled: false,
            digest: true,
            close_session_paths: true,
            snapshot_txns: 100_000,
            snapshot_log_bytes: Some(4 << 30),
            reaper: ReaperConfig::default(),
            auth: AuthConfig::default(),
        }
    }
}

impl Default for ReaperConfig {
    fn default() -> Self {
        Self {
            check_interval: Duration::from_secs(60),
            per_minute_max: 10_000,
            never_used_max: None,
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            digest_enabled: true,
            digest_algorithm: DigestAlgorithm::Sha1,
            super_digest: None,
            enforced_schemes: Vec::new(),
        }
    }
}
