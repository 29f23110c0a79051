//! The words that show lists and counters.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use zk_core::{Core, Counters};
use zk_proto::Zxid;

use super::{NotServing, ask};
use crate::net::Link;
use crate::shared::Shared;
use crate::stats::op_label;

/// What `srvr`, `stat` and `mntr` show of the core.
pub(super) struct CoreState {
    pub(super) last_zxid: Zxid,
    pub(super) node_count: usize,
    pub(super) data_bytes: u64,
    pub(super) ephemerals: usize,
    pub(super) sessions: usize,
    pub(super) watches: usize,
    pub(super) counters: Counters,
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
            sessions: core.session_count(),
            watches: watches.data_watches + watches.child_watches,
            counters: core.counters(),
        }
    }
}

/// What `srvr` shows after the version (`ServerStats.toString`).
pub(super) fn server(server: &Shared, state: &CoreState) -> String {
    let stats = &server.stats;
    let latency = stats.latency();
    format!(
        "Latency min/avg/max: {}/{:?}/{}\nReceived: {}\nSent: {}\nConnections: {}\n\
         Outstanding: {}\nZxid: {:#x}\nMode: standalone\nNode count: {}\n",
        latency.min(),
        latency.mean(),
        latency.max(),
        stats.packets_received.load(Relaxed),
        stats.packets_sent.load(Relaxed),
        server.registry.len(),
        stats.outstanding.load(Relaxed),
        state.last_zxid.0,
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
pub(super) async fn configuration(server: &Shared) -> String {
    let config = &server.config;
    let (data_bytes, log_bytes) = sizes(server).await;
    let per_address = config.limits.connections_per_address_max;
    format!(
        "clientPort={}\nsecureClientPort=-1\ndataDir={}\ndataDirSize={data_bytes}\n\
         dataLogDir={}\ndataLogSize={log_bytes}\ntickTime={}\nmaxClientCnxns={}\n\
         minSessionTimeout={}\nmaxSessionTimeout={}\nclientPortListenBacklog={}\nserverId=0\n",
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
