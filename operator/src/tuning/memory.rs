//! How much memory the memory cache gets.

/// `percent` of a container's memory limit, both in bytes, rounded down. `percent` is 0 to 100; more counts as 100.
#[must_use]
pub fn cache_bytes(limit: u64, percent: u32) -> u64 {
    // Divided first where the product would not fit; a byte more or less is nothing.
    let percent = u64::from(percent.min(100));
    limit / 100 * percent + limit % 100 * percent / 100
}
