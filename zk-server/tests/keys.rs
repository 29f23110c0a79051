//! Keys of `zoo.cfg` and settings of `SERVER_JVMFLAGS` do what they say.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "tests open sockets")]

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{PATIENCE, RawClient, ask, create, get, handshake};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use zk_proto::{
    Acl, Auth, Create, CreateMode, ErrorCode, Id, OpCode, Perms, Reconfig, Request, Txn, TxnRecord,
    Zxid,
};
use zk_server::config::Sources;
use zk_server::{Config, Running, Server, ServerError};
use zk_storage::memory::MemoryFileSystem;
use zk_storage::{TxnLogItem, TxnLogReader};

const DIR: &str = "/data/version-2";

/// What these lines and flags come to.
fn config(lines: &str, jvm_flags: &str) -> Config {
    let text = format!(
        "dataDir=/data\nclientPort=0\n4lw.commands.whitelist=*\npreAllocSize=64\n{lines}\n"
    );
    let sources = Sources {
        path: Path::new("zoo.cfg"),
        text: text.as_bytes(),
        jvm_flags,
        overrides: &[],
    };
    Config::parse(&sources, |_| Ok(None)).unwrap().config
}

async fn try_start(
    disk: &Arc<MemoryFileSystem>,
    lines: &str,
    jvm_flags: &str,
) -> Result<Running, ServerError> {
    let server = Server::builder().config(config(lines, jvm_flags));
    server.file_system(disk.clone()).start().await
}

async fn start(disk: &Arc<MemoryFileSystem>, lines: &str) -> Running {
    try_start(disk, lines, "").await.unwrap()
}

/// A server with these lines on a disk of its own, and a client.
async fn start_alone(lines: &str) -> (Arc<MemoryFileSystem>, Running, RawClient) {
    start_with_flags(lines, "").await
}

async fn start_with_flags(
    lines: &str,
    jvm_flags: &str,
) -> (Arc<MemoryFileSystem>, Running, RawClient) {
    let disk = Arc::new(MemoryFileSystem::new());
    let server = try_start(&disk, lines, jvm_flags).await.unwrap();
    let (client, _) = RawClient::log_in(local(&server)).await;
    (disk, server, client)
}

/// The server's port on 127.0.0.1.
fn local(server: &Running) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.local_addr().port()))
}

fn node(path: &str) -> Request {
    create(path, b"", CreateMode::Persistent)
}

/// The code of the answer.
async fn code(client: &mut RawClient, request: Request) -> ErrorCode {
    client.send(&[request]).await;
    client.reply().await.0.err
}

fn files(disk: &MemoryFileSystem, prefix: &str) -> Vec<PathBuf> {
    let paths = disk.paths().into_iter();
    paths
        .filter(|path| path.to_str().unwrap().starts_with(prefix))
        .collect()
}

fn logged(disk: &MemoryFileSystem) -> Vec<TxnRecord> {
    let mut records = Vec::new();
    for path in files(disk, &format!("{DIR}/log.")) {
        for item in TxnLogReader::open(disk, &path).unwrap() {
            if let TxnLogItem::Txn { record, .. } = item.unwrap() {
                records.push(record.unwrap());
            }
        }
    }
    records
}

async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never: {what}"));
}

fn addauth(proof: &'static str) -> Request {
    Request::Auth(Auth {
        kind: 0,
        scheme: "digest".to_owned(),
        auth: Bytes::from_static(proof.as_bytes()),
    })
}

#[tokio::test]
async fn session_timeouts_are_clamped_by_ticks_or_by_what_is_given() {
    for (lines, granted) in [
        ("tickTime=1000", [2000, 20_000]),
        ("minSessionTimeout=500\nmaxSessionTimeout=700", [500, 700]),
        ("", [6000, 60_000]),
    ] {
        let disk = Arc::new(MemoryFileSystem::new());
        let server = start(&disk, lines).await;
        for (asked, granted) in [1, i32::MAX].into_iter().zip(granted) {
            let mut client = RawClient::connect(local(&server)).await;
            let mut request = handshake();
            request.timeout_ms = asked;
            let response = client.shake(&request).await.unwrap();
            assert_eq!(response.timeout_ms, granted, "{lines}");
        }
    }
}

