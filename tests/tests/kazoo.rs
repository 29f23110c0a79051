//! kazoo works with our server as it does with Apache's: `scripts/kazoo_tour.py` prints the same
//! lines at both, also across a restart of the server.
#![expect(clippy::disallowed_methods, reason = "runs a program")]
#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use zk_tests::{Flavour, Needs, ServerProcess, ServerSettings};

/// What the tour prints, at any server.
const TOUR: &str = include_str!("../scripts/kazoo_tour.expected");

#[test]
fn kazoo_tours_our_server() {
    if let Some(python) = Needs::kazoo("kazoo_tours_our_server") {
        tour(&python, Flavour::Ours);
    }
}

#[test]
fn kazoo_tours_apaches_server() {
    let apache = Needs::apache("kazoo_tours_apaches_server");
    let python = Needs::kazoo("kazoo_tours_apaches_server");
    if let (Some(_), Some(python)) = (apache, python) {
        tour(&python, Flavour::Apache);
    }
}

fn tour(python: &Path, flavour: Flavour) {
    let folder = tempfile::tempdir().unwrap();
    // Sessions may be as short as a second, so that one that is left behind is soon over.
    let settings = ServerSettings::new(folder.path())
        .set("tickTime", "500")
        .set("maxSessionTimeout", "40000");
    let mut server = Some(ServerProcess::start(flavour, &settings));
    let address = server.as_ref().unwrap().address();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kazoo_tour.py");
    let errors = folder.path().join("kazoo.err");
    let mut kazoo = Command::new(python)
        .arg(script)
        .arg(address.to_string())
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    for line in BufReader::new(kazoo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        printed.push_str(&line);
        printed.push('\n');
        if line == "restart" {
            _ = server.take().unwrap().stop();
            server = Some(ServerProcess::start_at(flavour, &settings, address));
            let mut stdin = kazoo.stdin.take().unwrap();
            stdin.write_all(b"go on\n").unwrap();
        }
    }
    let status = kazoo.wait().unwrap();
    let errors = fs::read_to_string(errors).unwrap();
    assert!(status.success(), "{status}: {printed}{errors}");
    assert_eq!(printed, TOUR, "{errors}");
}
