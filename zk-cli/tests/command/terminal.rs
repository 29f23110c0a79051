//! The shell on a terminal: what is typed is completed, what happens meanwhile is printed, and lines
//! are remembered without their secrets.
#![expect(clippy::print_stdout, reason = "says what is skipped")]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use zk_testkit::TestServer;

use super::{WITHIN, command};

/// The program with a terminal, and the end of it that a person has.
struct Terminal {
    keys: File,
    shown: mpsc::UnboundedReceiver<Vec<u8>>,
    text: String,
    child: Child,
}

impl Terminal {
    /// `None` after saying what is skipped, on a machine without setsid.
    fn start(test: &str, server: &TestServer, history: &Path) -> Option<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let end = || Stdio::from(slave.try_clone().unwrap());
        // The terminal is the program's own, so that ^C reaches it.
        let plain = command(server, &[]);
        let mut command = Command::new("setsid");
        let plain = plain.as_std();
        command.args(["--ctty", "--wait"]).arg(plain.get_program());
        command.args(plain.get_args()).kill_on_drop(true);
        let child = command
            .env("TERM", "xterm")
            .env("ZK_HISTORY", history)
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn();
        let child = match child {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let required = std::env::var_os("ZK_TESTS_REQUIRE_ALL");
                let missing = "setsid (Debian: util-linux)";
                assert!(required.is_none(), "{test} needs {missing}");
                println!("skipped: {test} needs {missing}");
                return None;
            }
            child => child.unwrap(),
        };
        let keys = File::from(master);
        let mut screen = keys.try_clone().unwrap();
        let (sender, shown) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            // Reading fails when the program has gone.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                let some = bytes.get(..count).unwrap().to_vec();
                if sender.send(some).is_err() {
                    return;
                }
            }
        });
        Some(Self {
            keys,
            shown,
            text: String::new(),
            child,
        })
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a text, and forgets what stands before it.
    async fn expect(&mut self, text: &str) {
        let found = async {
            while !self.text.contains(text) {
                let Some(more) = self.shown.recv().await else {
                    return false;
                };
                self.text.push_str(&String::from_utf8_lossy(&more));
            }
            true
        };
        let found = tokio::time::timeout(WITHIN, found).await;
        assert_eq!(found, Ok(true), "{text:?} is not in {:?}", self.text);
        let at = self.text.find(text).unwrap() + text.len();
        self.text.drain(..at);
    }

    async fn prompt(&mut self, number: usize) {
        self.expect(&format!("(CONNECTED) {number}] ")).await;
    }

    /// Leaves with an end of file.
    async fn leave(mut self) {
        self.press("\x04");
        let ended = tokio::time::timeout(WITHIN, self.child.wait()).await;
        assert_eq!(ended.unwrap().unwrap().code(), Some(0));
    }
}

#[tokio::test]
async fn a_terminal_completes_interrupts_and_remembers() {
    let server = TestServer::start().await.unwrap();
    let client = server.client().await.unwrap();
    client.create("/apple").data("green").await.unwrap();
    client.create("/apple/core").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join("history");

    let test = "a_terminal_completes_interrupts_and_remembers";
    let Some(mut terminal) = Terminal::start(test, &server, &history) else {
        return;
    };
    terminal.prompt(0).await;
    // Verbs, here several, and paths.
    terminal.press("getA\t\t");
    terminal.expect("getAllChildrenNumber").await;
    terminal.expect("getA").await;
    terminal.press("\x03");
    terminal.prompt(0).await;
    terminal.press("ls /ap\t\r");
    terminal.expect("[core]").await;
    terminal.prompt(1).await;
    terminal.press("get -w /apple/\t\x7f\x7f\x7f\x7f\x7f\r");
    terminal.expect("green").await;
    terminal.prompt(2).await;
    // An event comes above the line that is being typed, which is there again below.
    terminal.press("vers");
    client.set("/apple", "red").await.unwrap();
    terminal.expect("type:NodeDataChanged path:/apple").await;
    terminal.expect("vers").await;
    terminal.press("ion\r");
    terminal.expect("ZooKeeper CLI version").await;
    terminal.prompt(3).await;
    terminal.press("watch /apple\r");
    while server.watches().await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
    terminal.press("\x03");
    terminal.expect("interrupted").await;
    terminal.prompt(4).await;
    terminal.press("addauth digest bob:secret\r");
    terminal.prompt(5).await;
    terminal.leave().await;
    let lines = std::fs::read_to_string(&history).unwrap();
    assert!(lines.contains("ls /apple\n"), "{lines}");
    assert!(!lines.contains("secret"), "{lines}");

    // Another shell knows the last line.
    let mut terminal = Terminal::start(test, &server, &history).unwrap();
    terminal.prompt(0).await;
    terminal.press("\x1b[A\x1b[A\r");
    terminal.expect("ZooKeeper CLI version").await;
    terminal.prompt(1).await;
    terminal.leave().await;
}

#[tokio::test]
async fn lines_that_are_typed_ahead_or_pasted_are_all_run() {
    let server = TestServer::start().await.unwrap();
    server
        .client()
        .await
        .unwrap()
        .create("/apple")
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let history = dir.path().join("history");
    let test = "lines_that_are_typed_ahead_or_pasted_are_all_run";
    let Some(mut terminal) = Terminal::start(test, &server, &history) else {
        return;
    };
    terminal.prompt(0).await;
    terminal.press("ls /\rls /apple\rprintwatches\r");
    for answer in ["[apple, zookeeper]", "[]", "printwatches is on"] {
        terminal.expect(answer).await;
    }
    terminal.prompt(3).await;
    // As terminals send what is pasted.
    terminal.press("\x1b[200~ls /\naddauth digest bob:secret\nls /apple\n\x1b[201~\r");
    terminal.expect("[apple, zookeeper]").await;
    terminal.expect("[]").await;
    terminal.prompt(6).await;
    terminal.leave().await;
    let lines = std::fs::read_to_string(&history).unwrap();
    let kept: Vec<&str> = lines
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    let expected = ["ls /", "ls /apple", "printwatches", "ls /", "ls /apple"];
    assert_eq!(kept, expected);
}
