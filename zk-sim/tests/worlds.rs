//! Worlds of the first seeds: nothing is wrong in them, they are as rough as promised, and the same
//! seed gives the same run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use zk_sim::{Options, Telling, run};

const SEEDS: u64 = 100;
const THREADS: usize = 2;

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

fn twice(seed: u64) {
    let options = Options {
        with_faults: true,
        telling: Telling::Nothing,
    };
    let report = run(seed, options);
    assert_eq!(
        report,
        run(seed, options),
        "seed {seed} runs otherwise again"
    );
    assert_eq!(report.violation, None, "seed {seed}");
    assert!(report.faults >= 10, "seed {seed}: {} faults", report.faults);
    assert!(
        report.time >= Duration::from_secs(60),
        "seed {seed}: {:?}",
        report.time
    );
}
