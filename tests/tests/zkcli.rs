//! Apache's Java clients cannot tell our server from Apache's: Debian's `zkCli.sh` prints the same
//! for `scripts/zkcli.txt`, and the Java client answers the same to `scripts/interop_client.txt`.
//! Zxids are compared too; times, addresses, sessions and the order of lists without one are not.
#![expect(clippy::disallowed_methods, reason = "runs programs")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use zk_tests::{Flavour, Needs, ServerProcess, ServerSettings, golden_folder};

const ZKCLI: &str = "/usr/share/zookeeper/bin/zkCli.sh";

#[test]
fn zkcli_prints_the_same_at_either_server() {
    if Needs::apache("zkcli_prints_the_same_at_either_server").is_none() {
        return;
    }
    let script = include_str!("../scripts/zkcli.txt");
    let [ours, apache] = at_either(script, |address, script| {
        let mut command = Command::new(ZKCLI);
        command.arg("-server").arg(address.to_string());
        Printed::of(&run(&mut command, script))
    });
    assert_eq!(ours.lines, apache.lines);
    assert_eq!(ours.errors, apache.errors);
    assert_eq!(ours.events, apache.events);
    assert!(apache.lines.contains(&String::from("Sync is OK")));
    assert_eq!(apache.events.len(), 9, "{:#?}", apache.events);
}

#[test]
fn the_java_client_answers_the_same_at_either_server() {
    let name = "the_java_client_answers_the_same_at_either_server";
    let Some(classpath) = Needs::javac(name, false) else {
        return;
    };
    let classes = tempfile::tempdir().unwrap();
    let source = golden_folder().join("make/InteropClient.java");
    let mut javac = Command::new("javac");
    javac
        .args(["-cp", classpath, "-d"])
        .arg(classes.path())
        .arg(source);
    run(&mut javac, "");
    let script = include_str!("../scripts/interop_client.txt");
    let asked: Vec<_> = script.lines().collect();
    let [ours, apache] = at_either(script, |_, script| {
        let mut java = Command::new("java");
        java.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp"])
            .arg(format!("{}:{classpath}", classes.path().display()))
            .arg("InteropClient");
        let printed = run(&mut java, script).0;
        let answers = printed
            .lines()
            .map(|line| plain(serde_json::from_str(line).unwrap()));
        answers.collect::<Vec<_>>()
    });
    assert_eq!(apache.len(), asked.len());
    for ((asked, ours), apache) in asked.iter().zip(&ours).zip(&apache) {
        assert_eq!(ours, apache, "{asked}");
    }
    assert_eq!(ours.len(), apache.len());
}

/// What `talk` makes of a fresh server of ours, and of Apache's. `ADDRESS` in the script is where
/// the server listens.
fn at_either<T>(script: &str, talk: impl Fn(SocketAddr, &str) -> T) -> [T; 2] {
    [Flavour::Ours, Flavour::Apache].map(|flavour| {
        let folder = tempfile::tempdir().unwrap();
        let server = ServerProcess::start(flavour, &ServerSettings::new(folder.path()));
        let address = server.address();
        talk(address, &script.replace("ADDRESS", &address.to_string()))
    })
}

/// Runs a program to its end: what it printed, and its errors.
fn run(command: &mut Command, input: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let create = |path: &Path| fs::File::create(path).unwrap();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(create(&file("out")))
        .stderr(create(&file("err")))
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let status = child.wait().unwrap();
    let read = |name: &str| fs::read_to_string(file(name)).unwrap();
    let (printed, errors) = (read("out"), read("err"));
    assert!(status.success(), "{command:?}: {status}: {printed}{errors}");
    (printed, errors)
}

/// What zkCli printed. Events come from a thread of their own, so where they stand among the other
/// lines is chance.
#[derive(Debug)]
struct Printed {
    lines: Vec<String>,
    events: Vec<String>,
    errors: Vec<String>,
}

impl Printed {
    fn of((printed, errors): &(String, String)) -> Self {
        let lines = printed
            .lines()
            .filter(|line| !line.is_empty() && *line != "WATCHER::");
        let (events, lines) = lines
            .map(normalised)
            .partition(|line| line.starts_with("WatchedEvent"));
        Self {
            lines,
            events,
            errors: errors.lines().map(normalised).collect(),
        }
    }
}

/// A line without times and addresses; a list in the order of its elements.
fn normalised(line: &str) -> String {
    let list = line
        .strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'));
    if let Some(list) = list {
        let mut list: Vec<_> = list.split(", ").collect();
        list.sort_unstable();
        return format!("{list:?}");
    }
    for prefix in ["ctime = ", "mtime = ", "Connecting to ", "Closing session"] {
        if line.starts_with(prefix) {
            return prefix.to_owned();
        }
    }
    match line.find("connect 127.0.0.1:") {
        Some(at) => line.split_at(at).0.to_owned(),
        None => line.to_owned(),
    }
}

/// An answer without times and sessions; lists in the order of their elements.
fn plain(answer: Value) -> Value {
    match answer {
        Value::Array(values) => {
            let mut values: Vec<_> = values.into_iter().map(plain).collect();
            if values
                .iter()
                .all(|value| value.is_string() || value.get("scheme").is_some())
            {
                values.sort_by_key(Value::to_string);
            }
            Value::Array(values)
        }
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| match key.as_str() {
                "ctime" | "mtime" | "id" | "password" => (key, Value::Null),
                // A session; containers and TTL nodes have owners below zero.
                "ephemeralOwner" if value.as_i64() > Some(0) => (key, Value::Null),
                _ => (key, plain(value)),
            });
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => answer,
    }
}
