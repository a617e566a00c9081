//! The metrics of the use case.

use super::experiment::Group;
use super::source::Source;
use crate::cache::generation::Invalidation;
use crate::cache::memory::{MemoryCache, MemoryMetrics};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use reckon_contract::Tuning;
use reckon_contract::tuning::{self, Recommendation};
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
    /// Counters by group; only while an experiment runs.
    exposures: Option<[Counter; 2]>,
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
    /// There was no fresh entry; `is_stale`: there was a stale one.
    pub(super) fn missed(&self, is_stale: bool) {
        if is_stale { &self.stale } else { &self.miss }.inc();
    }
}

impl CacheMetrics {
    pub(crate) fn new(registry: &mut Registry, tuning: &Tuning) -> Self {
        let lookups = registry.add_with_labels(
            "cache_lookups",
            "Look-ups of users in the caches, warming included. After a miss or a stale entry in the memory cache, the shared \
             cache is looked up, if there is one and no load in flight answers. A stale entry is past its time to live, or \
             cannot be trusted while the shared cache is unreachable. If the shared cache does not answer, the look-up is a miss",
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
            memory: MemoryMetrics::new(registry, &tuning.cache.memory),
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
            exposures: exposures(registry, &tuning.recommendation),
            invalidations: registry.add_labelled(
                "invalidations",
                "Invalidation calls that this process received, for one or several users (users) or for all (all); each call \
                 is counted once, and so is a request with events or the erasure of a user",
                "scope",
                ["users", "all"],
            ),
        }
    }

    /// A memory cache that counts in these metrics the entries that it drops without an invalidation.
    #[must_use]
    pub fn memory_cache(&self, tuning: &tuning::MemoryCache) -> MemoryCache {
        MemoryCache::new(tuning.max_bytes, self.memory.evictions.clone())
    }

    /// One recommendation was returned.
    pub(crate) fn answered(&self, source: Source) {
        self.sources[source as usize].inc();
    }

    /// A user of this group got an answer with the group's algorithm.
    pub(super) fn exposed(&self, group: Group) {
        if let Some(exposures) = &self.exposures {
            exposures[group as usize].inc();
        }
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

fn exposures(registry: &mut Registry, settings: &Recommendation) -> Option<[Counter; 2]> {
    let experiment = settings.experiment.as_ref()?;
    Some(registry.add_with_labels(
        "recommendation_exposures",
        "Recommendations returned while an experiment runs, one for each user, by the user's group and its algorithm. Requests \
         with `explain`, `limit` or `exclude` are included, except requests that chose the algorithm. Absent without an experiment",
        ["algorithm", "group"],
        [
            [settings.algorithm.name(), Group::Control.label()],
            [experiment.algorithm.name(), Group::Experiment.label()],
        ],
    ))
}
