//! `mntr`: counters and gauges, a line each (`MonitorCommand`, 3.9.5). Names are Apache's; those
//! of stages that this server does not have are left out.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use super::report::CoreState;
use crate::shared::Shared;
use crate::stats::whole_ms;
use crate::version::FULL_VERSION;

pub(super) fn render(server: &Shared, state: &CoreState) -> String {
    let stats = &server.stats;
    let [created, deleted, changed, children] = state.counters.events;
    let responses = &stats.responses;
    let mut text = format!("zk_version\t{FULL_VERSION}\nzk_server_state\tstandalone\n");
    _ = writeln!(text, "zk_avg_latency\t{:?}", stats.latency.mean());
    let entries: [(&str, i128); 33] = [
        ("ephemerals_count", state.ephemerals as i128),
        ("num_alive_connections", server.registry.len() as i128),
        (
            "outstanding_requests",
            stats.outstanding.load(Relaxed).into(),
        ),
        ("znode_count", state.node_count as i128),
        ("global_sessions", state.sessions as i128),
        ("local_sessions", 0),
        ("non_mtls_remote_conn_count", 0),
        ("non_mtls_local_conn_count", 0),
        ("outstanding_tls_handshake", 0),
        (
            "last_client_response_size",
            responses.last.load(Relaxed).into(),
        ),
        (
            "max_client_response_size",
            responses.max.load(Relaxed).into(),
        ),
        (
            "min_client_response_size",
            responses.min.load(Relaxed).into(),
        ),
        ("packets_sent", stats.packets_sent.load(Relaxed).into()),
        (
            "packets_received",
            stats.packets_received.load(Relaxed).into(),
        ),
        ("watch_count", state.watches as i128),
        ("auth_failed_count", state.counters.auth_failed.into()),
        ("min_latency", stats.latency.min().into()),
        ("max_latency", stats.latency.max().into()),
        ("open_file_descriptor_count", open_files().into()),
        ("max_file_descriptor_count", files_max().into()),
        ("approximate_data_size", state.data_bytes.into()),
        ("uptime", whole_ms(server.clock.elapsed()).into()),
        (
            "connection_rejected",
            stats.connections_rejected.load(Relaxed).into(),
        ),
        (
            "sessionless_connections_expired",
            stats.sessionless_expired.load(Relaxed).into(),
        ),
        (
            "stale_sessions_expired",
            state.counters.sessions_expired.into(),
        ),
        (
            "connection_revalidate_count",
            state.counters.sessions_resumed.into(),
        ),
        (
            "bytes_received_count",
            stats.bytes_received.load(Relaxed).into(),
        ),
        ("response_bytes", stats.bytes_sent.load(Relaxed).into()),
        ("sum_node_created_watch_count", created.into()),
        ("sum_node_deleted_watch_count", deleted.into()),
        ("sum_node_changed_watch_count", changed.into()),
        ("sum_node_children_watch_count", children.into()),
        ("unrecoverable_error_count", stats.bugs.load(Relaxed).into()),
    ];
    for (key, value) in entries {
        _ = writeln!(text, "zk_{key}\t{value}");
    }
    text.push_str("zk_connection_drop_probability\t0.0\n");
    text
}

/// File descriptors open in this process; zero where the system does not tell.
fn open_files() -> u32 {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    u32::try_from(open).unwrap_or(u32::MAX)
}

fn files_max() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}
