//! Every workload runs, checks its replies, and leaves nothing.

use zk_testkit::TestServer;

use super::zk;

#[tokio::test]
async fn every_workload_measures_something_and_cleans_up() {
    let server = TestServer::start().await.unwrap();
    let pid = std::process::id().to_string();
    for (workload, operation) in [
        ("read", Some("getData")),
        ("write", Some("setData")),
        ("mix", Some("getData")),
        ("lock", Some("create")),
        ("fanout", Some("notification")),
        ("idle", None),
    ] {
        let args = [
            "--json",
            "bench",
            workload,
            "--sessions",
            "3",
            "--in-flight",
            "4",
            "--keys",
            "5",
            "--value-bytes",
            "100",
            "--warm-up",
            "50ms",
            "--duration",
            "300ms",
            "--threads",
            "2",
            "--read-percent",
            "50",
            "--pid",
            &pid,
            "--path",
            "/deep/bench",
        ];
        let report = &zk(&server, &args).await.json()[0];
        assert_eq!(report["workload"], workload);
        assert!(report["server"]["end"]["rss_bytes"].as_u64().unwrap() > 0);
        let latencies = report["latency_micros"].as_array().unwrap();
        match operation {
            None => assert_eq!(report["operations"], 0),
            Some(operation) => {
                assert!(report["operations"].as_u64().unwrap() > 0, "{workload}");
                let of = |latency: &&serde_json::Value| latency["op"] == operation;
                let latency = latencies.iter().find(of).unwrap();
                assert!(
                    latency["p50"].as_u64() <= latency["max"].as_u64(),
                    "{workload}"
                );
            }
        }
        // Of the path, what stood above the znodes stays.
        assert_eq!(
            zk(&server, &["ls", "-R", "/deep"]).await.text(),
            "/deep\n",
            "{workload}"
        );
    }
}

#[tokio::test]
async fn znodes_that_were_filled_are_used() {
    let server = TestServer::start().await.unwrap();
    let fill = [
        "--json",
        "bench",
        "fill",
        "--keys",
        "2500",
        "--value-bytes",
        "10",
    ];
    let report = &zk(&server, &fill).await.json()[0];
    assert_eq!(report["operations"], 2500);
    assert_eq!(
        zk(&server, &["get", "/zk-bench/0002/499"]).await.text(),
        "vvvvvvvvvv\n"
    );
    let read = [
        "bench",
        "read",
        "--keys",
        "2500",
        "--value-bytes",
        "10",
        "--warm-up",
        "0",
        "--duration",
        "100ms",
    ];
    assert_eq!(zk(&server, &read).await.code, Some(0));
    assert_eq!(zk(&server, &["ls", "/"]).await.text(), "[zookeeper]\n");
}

#[tokio::test]
async fn sessions_prove_the_identities_that_are_given() {
    let server = TestServer::start().await.unwrap();
    let auth = ["--auth", "digest:bob:secret"];
    let create = ["create", "/own", "", "auth::cdrwa"];
    zk(&server, &[&auth[..], &create].concat()).await.text();
    let short = ["--keys", "5", "--warm-up", "0", "--duration", "100ms"];
    let bench = [&["bench", "write", "--path", "/own"], &short[..]].concat();
    let run = zk(&server, &bench).await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("/own"), "{}", run.err);
    let run = zk(&server, &[&auth[..], &bench].concat()).await;
    assert_eq!(run.code, Some(0), "{}", run.err);
    let run = zk(&server, &[&["--auth", "nonsense:x"], &bench[..]].concat()).await;
    assert_eq!(run.code, Some(1));
    assert!(run.err.contains("the identity of nonsense"), "{}", run.err);
}
