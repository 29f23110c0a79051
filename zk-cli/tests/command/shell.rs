//! The shell, its lines read from a pipe.

use zk_testkit::TestServer;

use super::zk_with_input;

#[tokio::test]
async fn lines_are_run_one_after_the_other_in_one_session() {
    let server = TestServer::start().await.unwrap();
    let lines =
        "create -e /mine 'two words'\nget /mine\nls /\n\nredo 1\ngetEphemerals\nquit\nls /\n";
    let run = zk_with_input(&server, &[], lines).await;
    assert_eq!(
        run.text(),
        "Created /mine\ntwo words\n[mine, zookeeper]\ntwo words\n[/mine]\n"
    );
}

#[tokio::test]
async fn history_counts_from_zero_and_tells_the_last_lines() {
    let server = TestServer::start().await.unwrap();
    let run = zk_with_input(&server, &[], "version\nhistory\nredo 7\nredo 0\nhistory\n").await;
    let version = format!("ZooKeeper CLI version: {}\n", env!("CARGO_PKG_VERSION"));
    let first = "0 - version\n1 - history\n";
    let expected = format!("{version}{first}{version}{first}2 - version\n3 - history\n");
    assert_eq!(run.out, expected);
    assert!(run.err.contains("there is no line 7"), "{}", run.err);
}

#[tokio::test]
async fn watches_are_printed_and_removed() {
    let server = TestServer::start().await.unwrap();
    let lines = "create /a 1\nget -w /a\nstat -w /a\naddWatch -m persistent /a\n\
        removewatches -p /a\nremovewatches -d /a\nremovewatches /a\nprintwatches\n";
    let run = zk_with_input(&server, &["--json"], lines).await;
    // The last removal finds nothing, and printwatches succeeds after it.
    assert_eq!(run.code, Some(0), "{}", run.err);
    assert_eq!(run.err.matches("No such watcher").count(), 1, "{}", run.err);
    assert!(
        run.out.ends_with("{\"message\":\"printwatches is on\"}\n"),
        "{}",
        run.out
    );
}

#[tokio::test]
async fn a_closed_session_can_be_opened_again() {
    let server = TestServer::start().await.unwrap();
    let lines = "create -e /mine\nclose\nls /\nconnect\nls /\n";
    let run = zk_with_input(&server, &[], lines).await;
    assert_eq!(run.text(), "Created /mine\n[zookeeper]\n");
    assert!(run.err.contains("Not connected"), "{}", run.err);
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_last_line() {
    let server = TestServer::start().await.unwrap();
    for (lines, code) in [("get /no\n", 1), ("nonsense\n", 2), ("get /no\nls /\n", 0)] {
        let run = zk_with_input(&server, &[], lines).await;
        assert_eq!(run.code, Some(code), "{lines}: {}", run.err);
    }
}
