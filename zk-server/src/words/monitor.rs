//! `mntr`: counters, gauges and summaries, a line each (`MonitorCommand`, 3.9.5). Names are
//! Apache's. Those of stages that only Apache's server has are left out; `docs/compatibility.md`
//! lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use zk_core::tree::Tree;
use zk_core::{Core, LearnerStatus};
use zk_proto::ServerId;

use super::report::{CoreState, Mode};
use super::{NotServing, ask};
use crate::shared::Shared;
use crate::stats::{Distribution, Tally, whole_ms};
use crate::version::FULL_VERSION;

/// Nodes below `/zookeeper/quota` that are searched for quotas at most.
const QUOTA_NODES_MAX: usize = 10_000;

/// Counts of what does not happen here, or is not counted: there is neither TLS nor an admin server.
const NEVER: [&str; 21] = [
    "cnxn_closed_without_zk_server_running",
    "commit_count",
    "diff_count",
    "ensemble_auth_fail",
    "ensemble_auth_skip",
    "ensemble_auth_success",
    "insecure_admin_count",
    "large_requests_rejected",
    "quit_leading_due_to_disloyal_voter",
    "request_throttle_wait_count",
    "restore_error_count",
    "restore_rate_limited_count",
    "revalidate_count",
    "snapshot_error_count",
    "snapshot_rate_limited_count",
    "stale_replies",
    "stale_requests",
    "stale_requests_dropped",
    "throttled_ops",
    "tls_handshake_exceeded",
    "unsuccessful_handshake",
];

/// The same with a summary, which is of no values.
const NEVER_SUMMED: [&str; 8] = [
    "follower_sync_time",
    "inflight_diff_count",
    "inflight_snap_count",
    "leader_unavailable_time",
    "observer_sync_time",
    "restore_time",
    "socket_closing_time",
    "unavailable_time",
];

/// The same with percentiles.
const NEVER_DISTRIBUTED: [&str; 4] = [
    "commit_propagation_latency",
    "proposal_ack_creation_latency",
    "proposal_latency",
    "quorum_ack_latency",
];

/// What `mntr` asks the core for.
struct State {
    core: CoreState,
    quotas: BTreeMap<String, QuotaSums>,
    /// Who votes, in an ensemble.
    voters: Option<BTreeSet<ServerId>>,
}

/// Sums over the quotas of one namespace, the first name of a path (`QuotaMetricsUtils`).
#[derive(Default)]
struct QuotaSums {
    count_limit: i64,
    bytes_limit: i64,
    count_usage: i64,
    bytes_usage: i64,
}

pub(super) async fn answer(server: &Shared) -> Result<String, NotServing> {
    let state = ask(server, |core: &Core| State {
        core: CoreState::of(core),
        quotas: quotas(core.tree()),
        voters: (core.ensemble()).map(|all| all.participants().map(|(id, _)| id).collect()),
    });
    Ok(render(server, &state.await?))
}

fn quotas(tree: &Tree) -> BTreeMap<String, QuotaSums> {
    let mut sums: BTreeMap<String, QuotaSums> = BTreeMap::new();
    for quota in tree.quotas(QUOTA_NODES_MAX) {
        let Some(namespace) = quota.path.split('/').nth(1) else {
            continue;
        };
        let (limits, usage) = (quota.limits, quota.usage);
        let limit = |hard, soft| if hard > -1 { hard } else { soft };
        let sums = sums.entry(namespace.to_owned()).or_default();
        for (sum, figure) in [
            (
                &mut sums.count_limit,
                limit(limits.count_hard, limits.count),
            ),
            (
                &mut sums.bytes_limit,
                limit(limits.bytes_hard, limits.bytes),
            ),
            (&mut sums.count_usage, usage.count),
            (&mut sums.bytes_usage, usage.bytes),
        ] {
            *sum = sum.saturating_add(figure);
        }
    }
    sums
}

fn render(server: &Shared, state: &State) -> String {
    let mut lines = Lines(String::new());
    lines.put("version", FULL_VERSION);
    lines.put("server_state", state.core.mode.as_str());
    if let Some(voters) = &state.voters {
        ensemble(&mut lines, server, &state.core.mode, voters);
    }
    gauges(&mut lines, server, &state.core);
    for (namespace, sums) in &state.quotas {
        for (name, sum) in [
            ("count_limit", sums.count_limit),
            ("bytes_limit", sums.bytes_limit),
            ("count_usage", sums.count_usage),
            ("bytes_usage", sums.bytes_usage),
        ] {
            lines.put(&format!("{namespace}_quota_{name}_per_namespace"), sum);
        }
    }
    counters(&mut lines, server, &state.core);
    for (namespace, count) in server.quota_refusals.counts().iter() {
        let name = format!("{namespace}_quota_exceeded_error_per_namespace");
        lines.put(&name, count);
    }
    summaries(&mut lines, server);
    lines.0
}

