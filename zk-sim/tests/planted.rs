//! Every bug that can be planted is found, and told by how many worlds that took.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum as _;
use zk_sim::{Options, Planted, Telling, run};

/// Worlds in which a bug has to be found.
const SEEDS_MAX: u64 = 2_000;
const THREADS: usize = 2;

#[test]
fn every_planted_bug_is_found_within_two_thousand_seeds() {
    // A world that panics says so in its report.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let bugs = Planted::value_variants();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(&bug) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = find(bug);
            found.lock().unwrap().push((bug, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let found = found.into_inner().unwrap();
    std::panic::set_hook(hook);
    for (bug, found) in &found {
        match found {
            Some((worlds, violation)) => println!("{bug:?}: {worlds} worlds, {violation:.120}"),
            None => println!("{bug:?}: not found"),
        }
    }
    let missed: Vec<_> = found.iter().filter(|(_, found)| found.is_none()).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// How many worlds it takes, and what is seen in the last of them.
fn find(bug: Planted) -> Option<(u64, String)> {
    (0..SEEDS_MAX).find_map(|seed| {
        let found = violation(seed, Some(bug))?;
        assert_eq!(violation(seed, None), None, "seed {seed} without a bug");
        Some((seed + 1, found))
    })
}

fn violation(seed: u64, planted: Option<Planted>) -> Option<String> {
    let options = Options {
        with_faults: true,
        planted,
        telling: Telling::Nothing,
    };
    let violation = run(seed, options).violation?;
    Some(format!("{}: {}", violation.check, violation.what))
}
