//! When a snapshot is due (`SyncRequestProcessor.shouldSnapshot`, 3.9.5).

use crate::CoreConfig;
use crate::random::Random;

/// Counts the log since the last snapshot. Half of each bound is fixed and half is drawn, so that the
/// servers of an ensemble do not all write at once.
#[derive(Debug)]
pub(crate) struct Snapshots {
    txns_max: u64,
    bytes_max: Option<u64>,
    random: Random,
    txns: u64,
    bytes: u64,
    txns_limit: u64,
    bytes_limit: Option<u64>,
    is_writing: bool,
}

impl Snapshots {
    pub(crate) fn new(config: &CoreConfig) -> Self {
        let mut snapshots = Self {
            txns_max: config.snapshot_txns.max(2).into(),
            bytes_max: config.snapshot_log_bytes.filter(|&bytes| bytes > 0),
            random: Random::new(config.seed),
            txns: 0,
            bytes: 0,
            txns_limit: 0,
            bytes_limit: None,
            is_writing: false,
        };
        snapshots.draw();
        snapshots
    }

    fn draw(&mut self) {
        let bytes_max = self.bytes_max;
        self.txns_limit = self.half_and_some(self.txns_max);
        self.bytes_limit = bytes_max.map(|max| self.half_and_some(max));
    }

    /// The second half is drawn.
    fn half_and_some(&mut self, max: u64) -> u64 {
        max / 2 + self.random.below((max / 2).max(1))
    }

    pub(crate) fn on_append(&mut self, bytes: usize) {
        self.txns += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) fn is_due(&self) -> bool {
        let is_long = self.bytes_limit.is_some_and(|limit| self.bytes > limit);
        !self.is_writing && (self.txns > self.txns_limit || is_long)
    }

    /// Begins a snapshot; `false` when one is being written already.
    pub(crate) fn begin(&mut self) -> bool {
        if self.is_writing {
            return false;
        }
        self.is_writing = true;
        (self.txns, self.bytes) = (0, 0);
        self.draw();
        true
    }

    pub(crate) fn on_written(&mut self) {
        self.is_writing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshots(seed: u64) -> Snapshots {
        Snapshots::new(&CoreConfig {
            seed,
            snapshot_txns: 100,
            snapshot_log_bytes: Some(10_000),
            ..CoreConfig::default()
        })
    }

    fn txns_until_due(snapshots: &mut Snapshots, bytes: usize) -> u64 {
        let mut txns = 0;
        while !snapshots.is_due() {
            snapshots.on_append(bytes);
            txns += 1;
        }
        txns
    }

    #[test]
    fn a_snapshot_is_due_after_half_to_all_of_the_bound() {
        let mut seen = alloc::collections::BTreeSet::new();
        for seed in 0..200 {
            let txns = txns_until_due(&mut snapshots(seed), 1);
            assert!((51..=100).contains(&txns), "seed {seed}: {txns}");
            seen.insert(txns);
        }
        assert!(seen.len() > 20, "{seen:?}");
    }

    #[test]
    fn bytes_count_too() {
        for seed in 0..50 {
            let txns = txns_until_due(&mut snapshots(seed), 1_000);
            assert!((6..=10).contains(&txns), "seed {seed}: {txns}");
        }
    }

    #[test]
    fn only_one_is_written_at_a_time() {
        let mut snapshots = snapshots(1);
        assert!(snapshots.begin());
        for _ in 0..200 {
            snapshots.on_append(1);
        }
        assert!(!snapshots.is_due() && !snapshots.begin());
        snapshots.on_written();
        assert!(snapshots.is_due());
    }
}