#[tokio::test]
async fn the_client_port_is_where_it_should_be() {
    for (lines, flags, on_v4, on_v6) in [
        ("", "", true, true),
        ("clientPortAddress=0.0.0.0", "", true, true),
        ("clientPortAddress=::", "", true, true),
        ("clientPortAddress=127.0.0.1", "", true, false),
        ("clientPortAddress=::1", "", false, true),
        ("clientPortAddress=[::1]", "", false, true),
        ("", "-Djava.net.preferIPv4Stack=true", true, false),
        (
            "clientPortListenBacklog=7\nclientTcpKeepAlive=true",
            "",
            true,
            true,
        ),
    ] {
        let disk = Arc::new(MemoryFileSystem::new());
        let server = try_start(&disk, lines, flags).await.unwrap();
        let port = server.local_addr().port();
        for (host, expected) in [("127.0.0.1", on_v4), ("::1", on_v6)] {
            let is_open = TcpStream::connect((host, port)).await.is_ok();
            assert_eq!(is_open, expected, "{lines} {flags} {host}");
        }
    }
}

#[tokio::test]
async fn logs_and_snapshots_are_where_they_should_be() {
    let (disk, server, mut client) = start_alone("dataLogDir=/logs").await;
    client.call(node("/a")).await;
    assert!(files(&disk, "/logs/version-2/log.1").len() == 1);
    assert!(files(&disk, "/data/version-2/snapshot.0").len() == 1);
    assert!(files(&disk, "/data/version-2/log").is_empty());
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn missing_directories_and_an_empty_database_may_be_refused() {
    let disk = Arc::new(MemoryFileSystem::new());
    let refusal = try_start(&disk, "datadir.autocreate=false", "").await;
    let error = refusal.unwrap_err();
    assert!(matches!(error, ServerError::DataDir(_)), "{error}");
    assert_eq!(error.exit_code(), 3);

    let refusal = try_start(&disk, "", "-Dzookeeper.db.autocreate=false").await;
    let error = refusal.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    let text = error.to_string();
    assert!(
        text.contains("db.autocreate") && text.contains("/data/initialize"),
        "{text}"
    );

    disk.place(Path::new("/data/initialize"), b"");
    let server = start(&disk, "db.autocreate=false").await;
    assert!(
        files(&disk, "/data/initialize").is_empty(),
        "it is for one start"
    );
    server.shutdown().await.unwrap();
    let server = start(&disk, "db.autocreate=false").await;
    server.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_without_its_snapshot_is_refused_unless_that_is_trusted() {
    let (disk, server, mut client) = start_alone("").await;
    client.call(node("/a")).await;
    server.shutdown().await.unwrap();
    for snapshot in files(&disk, &format!("{DIR}/snapshot")) {
        disk.lose(&snapshot);
    }
    let refusal = try_start(&disk, "", "").await;
    assert!(matches!(refusal.unwrap_err(), ServerError::Recover(_)));
    let server = start(&disk, "snapshot.trust.empty=true").await;
    let (mut client, _) = RawClient::log_in(local(&server)).await;
    client.call(get("/a")).await;
}

#[tokio::test]
async fn the_log_grows_ahead_and_is_followed_by_another_as_told() {
    for (lines, bytes) in [("preAllocSize=16", 16 << 10), ("", 64 << 10)] {
        let (disk, _server, mut client) = start_alone(lines).await;
        client.call(node("/a")).await;
        let log = files(&disk, &format!("{DIR}/log."));
        assert_eq!(disk.content(&log[0]).unwrap().len(), bytes, "{lines}");
    }
    let (disk, _server, mut client) = start_alone("txnLogSizeLimitInKb=1\npreAllocSize=0").await;
    for number in 0..60 {
        client.call(node(&format!("/{number}"))).await;
    }
    let logs = files(&disk, &format!("{DIR}/log.")).len();
    assert!((4..12).contains(&logs), "{logs} logs");
}

#[tokio::test]
async fn snapshots_follow_each_other_by_count_or_by_size() {
    for lines in ["snapCount=10", "snapSizeLimitInKb=2"] {
        let (disk, _server, mut client) = start_alone(lines).await;
        for number in 0..60 {
            client.call(node(&format!("/{number}"))).await;
        }
        let snapshots = || files(&disk, &format!("{DIR}/snapshot.")).len();
        wait_until(lines, || snapshots() > 1).await;
    }
}

#[tokio::test]
async fn old_snapshots_and_their_logs_are_removed_in_the_background() {
    let lines = "snapCount=2\nautopurge.snapRetainCount=4\nautopurge.purgeInterval=50ms";
    for (lines, kept) in [
        (lines, 4..5),
        ("snapCount=2\nautopurge.purgeInterval=0", 8..100),
    ] {
        let (disk, _server, mut client) = start_alone(lines).await;
        let snapshots = || files(&disk, &format!("{DIR}/snapshot.")).len();
        let mut number = 0;
        let newest = || {
            let files = files(&disk, &format!("{DIR}/snapshot.")).into_iter();
            let zxid = |path: PathBuf| {
                let zxid = path.extension()?.to_str()?;
                i64::from_str_radix(zxid, 16).ok()
            };
            files.filter_map(zxid).max()
        };
        for _ in 0..12 {
            let before = newest();
            for _ in 0..3 {
                number += 1;
                client.call(node(&format!("/{number}"))).await;
            }
            wait_until("another snapshot", || newest() > before).await;
        }
        wait_until(lines, || kept.contains(&snapshots())).await;
    }
}

#[tokio::test]
async fn a_snapshot_ends_with_the_last_zxid_unless_told_otherwise() {
    let content = async |lines| {
        let (disk, server, _client) = start_alone(lines).await;
        server.shutdown().await.unwrap();
        let snapshot = format!("{DIR}/snapshot.0");
        disk.content(Path::new(&snapshot)).unwrap()
    };
    let whole = content("").await;
    let without = content("serializeLastProcessedZxid.enabled=false").await;
    assert_eq!(whole.get(..without.len()), Some(without.as_slice()));
    // The zxid, and a seal.
    assert_eq!(whole.len() - without.len(), 8 + 13);
}

#[tokio::test]
async fn digests_and_the_paths_of_a_closed_session_are_logged_unless_told_otherwise() {
    for (lines, has_digest, has_paths) in [
        ("", true, true),
        ("digest.enabled=false", false, true),
        ("closeSessionTxn.enabled=false", true, false),
    ] {
        let (disk, server, mut client) = start_alone(lines).await;
        client.call(create("/e", b"", CreateMode::Ephemeral)).await;
        client.call(Request::CloseSession).await;
        server.shutdown().await.unwrap();
        let log = logged(&disk);
        assert!(
            log.iter()
                .all(|record| record.digest.is_some() == has_digest)
        );
        let expected = has_paths.then(|| vec!["/e".to_owned()]);
        let last = log.last().unwrap();
        assert_eq!(last.txn, Txn::CloseSession { paths: expected }, "{lines}");
        let server = start(&disk, lines).await;
        let (mut client, _) = RawClient::log_in(local(&server)).await;
        assert_eq!(code(&mut client, get("/e")).await, ErrorCode::NO_NODE);
    }
}

#[tokio::test]
async fn a_write_waits_for_the_disk_unless_told_otherwise() {
    for (lines, survives) in [("", true), ("forceSync=no", false)] {
        let (disk, server, mut client) = start_alone(lines).await;
        client.call(node("/a")).await;
        let disk = Arc::new(disk.fork());
        drop(server);
        disk.power_cut(|| false);
        let found = logged(&disk)
            .iter()
            .any(|record| matches!(&record.txn, Txn::Create(create) if create.path == "/a"));
        assert_eq!(found, survives, "{lines}");
    }
}

#[tokio::test]
async fn access_control_is_as_told() {
    let closed = || {
        Request::Create(Create {
            op: OpCode::CREATE,
            path: "/closed".to_owned(),
            data: None,
            acl: vec![Acl::new(Perms::READ, Id::new("ip", "10.0.0.1"))],
            flags: 0,
            ttl_ms: 0,
        })
    };
    let sha256 = "-Dzookeeper.DigestAuthenticationProvider.digestAlg=SHA-256 \
        -Dzookeeper.DigestAuthenticationProvider.superDigest=\
        super:IMoT569muSJY1ooM++wkfFUKjxkpMuEPD90i/8Cw4m4=";
    let sha1 = "-Dzookeeper.DigestAuthenticationProvider.superDigest=\
        super:c9T5yFYCHEoR/xZ3KuYTF5tNWis=";
    for (lines, flags, proof, expected) in [
        ("", "", None, ErrorCode::NO_AUTH),
        ("skipACL=yes", "", None, ErrorCode::OK),
        ("", sha1, Some("super:golden"), ErrorCode::OK),
        ("", sha256, Some("super:golden"), ErrorCode::OK),
        ("", sha1, Some("super:other"), ErrorCode::NO_AUTH),
    ] {
        let (_disk, _server, mut client) = start_with_flags(lines, flags).await;
        client.call(closed()).await;
        if let Some(proof) = proof {
            client.call(addauth(proof)).await;
        }
        assert_eq!(
            code(&mut client, get("/closed")).await,
            expected,
            "{lines} {flags}"
        );
    }
    let off = "DigestAuthenticationProvider.enabled=false";
    let (_disk, _server, mut client) = start_alone(off).await;
    assert_eq!(
        code(&mut client, addauth("a:b")).await,
        ErrorCode::AUTH_FAILED
    );
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn nothing_is_served_before_the_proof_that_is_enforced() {
    let lines = "enforce.auth.enabled=true\nenforce.auth.schemes=digest";
    let (_disk, server, mut client) = start_alone(lines).await;
    let refused = ErrorCode::SESSION_CLOSED_REQUIRE_SASL_AUTH;
    assert_eq!(code(&mut client, get("/")).await, refused);
    assert!(client.is_closed().await);
    let (mut client, _) = RawClient::log_in(local(&server)).await;
    client.call(addauth("a:b")).await;
    client.call(get("/")).await;
    let lines = "enforce.auth.enabled=true\nenforce.auth.schemes=ip";
    let (_disk, _server, mut client) = start_alone(lines).await;
    client.call(get("/")).await;
}

#[tokio::test]
async fn kinds_of_nodes_exist_and_go_as_told() {
    let ttl = || {
        Request::Create(Create {
            op: OpCode::CREATE_TTL,
            path: "/ttl".to_owned(),
            data: None,
            acl: vec![Acl::open()],
            flags: CreateMode::PersistentWithTtl.to_flags(),
            ttl_ms: 1,
        })
    };
    let container = || {
        Request::Create(Create {
            op: OpCode::CREATE_CONTAINER,
            path: "/container".to_owned(),
            data: None,
            acl: vec![Acl::open()],
            flags: CreateMode::Container.to_flags(),
            ttl_ms: 0,
        })
    };
    let (_disk, _server, mut client) = start_alone("").await;
    assert_eq!(code(&mut client, ttl()).await, ErrorCode::UNIMPLEMENTED);

    let flags = "-Dzookeeper.extendedTypesEnabled=true -Dznode.container.checkIntervalMs=20";
    let (_disk, server, mut client) = start_with_flags("", flags).await;
    client.call(ttl()).await;
    client.call(container()).await;
    let gone = async {
        while code(&mut client, get("/ttl")).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    client.call(get("/container")).await;
    server.shutdown().await.unwrap();

    let flags = "-Dznode.container.checkIntervalMs=20 -Dznode.container.maxNeverUsedIntervalMs=1";
    let (_disk, _server, mut client) = start_with_flags("", flags).await;
    client.call(container()).await;
    let gone = async {
        while code(&mut client, get("/container")).await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn reconfig_is_disabled_or_unknown_to_a_server_that_is_alone() {
    let reconfig = || {
        Request::Reconfig(Reconfig {
            joining: None,
            leaving: None,
            new_members: Some("server.1=127.0.0.1:1:2".to_owned()),
            current_config: Zxid(-1),
        })
    };
    for (lines, expected) in [
        ("", ErrorCode::RECONFIG_DISABLED),
        ("reconfigEnabled=true", ErrorCode::UNIMPLEMENTED),
    ] {
        let (_disk, _server, mut client) = start_alone(lines).await;
        assert_eq!(code(&mut client, reconfig()).await, expected, "{lines}");
    }
}

#[tokio::test]
async fn limits_are_those_of_the_file_or_of_the_flags() {
    let long = || create("/a", &[0; 3000], CreateMode::Persistent);
    let (_disk, _server, mut client) = start_alone("").await;
    client.call(long()).await;
    for (lines, flags) in [
        ("jute.maxbuffer=2000", ""),
        ("", "-Djute.maxbuffer=2000"),
        ("", "-Djute.maxbuffer=0x7d0"),
    ] {
        let (_disk, _server, mut client) = start_with_flags(lines, flags).await;
        client.send(&[long()]).await;
        assert!(client.is_closed().await, "{lines} {flags}");
    }
    for lines in ["maxClientCnxns=1", "maxCnxns=1", "limits.sessions=1"] {
        let (_disk, server, mut client) = start_alone(lines).await;
        let mut other = RawClient::connect(local(&server)).await;
        assert_eq!(other.shake(&handshake()).await, None, "{lines}");
        client.call(get("/")).await;
    }
    let (_disk, server, _client) = start_alone("nio.sessionlessCnxnTimeout=100").await;
    let mut silent = RawClient::connect(local(&server)).await;
    assert!(silent.is_closed().await);
}

#[tokio::test]
async fn words_are_answered_as_the_whitelist_says() {
    for (lines, flags, allowed, refused) in [
        (
            "4lw.commands.whitelist=ruok, mntr",
            "",
            vec!["ruok", "mntr", "srvr"],
            "conf",
        ),
        ("", "-Dreadonlymode.enabled=true", vec!["isro", "conf"], ""),
    ] {
        let disk = Arc::new(MemoryFileSystem::new());
        let server = try_start(&disk, lines, flags).await.unwrap();
        for word in allowed {
            let answer = ask(local(&server), word).await;
            assert!(!answer.contains("not in the whitelist"), "{word}: {answer}");
        }
        if !refused.is_empty() {
            let answer = ask(local(&server), refused).await;
            assert!(answer.contains("not in the whitelist"), "{answer}");
        }
    }
}
