//! The examples do what they say.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use zk_client::Parents;
use zk_testkit::TestServer;

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

fn start(
    program: &str,
    server: &TestServer,
    args: &[&str],
) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(program)
        .arg(server.address().to_string())
        .args(args)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    tokio::time::timeout(WITHIN, lines.next_line())
        .await
        .unwrap()
        .unwrap()
}

async fn end(mut child: Child) {
    let status = tokio::time::timeout(WITHIN, child.wait()).await.unwrap();
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn locked_processes_count_one_after_the_other() {
    let server = TestServer::start().await.unwrap();
    let program = env!("CARGO_BIN_EXE_example-lock");
    let running = (0..4).map(|_| start(program, &server, &[]));
    for (child, mut lines) in running.collect::<Vec<_>>() {
        assert!(
            next(&mut lines)
                .await
                .unwrap()
                .starts_with("holds the lock")
        );
        assert!(next(&mut lines).await.unwrap().starts_with("wrote "));
        end(child).await;
    }
    let client = server.client().await.unwrap();
    assert_eq!(client.get("/examples/report").await.unwrap().data, "4");
}

#[tokio::test]
async fn the_next_one_leads_when_the_leader_resigns() {
    let server = TestServer::start().await.unwrap();
    let program = env!("CARGO_BIN_EXE_example-leader");
    let (a, mut of_a) = start(program, &server, &["a"]);
    assert_eq!(next(&mut of_a).await.unwrap(), "a follows nobody");
    assert!(next(&mut of_a).await.unwrap().ends_with("round 1"));
    let (b, mut of_b) = start(program, &server, &["b"]);
    assert!(next(&mut of_b).await.unwrap().starts_with("b follows"));
    for (child, mut lines, rounds_left) in [(a, of_a, 4), (b, of_b, 5)] {
        let mut rounds = 0;
        while let Some(line) = next(&mut lines).await {
            rounds += usize::from(line.contains("leads with the token"));
        }
        assert_eq!(rounds, rounds_left);
        end(child).await;
    }
}

#[tokio::test]
async fn a_setting_is_followed_over_a_restart_of_the_server() {
    let mut server = TestServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let (_child, mut lines) = start(env!("CARGO_BIN_EXE_example-config"), &server, &[]);
    assert_eq!(next(&mut lines).await.unwrap(), "the default");
    let path = "/examples/setting";
    client
        .create(path)
        .data("on")
        .parents(Parents::Persistent)
        .await
        .unwrap();
    assert_eq!(next(&mut lines).await.unwrap(), "on");
    // Back to version 0, and another setting all the same.
    client
        .txn()
        .delete(path)
        .create(path, "off")
        .commit()
        .await
        .unwrap();
    assert_eq!(next(&mut lines).await.unwrap(), "off");
    server.stop().await.unwrap();
    server.resume().await.unwrap();
    assert!(next(&mut lines).await.unwrap().contains("meanwhile"));
    // A write of the client from before could meet the end of its connection.
    let client = server.client().await.unwrap();
    client.set(path, "on again").await.unwrap();
    assert_eq!(next(&mut lines).await.unwrap(), "on again");
}
