//! Four-letter words, whose texts are Apache's.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;

use common::{RawClient, ask, create, get, start};
use tempfile::tempdir;
use zk_proto::{CreateMode, ErrorCode, Request};
use zk_server::FULL_VERSION;
use zk_server::config::FourLetterWords;

/// `text` with each run of digits as `N`, and hexadecimal numbers as `X`.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(hex) = rest.strip_prefix("0x") {
            shape.push('X');
            rest = hex.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
        } else if first.is_ascii_digit() {
            shape.push('N');
            rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        } else {
            shape.push(first);
            rest = rest.strip_prefix(first).unwrap();
        }
    }
    shape
}

/// An answer of Apache's standalone server, recorded.
fn golden(word: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/fourletter");
    read(&format!("{folder}/standalone/{word}.txt"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Series of `mntr` that only Apache's server has; `app` is a namespace of the recordings.
const ONLY_APACHES: [&str; 45] = [
    "add_dead_watcher_stall_time",
    "app_read_per_namespace",
    "app_write_per_namespace",
    "close_session_prep_time",
    "commit_commit_proc_req_queued",
    "commit_process_time",
    "concurrent_request_processing_in_commit_processor",
    "connection_token_deficit",
    "dead_watchers_cleaner_latency",
    "dead_watchers_cleared",
    "dead_watchers_queued",
    "jvm_pause_time_ms",
    "learner_request_processor_queue_size",
    "local_write_committed_time_ms",
    "netty_queued_buffer_capacity",
    "om_commit_process_time_ms",
    "om_proposal_process_time_ms",
    "outstanding_changes_queued",
    "outstanding_changes_removed",
    "pending_session_queue_size",
    "prep_process_time",
    "proposal_process_time",
    "read_commit_proc_issued",
    "read_commit_proc_req_queued",
    "read_commitproc_time_ms",
    "read_final_proc_time_ms",
    "reads_after_write_in_session_queue",
    "reads_issued_from_session_queue",
    "request_commit_queued",
    "request_throttle_queue_time_ms",
    "requests_in_session_queue",
    "requests_not_forwarded_to_commit_processor",
    "response_packet_cache_hits",
    "response_packet_cache_misses",
    "response_packet_get_children_cache_hits",
    "response_packet_get_children_cache_misses",
    "server_write_committed_time_ms",
    "session_queues_drained",
    "skip_learner_request_to_next_processor_count",
    "time_waiting_empty_pool_in_commit_processor_read_ms",
    "write_batch_time_in_commit_processor",
    "write_commit_proc_issued",
    "write_commit_proc_req_queued",
    "write_commitproc_time_ms",
    "write_final_proc_time_ms",
];

/// Series that Apache's server has since 3.9; the recordings are of 3.8.0.
const SINCE_3_9: [&str; 5] = [
    "restore_error_count",
    "restore_rate_limited_count",
    "restore_time",
    "snapshot_error_count",
    "snapshot_rate_limited_count",
];

#[tokio::test]
async fn words_without_numbers_are_answered_byte_for_byte() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    for word in ["ruok", "isro", "crst", "srst"] {
        assert_eq!(ask(server.local_addr(), word).await, golden(word));
    }
    assert_eq!(ask(server.local_addr(), "ruok\n").await, golden("ruok"));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn words_with_numbers_have_the_shape_that_apache_gives_them() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/e", b"", CreateMode::Ephemeral)).await;
    let address = server.local_addr();

    let srvr = ask(address, "srvr").await;
    let rest = |text: &str| text.split_once('\n').unwrap().1.to_owned();
    assert_eq!(
        srvr.lines().next(),
        Some(&*format!("Zookeeper version: {FULL_VERSION}"))
    );
    assert_eq!(shape(&rest(&srvr)), shape(&rest(&golden("srvr"))));
    assert!(srvr.contains("Mode: standalone\nNode count: 6\n"), "{srvr}");

    for word in ["conf", "dirs"] {
        let keys = |text: &str| {
            let keys = text.lines().map(|line| line.split(['=', ':']).next());
            keys.map(|key| key.unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(keys(&ask(address, word).await), keys(&golden(word)));
    }

    let envi = ask(address, "envi").await;
    assert!(envi.starts_with(&format!("Environment:\nzookeeper.version={FULL_VERSION}\n")));
    assert_eq!(envi.lines().count(), golden("envi").lines().count());

    let line_of_session = |text: &str| {
        let line = text.lines().find(|line| line.contains("lcxid")).unwrap();
        shape(line).replace("GETD", "OP").replace("CREA", "OP")
    };
    let cons = ask(address, "cons").await;
    assert_eq!(line_of_session(&cons), line_of_session(&golden("cons")));
    assert!(cons.ends_with("\n\n"), "{cons}");

    let stat = ask(address, "stat").await;
    let of_apache = shape(&golden("stat"));
    let session = " /N.N.N.N:N[N](queued=N,recved=N,sent=N)\n";
    let one_client_less = |text: &str| text.replacen(session, "", 1);
    let of_apache = one_client_less(&one_client_less(&of_apache));
    assert_eq!(rest(&shape(&stat)), rest(&of_apache));

    server.shutdown().await.unwrap();
}

/// A name of `mntr` without the kind of its figure.
fn series(line: &str) -> &str {
    let name = line.split('\t').next().unwrap();
    let name = name.strip_prefix("zk_").unwrap();
    let kinds = [
        "avg_", "cnt_", "sum_", "p50_", "p95_", "p999_", "p99_", "min_", "max_",
    ];
    let stripped = kinds.iter().find_map(|kind| name.strip_prefix(kind));
    stripped.unwrap_or(name)
}

#[tokio::test]
async fn mntr_has_apaches_names_but_for_stages_that_only_apaches_server_has() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let mntr = ask(server.local_addr(), "mntr").await;
    let golden = golden("mntr");
    let names = |text: &str| -> BTreeSet<String> {
        let names = text.lines().map(|line| line.split('\t').next().unwrap());
        names.map(str::to_owned).collect()
    };
    let (ours, apaches) = (names(&mntr), names(&golden));
    assert_eq!(ours.len(), mntr.lines().count(), "each name comes once");
    let missing: BTreeSet<&str> = apaches.difference(&ours).map(|name| series(name)).collect();
    let more: BTreeSet<&str> = ours.difference(&apaches).map(|name| series(name)).collect();
    assert_eq!(missing, ONLY_APACHES.into());
    assert_eq!(more, SINCE_3_9.into());
    let documented = read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/compatibility.md"
    ));
    for name in ONLY_APACHES {
        let name = name.trim_start_matches("app_");
        assert!(documented.contains(&format!("`{name}`")), "{name}");
    }
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn mntr_measures_what_clients_do() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| config.tree.enforces_quota = true).await;
    let address = server.local_addr();
    let (mut client, _) = RawClient::log_in(address).await;
    let node = |path: &str, data: &str| create(path, data.as_bytes(), CreateMode::Persistent);
    let quota = "/zookeeper/quota/a";
    for request in [
        node("/a", ""),
        node(quota, ""),
        node(
            &format!("{quota}/zookeeper_limits"),
            "count=-1,bytes=20=;countHardLimit=1;byteHardLimit=-1",
        ),
        node(&format!("{quota}/zookeeper_stats"), "count=0,bytes=0"),
        Request::GetData {
            path: "/a".to_owned(),
            watch: true,
        },
        Request::Ping,
    ] {
        client.call(request).await;
    }
    client.send(&[node("/a/b", "")]).await;
    assert_eq!(client.reply().await.0.err, ErrorCode::QUOTA_EXCEEDED);
    client
        .send(&[Request::SetData {
            path: "/a".to_owned(),
            data: None,
            version: -1,
        }])
        .await;
    for _event_and_reply in 0..2 {
        client.reply().await;
    }
    let mntr = ask(address, "mntr").await;
    for line in [
        "zk_cnt_readlatency\t2",
        // With that of the session.
        "zk_cnt_updatelatency\t7",
        "zk_cnt_propagation_latency\t7",
        "zk_cnt_sync_processor_queue_and_flush_time_ms\t7",
        "zk_sum_sync_processor_batch_size\t7",
        "zk_sync_processor_request_queued\t7",
        "zk_prep_processor_request_queued\t9",
        "zk_cnt_prep_processor_queue_time_ms\t8",
        "zk_connection_request_count\t1",
        "zk_cnt_node_changed_watch_count\t1",
        "zk_sum_node_changed_watch_count\t1",
        "zk_max_node_changed_watch_count\t1",
        "zk_cnt_snapshottime\t0",
        "zk_cnt_dbinittime\t1",
        "zk_digest_mismatches_count\t0",
        "zk_a_quota_count_limit_per_namespace\t1",
        "zk_a_quota_bytes_limit_per_namespace\t20",
        "zk_a_quota_count_usage_per_namespace\t1",
        "zk_a_quota_bytes_usage_per_namespace\t0",
        "zk_a_quota_exceeded_error_per_namespace\t1",
        "zk_ephemerals_count\t0",
        "zk_server_state\tstandalone",
    ] {
        assert!(mntr.lines().any(|seen| seen == line), "{line}: {mntr}");
    }
    let figure = |text: &str, name: &str| {
        let prefix = format!("zk_{name}\t");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        value.unwrap().parse::<f64>().unwrap()
    };
    // The event's frame without its length: a header of 16 bytes, type, state, and the path.
    let event = 16 + 8 + 4 + 2;
    assert_eq!(figure(&mntr, "watch_bytes"), f64::from(event));
    let fsync = ["min", "p50", "p99", "max"];
    let fsync =
        fsync.map(|kind| figure(&mntr, &format!("{kind}_sync_processor_queue_flush_time_ms")));
    assert!(fsync.is_sorted(), "{fsync:?}");

    ask(address, "srst").await;
    let mntr = ask(address, "mntr").await;
    for name in [
        "cnt_updatelatency",
        "sum_fsynctime",
        "watch_bytes",
        "cnt_dbinittime",
    ] {
        assert_eq!(figure(&mntr, name), 0.0, "{name}");
    }
    assert_eq!(figure(&mntr, "znode_count"), 9.0);
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn dump_shows_sessions_ephemerals_and_connections() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, opened) = RawClient::log_in(server.local_addr()).await;
    client.call(create("/e", b"", CreateMode::Ephemeral)).await;
    let session = opened.session_id;
    let dump = ask(server.local_addr(), "dump").await;
    let date = "Day Mon N N:N:N UTC N";
    let mut seen = String::new();
    for line in shape(&dump).lines() {
        match line.split_once(" expire at ") {
            Some((count, _)) => seen.push_str(&format!("{count} expire at {date}:\n")),
            None => seen.push_str(&format!("{line}\n")),
        }
    }
    let expected = format!(
        "SessionTracker dump:\nSession Sets (N)/(N):\nN expire at {date}:\n\tX\n\
         ephemeral nodes dump:\nSessions with Ephemerals (N):\nX:\n\t/e\n\
         Connections dump:\nConnections Sets (N)/(N):\nN expire at {date}:\n\
         \tip: /N.N.N.N:N sessionId: X\nN expire at {date}:\n\tip: /N.N.N.N:N sessionId: X\n"
    );
    assert_eq!(seen, expected, "{dump}");
    assert_eq!(dump.matches(&session.to_string()).count(), 3, "{dump}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn watches_are_shown_by_session_and_by_path() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, opened) = RawClient::log_in(server.local_addr()).await;
    let watch = Request::Exists {
        path: "/a".to_owned(),
        watch: true,
    };
    client.send(&[watch]).await;
    assert_eq!(client.reply().await.0.err, ErrorCode::NO_NODE);
    let (address, session) = (server.local_addr(), opened.session_id);
    let summary = "1 connections watching 1 paths\nTotal watches:1\n";
    assert_eq!(ask(address, "wchs").await, summary);
    assert_eq!(ask(address, "wchc").await, format!("{session}\n\t/a\n\n"));
    assert_eq!(ask(address, "wchp").await, format!("/a\n\t{session}\n\n"));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn resets_begin_counters_anew() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    client.call(get("/")).await;
    ask(server.local_addr(), "crst").await;
    let cons = ask(server.local_addr(), "cons").await;
    assert!(cons.contains("queued=0,recved=0,sent=0,sid="), "{cons}");
    assert!(cons.contains("lop=NA"), "{cons}");
    ask(server.local_addr(), "srst").await;
    let srvr = ask(server.local_addr(), "srvr").await;
    // The answer to srst is the first packet.
    assert!(srvr.contains("\nReceived: 1\nSent: 1\n"), "{srvr}");
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_word_that_is_not_in_the_whitelist_is_refused() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |config| {
        config.client_port.four_letter_words = FourLetterWords::parse("stat");
    })
    .await;
    let address = server.local_addr();
    let refusal = "mntr is not executed because it is not in the whitelist.\n";
    assert_eq!(ask(address, "mntr").await, refusal);
    assert!(ask(address, "stat").await.contains("Mode: "));
    assert!(ask(address, "srvr").await.contains("Mode: "));
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn hash_shows_a_digest_every_128_transactions() {
    let dir = tempdir().unwrap();
    let server = start(dir.path(), |_| {}).await;
    assert_eq!(ask(server.local_addr(), "hash").await, "");
    let (mut client, _) = RawClient::log_in(server.local_addr()).await;
    let requests: Vec<_> = (0..128)
        .map(|number| create(&format!("/{number}"), b"", CreateMode::Persistent))
        .collect();
    client.send(&requests).await;
    for _ in &requests {
        assert_eq!(client.reply().await.0.err, ErrorCode::OK);
    }
    let hash = ask(server.local_addr(), "hash").await;
    assert!(hash.starts_with("80: "), "{hash}");
    assert_eq!(hash.lines().count(), 1, "{hash}");
    server.shutdown().await.unwrap();
}
