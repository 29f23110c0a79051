//! `zk-sim`: runs worlds, one or many.
#![expect(clippy::print_stdout, reason = "a command line prints")]
#![expect(
    clippy::disallowed_methods,
    reason = "worlds run in threads of their own, and are timed for whoever waits for them"
)]

mod sum;

use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum as _};
use sum::Sum;
use zk_sim::{Options, Planted, Report, Telling, run};

/// Between two lines of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);
/// Seeds that fail are told one by one up to so many; the rest is counted.
const FAILURES_TOLD: usize = 20;

/// Ensembles in deterministic worlds: each seed is a world, in which disks, links and clocks fail, and
/// everything that clients see is checked.
#[derive(Debug, Parser)]
struct Arguments {
    /// Runs the world of this seed.
    #[arg(long, required_unless_present = "seeds", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Runs the worlds of these seeds: A..B, without B.
    #[arg(long, value_name = "A..B")]
    seeds: Option<Seeds>,
    /// Worlds at the same time.
    #[arg(long, default_value_t = 1, requires = "seeds")]
    jobs: u32,
    /// Prints everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Lets nothing go wrong.
    #[arg(long)]
    calm: bool,
    /// Gives the servers a bug, which has to be found.
    #[arg(long, value_name = "BUG")]
    plant: Option<Planted>,
    /// Goes on after a seed that fails.
    #[arg(long, requires = "seeds")]
    keep_going: bool,
}

#[derive(Debug, Clone)]
struct Seeds(Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once("..").and_then(|(first, end)| {
            let seeds = first.parse().ok()?..end.parse().ok()?;
            (!seeds.is_empty()).then_some(Self(seeds))
        });
        parsed.ok_or_else(|| format!("{text:?}, expected A..B with A below B"))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A world that panics says so in its report.
    std::panic::set_hook(Box::new(|_| {}));
    let is_well = match (&arguments.seed, &arguments.seeds) {
        (Some(seed), _) => run_one(*seed, &arguments),
        (None, Some(seeds)) => run_many(&seeds.0, &arguments),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

impl Arguments {
    fn options(&self, telling: Telling) -> Options {
        Options {
            with_faults: !self.calm,
            planted: self.plant,
            telling,
        }
    }

    /// How a world is run again.
    fn repeat(&self, seed: u64) -> String {
        let calm = if self.calm { " --calm" } else { "" };
        let planted = self.plant.and_then(|bug| bug.to_possible_value());
        let plant = planted.map(|bug| format!(" --plant {}", bug.get_name()));
        let plant = plant.unwrap_or_default();
        format!("cargo run --release -p zk-sim -- --seed {seed}{calm}{plant} --trace")
    }
}

fn run_one(seed: u64, arguments: &Arguments) -> bool {
    let telling = match arguments.trace {
        true => Telling::All,
        false => Telling::Nothing,
    };
    let report = run(seed, arguments.options(telling));
    let sum = Sum::of(&report);
    println!("seed {seed}: trace hash {:016x}, {sum}", report.trace_hash);
    println!("{:?}", report.coverage);
    tell_failure(&report, arguments);
    report.violation.is_none()
}

/// Names what is wrong, if anything is, and how to see it again.
fn tell_failure(report: &Report, arguments: &Arguments) {
    let Some(violation) = &report.violation else {
        return;
    };
    let seed = report.seed;
    println!("seed {seed} fails; the last that happened:");
    for line in run(seed, arguments.options(Telling::Last)).last_lines {
        println!("    {line}");
    }
    let (check, at, what) = (violation.check, violation.at.trim(), &violation.what);
    println!("seed {seed} violates {check} at {at}: {what}");
    println!("repeat with: {}", arguments.repeat(seed));
}

fn run_many(seeds: &Range<u64>, arguments: &Arguments) -> bool {
    let start = Instant::now();
    let sum = run_all(seeds, arguments, start);
    for report in sum.failed.values().take(FAILURES_TOLD) {
        tell_failure(report, arguments);
    }
    let took = start.elapsed().as_secs_f64();
    let factor = sum.time.as_secs_f64() / took;
    println!("{:?}", sum.coverage);
    println!("{sum}, {took:.1} s, {factor:.0} times as fast as real time");
    sum.failed.is_empty()
}

/// Runs the worlds in as many threads as asked for.
fn run_all(seeds: &Range<u64>, arguments: &Arguments, start: Instant) -> Sum {
    let next = AtomicU64::new(seeds.start);
    let state = Mutex::new((Sum::default(), start));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let sum = Sum::of(&run(seed, arguments.options(Telling::Nothing)));
            let mut state = state.lock().expect("nobody panics with the lock");
            let (all, told) = &mut *state;
            all.add(sum);
            if !all.failed.is_empty() && !arguments.keep_going {
                next.store(seeds.end, Ordering::Relaxed);
            }
            if told.elapsed() >= PROGRESS_EVERY {
                *told = Instant::now();
                eprintln!("{all}, {:?}", start.elapsed());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let (sum, _) = state.into_inner().expect("nobody panics with the lock");
    sum
}