/// What a member of an ensemble tells of it.
fn ensemble(lines: &mut Lines, server: &Shared, mode: &Mode, voters: &BTreeSet<ServerId>) {
    let peer_state = match mode {
        Mode::Leader { .. } => "leading - broadcast",
        Mode::Follower => "following - broadcast",
        Mode::Observer { .. } => "observing - broadcast",
        Mode::ReadOnly | Mode::Standalone => "looking",
    };
    lines.put("peer_state", peer_state);
    lines.put("quorum_size", voters.len());
    match mode {
        Mode::Leader {
            learners,
            pending_syncs,
        } => {
            let stats = &server.stats.quorum;
            let count = |is_it: &dyn Fn(&LearnerStatus) -> bool| {
                learners.iter().filter(|learner| is_it(learner)).count()
            };
            lines.put("learners", learners.len());
            let is_follower = |learner: &LearnerStatus| learner.is_synced && !learner.is_observer;
            lines.put("synced_followers", count(&is_follower));
            let is_outsider =
                |learner: &LearnerStatus| is_follower(learner) && !voters.contains(&learner.server);
            lines.put("synced_non_voting_followers", count(&is_outsider));
            let is_observer = |learner: &LearnerStatus| learner.is_synced && learner.is_observer;
            lines.put("synced_observers", count(&is_observer));
            lines.put("pending_syncs", pending_syncs);
            let now_ms = whole_ms(server.clock.elapsed());
            let uptime = now_ms.saturating_sub(stats.role_since_ms.load(Relaxed));
            lines.put("leader_uptime", uptime);
            let sizes = &stats.proposal_sizes;
            lines.put("last_proposal_size", sizes.last.load(Relaxed));
            lines.put("max_proposal_size", sizes.max.load(Relaxed));
            lines.put("min_proposal_size", sizes.min.load(Relaxed));
        }
        Mode::Follower => lines.put("synced_observers", 0),
        Mode::Observer { leader } => lines.put("observer_master_id", leader),
        Mode::ReadOnly | Mode::Standalone => {}
    }
}

/// What there is at present, and what `srst` leaves alone.
fn gauges(lines: &mut Lines, server: &Shared, state: &CoreState) {
    let stats = &server.stats;
    let latency = stats.latency();
    lines.put("ephemerals_count", state.ephemerals);
    lines.put("num_alive_connections", server.registry.len());
    lines.put("avg_latency", format_args!("{:?}", latency.mean()));
    lines.put("min_latency", latency.min());
    lines.put("max_latency", latency.max());
    lines.put("outstanding_requests", stats.outstanding.load(Relaxed));
    lines.put("znode_count", state.node_count);
    lines.put("global_sessions", state.global_sessions);
    lines.put("local_sessions", state.local_sessions);
    lines.put("watch_count", state.watches);
    lines.put("approximate_data_size", state.data_bytes);
    lines.put("packets_sent", stats.packets_sent.load(Relaxed));
    lines.put("packets_received", stats.packets_received.load(Relaxed));
    let responses = &stats.responses;
    lines.put("last_client_response_size", responses.last.load(Relaxed));
    lines.put("max_client_response_size", responses.max.load(Relaxed));
    lines.put("min_client_response_size", responses.min.load(Relaxed));
    lines.put("auth_failed_count", state.counters.auth_failed);
    lines.put("open_file_descriptor_count", open_files());
    lines.put("max_file_descriptor_count", files_max());
    lines.put("uptime", whole_ms(server.clock.elapsed()));
    lines.put("connection_drop_probability", "0.0");
    lines.put("outstanding_tls_handshake", 0);
    lines.put("non_mtls_remote_conn_count", 0);
    lines.put("non_mtls_local_conn_count", 0);
}

