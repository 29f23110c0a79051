//! Four-letter words, whose texts are Apache's.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

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

    for (word, keys) in [("mntr", golden("mntr"))] {
        let ours = ask(address, word).await;
        let known: Vec<_> = keys
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        for line in ours.lines() {
            let key = line.split('\t').next().unwrap();
            assert!(known.contains(&key), "{key} is no name of Apache's");
        }
        assert!(ours.contains("zk_ephemerals_count\t1\n"), "{ours}");
        assert!(ours.contains("zk_server_state\tstandalone\n"), "{ours}");
    }
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
    assert!(srvr.contains("\nReceived: 1\nSent: 0\n"), "{srvr}");
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
