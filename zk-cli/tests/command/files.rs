//! Files of Apache ZooKeeper 3.8.0 are printed and verified.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use zk_testkit::TestServer;

use super::{Run, finish, zk_with_input};

fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/data")
        .join(file)
}

async fn inspect(args: &[&str], file: &Path) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zk"));
    command
        .args(args)
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finish(command.spawn().unwrap()).await
}

#[tokio::test]
async fn a_log_is_printed_with_every_transaction() {
    let file = golden("one-log/version-2/log.1");
    let lines = inspect(&["--json", "txnlog"], &file).await.json();
    let (summary, txns) = lines.split_last().unwrap();
    assert_eq!(summary["transactions"], txns.len());
    assert_eq!(summary["first_zxid"], 1);
    assert_eq!(summary["last_zxid"], 0xb4);
    for (zxid, txn) in (1..).zip(txns) {
        assert_eq!(txn["zxid"], zxid);
    }
    let text = inspect(&["txnlog"], &file).await;
    for op in [
        "createSession",
        "create \"",
        "setData",
        "setACL",
        "multi [",
        "createTTL",
        "error",
    ] {
        assert!(text.text().contains(op), "{op}");
    }
    let quiet = inspect(&["txnlog", "--quiet"], &file).await;
    assert_eq!(quiet.text().lines().count(), 1);
}

#[tokio::test]
async fn a_snapshot_is_printed_as_lines_that_can_be_loaded() {
    let file = golden("many-files/version-2/snapshot.b4");
    let lines = inspect(&["--json", "snapshot"], &file).await.json();
    let summary = lines.last().unwrap();
    assert_eq!(summary["znodes"], having(&lines, "path"));
    assert_eq!(summary["sessions"], having(&lines, "session"));
    for kind in ["persistent", "ephemeral", "container", "ttl"] {
        assert!(lines.iter().any(|line| line["kind"] == kind), "{kind}");
    }
    let text = inspect(&["snapshot"], &file).await;
    assert!(
        text.text()
            .contains("----\n/zookeeper/config\ncZxid = 0x0\n"),
        "{}",
        text.out
    );

    let server = TestServer::start_with(|config| config.tree.extended_types_enabled = true)
        .await
        .unwrap();
    let json = inspect(&["--json", "snapshot"], &file).await.out;
    let loaded = zk_with_input(&server, &["--json", "load"], &json)
        .await
        .json();
    let ephemeral = lines
        .iter()
        .filter(|line| line["kind"] == "ephemeral")
        .count();
    let znodes = having(&lines, "path");
    assert_eq!(loaded[0]["ephemeral_left_out"], ephemeral);
    assert_eq!(loaded[0]["created"], znodes - ephemeral - BUILT_IN);
}

/// How many lines have a field.
fn having(lines: &[Value], name: &str) -> usize {
    lines.iter().filter(|line| line.get(name).is_some()).count()
}

/// `/`, `/zookeeper`, `/zookeeper/config` and `/zookeeper/quota`.
const BUILT_IN: usize = 4;

#[tokio::test]
async fn damage_is_named_with_its_file_and_offset() {
    let dir = tempfile::tempdir().unwrap();
    for (verb, file) in [
        ("txnlog", "one-log/version-2/log.1"),
        ("snapshot", "many-files/version-2/snapshot.b4"),
    ] {
        let mut bytes = std::fs::read(golden(file)).unwrap();
        bytes[2000] ^= 1;
        let damaged = dir.path().join(verb);
        std::fs::write(&damaged, bytes).unwrap();
        let run = inspect(&[verb, "--quiet"], &damaged).await;
        assert_eq!(run.code, Some(1), "{verb}: {}", run.out);
        let expected = format!("{}: damaged at offset ", damaged.display());
        assert!(run.err.contains(&expected), "{}", run.err);
    }
}

/// Whatever is damaged, and wherever a file ends, is told; nothing else happens.
#[tokio::test]
async fn every_cut_and_every_flipped_bit_is_found() {
    let dir = tempfile::tempdir().unwrap();
    for (verb, file, covered) in [
        // What a log's header says of its database is covered by nothing, nor are the zeros behind.
        ("txnlog", "many-files/version-2/log.2e", 16..8000),
        ("snapshot", "many-files/version-2/snapshot.14", 0..7034),
    ] {
        let whole = std::fs::read(golden(file)).unwrap();
        let damaged = dir.path().join(verb);
        for step in 0..40 {
            let at = covered.start + (covered.end - covered.start) * step / 40;
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (step % 8);
            std::fs::write(&damaged, flipped).unwrap();
            let run = inspect(&[verb, "--quiet"], &damaged).await;
            assert_eq!(run.code, Some(1), "{verb} with a flip at {at}: {}", run.out);
            assert!(run.err.contains("damaged at offset"), "{}", run.err);
            std::fs::write(&damaged, &whole[..at]).unwrap();
            let run = inspect(&["--json", verb], &damaged).await;
            // A log may end behind any entry.
            assert!(
                matches!(run.code, Some(0 | 1)),
                "{verb} cut at {at}: {}",
                run.err
            );
            if run.code == Some(1) {
                let error: Value = serde_json::from_str(&run.err).unwrap();
                let message = error["error"]["message"].as_str().unwrap();
                assert!(message.contains("damaged at offset"), "{message}");
            } else {
                assert_eq!(verb, "txnlog", "cut at {at}");
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_is_missing_is_named() {
    for verb in ["txnlog", "snapshot"] {
        let run = inspect(&[verb], Path::new("/no/such/file")).await;
        assert_eq!(run.code, Some(1));
        assert!(run.err.contains("/no/such/file"), "{}", run.err);
    }
}