fn counters(lines: &mut Lines, server: &Shared, state: &CoreState) {
    let stats = &server.stats;
    let (now, before) = (state.counters, server.counters_before());
    lines.count("bytes_received_count", &stats.bytes_received);
    lines.count("response_bytes", &stats.reply_bytes);
    lines.count("watch_bytes", &stats.event_bytes);
    lines.count("connection_request_count", &stats.connection_requests);
    lines.count("connection_rejected", &stats.connections_rejected);
    lines.count("connection_drop_count", &stats.connections_dropped);
    lines.count(
        "sessionless_connections_expired",
        &stats.sessionless_expired,
    );
    let resumptions = now.resumptions - before.resumptions;
    lines.put("connection_revalidate_count", resumptions);
    let expired = now.sessions_expired - before.sessions_expired;
    lines.put("stale_sessions_expired", expired);
    lines.count("prep_processor_request_queued", &stats.prep.requests);
    lines.count("sync_processor_request_queued", &stats.log.txns);
    let at_start = stats.start.digest_mismatches.load(Relaxed);
    let mismatches = now.digest_mismatches - before.digest_mismatches;
    lines.put("digest_mismatches_count", at_start + mismatches);
    let quorum = &stats.quorum;
    lines.count("looking_count", &quorum.looking);
    lines.count("proposal_count", &quorum.proposals);
    lines.count("snap_count", &quorum.states_sent);
    lines.count("learner_proposal_received_count", &quorum.proposals_heard);
    lines.count("learner_commit_received_count", &quorum.commits_heard);
    lines.count("unrecoverable_error_count", &stats.bugs);
    for name in NEVER {
        lines.put(name, 0);
    }
}

fn summaries(lines: &mut Lines, server: &Shared) {
    let stats = &server.stats;
    let (log, start, watchers) = (&stats.log, &stats.start, &stats.watchers);
    for (name, tally) in [
        ("fsynctime", log.flush_time.tally()),
        ("snapshottime", stats.snapshot_time.tally()),
        ("election_time", stats.quorum.election_time.tally()),
        ("dbinittime", start.whole_time.tally()),
        ("startup_snap_load_time", start.snapshot_time.tally()),
        ("startup_txns_load_time", start.txns_time.tally()),
        ("startup_txns_loaded", start.txns.tally()),
        ("prep_processor_queue_size", stats.prep.queue_size.tally()),
        ("sync_processor_queue_size", log.queue_size.tally()),
        ("sync_processor_batch_size", log.batch_size.tally()),
        ("sync_process_time", log.process_time.tally()),
        ("node_created_watch_count", watchers.created.tally()),
        ("node_deleted_watch_count", watchers.deleted.tally()),
        ("node_changed_watch_count", watchers.changed.tally()),
        ("node_children_watch_count", watchers.children.tally()),
    ] {
        lines.summary(name, &tally);
    }
    for name in NEVER_SUMMED {
        lines.summary(name, &Tally::default());
    }
    for (name, distribution) in [
        ("readlatency", &stats.read_latency),
        ("updatelatency", &stats.update_latency),
        ("propagation_latency", &log.propagation),
        ("prep_processor_queue_time_ms", &stats.prep.queue_time),
        ("sync_processor_queue_time_ms", &log.queue_time),
        ("sync_processor_queue_flush_time_ms", &log.flush_time),
        (
            "sync_processor_queue_and_flush_time_ms",
            &log.queue_and_flush_time,
        ),
    ] {
        lines.distribution(name, distribution);
    }
    let none = Distribution::default();
    for name in NEVER_DISTRIBUTED {
        lines.distribution(name, &none);
    }
}

struct Lines(String);

impl Lines {
    fn put(&mut self, name: &str, value: impl Display) {
        _ = writeln!(self.0, "zk_{name}\t{value}");
    }

    fn count(&mut self, name: &str, counter: &AtomicU64) {
        self.put(name, counter.load(Relaxed));
    }

    fn summary(&mut self, name: &str, tally: &Tally) {
        self.put(&format!("avg_{name}"), format_args!("{:?}", tally.mean()));
        for (kind, value) in [
            ("min", tally.min()),
            ("max", tally.max()),
            ("cnt", tally.count),
            ("sum", tally.sum),
        ] {
            self.put(&format!("{kind}_{name}"), value);
        }
    }

    fn distribution(&mut self, name: &str, distribution: &Distribution) {
        self.summary(name, &distribution.tally());
        let percentiles = distribution.percentiles([500, 950, 990, 999]);
        for (kind, value) in ["p50", "p95", "p99", "p999"].iter().zip(percentiles) {
            self.put(&format!("{kind}_{name}"), value);
        }
    }
}

/// File descriptors open in this process; zero where the system does not tell.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn files_max() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}
