//! A live ensemble of Apache's servers is replaced by ours, one at a time on the same data, and back
//! again, under clients of kazoo that lock, count, watch, create and own ephemerals. None of them
//! loses its session, and nothing that was acknowledged is lost.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use zk_tests::{Ensemble, EnsembleSettings, Flavour, Needs, check_files, check_members};

const SOON: Duration = Duration::from_secs(60);
/// How long clients work between two servers.
const WORK: Duration = Duration::from_millis(1500);

#[test]
fn an_ensemble_of_apache_becomes_ours_and_apaches_again_under_clients() {
    let name = "an_ensemble_of_apache_becomes_ours_and_apaches_again_under_clients";
    let (Some(_), Some(python)) = (Needs::apache(name), Needs::kazoo(name)) else {
        return;
    };
    let mut ensemble = Ensemble::start(&EnsembleSettings::new(&[Flavour::Apache; 3]));
    let hosts: Vec<_> = ensemble
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kazoo_swap.py");
    let mut clients = Command::new(python)
        .arg(script)
        .arg(hosts.join(","))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(clients.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");

    for flavour in [Flavour::Ours, Flavour::Apache] {
        for sid in ensemble.sids() {
            std::thread::sleep(WORK);
            _ = ensemble.stop(sid);
            ensemble.replace(sid, flavour);
            ensemble.spawn(sid);
            let leader = ensemble.wait_for_all(SOON);
            let leads = ensemble.flavour(leader);
            println!("member {sid} is {flavour:?}; member {leader}, {leads:?}, leads");
        }
    }
    std::thread::sleep(WORK);

    clients.stdin.take().unwrap().write_all(b"stop\n").unwrap();
    let report: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(clients.wait().unwrap().success());
    println!("{report}");
    assert_eq!(report["problems"], serde_json::json!([]));
    let acknowledged = report["acknowledged"].as_object().unwrap();
    for (client, count) in acknowledged {
        assert!(
            count.as_u64().unwrap() > 20,
            "{client}: the load was no load"
        );
    }
    // Servers stopped under them.
    assert!(report["suspended"].as_u64().unwrap() > 0);

    let tree = check_members(&ensemble, &[]);
    for sid in ensemble.sids() {
        _ = ensemble.stop(sid);
    }
    check_files(&ensemble, &tree, name);
}
