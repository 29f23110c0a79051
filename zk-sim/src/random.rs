//! Randomness from a seed.

use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// An index of something so long, which is not empty.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let drawn = self.below(length as u64);
        usize::try_from(drawn).expect("it is below a length")
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.index(from.len());
        *from.get(index).expect("it is below the length")
    }

    /// Whether something of this probability, in thousandths, happens.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }

    /// From `least`, which is not zero, to `most`: every power of two about as likely.
    pub(crate) fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let bits = |number: u64| u64::from(u64::BITS - number.leading_zeros());
        let top = 1 << (self.between(bits(least), bits(most)) - 1);
        (top + self.below(top)).clamp(least, most)
    }

    /// A wait with this mean, exponentially distributed, at most eight times as long. By von
    /// Neumann's comparisons (1951), so that no library of the machine has a say in it.
    pub(crate) fn wait(&mut self, mean: Duration) -> Duration {
        for whole in 0_u32..8 {
            let first = self.next();
            let (mut last, mut count) = (first, 1);
            loop {
                let next = self.next();
                if next >= last {
                    break;
                }
                last = next;
                count += 1;
            }
            if count % 2 == 1 {
                let part = (mean.as_nanos() * u128::from(first >> 32)) >> 32;
                return mean * whole + Duration::from_nanos_u128(part);
            }
        }
        mean * 8
    }

    /// One of these indices, each as likely as its weight says; `None` when all are zero.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> Option<usize> {
        let all: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        if all == 0 {
            return None;
        }
        let mut drawn = self.below(all);
        weights.iter().position(|&weight| {
            let is_it = drawn < u64::from(weight);
            drawn = drawn.wrapping_sub(u64::from(weight));
            is_it
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_have_their_mean() {
        let mut random = Random::new(1);
        let mean = Duration::from_micros(1_000);
        let waits = (0..100_000).map(|_| random.wait(mean));
        let sum: Duration = waits.sum();
        assert!((99_000..101_000).contains(&sum.as_millis()), "{sum:?}");
    }

    #[test]
    fn magnitudes_are_within_their_bounds_and_reach_them() {
        let mut random = Random::new(2);
        let drawn: Vec<_> = (0..10_000).map(|_| random.magnitude(5, 1_000)).collect();
        assert_eq!(drawn.iter().min(), Some(&5));
        assert_eq!(drawn.iter().max(), Some(&1_000));
        let small = drawn.iter().filter(|&&number| number < 64).count();
        assert!((3_500..6_500).contains(&small), "{small}");
    }

    #[test]
    fn weights_count() {
        let mut random = Random::new(3);
        let mut drawn = [0; 3];
        for _ in 0..4_000 {
            drawn[random.weighted(&[1, 0, 3]).unwrap()] += 1;
        }
        assert_eq!(drawn[1], 0);
        assert!((900..1_100).contains(&drawn[0]), "{drawn:?}");
        assert_eq!(random.weighted(&[0, 0]), None);
    }
}
