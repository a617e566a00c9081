//! A random generator with fixed results: the demo data must not change with a platform or a library's version.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). Integers only:
/// floating-point functions may differ between platforms.
pub(super) struct Dice(u64);

impl Dice {
    /// The generator of one person. Neighbouring seeds give results that are as different as those of distant seeds.
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number from 0 to `bound` - 1; 0 if `bound` is 0. The bias, at most `bound` / 2^64, is negligible.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than `bound`, which is a usize"
    )]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        ((u128::from(mix(self.0)) * bound as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True `percent` times in a hundred.
    pub(super) fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty, all with the same probability.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// The index of one of `weights`, with a probability proportional to its weight; 0 if all weights are 0.
    pub(super) fn weighted(&mut self, weights: &[usize]) -> usize {
        let mut left = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if left < *weight {
                return index;
            }
            left -= weight;
        }
        0
    }
}

/// The finaliser of `SplitMix64`.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn choices_are_drawn_by_weight_and_never_with_weight_zero() {
        let mut dice = Dice::new(1);
        let mut drawn = [0; 3];
        for _ in 0..10_000 {
            drawn[dice.weighted(&[3, 0, 1])] += 1;
        }
        assert!((7_300..7_700).contains(&drawn[0]), "{drawn:?}");
        assert_eq!(drawn[1], 0);
    }

    #[test]
    fn numbers_stay_within_their_bounds() {
        let mut dice = Dice::new(2);
        let drawn: Vec<usize> = (0..1_000).map(|_| dice.between(3, 5)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&5));
        assert_eq!(dice.below(0), 0);
    }
}
