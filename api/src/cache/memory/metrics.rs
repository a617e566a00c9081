//! The metrics of the memory cache.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::registry::Registry;
use reckon_contract::tuning;
use reckon_metrics::Register as _;

/// The memory cache.
pub struct MemoryMetrics {
    /// Number of entries, set at each scrape.
    pub entries: Gauge,
    /// Size in bytes, overhead included, set at each scrape.
    pub bytes: Gauge,
    /// Entries dropped.
    pub evictions: Evictions,
}

/// Entries that the cache dropped by itself, by reason.
#[derive(Clone, Default)]
pub struct Evictions {
    /// Entries dropped to stay within the limit.
    pub size: Counter,
    /// Entries dropped at the end of their stale time.
    pub expired: Counter,
}

impl MemoryMetrics {
    pub(crate) fn new(registry: &mut Registry, tuning: &tuning::MemoryCache) -> Self {
        let limit: Gauge = registry.add(
            "memory_cache_limit_bytes",
            "Size in bytes that the memory cache may have",
            Gauge::default(),
        );
        limit.set(i64::try_from(tuning.max_bytes).unwrap_or(i64::MAX));
        let [size, expired] = registry.add_labelled(
            "memory_cache_evictions",
            "Entries that the memory cache dropped: to stay within its size limit (size; includes new entries that it did not \
             admit), or because they were too old to be served even as stale (expired)",
            "cause",
            ["size", "expired"],
        );
        Self {
            entries: registry.add(
                "memory_cache_entries",
                "Entries of the memory cache",
                Gauge::default(),
            ),
            bytes: registry.add(
                "memory_cache_bytes",
                "Size of the memory cache in bytes, overhead included",
                Gauge::default(),
            ),
            evictions: Evictions { size, expired },
        }
    }
}
