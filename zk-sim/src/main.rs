//! `zk-sim`: runs worlds, one or many.
#![expect(clippy::print_stdout, reason = "a command line prints")]
#![expect(
    clippy::disallowed_methods,
    reason = "worlds run in threads of their own, and are timed for whoever waits for them"
)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use zk_sim::{Coverage, Options, Report, Telling, run};

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
    let with_faults = !arguments.calm;
    let is_well = match (&arguments.seed, &arguments.seeds) {
        (Some(seed), _) => run_one(*seed, with_faults, arguments.trace),
        (None, Some(seeds)) => run_many(&seeds.0, with_faults, &arguments),
        (None, None) => unreachable!("clap asks for one of them"),
    };
    match is_well {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn run_one(seed: u64, with_faults: bool, trace: bool) -> bool {
    let telling = match trace {
        true => Telling::All,
        false => Telling::Nothing,
    };
    let report = run(
        seed,
        Options {
            with_faults,
            telling,
        },
    );
    let sum = Sum::of(&report);
    println!("seed {seed}: trace hash {:016x}, {sum}", report.trace_hash);
    println!("{:?}", report.coverage);
    let is_well = report.violation.is_none();
    if !is_well {
        tell_failure(&report, with_faults);
    }
    is_well
}

/// Names what is wrong, and how to see it again.
fn tell_failure(report: &Report, with_faults: bool) {
    let Some(violation) = &report.violation else {
        return;
    };
    let seed = report.seed;
    let again = run(
        seed,
        Options {
            with_faults,
            telling: Telling::Last,
        },
    );
    println!("seed {seed} fails; the last that happened:");
    for line in again.last_lines {
        println!("    {line}");
    }
    println!(
        "seed {seed} violates {} at {}: {}",
        violation.check,
        violation.at.trim(),
        violation.what
    );
    let calm = if with_faults { "" } else { " --calm" };
    println!("repeat with: zk-sim --seed {seed}{calm} --trace");
}

/// What many worlds have in common.
#[derive(Debug, Default)]
struct Sum {
    seeds: u64,
    time: Duration,
    faults: u64,
    faults_min: u64,
    events: u64,
    settled_max: Duration,
    coverage: Coverage,
    failed: BTreeMap<u64, Report>,
}

impl Sum {
    fn of(report: &Report) -> Self {
        let mut failed = BTreeMap::new();
        if report.violation.is_some() {
            failed.insert(report.seed, report.clone());
        }
        Self {
            seeds: 1,
            time: report.time,
            faults: report.faults,
            faults_min: report.faults,
            events: report.events,
            settled_max: report.settled_after,
            coverage: report.coverage.clone(),
            failed,
        }
    }

    fn add(&mut self, other: Self) {
        self.faults_min = match self.seeds {
            0 => other.faults_min,
            _ => self.faults_min.min(other.faults_min),
        };
        self.seeds += other.seeds;
        self.time += other.time;
        self.faults += other.faults;
        self.events += other.events;
        self.settled_max = self.settled_max.max(other.settled_max);
        self.coverage.add(&other.coverage);
        self.failed.extend(other.failed);
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} seeds, {:.2} simulated hours, {} faults ({} a seed at least), {} events, well again after {:?} at most, {} violations",
            self.seeds,
            self.time.as_secs_f64() / 3_600.0,
            self.faults,
            self.faults_min,
            self.events,
            self.settled_max,
            self.failed.len()
        )
    }
}

fn run_many(seeds: &Range<u64>, with_faults: bool, arguments: &Arguments) -> bool {
    let start = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let state = Mutex::new((Sum::default(), start));
    let options = Options {
        with_faults,
        telling: Telling::Nothing,
    };
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let sum = Sum::of(&run(seed, options));
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
    for report in sum.failed.values().take(FAILURES_TOLD) {
        tell_failure(report, with_faults);
    }
    let took = start.elapsed().as_secs_f64();
    let factor = sum.time.as_secs_f64() / took;
    println!("{:?}", sum.coverage);
    println!("{sum}, {took:.1} s, {factor:.0} times as fast as real time");
    sum.failed.is_empty()
}
