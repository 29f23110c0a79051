//! The harness of the ensembles' tests holds what it promises, shown with servers of Apache alone:
//! faults happen, an ensemble gets over them, and the checks pass; and the checks find what is
//! wrong.
#![expect(clippy::disallowed_methods, reason = "waits while faults last")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::thread;
use std::time::{Duration, Instant};

use zk_tests::{
    Ensemble, EnsembleSettings, Flavour, Ledger, Load, LoadSettings, Mode, Needs, check_files,
    check_members, prepare_load,
};

const SOON: Duration = Duration::from_secs(30);

struct Bench {
    ensemble: Ensemble,
    settings: LoadSettings,
    ledgers: Vec<Ledger>,
}

impl Bench {
    fn start() -> Self {
        let ensemble = EnsembleSettings::new(&[Flavour::Apache; 3]).with_links();
        let ensemble = Ensemble::start(&ensemble);
        let settings = LoadSettings::default();
        let ledgers = prepare_load(ensemble.address(1), &settings).unwrap();
        Self {
            ensemble,
            settings,
            ledgers,
        }
    }

    /// Writers work while `fault` happens and is made good; then everything is checked.
    fn round(&mut self, name: &str, fault: impl FnOnce(&mut Ensemble, &Load)) {
        let began = Instant::now();
        let ledgers = std::mem::take(&mut self.ledgers);
        let load = Load::start(&self.ensemble.addresses(), &self.settings, ledgers);
        load.wait_for(50, SOON);
        fault(&mut self.ensemble, &load);
        self.ensemble.wait_for_all(SOON);
        load.wait_for(50, SOON);
        self.ledgers = load.stop();
        let tree = check_members(&self.ensemble, &self.ledgers);
        for ledger in &mut self.ledgers {
            println!(
                "{name}: {} acknowledged, {} broken, gap {:?}",
                ledger.acknowledged, ledger.broken, ledger.longest_gap
            );
            assert_eq!(ledger.expired, 0, "{name}");
            ledger.settle();
        }
        println!("{name}: {} znodes, {:?}", tree.len(), began.elapsed());
    }
}

#[test]
fn an_ensemble_of_apache_gets_over_every_fault_of_the_harness() {
    let name = "an_ensemble_of_apache_gets_over_every_fault_of_the_harness";
    if Needs::apache(name).is_none() {
        return;
    }
    let mut bench = Bench::start();
    bench.round("a leader is killed", |ensemble, load| {
        let leader = ensemble.wait_for_all(SOON);
        ensemble.kill(leader);
        let others = ensemble.others(leader);
        assert_ne!(ensemble.wait_until_serving(&others, SOON), leader);
        load.wait_for(50, SOON);
        ensemble.spawn(leader);
    });
    bench.round("a leader is paused", |ensemble, load| {
        let leader = ensemble.wait_for_all(SOON);
        ensemble.pause(leader);
        let others = ensemble.others(leader);
        ensemble.wait_until_serving(&others, SOON);
        load.wait_for(50, SOON);
        ensemble.resume(leader);
    });
    bench.round("a leader is alone", |ensemble, load| {
        let leader = ensemble.wait_for_all(SOON);
        let others = ensemble.others(leader);
        ensemble.links().part(&[leader], &others);
        ensemble.wait_until_serving(&others, SOON);
        load.wait_for(50, SOON);
        assert_ne!(
            ensemble.status(leader).map(|status| status.mode),
            Some(Mode::Leader)
        );
        ensemble.links().heal();
    });
    bench.round("a leader does not reach one follower", |ensemble, load| {
        let leader = ensemble.wait_for_all(SOON);
        let follower = ensemble.others(leader).first().copied().unwrap();
        ensemble.links().block(leader, follower);
        let began = Instant::now();
        while ensemble.status(follower).is_some() {
            assert!(began.elapsed() < SOON, "the follower follows still");
            thread::sleep(Duration::from_millis(20));
        }
        load.wait_for(50, SOON);
        ensemble.links().heal();
    });
    bench.round("a follower is cut off", |ensemble, load| {
        let leader = ensemble.wait_for_all(SOON);
        let follower = ensemble.others(leader).first().copied().unwrap();
        ensemble
            .links()
            .cut(&[follower], &ensemble.others(follower));
        load.wait_for(50, SOON);
        ensemble.links().heal();
    });
    bench.round("the network is slow", |ensemble, load| {
        let delay = Duration::from_millis(30);
        for (one, other) in [(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)] {
            ensemble.links().delay(one, other, delay);
        }
        load.wait_for(50, SOON);
        ensemble.links().heal();
    });
    let tree = check_members(&bench.ensemble, &bench.ledgers);
    for sid in bench.ensemble.sids() {
        _ = bench.ensemble.stop(sid);
    }
    check_files(&bench.ensemble, &tree, name);
}
