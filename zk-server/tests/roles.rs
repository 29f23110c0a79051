//! What members of an ensemble tell in four-letter words, as Apache's server does in each role.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::BTreeSet;

use common::ensemble::Ensemble;
use common::{ask, create};
use tempfile::tempdir;
use zk_proto::CreateMode;

/// An answer of Apache's server, recorded.
fn golden(role: &str, word: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/fourletter");
    std::fs::read_to_string(format!("{folder}/{role}/{word}.txt")).unwrap()
}

/// The keys of lines of `key=value` or `key: value`.
fn keys(text: &str) -> Vec<&str> {
    let keys = text.lines().map(|line| line.split(['=', ':']).next());
    keys.map(Option::unwrap).collect()
}

fn figure<'a>(mntr: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("zk_{name}\t");
    mntr.lines().find_map(|line| line.strip_prefix(&prefix))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_and_its_followers_tell_what_they_are() {
    let dir = tempdir().unwrap();
    let ensemble = Ensemble::start(dir.path(), 3, |_| {}).await;
    let leader = ensemble.leader().await;
    let mut client = ensemble.client(leader).await;
    client
        .call(create("/a", b"data", CreateMode::Persistent))
        .await;
    for id in ensemble.ids() {
        let (address, is_leader) = (ensemble.address(id), id == leader);
        let role = if is_leader { "leader" } else { "follower" };
        let srvr = ask(address, "srvr").await;
        assert!(srvr.contains(&format!("\nMode: {role}\n")), "{srvr}");
        let proposals = srvr.lines().find(|line| line.starts_with("Proposal sizes"));
        assert_eq!(proposals.is_some(), is_leader, "{srvr}");
        assert_eq!(ask(address, "isro").await, "rw");

        let mntr = ask(address, "mntr").await;
        let expect = |name: &str, value: Option<&str>| {
            assert_eq!(figure(&mntr, name), value, "{name} of a {role}: {mntr}");
        };
        let of_leader = |value| is_leader.then_some(value);
        expect("server_state", Some(role));
        let peer_state = if is_leader { "leading" } else { "following" };
        expect("peer_state", Some(&format!("{peer_state} - broadcast")));
        expect("quorum_size", Some("3"));
        expect("learners", of_leader("2"));
        expect("synced_followers", of_leader("2"));
        expect("synced_non_voting_followers", of_leader("0"));
        expect("synced_observers", Some("0"));
        expect("pending_syncs", of_leader("0"));
        expect("digest_mismatches_count", Some("0"));
        // The session, and the znode.
        expect("proposal_count", Some(if is_leader { "2" } else { "0" }));
        expect(
            "learner_proposal_received_count",
            Some(if is_leader { "0" } else { "2" }),
        );
        assert_eq!(figure(&mntr, "leader_uptime").is_some(), is_leader);
        assert_eq!(figure(&mntr, "max_proposal_size").is_some(), is_leader);

        let conf = ask(address, "conf").await;
        let is_not_member = |key: &&str| !key.starts_with("server.");
        let of_server = |text| {
            keys(text)
                .into_iter()
                .filter(is_not_member)
                .collect::<Vec<_>>()
        };
        assert_eq!(of_server(&conf), of_server(&golden("leader", "conf")));
        assert!(conf.contains(&format!("\nserverId={id}\n")), "{conf}");
        assert!(
            conf.contains("\nmembership: \nserver.1=127.0.0.1:"),
            "{conf}"
        );
        assert!(conf.ends_with("\nversion=0"), "{conf}");
    }
    ensemble.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaders_mntr_has_apaches_gauges() {
    let dir = tempdir().unwrap();
    let ensemble = Ensemble::start(dir.path(), 3, |_| {}).await;
    let mntr = ask(ensemble.address(ensemble.leader().await), "mntr").await;
    let names = |text: &str| -> BTreeSet<String> {
        let names = text.lines().map(|line| line.split('\t').next().unwrap());
        names.map(str::to_owned).collect()
    };
    // What a leader has beyond a standalone server.
    let golden_leader = names(&golden("leader", "mntr"));
    let golden_standalone = names(&golden("standalone", "mntr"));
    let of_leader: BTreeSet<_> = golden_leader
        .difference(&golden_standalone)
        .cloned()
        .collect();
    assert!(of_leader.contains("zk_synced_followers"), "{of_leader:?}");
    let ours = names(&mntr);
    // Reads and writes by namespace are counted by Apache's server alone.
    let is_counted = |name: &&String| !name.ends_with("_write_per_namespace");
    let missing: Vec<_> = of_leader.difference(&ours).filter(is_counted).collect();
    assert!(missing.is_empty(), "{missing:?}");
    ensemble.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_quorum_answers_that_it_does_not_serve() {
    let dir = tempdir().unwrap();
    let mut ensemble = Ensemble::prepare(dir.path(), 3, |_| {});
    ensemble.start_one(1).await;
    let address = ensemble.address(1);
    for word in [
        "conf", "cons", "crst", "dirs", "dump", "hash", "isro", "mntr", "ruok", "srst", "srvr",
        "stat", "wchc", "wchp", "wchs",
    ] {
        assert_eq!(
            ask(address, word).await,
            golden("not-serving", word),
            "{word}"
        );
    }
    assert!(ask(address, "envi").await.starts_with("Environment:\n"));
    ensemble.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_quorum_may_serve_reads() {
    let dir = tempdir().unwrap();
    let mut ensemble = Ensemble::prepare(dir.path(), 3, |config| {
        config.read_only_mode_enabled = true;
    });
    ensemble.start_one(1).await;
    ensemble.serves(1).await;
    let address = ensemble.address(1);
    assert_eq!(ask(address, "isro").await, golden("read-only", "isro"));
    let srvr = ask(address, "srvr").await;
    let apaches = golden("read-only", "srvr");
    assert_eq!(srvr.lines().nth(1), apaches.lines().nth(1));
    assert_eq!(keys(&srvr), keys(&apaches));
    assert!(srvr.contains("\nMode: read-only\n"), "{srvr}");
    ensemble.stop().await;
}
