//! The program against a server in this process.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

mod bench;
mod dump;
mod files;
mod hold;
mod shell;
mod terminal;
mod verbs;

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use zk_testkit::TestServer;

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// What a run of the program left.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    /// The lines of a run that succeeded, as JSON.
    #[track_caller]
    fn json(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{}", self.err);
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The output of a run that succeeded.
    #[track_caller]
    fn text(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}", self.err);
        &self.out
    }
}

fn command(server: &TestServer, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zk"));
    command
        .env_remove("ZK_SERVER")
        .arg("--server")
        .arg(server.address().to_string())
        .args(["--timeout", "20s"])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn finish(child: Child) -> Run {
    let output = tokio::time::timeout(WITHIN, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn zk(server: &TestServer, args: &[&str]) -> Run {
    finish(command(server, args).spawn().unwrap()).await
}

async fn zk_with_input(server: &TestServer, args: &[&str], input: &str) -> Run {
    let mut child = command(server, args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writing = tokio::spawn(async move {
        // A program that gives up early does not read to the end.
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let run = finish(child).await;
    writing.await.unwrap();
    run
}
