//! The program: what it prints, how it stops, and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(
    clippy::disallowed_methods,
    reason = "starts programs and writes their files"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{PATIENCE, RawClient, create, get, handshake};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::tempdir;
use zk_proto::{CreateMode, Request, SessionId};
use zk_server::FULL_VERSION;

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_zk-server"))
}

/// Runs to the end.
fn run(arguments: &[&str]) -> Output {
    let output = program().args(arguments).env_remove("RUST_LOG").output();
    output.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server for development on a free port, its address, and the lines that it greets with.
fn dev(data: &Path) -> (Child, SocketAddr, Vec<String>) {
    let (child, addresses, greeting) = dev_of(data, Some("1"));
    let address = *addresses.first().unwrap();
    (child, address, greeting)
}

/// The same for so many servers; `None` for as many as there are by default.
fn dev_of(data: &Path, servers: Option<&str>) -> (Child, Vec<SocketAddr>, Vec<String>) {
    let servers = servers.map(|servers| ["--servers", servers]);
    let mut child = program()
        .args(["dev", "--port", "0", "--data"])
        .arg(data)
        .args(servers.into_iter().flatten())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let greeting: Vec<_> = lines.take(5).map(Result::unwrap).collect();
    let first = greeting.first().unwrap();
    let words = first.split([' ', ',']);
    let addresses: Vec<_> = words.filter_map(|word| word.parse().ok()).collect();
    assert!(!addresses.is_empty(), "the first line tells the addresses");
    (child, addresses, greeting)
}

/// A server from a file with these lines besides the directory, on a free port; its address, and the
/// file with its log.
fn foreground(dir: &Path, lines: &str) -> (Child, SocketAddr, PathBuf) {
    let (config, log) = (dir.join("zoo.cfg"), dir.join("log"));
    let data = dir.join("data");
    let text = format!("dataDir={}\nclientPort=0\n{lines}", data.display());
    std::fs::write(&config, text).unwrap();
    let child = program()
        .args(["start-foreground", config.to_str().unwrap()])
        .env_remove("RUST_LOG")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    (child, address_in(&log), log)
}

/// The address that a server tells in its log.
fn address_in(log: &Path) -> SocketAddr {
    let started = Instant::now();
    loop {
        let text = std::fs::read_to_string(log).unwrap();
        let serving = text.lines().find(|line| line.contains("serving"));
        if let Some((_, address)) = serving.and_then(|line| line.rsplit_once("address=")) {
            let port = address.rsplit_once(':').unwrap().1.trim();
            return SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        }
        assert!(started.elapsed() < PATIENCE, "no address: {text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn stop(mut child: Child, signal: Signal) -> Option<i32> {
    let pid = Pid::from_child(&child);
    kill_process(pid, signal).unwrap();
    child.wait().unwrap().code()
}

#[tokio::test]
async fn a_server_for_development_greets_serves_stops_and_finds_its_data_again() {
    let dir = tempdir().unwrap();
    for (signal, path) in [(Signal::TERM, "/a"), (Signal::INT, "/b")] {
        let (child, address, greeting) = dev(dir.path());
        let pasted = greeting
            .iter()
            .filter(|line| line.contains(&address.to_string()));
        assert_eq!(pasted.count(), 4, "{greeting:?}");
        let (mut client, _) = RawClient::log_in(address).await;
        client.call(create(path, b"", CreateMode::Persistent)).await;
        client.call(get("/a")).await;
        assert_eq!(stop(child, signal), Some(0));
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn an_ensemble_for_development_serves_through_each_server_and_finds_its_data_again() {
    let dir = tempdir().unwrap();
    for (path, seen) in [("/a", vec!["/a"]), ("/b", vec!["/a", "/b"])] {
        let (child, addresses, greeting) = dev_of(dir.path(), None);
        assert!(greeting[0].contains("3 servers"), "{greeting:?}");
        assert_eq!(addresses.len(), 3);
        let (mut writer, _) = RawClient::log_in(addresses[0]).await;
        writer.call(create(path, b"", CreateMode::Persistent)).await;
        for &address in &addresses {
            let (mut reader, _) = RawClient::log_in(address).await;
            reader.call(Request::Sync { path: "/".into() }).await;
            for path in &seen {
                reader.call(get(path)).await;
            }
        }
        assert_eq!(stop(child, Signal::TERM), Some(0));
    }
    assert!(dir.path().join("3").join("version-2").is_dir());
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempdir().unwrap();
    let (child, address, _) = dev(dir.path());
    let (mut client, _) = RawClient::log_in(address).await;
    client.call(create("/a", b"", CreateMode::Persistent)).await;
    assert_eq!(stop(child, Signal::KILL), None);
    let (child, address, _) = dev(dir.path());
    let (mut client, _) = RawClient::log_in(address).await;
    client.call(get("/a")).await;
    assert_eq!(stop(child, Signal::TERM), Some(0));
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let dir = tempdir().unwrap();
    let (child, address, _) = dev(dir.path());
    let data = dir.path().to_str().unwrap();
    let port = address.port().to_string();
    let other = tempdir().unwrap();
    let other = other.path().to_str().unwrap();
    for (arguments, code, message) in [
        (&["start-foreground"][..], 2, "ZOO_CFG"),
        (
            &["start-foreground", "/does/not/exist"],
            2,
            "/does/not/exist",
        ),
        (&["dev", "--servers", "0"], 2, "0 is not in"),
        (&["dev", "--servers", "10"], 2, "10 is not in"),
        (&["dev", "--log", "=="], 2, "--log"),
        (
            &["dev", "--port", "0", "--data", data],
            3,
            "another server uses the directory",
        ),
        (
            &["dev", "--port", &port, "--data", other],
            1,
            "cannot listen on",
        ),
    ] {
        let output = run(arguments);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
    assert_eq!(stop(child, Signal::TERM), Some(0));
}

#[test]
fn version_prints_what_srvr_shows() {
    let output = run(&["version"]);
    assert_eq!(text(&output.stdout), format!("{FULL_VERSION}\n"));
}

#[test]
fn check_prints_what_is_in_effect_and_starts_nothing() {
    let dir = tempdir().unwrap();
    let config = dir.path().join("zoo.cfg");
    let data = dir.path().join("data");
    let lines = format!(
        "dataDir={}\nclientPort=2181\ntickTime=1000\n",
        data.display()
    );
    std::fs::write(&config, lines).unwrap();
    let path = config.to_str().unwrap();
    let output = run(&["check", path, "--set", "tickTime=1500"]);
    assert!(output.status.success());
    let effective = text(&output.stdout);
    assert!(effective.contains("1500"), "{effective}");
    assert!(!data.exists());

    std::fs::write(&config, "clientPort=x\n").unwrap();
    let output = run(&["check", path]);
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("zoo.cfg:1"), "{errors}");
}

#[test]
fn log_lines_are_json_when_asked_for() {
    let dir = tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let config = dir.path().join("zoo.cfg");
    std::fs::write(
        &config,
        format!("dataDir={data}\nclientPort=2181\nunknownKey=1\n"),
    )
    .unwrap();
    let path = config.to_str().unwrap();
    let output = run(&["check", path, "--log-format", "json"]);
    let line = text(&output.stderr);
    let line: serde_json::Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!(line["level"], "WARN");
}

#[tokio::test]
async fn a_write_that_passes_a_quota_is_a_line_of_the_log() {
    let dir = tempdir().unwrap();
    let (child, address, log) = foreground(dir.path(), "enforceQuota=true\n");
    let (mut client, _) = RawClient::log_in(address).await;
    let quota = "/zookeeper/quota/a";
    for (path, data) in [
        ("/a", ""),
        (quota, ""),
        (&format!("{quota}/zookeeper_limits"), "count=1,bytes=-1"),
        (&format!("{quota}/zookeeper_stats"), "count=0,bytes=0"),
        ("/a/b", ""),
    ] {
        let node = create(path, data.as_bytes(), CreateMode::Persistent);
        client.call(node).await;
    }
    assert_eq!(stop(child, Signal::TERM), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    let told: Vec<_> = log
        .lines()
        .filter(|line| line.contains("quota exceeded"))
        .collect();
    assert_eq!(told.len(), 1, "{log}");
    let line = "soft one quota=\"/a\" of=\"count\" usage=2 limit=1 untold=0";
    assert!(told[0].contains("WARN") && told[0].contains(line), "{log}");
}

/// Whoever reaches the port can do it again and again, and must not fill the disk with lines.
#[tokio::test]
async fn a_flood_of_bad_clients_is_a_few_lines_of_the_log() {
    let dir = tempdir().unwrap();
    let (child, address, log) = foreground(dir.path(), "");
    for _ in 0..9 {
        for bytes in [&b"\0\0\x10\x01"[..], b"\0\0\0\x03bad"] {
            let mut client = RawClient::connect(address).await;
            client.write(bytes).await;
            assert!(client.is_closed().await);
        }
        let mut client = RawClient::connect(address).await;
        let mut unknown = handshake();
        unknown.session_id = SessionId(1);
        let refusal = client.shake(&unknown).await.unwrap();
        assert_eq!(refusal.session_id, SessionId(0));
        let operation_23 = b"\0\0\0\x08\0\0\0\x01\0\0\0\x17";
        for bytes in [&b"\0\0\0\x07no head"[..], operation_23] {
            let (mut client, _) = RawClient::log_in(address).await;
            client.write(bytes).await;
            while client.frame().await.is_some() {}
        }
    }
    assert_eq!(stop(child, Signal::TERM), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    for complaint in [
        "length out of bounds",
        "not a handshake",
        "the session to resume is over",
        "not a request",
        "operation not for clients",
    ] {
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains(complaint))
            .collect();
        assert_eq!(lines.len(), 4, "{complaint}: {log}");
        for (line, count) in lines.iter().zip([1, 2, 4, 8]) {
            assert!(line.contains(&format!(" count={count}")), "{line}");
        }
    }
}
