//! Kubernetes quantities: `256Mi`, `1.5G`, `500m`, `1e3`.

/// A quantity that is not negative, to the billionth (Kubernetes' own precision).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nano: u128,
}

impl Quantity {
    /// Whole units, rounded up; the greatest `u64` when it is more.
    #[must_use]
    pub fn rounded_up(self) -> u64 {
        u64::try_from(self.nano.div_ceil(NANO)).unwrap_or(u64::MAX)
    }

    /// Whole units, rounded down; the greatest `u64` when it is more.
    #[must_use]
    pub fn rounded_down(self) -> u64 {
        u64::try_from(self.nano / NANO).unwrap_or(u64::MAX)
    }
}

const NANO: u128 = 1_000_000_000;
