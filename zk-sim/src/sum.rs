//! What worlds have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use zk_sim::{Coverage, Report};

/// What came of worlds, summed up.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) seeds: u64,
    pub(crate) time: Duration,
    pub(crate) faults: u64,
    pub(crate) faults_min: u64,
    pub(crate) events: u64,
    pub(crate) settled_max: Duration,
    pub(crate) coverage: Coverage,
    pub(crate) failed: BTreeMap<u64, Report>,
}

impl Sum {
    pub(crate) fn of(report: &Report) -> Self {
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

    pub(crate) fn add(&mut self, other: Self) {
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

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
