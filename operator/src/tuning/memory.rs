//! How much memory the memory cache gets.

/// `percent` of a container's memory limit, both in bytes, rounded down. `percent` is 0 to 100; more counts as 100.
#[must_use]
pub fn cache_bytes(limit: u64, percent: u32) -> u64 {
    let percent = u64::from(percent.min(100));
    // The product might not fit.
    limit / 100 * percent + limit % 100 * percent / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_a_part_of_the_limit() {
        for (limit, percent, bytes) in [
            (256 << 20, 25, 64 << 20),
            (0, 25, 0),
            (1, 25, 0),
            (199, 50, 99),
            (256 << 20, 0, 0),
            (1000, 100, 1000),
            (1000, 250, 1000),
            (u64::MAX, 100, u64::MAX),
        ] {
            assert_eq!(cache_bytes(limit, percent), bytes, "{percent} % of {limit}");
        }
    }
}
