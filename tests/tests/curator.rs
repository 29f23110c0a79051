//! Apache Curator works with our server as with Apache's, and its mutex excludes ours: on one path
//! at one time there is one holder, in the order of the znodes' creation.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use zk_client::Client;
use zk_recipes::Mutex;
use zk_tests::{Flavour, Needs, ServerProcess, ServerSettings};

const ROUNDS: usize = 40;

#[test]
fn curator_tours_either_server() {
    let Some(curator) = Curator::new("curator_tours_either_server") else {
        return;
    };
    for flavour in [Flavour::Ours, Flavour::Apache] {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(flavour, &ServerSettings::new(folder.path()));
        let output = curator
            .command(server.address(), &["tour"])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{flavour:?}: {errors}");
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "first true\nagain true\nsecond false\nstill held true 1\nthen second true\n\
             leads true\nleader first false\nnext true second\n",
            "{flavour:?}: {errors}"
        );
    }
}

#[test]
fn curators_mutex_and_ours_exclude_each_other() {
    let Some(curator) = Curator::new("curators_mutex_and_ours_exclude_each_other") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Flavour::Ours, &ServerSettings::new(folder.path()));
    let address = server.address();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let client = runtime.block_on(async {
        let client = Client::connect(address.to_string()).await.unwrap();
        client.create("/mixed-counter").await.unwrap();
        client
    });
    let rounds = ROUNDS.to_string();
    let mut java = curator
        .command(address, &["hold", "/mixed", &rounds])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(java.stdout.take().unwrap());
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // Both begin now.
    java.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut held = runtime.block_on(async {
        let mutex = Mutex::builder(&client, "/mixed").build().unwrap();
        let mut held = Vec::new();
        for _ in 0..ROUNDS {
            let guard = mutex.lock().await.unwrap();
            let token = guard.token().get();
            let before = client.get("/mixed-counter").await.unwrap().stat.version;
            let after = client.set("/mixed-counter", token.to_string());
            held.push((before, after.await.unwrap().version, token, "ours"));
            guard.release().await.unwrap();
        }
        let report = client.close(Duration::from_secs(10)).await;
        assert!(report.session_closed, "{report:?}");
        held
    });
    let mut rest = String::new();
    printed.read_to_string(&mut rest).unwrap();
    assert!(java.wait().unwrap().success());
    for line in rest.lines() {
        let numbers: Vec<i64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let [token, before, after] = numbers.try_into().unwrap();
        let version = |number: i64| i32::try_from(number).unwrap();
        held.push((version(before), version(after), token, "Curator's"));
    }
    assert_eq!(held.len(), 2 * ROUNDS);
    held.sort_unstable();
    for (turn, (before, after, ..)) in held.iter().enumerate() {
        let turn = i32::try_from(turn).unwrap();
        assert_eq!(
            (*before, *after),
            (turn, turn + 1),
            "two hold at once: {held:?}"
        );
    }
    assert!(
        held.is_sorted_by_key(|(_, _, token, _)| *token),
        "the lock passes in the order of creation: {held:?}"
    );
}

/// `CuratorTour.java`, compiled.
struct Curator {
    classes: TempDir,
    classpath: &'static str,
}

impl Curator {
    fn new(test: &str) -> Option<Self> {
        let classpath = Needs::javac(test, true)?;
        let classes = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/CuratorTour.java");
        let output = Command::new("javac")
            .args(["-cp", classpath, "-d"])
            .arg(classes.path())
            .arg(source)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        Some(Self { classes, classpath })
    }

    fn command(&self, address: SocketAddr, words: &[&str]) -> Command {
        let mut command = Command::new("java");
        command
            .arg("-cp")
            .arg(format!(
                "{}:{}",
                self.classes.path().display(),
                self.classpath
            ))
            .arg("CuratorTour")
            .arg(address.to_string())
            .args(words);
        command
    }
}
