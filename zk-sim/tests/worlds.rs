//! Worlds of the first seeds: nothing is wrong in them, they are as rough as promised, and the same
//! seed gives the same run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zk_sim::{Options, Telling, run};

const SEEDS: u64 = 100;
const THREADS: usize = 2;

const OPTIONS: Options = Options {
    with_faults: true,
    planted: None,
    telling: Telling::Nothing,
};

#[test]
fn a_hundred_seeds_run_twice_give_the_same_traces_and_violate_nothing() {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return;
            }
            twice(seed);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().expect("no seed fails");
        }
    });
}

#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    let seeds = include_str!("../seeds.txt").lines();
    for line in seeds.filter(|line| !line.starts_with('#')) {
        let (seed, found) = line.split_once(' ').unwrap();
        let report = run(seed.parse().unwrap(), OPTIONS);
        assert_eq!(report.violation, None, "seed {seed}, as when {found}");
    }
}

fn twice(seed: u64) {
    let report = run(seed, OPTIONS);
    let again = run(seed, OPTIONS);
    assert_eq!(report, again, "seed {seed} runs otherwise again");
    assert_eq!(report.violation, None, "seed {seed}");
    assert!(report.faults >= 10, "seed {seed}: {}", report.faults);
    let time = report.time;
    assert!(time >= Duration::from_secs(60), "seed {seed}: {time:?}");
}
