//! The words that show lists and counters.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use zk_core::{Core, Counters, LearnerStatus};
use zk_proto::quorum::{EnsembleConfig, EnsembleServer, ServerAddress, ServerRole, ServerState};
use zk_proto::{ServerId, Zxid};

use super::{NotServing, ask};
use crate::config::Config;
use crate::net::Link;
use crate::shared::Shared;
use crate::stats::op_label;
use crate::version::FULL_VERSION;

/// What `srvr`, `stat` and `mntr` show of the core.
pub(super) struct CoreState {
    pub(super) last_zxid: Zxid,
    pub(super) node_count: usize,
    pub(super) data_bytes: u64,
    pub(super) ephemerals: usize,
    pub(super) global_sessions: usize,
    pub(super) local_sessions: usize,
    pub(super) watches: usize,
    pub(super) counters: Counters,
    pub(super) mode: Mode,
}

/// What the server does, with what is told of it.
pub(super) enum Mode {
    Standalone,
    ReadOnly,
    Leader {
        learners: Vec<LearnerStatus>,
        pending_syncs: usize,
    },
    Follower,
    Observer {
        leader: ServerId,
    },
}

impl Mode {
    fn of(core: &Core) -> Self {
        match (core.state(), core.leader()) {
            (None, _) => Self::Standalone,
            (Some(ServerState::Leading), _) => Self::Leader {
                learners: core.learners(),
                pending_syncs: core.pending_syncs(),
            },
            (Some(ServerState::Following), _) => Self::Follower,
            (Some(ServerState::Observing), Some(leader)) => Self::Observer { leader },
            (Some(ServerState::Observing | ServerState::Looking), _) => Self::ReadOnly,
        }
    }

    /// The word of `srvr`.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::ReadOnly => "read-only",
            Self::Leader { .. } => "leader",
            Self::Follower => "follower",
            Self::Observer { .. } => "observer",
        }
    }
}

impl CoreState {
    pub(super) async fn ask(server: &Shared) -> Result<Self, NotServing> {
        ask(server, Self::of).await
    }

    pub(super) fn of(core: &Core) -> Self {
        let watches = core.watch_summary();
        Self {
            last_zxid: core.last_zxid(),
            node_count: core.tree().node_count(),
            data_bytes: core.tree().approximate_data_size(),
            ephemerals: core.tree().ephemeral_count(),
            global_sessions: core.global_session_count(),
            local_sessions: core.local_session_count(),
            watches: watches.data_watches + watches.child_watches,
            counters: core.counters(),
            mode: Mode::of(core),
        }
    }
}

/// What `srvr` and `stat` begin with.
pub(super) fn version(state: &CoreState) -> String {
    let note = match state.mode {
        Mode::ReadOnly => "READ-ONLY mode; serving only read-only clients\n",
        _ => "",
    };
    format!("Zookeeper version: {FULL_VERSION}\n{note}")
}

/// What `srvr` shows after the version (`ServerStats.toString`).
pub(super) fn server(server: &Shared, state: &CoreState) -> String {
    let stats = &server.stats;
    let latency = stats.latency();
    let proposals = match state.mode {
        Mode::Leader { .. } => {
            let sizes = &stats.quorum.proposal_sizes;
            let [last, min, max] = [&sizes.last, &sizes.min, &sizes.max].map(|s| s.load(Relaxed));
            format!("Proposal sizes last/min/max: {last}/{min}/{max}\n")
        }
        _ => String::new(),
    };
    format!(
        "Latency min/avg/max: {}/{:?}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {:#x}\nMode: {}\nNode count: {}\n{proposals}",
        latency.min(),
        latency.mean(),
        latency.max(),
        stats.packets_received.load(Relaxed),
        stats.packets_sent.load(Relaxed),
        server.registry.len(),
        stats.outstanding.load(Relaxed),
        state.last_zxid.0,
        state.mode.as_str(),
        state.node_count,
    )
}

/// The clients as `stat` lists them.
pub(super) fn clients(server: &Shared) -> String {
    let mut text = "Clients:\n".to_owned();
    for link in server.registry.links() {
        connection(&mut text, &link, true);
    }
    text.push('\n');
    text
}

/// The connections as `cons` lists them.
pub(super) fn connections(server: &Shared) -> String {
    let mut text = String::new();
    for link in server.registry.links() {
        connection(&mut text, &link, false);
    }
    text.push('\n');
    text
}

/// One line of `cons` or `stat` (`ServerCnxn.dumpConnectionInfo`). The number in brackets is 1
/// while the connection reads, as a session's does; one that asks a four-letter word does not.
fn connection(text: &mut String, link: &Link, is_brief: bool) {
    let (session, timeout_ms) = link.session();
    let stats = link.stats().clone();
    let line = format!(
        " {}[{}](queued={},recved={},sent={}",
        JavaAddress(link.peer),
        u8::from(session.0 != 0),
        link.outstanding(),
        stats.received,
        stats.sent,
    );
    text.push_str(&line);
    if !is_brief && session.0 != 0 {
        let cxid = match stats.last_cxid {
            ..0 => String::new(),
            cxid => format!(",lcxid={cxid:#x}"),
        };
        let line = format!(
            ",sid={session},lop={},est={},to={timeout_ms}{cxid},lzxid={:#x},lresp={},llat={},\
             minlat={},avglat={},maxlat={}",
            op_label(stats.last_op),
            link.established_ms,
            stats.last_zxid.0,
            stats.last_response_ms,
            stats.last_latency_ms,
            stats.min_latency_ms(),
            stats.mean_latency_ms(),
            stats.max_latency_ms,
        );
        text.push_str(&line);
    }
    text.push_str(")\n");
}

