//! Many values as a few figures.
//!
//! A [`Summary`] is what Apache's `AvgMinMaxCounter` shows; a [`Distribution`] adds percentiles, as
//! `AvgMinMaxPercentileCounter` does (3.9.5). Apache's percentiles are of 4,096 values drawn at
//! random; these are of all values, within 2 % of theirs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values below this have a bucket each.
const EXACT: u64 = 64;
/// Buckets of each power of two above.
const PER_OCTAVE: u64 = 32;
/// The largest value that has a bucket; larger ones count in its.
const VALUE_MAX: u64 = u32::MAX as u64;
const BUCKETS: usize = bucket(VALUE_MAX) + 1;

/// Figures of values, to be added up by one hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) sum: u64,
    min: u64,
    max: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            count: 0,
            sum: 0,
            min: u64::MAX,
            max: 0,
        }
    }
}

impl Tally {
    /// Adds one value.
    pub(crate) fn add(&mut self, value: u64) {
        self.add_many(value, 1);
    }

    fn add_many(&mut self, value: u64, count: u64) {
        self.count += count;
        self.sum += value * count;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds the values of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// The smallest value, zero without any.
    pub(crate) fn min(&self) -> u64 {
        if self.count == 0 { 0 } else { self.min }
    }

    /// The largest value, zero without any.
    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    /// The mean to four decimals, zero without any value.
    #[expect(clippy::cast_precision_loss, reason = "a mean for people")]
    pub(crate) fn mean(&self) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        let mean = self.sum as f64 / self.count as f64;
        (mean * 10_000.0).round() / 10_000.0
    }
}

/// Figures of values that many hands add.
#[derive(Debug)]
pub(crate) struct Summary {
    count: AtomicU64,
    sum: AtomicU64,
    min: AtomicU64,
    max: AtomicU64,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            min: AtomicU64::new(u64::MAX),
            max: AtomicU64::new(0),
        }
    }
}

impl Summary {
    /// Adds one value.
    pub(crate) fn add(&self, value: u64) {
        let mut tally = Tally::default();
        tally.add(value);
        self.add_tally(&tally);
    }

    /// Adds many values.
    pub(crate) fn add_tally(&self, tally: &Tally) {
        if tally.count == 0 {
            return;
        }
        self.count.fetch_add(tally.count, Relaxed);
        self.sum.fetch_add(tally.sum, Relaxed);
        // Seldom another minimum or maximum: a look is cheaper than a change.
        if tally.min < self.min.load(Relaxed) {
            self.min.fetch_min(tally.min, Relaxed);
        }
        if tally.max > self.max.load(Relaxed) {
            self.max.fetch_max(tally.max, Relaxed);
        }
    }

    /// The figures.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            count: self.count.load(Relaxed),
            sum: self.sum.load(Relaxed),
            min: self.min.load(Relaxed),
            max: self.max.load(Relaxed),
        }
    }

    /// Forgets all values.
    pub(crate) fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(u64::MAX, Relaxed);
        self.max.store(0, Relaxed);
    }
}

/// Figures and percentiles of values that many hands add.
#[derive(Debug)]
pub(crate) struct Distribution {
    summary: Summary,
    buckets: Box<[AtomicU64; BUCKETS]>,
}

impl Default for Distribution {
    fn default() -> Self {
        Self {
            summary: Summary::default(),
            buckets: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
        }
    }
}

impl Distribution {
    /// Adds one value so many times.
    pub(crate) fn add_many(&self, value: u64, count: u64) {
        let mut tally = Tally::default();
        tally.add_many(value, count);
        self.summary.add_tally(&tally);
        self.add_run(value, count);
    }

