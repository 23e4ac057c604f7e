//! Seeded randomness for data: phantoms, masks, angles, the order of images.
//!
//! A [`Stream`] is xoshiro256++ (Blackman and Vigna) seeded through SplitMix64, and its numbers are
//! formed here by integer operations and one exact scaling. The same seed and name therefore give
//! the same numbers on every platform and with every version of the `rand` crate.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// A stream of random numbers that is identified by a seed and a name.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// The stream `name` of `seed`. Streams of different names are unrelated, so that drawing more
    /// numbers for one purpose does not change those for another.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, 64 bits.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Stream(Xoshiro256PlusPlus::seed_from_u64(seed ^ hash))
    }

    /// A uniform number in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A uniform number in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// A uniform index in `0..n`; 0 if `n` is 0. The bias, below `n / 2^64`, cannot be noticed.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.0.next_u64()) * n as u128) >> 64) as usize
    }

    /// Puts `items` into a uniformly random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values from an independent implementation of the published algorithms:
    /// `tests/golden/random/make_random.py`.
    #[test]
    fn streams_are_the_published_generator() {
        let golden = include_str!("../../tests/golden/random/random.json");
        let golden: serde_json::Value = serde_json::from_str(golden).unwrap();
        for case in golden.as_array().unwrap() {
            let seed = case["seed"].as_u64().unwrap();
            let mut stream = Stream::new(seed, case["name"].as_str().unwrap());
            for expected in case["uniform_times_2_53"].as_array().unwrap() {
                let expected = expected.as_u64().unwrap() as f64;
                assert_eq!(stream.uniform() * 2_f64.powi(53), expected);
            }
            for expected in case["below_1000"].as_array().unwrap() {
                assert_eq!(stream.below(1000) as u64, expected.as_u64().unwrap());
            }
        }
    }

    #[test]
    fn names_separate_streams() {
        assert_ne!(Stream::new(1, "a").uniform(), Stream::new(1, "b").uniform());
    }

    #[test]
    fn numbers_fill_their_range_evenly() {
        let mut stream = Stream::new(3, "test");
        let mut counts = [0_usize; 10];
        let mut sum = 0.0;
        for _ in 0..100_000 {
            counts[stream.below(10)] += 1;
            sum += stream.between(-1.0, 3.0);
        }
        // Five standard deviations of the binomial count and of the mean.
        assert!(
            counts.iter().all(|&n| n.abs_diff(10_000) < 475),
            "{counts:?}"
        );
        assert!((sum / 100_000.0 - 1.0).abs() < 0.018, "{sum}");
    }

    #[test]
    fn shuffling_permutes() {
        let mut items: Vec<usize> = (0..50).collect();
        Stream::new(0, "order").shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
        Stream::new(0, "order").shuffle::<u8>(&mut []);
    }
}
