//! Elections under faults, from seeds.

use alloc::vec::Vec;
use core::time::Duration;

use zk_proto::quorum::{EnsembleConfig, ServerState};
use zk_proto::{ServerId, Zxid};

use super::script::ensemble;
use super::world::World;

const FOREVER: Duration = Duration::from_secs(60);

/// Ensembles of three to seven voters, with observers, groups and servers of weight zero.
const ENSEMBLES: &[&[&str]] = &[
    &["1", "2", "3"],
    &["1", "2", "3", "4:observer"],
    &["1", "2", "3", "4", "5"],
    &["1:observer", "2", "3", "4", "5", "6", "9:observer"],
    &["1", "2", "3", "4", "5", "6", "7"],
    &["1", "2", "3", "4", "group=1:2:3:4", "weight=4:0"],
    &[
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
        "group=1:2:3",
        "group=4:5",
        "group=6:7",
        "weight=4:2",
    ],
];

fn ensemble_of(seed: u64) -> EnsembleConfig {
    let count = u64::try_from(ENSEMBLES.len()).unwrap();
    ensemble(ENSEMBLES[usize::try_from(seed % count).unwrap()])
}

/// Servers with logs of their own, started within `ms` of each other. Now and then a packet takes up
/// to `slow_ms`.
fn with_logs(seed: u64, ms: u64, slow_ms: u64) -> World {
    let mut world = World::new(seed, ensemble_of(seed), slow_ms);
    let ids: Vec<ServerId> = world.servers.keys().copied().collect();
    for id in ids {
        let epoch = u32::try_from(world.random.below(3)).unwrap();
        let counter = i64::try_from(world.random.below(3)).unwrap();
        let server = world.servers.get_mut(&id).unwrap();
        server.epoch = i64::from(epoch);
        server.zxid = Zxid(Zxid::of_epoch(epoch).0 + counter);
        world.start_within(id, ms);
    }
    world
}

fn is_settled(world: &World) -> bool {
    world.settled_on().is_some()
}

#[test]
fn the_best_log_of_a_quorum_leads() {
    for seed in 0..500 {
        let mut world = with_logs(seed, 100, 20);
        let log = |(&id, it): (&ServerId, &super::world::Server)| (it.epoch, it.zxid, id);
        let logs: Vec<_> = world.servers.iter().map(log).collect();
        let settled = world.run_until(FOREVER, is_settled);
        assert!(
            settled < Some(Duration::from_millis(400)),
            "seed {seed}: {settled:?}"
        );
        let leader = world.settled_on().unwrap();
        let best = *logs.iter().find(|(_, _, id)| *id == leader).unwrap();
        let is_below = |voter| logs.iter().any(|log| log.2 == voter && *log <= best);
        assert!(
            world.quorums.has_all_by(is_below),
            "seed {seed}: {leader} of {logs:?}"
        );
    }
}

#[test]
fn who_starts_together_waits_for_nothing() {
    for seed in 0..500 {
        let mut world = with_logs(seed, 5, 2);
        let leads = |world: &World| world.leader().is_some();
        let took = world.run_until(FOREVER, leads);
        assert!(
            took < Some(Duration::from_millis(80)),
            "seed {seed}: {took:?}"
        );
    }
}

#[test]
fn a_crashed_leader_is_replaced_without_a_wait() {
    for seed in 0..500 {
        let mut world = with_logs(seed, 5, 2);
        world.run_until(FOREVER, is_settled).unwrap();
        world.run(Duration::from_secs(1));
        world.crash(world.leader().unwrap());
        let leads = |world: &World| world.leader().is_some();
        let took = world.run_until(FOREVER, leads);
        assert!(
            took < Some(Duration::from_millis(120)),
            "seed {seed}: {took:?}"
        );
    }
}

#[test]
fn who_comes_later_finds_the_leader() {
    for seed in 0..500 {
        let mut world = with_logs(seed, 5, 2);
        world.run_until(FOREVER, is_settled).unwrap();
        let leader = world.leader().unwrap();
        let others: Vec<ServerId> = world.servers.keys().copied().collect();
        for id in others.into_iter().filter(|&id| id != leader) {
            world.crash(id);
            let away = world.random.below(5_000);
            world.run(Duration::from_millis(away));
            world.start_within(id, 0);
            let took = world.run_until(FOREVER, is_settled);
            assert!(
                took < Some(Duration::from_millis(150)),
                "seed {seed}: {took:?}"
            );
        }
    }
}

/// Half a minute of faults, after which everything works.
fn after_faults(seed: u64, has_trace: bool) -> World {
    let mut world = with_logs(seed, 1_000, 300);
    world.trace = has_trace.then(Vec::new);
    let ids: Vec<ServerId> = world.servers.keys().copied().collect();
    let count = u64::try_from(ids.len()).unwrap();
    let pick = |world: &mut World| ids[usize::try_from(world.random.below(count)).unwrap()];
    let end = world.now + Duration::from_secs(30);
    while world.now < end {
        let (one, other) = (pick(&mut world), pick(&mut world));
        match world.random.below(10) {
            0 | 1 => world.crash(one),
            2..5 => ids.iter().for_each(|&id| world.start_within(id, 300)),
            5 => world.cut(one, other),
            6 => ids.iter().for_each(|&id| world.cut(one, id)),
            7 => world.heal(),
            _ => world.break_one(),
        }
        let pause = world.random.below(1_500);
        world.run(Duration::from_millis(pause));
    }
    world.heal();
    ids.iter().for_each(|&id| world.start_within(id, 100));
    world
}

#[test]
fn after_faults_all_settle_on_a_leader_that_has_all_commits() {
    for seed in 0..500 {
        let mut world = after_faults(seed, false);
        let settled = world.run_until(FOREVER, is_settled);
        assert!(
            settled < Some(Duration::from_secs(4)),
            "seed {seed}: {settled:?}"
        );
        let leader = &world.servers[&world.leader().unwrap()];
        assert!(leader.zxid >= world.committed, "seed {seed}");
        assert!(
            world.committed > Zxid::ZERO,
            "seed {seed}: nothing was ever written"
        );
    }
}

#[test]
fn neither_observers_nor_weight_zero_lead() {
    for seed in 0..200 {
        let world = after_faults(seed, false);
        for (&id, server) in &world.servers {
            let leads = |state| state == ServerState::Leading;
            let has_led = server.decided.iter().any(|decision| leads(decision.state));
            assert!(
                !has_led || world.quorums.weight(id) > 0,
                "seed {seed}: {id}"
            );
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_elections() {
    let trace = |seed| after_faults(seed, true).trace.unwrap();
    for seed in 0..20 {
        let first = trace(seed);
        assert!(first.len() > 100, "seed {seed}: {} lines", first.len());
        assert!(first == trace(seed), "seed {seed}");
        assert!(first != trace(seed + 1_000), "seed {seed}");
    }
}
