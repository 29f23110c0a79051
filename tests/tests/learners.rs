//! A learner of each kind is brought up by a leader of the other in each of the ways that there are:
//! with what it lacks (DIFF), by taking back what nobody else has (TRUNC), and with the whole tree
//! (SNAP). What the servers say tells which way it was.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zk_proto::{Acl, Create, CreateMode, OpCode, Request};
use zk_tests::{
    Ensemble, EnsembleSettings, Flavour, Needs, RawClient, Tree, check_files, check_members,
};

use Flavour::{Apache, Ours};

const SOON: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(30);
/// Transactions that a leader keeps in memory, at least with Apache's; beyond them it sends the tree.
const KEPT: usize = 500;
/// The number of the learner, the smallest; the others are of the leader's kind.
const LEARNER: u8 = 1;

/// A way to bring a learner up, and what is said of it: by Apache's server in either role, or by our
/// learner where Apache's leader says nothing.
#[derive(Debug, Clone, Copy)]
enum Way {
    Diff,
    Trunc,
    Snap,
}

impl Way {
    /// Who says it when Apache's server leads ours, and what.
    const fn said_under_apache(self) -> (Who, &'static str) {
        match self {
            Self::Diff => (Who::Leader, "Sending DIFF zxid="),
            Self::Trunc => (
                Who::Learner,
                "transactions that no quorum had are forgotten",
            ),
            Self::Snap => (Who::Leader, "Sending snapshot last zxid of peer"),
        }
    }

    /// What Apache's learner says.
    const fn said_by_learner(self) -> &'static str {
        match self {
            Self::Diff => "Getting a diff from the leader",
            Self::Trunc => "Truncating log to get in sync with the leader",
            Self::Snap => "Getting a snapshot from leader",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Who {
    Leader,
    Learner,
}

/// Creates so many znodes.
fn write(address: SocketAddr, count: usize) {
    let mut client = RawClient::connect(address, SESSION_TIMEOUT).unwrap();
    for _ in 0..count {
        client
            .get(create("/some-", CreateMode::PersistentSequential))
            .unwrap();
    }
    client.get(Request::CloseSession).unwrap();
}

fn create(path: &str, mode: CreateMode) -> Request {
    Request::Create(Create {
        op: OpCode::CREATE2,
        path: path.to_owned(),
        data: Some(Bytes::from_static(b"some")),
        acl: vec![Acl::open()],
        flags: mode.to_flags(),
        ttl_ms: 0,
    })
}

/// How often the servers of the ensemble said that the learner is brought up so.
fn said(ensemble: &Ensemble, way: Way) -> usize {
    let count = |sid: u8, what: &str| ensemble.output(sid).matches(what).count();
    match (ensemble.flavour(LEARNER), way.said_under_apache()) {
        (Apache, _) => count(LEARNER, way.said_by_learner()),
        (Ours, (Who::Learner, what)) => count(LEARNER, what),
        (Ours, (Who::Leader, what)) => {
            let leaders = ensemble.others(LEARNER).into_iter();
            leaders.map(|sid| count(sid, what)).sum()
        }
    }
}

/// Starts the learner, and sees it brought up in this way and no other.
fn bring_up(ensemble: &mut Ensemble, way: Way) -> Tree {
    let ways = [Way::Diff, Way::Trunc, Way::Snap];
    let before = ways.map(|way| said(ensemble, way));
    ensemble.spawn(LEARNER);
    let leader = ensemble.wait_for_all(SOON);
    assert_ne!(leader, LEARNER);
    let now = ways.map(|way| said(ensemble, way));
    let expected = match way {
        Way::Diff => [1, 0, 0],
        // What is taken back may be followed by what is lacking.
        Way::Trunc => [now[0] - before[0], 1, 0],
        Way::Snap => [0, 0, 1],
    };
    let seen = [now[0] - before[0], now[1] - before[1], now[2] - before[2]];
    assert_eq!(
        seen,
        expected,
        "{way:?}: {}",
        ensemble.last_words(&[leader, LEARNER])
    );
    write(ensemble.address(LEARNER), 1);
    check_members(ensemble, &[])
}

/// Makes the learner lead, log a write that nobody else has, and die.
fn lead_and_lose(ensemble: &mut Ensemble) {
    ensemble.make_lead(LEARNER, SOON, |address| write(address, 1));
    let others = ensemble.others(LEARNER);
    let mut client = RawClient::connect(ensemble.address(LEARNER), SESSION_TIMEOUT).unwrap();
    client.get(create("/kept", CreateMode::Persistent)).unwrap();
    client.get(Request::CloseSession).unwrap();
    let mut client = RawClient::connect(ensemble.address(LEARNER), SESSION_TIMEOUT).unwrap();
    for other in &others {
        ensemble.links().block(LEARNER, *other);
    }
    let before = log_bytes(ensemble);
    client
        .send(&[create("/lost", CreateMode::Ephemeral)])
        .unwrap();
    let began = Instant::now();
    while log_bytes(ensemble) == before {
        assert!(began.elapsed() < SOON, "the leader logs nothing");
        std::thread::sleep(Duration::from_millis(5));
    }
    ensemble.kill(LEARNER);
    // What is on its way is lost, not late.
    ensemble.links().cut(&[LEARNER], &others);
    ensemble.wait_until_serving(&others, SOON);
    ensemble.links().heal();
}

/// How many of the log's bytes are not zero.
fn log_bytes(ensemble: &Ensemble) -> usize {
    let folder = ensemble.data_dir(LEARNER).join("version-2");
    let logs = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let logs = logs.filter(|path| path.to_string_lossy().contains("/log."));
    logs.map(|log| {
        std::fs::read(log)
            .unwrap()
            .iter()
            .filter(|byte| **byte != 0)
            .count()
    })
    .sum()
}

fn every_way(test: &str, leader: Flavour, learner: Flavour) {
    if Needs::apache(test).is_none() {
        return;
    }
    let settings = EnsembleSettings::new(&[learner, leader, leader])
        .with_links()
        // No leader looks into its log for more.
        .property("zookeeper.snapshotSizeFactor", "-1");
    let mut ensemble = Ensemble::start(&settings);
    write(ensemble.address(LEARNER), 10);

    ensemble.kill(LEARNER);
    ensemble.wait_until_serving(&[2, 3], SOON);
    write(ensemble.address(2), KEPT / 4);
    bring_up(&mut ensemble, Way::Diff);

    lead_and_lose(&mut ensemble);
    let tree = bring_up(&mut ensemble, Way::Trunc);
    assert!(tree.contains_key("/kept") && !tree.contains_key("/lost"));

    ensemble.kill(LEARNER);
    ensemble.wait_until_serving(&[2, 3], SOON);
    write(ensemble.address(3), 2 * KEPT);
    bring_up(&mut ensemble, Way::Snap);

    // One that has nothing at all.
    ensemble.kill(LEARNER);
    ensemble.wipe(LEARNER);
    ensemble.wait_until_serving(&[2, 3], SOON);
    let tree = bring_up(&mut ensemble, Way::Snap);
    for sid in ensemble.sids() {
        _ = ensemble.stop(sid);
    }
    check_files(&ensemble, &tree, test);
}

#[test]
fn apaches_leader_brings_our_learner_up() {
    every_way("apaches_leader_brings_our_learner_up", Apache, Ours);
}

#[test]
fn our_leader_brings_apaches_learner_up() {
    every_way("our_leader_brings_apaches_learner_up", Ours, Apache);
}
