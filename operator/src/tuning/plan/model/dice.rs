//! Random numbers that are reproducible from a seed.

/// Splitmix64.
#[derive(Clone)]
pub(in super::super) struct Dice(pub u64);

impl Dice {
    pub(in super::super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// `low` to `high`, both included.
    pub(in super::super) fn roll(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1).cast_unsigned()).cast_signed()
    }
    pub(in super::super) fn number(&mut self, low: u32, high: u32) -> u32 {
        u32::try_from(self.roll(low.into(), high.into())).unwrap()
    }
    pub(in super::super) fn percent(&mut self, percent: i64) -> bool {
        self.roll(1, 100) <= percent
    }
}
