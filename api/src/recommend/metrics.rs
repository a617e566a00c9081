//! The metrics of the use case.

use super::source::Source;
use crate::cache::generation::Invalidation;
use crate::cache::memory::MemoryMetrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use reckon_contract::tuning;
use reckon_metrics::Register as _;

/// Recommendations, and the share of the caches.
pub struct CacheMetrics {
    /// The memory cache.
    pub memory: MemoryMetrics,
    /// Look-ups in the memory cache.
    pub(super) memory_lookups: Lookups,
    /// Look-ups in the shared cache.
    pub(super) shared_lookups: Lookups,
    /// Requests that joined a load in flight.
    pub(super) joined: Counter,
    sources: [Counter; 4],
    invalidations: [Counter; 2],
}

/// Look-ups of one cache, by result.
pub struct Lookups {
    /// The entry is fresh.
    pub hit: Counter,
    /// There is an entry that may be served only while the store is unavailable.
    pub stale: Counter,
    /// There is no entry.
    pub miss: Counter,
}

impl Lookups {
    /// There was no fresh entry; `is_stale` if there was another one.
    pub(super) fn missed(&self, is_stale: bool) {
        if is_stale { &self.stale } else { &self.miss }.inc();
    }
}

impl CacheMetrics {
    pub(crate) fn new(registry: &mut Registry, tuning: &tuning::Cache) -> Self {
        let lookups = registry.add_with_labels(
            "cache_lookups",
            "Look-ups of users in the memory cache and, after a miss or a stale entry there that no load in flight answers, in \
             the shared cache, if there is one; warming included. A stale entry is past its time to live, or cannot be \
             trusted while the shared cache is unreachable. Without an answer of the shared cache it is a miss",
            ["tier", "result"],
            [
                ["memory", "hit"],
                ["memory", "stale"],
                ["memory", "miss"],
                ["shared", "hit"],
                ["shared", "stale"],
                ["shared", "miss"],
            ],
        );
        let [hit, stale, miss, shared_hit, shared_stale, shared_miss] = lookups;
        Self {
            memory: MemoryMetrics::new(registry, &tuning.memory),
            memory_lookups: Lookups { hit, stale, miss },
            shared_lookups: Lookups {
                hit: shared_hit,
                stale: shared_stale,
                miss: shared_miss,
            },
            joined: registry.add(
                "loader_joined",
                "Look-ups that joined a load in flight for the same user instead of starting one (request coalescing)",
                Counter::default(),
            ),
            sources: registry.add_labelled(
                "recommendations",
                "Recommendations returned, one for each user: from the memory cache, the shared cache or the store, or past \
                 their time to live from a cache because the store is unavailable (stale)",
                "source",
                Source::ALL.map(Source::label),
            ),
            invalidations: registry.add_labelled(
                "invalidations",
                "Invalidation calls that this process received, for one or several users (users) or for all (all); each call \
                 is counted once",
                "scope",
                ["users", "all"],
            ),
        }
    }

    /// One recommendation was returned.
    pub(crate) fn answered(&self, source: Source) {
        self.sources[source as usize].inc();
    }

    /// One invalidation call was received.
    pub(crate) fn invalidated(&self, what: &Invalidation) {
        let [users, all] = &self.invalidations;
        match what {
            Invalidation::Users(_) => users,
            Invalidation::All => all,
        }
        .inc();
    }

    /// Recommendations returned from `source` so far.
    #[must_use]
    pub(crate) fn count(&self, source: Source) -> u64 {
        self.sources[source as usize].get()
    }
}