/// A socket address in the notation of `InetSocketAddress.toString`.
pub(super) struct JavaAddress(pub(super) SocketAddr);

impl std::fmt::Display for JavaAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let port = self.0.port();
        match self.0 {
            SocketAddr::V4(address) => write!(f, "/{}:{port}", address.ip()),
            SocketAddr::V6(address) => {
                let [first, rest @ ..] = address.ip().segments();
                write!(f, "/[{first:x}")?;
                for segment in rest {
                    write!(f, ":{segment:x}")?;
                }
                write!(f, "]:{port}")
            }
        }
    }
}

/// `conf` (`ZooKeeperServer.dumpConf`); −1 stands for what is not configured.
pub(super) async fn configuration(server: &Shared) -> Result<String, NotServing> {
    let ensemble = ask(server, |core| core.ensemble().cloned()).await?;
    let mut text = server_configuration(server).await;
    if let (Some(membership), Some(ensemble)) = (&server.config.membership, ensemble) {
        text.push_str(&ensemble_configuration(
            &server.config,
            membership.id,
            &ensemble,
        ));
    }
    Ok(text)
}

/// What a member tells in `conf` (`QuorumZooKeeperServer.dumpConf`).
fn ensemble_configuration(config: &Config, id: ServerId, ensemble: &EnsembleConfig) -> String {
    let own = ensemble.servers().get(&id);
    let ports = |port: fn(&ServerAddress) -> u16| {
        let addresses = own.map(EnsembleServer::addresses).unwrap_or_default();
        let ports: BTreeSet<u16> = addresses.iter().map(port).collect();
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        ports.join("|")
    };
    let is_observer = own.is_some_and(|own| own.role() == ServerRole::Observer);
    format!(
        "initLimit={}\nsyncLimit={}\nelectionAlg=3\nelectionPort={}\nquorumPort={}\n\
         peerType={}\nmembership: \n{ensemble}",
        config.quorum.init_limit,
        config.quorum.sync_limit,
        ports(|address| address.election_port),
        ports(|address| address.quorum_port),
        u8::from(is_observer),
    )
}

async fn server_configuration(server: &Shared) -> String {
    let config = &server.config;
    let id = config.membership.as_ref().map_or(0, |member| member.id.0);
    let (data_bytes, log_bytes) = sizes(server).await;
    let per_address = config.limits.connections_per_address_max;
    format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir={}\ndataDirSize={data_bytes}\n\
         dataLogDir={}\ndataLogSize={log_bytes}\ntickTime={}\nmaxClientCnxns={}\n\
         minSessionTimeout={}\nmaxSessionTimeout={}\nclientPortListenBacklog={}\nserverId={id}\n",
        server.client_port.load(Relaxed),
        version_dir(&config.data_dir).display(),
        version_dir(&config.data_log_dir).display(),
        config.tick_time.as_millis(),
        per_address.map_or(0, std::num::NonZeroU32::get),
        config.sessions.min_timeout.as_millis(),
        config.sessions.max_timeout.as_millis(),
        config
            .client_port
            .backlog
            .map_or(-1, |backlog| i64::from(backlog.get())),
    )
}

/// `dirs`.
pub(super) async fn directories(server: &Shared) -> String {
    let (data_bytes, log_bytes) = sizes(server).await;
    format!("datadir_size: {data_bytes}\nlogdir_size: {log_bytes}\n")
}

fn version_dir(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.join("version-2")
}

/// Bytes in the snapshot directory and in the log directory.
async fn sizes(server: &Shared) -> (u64, u64) {
    let dirs = [&server.config.data_dir, &server.config.data_log_dir].map(|dir| version_dir(dir));
    let sizes = tokio::task::spawn_blocking(move || dirs.map(|dir| size(&dir)));
    let [data, log] = sizes.await.unwrap_or_default();
    (data, log)
}

/// A directory that cannot be read counts nothing.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}

/// `hash`: the tree's digest at every 128th transaction.
pub(super) fn digests(core: &Core) -> String {
    let mut text = String::new();
    for at in core.digest_history() {
        // Java prints the digest as a signed long.
        _ = writeln!(text, "{:x}: {}", at.zxid.0, at.digest.cast_signed());
    }
    text
}

/// `wchs`.
pub(super) fn watch_summary(core: &Core) -> String {
    let watches = core.watch_summary();
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        watches.connections, watches.paths, watches.data_watches
    )
}

/// `wchc`.
pub(super) fn watches_by_session(core: &Core) -> String {
    let mut text = String::new();
    for (session, paths) in core.watches_by_session() {
        _ = writeln!(text, "{session}");
        for path in paths {
            _ = writeln!(text, "\t{path}");
        }
    }
    text.push('\n');
    text
}

/// `wchp`.
pub(super) fn watches_by_path(core: &Core) -> String {
    let mut text = String::new();
    for (path, sessions) in core.watches_by_path() {
        _ = writeln!(text, "{path}");
        for session in sessions {
            _ = writeln!(text, "\t{session}");
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_java_writes_them() {
        for (address, text) in [
            ("127.0.0.1:54086", "/127.0.0.1:54086"),
            ("[::1]:2181", "/[0:0:0:0:0:0:0:1]:2181"),
            ("[fe80::a0b]:1", "/[fe80:0:0:0:0:0:0:a0b]:1"),
        ] {
            assert_eq!(JavaAddress(address.parse().unwrap()).to_string(), text);
        }
    }
}
