//! Commands run while something is held, and never otherwise.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use zk_client::SessionId;
use zk_recipes::Mutex;
use zk_testkit::TestServer;

use super::{WITHIN, command, finish, zk};

#[tokio::test]
async fn the_exit_code_is_that_of_the_command() {
    let server = TestServer::start().await.unwrap();
    for verb in ["lock", "elect"] {
        for (script, code) in [
            ("exit 0", 0),
            ("exit 3", 3),
            ("kill -KILL $$", 128 + 9),
            ("test \"$ZK_TOKEN\" -gt 0 && test -n \"$ZK_NODE\"", 0),
        ] {
            let run = zk(&server, &[verb, "/held", "--", "sh", "-c", script]).await;
            assert_eq!(run.code, Some(code), "{verb} {script}: {}", run.err);
        }
    }
    let run = zk(&server, &["lock", "/held", "--", "/no/such/program"]).await;
    assert_eq!(run.code, Some(127), "{}", run.err);
    let run = zk(&server, &["lock", "/held", "--", "/"]).await;
    assert_eq!(run.code, Some(126), "{}", run.err);
    let run = zk(&server, &["lock", "held", "--", "true"]).await;
    assert_eq!(run.code, Some(125), "{}", run.err);
    assert_eq!(zk(&server, &["ls", "/held"]).await.text(), "[]\n");
}

#[tokio::test]
async fn a_lock_that_is_not_free_in_time_runs_nothing() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    let guard = Mutex::builder(&client, "/held")
        .build()
        .unwrap()
        .lock()
        .await
        .unwrap();
    let args = ["lock", "--wait", "300ms", "/held", "--", "echo", "ran"];
    let run = zk(&server, &args).await;
    assert_eq!((run.code, run.out.as_str()), (Some(124), ""), "{}", run.err);
    guard.release().await.unwrap();
    let run = zk(&server, &args).await;
    assert_eq!(
        (run.code, run.out.as_str()),
        (Some(0), "ran\n"),
        "{}",
        run.err
    );
}

/// Waits, with a child that says that it runs and waits as well: who reads it knows that both
/// are there, and that the child has no handler left that it was forked with.
const WAITS: &str = "sh -c 'echo running; exec sleep 1000' & wait";

#[tokio::test]
async fn a_command_whose_lock_is_lost_is_ended() {
    let server = TestServer::start().await.unwrap();
    for (script, code) in [
        (WAITS.to_owned(), 128 + 15),
        (format!("trap '' TERM; {WAITS}; wait; wait"), 128 + 9),
    ] {
        let args = [
            "lock", "--grace", "200ms", "/held", "--", "sh", "-c", &script,
        ];
        let mut child = command(&server, &args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(out.next_line().await.unwrap().unwrap(), "running");
        let client = server.client().await.unwrap();
        let names = client.children("/held").await.unwrap().names;
        let node = client.get(format!("/held/{}", names[0])).await.unwrap();
        server
            .expire(SessionId(node.stat.ephemeral_owner))
            .await
            .unwrap();
        let run = finish(child).await;
        assert_eq!(run.code, Some(code), "{script}: {}", run.err);
        assert!(run.err.contains("lost"), "{}", run.err);
        // The grandchild had the output open: it ends with the group.
        let end = tokio::time::timeout(WITHIN, out.next_line()).await.unwrap();
        assert_eq!(end.unwrap(), None);
    }
}

/// Without a server the lease runs out, and the command ends before anybody else can hold.
#[tokio::test]
async fn a_command_whose_server_is_gone_is_ended() {
    let mut server = TestServer::start().await.unwrap();
    let args = [
        "--json",
        "--timeout",
        "2s",
        "elect",
        "/held",
        "--",
        "sh",
        "-c",
        WAITS,
    ];
    let mut child = command(&server, &args).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(out.next_line().await.unwrap().unwrap(), "running");
    server.stop().await.unwrap();
    let run = finish(child).await;
    assert_eq!(run.code, Some(128 + 15), "{}", run.err);
    let notice: serde_json::Value = serde_json::from_str(run.err.trim()).unwrap();
    let message = notice["message"].as_str().unwrap();
    assert!(
        message.contains("the session may have expired"),
        "{message}"
    );
}

#[tokio::test]
async fn a_signal_to_zk_reaches_the_command() {
    let server = TestServer::start().await.unwrap();
    let script = format!("trap 'exit 7' TERM; {WAITS}");
    let mut child = command(&server, &["lock", "/held", "--", "sh", "-c", &script])
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(out.next_line().await.unwrap().unwrap(), "running");
    let pid = i32::try_from(child.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(finish(child).await.code, Some(7));
    assert_eq!(zk(&server, &["ls", "/held"]).await.text(), "[]\n");
}

#[tokio::test]
async fn commands_under_one_lock_do_not_overlap() {
    let server = TestServer::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let script = format!(
        "echo begin >> {0}; ls / > /dev/null; echo end >> {0}",
        log.display()
    );
    let children: Vec<_> = (0..6)
        .map(|_| {
            let args = ["lock", "/held", "--", "sh", "-c", &script];
            command(&server, &args).spawn().unwrap()
        })
        .collect();
    for child in children {
        let run = finish(child).await;
        assert_eq!(run.code, Some(0), "{}", run.err);
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(log, "begin\nend\n".repeat(6));
}