    /// Begins to add many values.
    pub(crate) fn batch(&self) -> DistributionBatch<'_> {
        DistributionBatch {
            to: self,
            tally: Tally::default(),
            value: 0,
            run: 0,
        }
    }

    fn add_run(&self, value: u64, count: u64) {
        if let Some(bucket) = self.buckets.get(bucket(value)) {
            bucket.fetch_add(count, Relaxed);
        }
    }

    /// The figures.
    pub(crate) fn tally(&self) -> Tally {
        self.summary.tally()
    }

    /// For each of `permille`, ascending: the value that so many of a thousand values do not pass.
    pub(crate) fn percentiles<const N: usize>(&self, permille: [u64; N]) -> [u64; N] {
        let counts: Vec<u64> = (self.buckets.iter())
            .map(|bucket| bucket.load(Relaxed))
            .collect();
        let total: u64 = counts.iter().sum();
        let max = self.tally().max();
        permille.map(|permille| {
            let rank = (total * permille).div_ceil(1000).max(1);
            let mut below = 0;
            let reached = counts.iter().position(|count| {
                below += count;
                below >= rank
            });
            reached.map_or(0, |bucket| middle(bucket as u64).min(max))
        })
    }

    /// Forgets all values.
    pub(crate) fn reset(&self) {
        self.summary.reset();
        for bucket in self.buckets.iter() {
            bucket.store(0, Relaxed);
        }
    }
}

/// Values on their way into a [`Distribution`]: neighbours are mostly equal, and cost nothing then.
#[derive(Debug)]
pub(crate) struct DistributionBatch<'a> {
    to: &'a Distribution,
    tally: Tally,
    value: u64,
    run: u64,
}

impl DistributionBatch<'_> {
    /// Adds one value.
    pub(crate) fn add(&mut self, value: u64) {
        self.tally.add(value);
        if value != self.value && self.run > 0 {
            self.to.add_run(self.value, self.run);
            self.run = 0;
        }
        self.value = value;
        self.run += 1;
    }

    /// Ends the batch.
    pub(crate) fn finish(self) {
        if self.run > 0 {
            self.to.add_run(self.value, self.run);
        }
        self.to.summary.add_tally(&self.tally);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a few hundred at most")]
const fn bucket(value: u64) -> usize {
    if value < EXACT {
        return value as usize;
    }
    let value = if value < VALUE_MAX { value } else { VALUE_MAX };
    let octave = (value / EXACT).ilog2() as u64;
    let within = (value >> (octave + 1)) - PER_OCTAVE;
    (EXACT + octave * PER_OCTAVE + within) as usize
}

/// The value in the middle of a bucket.
const fn middle(bucket: u64) -> u64 {
    if bucket < EXACT {
        return bucket;
    }
    let octave = (bucket - EXACT) / PER_OCTAVE;
    let within = (bucket - EXACT) % PER_OCTAVE + PER_OCTAVE;
    (within << (octave + 1)) + (1 << octave)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_near_the_middle_of_its_bucket() {
        let mut last = 0;
        for value in (0..10_000).chain((10_000..VALUE_MAX).step_by(7_919_111)) {
            let bucket = bucket(value);
            assert!(bucket >= last, "buckets ascend");
            last = bucket;
            let middle = middle(bucket as u64);
            if value < EXACT {
                assert_eq!(middle, value);
            } else {
                assert!(middle.abs_diff(value) * 50 <= value, "{value} as {middle}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn figures_are_those_of_the_values() {
        let distribution = Distribution::default();
        assert_eq!(distribution.percentiles([500, 999]), [0, 0]);
        assert_eq!(
            (distribution.tally().min(), distribution.tally().mean()),
            (0, 0.0)
        );
        let mut batch = distribution.batch();
        for value in [5, 5, 5, 7, 7, 1] {
            batch.add(value);
        }
        batch.finish();
        distribution.add_many(40, 4);
        let tally = distribution.tally();
        assert_eq!((tally.count, tally.sum), (10, 190));
        assert_eq!((tally.min(), tally.max(), tally.mean()), (1, 40, 19.0));
        let percentiles = distribution.percentiles([100, 400, 500, 600, 950, 999]);
        assert_eq!(percentiles, [1, 5, 7, 7, 40, 40]);
        distribution.reset();
        assert_eq!(distribution.tally(), Tally::default());
        assert_eq!(distribution.percentiles([500]), [0]);
    }

    #[test]
    fn a_percentile_is_never_above_the_largest_value() {
        let distribution = Distribution::default();
        distribution.add_many(1000, 1);
        assert_eq!(distribution.percentiles([500, 999]), [1000, 1000]);
    }
}
