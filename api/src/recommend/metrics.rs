//! What the use case counts.

use super::source::Source;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;

type Label = [(&'static str, &'static str); 1];

/// Answers by where they came from.
pub struct CacheMetrics {
    memory: Counter,
    shared: Counter,
    store: Counter,
    stale: Counter,
    /// Entries of the memory cache.
    pub entries: Gauge,
    /// Bytes of the memory cache, overhead included.
    pub bytes: Gauge,
    /// Invalidation calls, for however many users.
    pub invalidations: Counter,
}

impl CacheMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let answers = Family::<Label, Counter>::default();
        let entries = Gauge::default();
        let bytes = Gauge::default();
        let invalidations = Counter::default();
        registry.register(
            "recommendations",
            "Recommendations given, by where they came from: memory or shared cache, store, or stale from a cache",
            answers.clone(),
        );
        registry.register(
            "memory_cache_entries",
            "Entries of the memory cache",
            entries.clone(),
        );
        registry.register(
            "memory_cache_bytes",
            "Bytes of the memory cache",
            bytes.clone(),
        );
        registry.register(
            "invalidations",
            "Invalidation calls: of one user, of several or of all, each call counted once",
            invalidations.clone(),
        );
        let of = |source: Source| answers.get_or_create_owned(&[("source", source.label())]);
        Self {
            memory: of(Source::Memory),
            shared: of(Source::Shared),
            store: of(Source::Store),
            stale: of(Source::Stale),
            entries,
            bytes,
            invalidations,
        }
    }

    /// One recommendation given.
    pub(crate) fn answered(&self, source: Source) {
        self.counter(source).inc();
    }

    /// Recommendations given from `source` so far.
    #[must_use]
    pub(crate) fn count(&self, source: Source) -> u64 {
        self.counter(source).get()
    }

    fn counter(&self, source: Source) -> &Counter {
        match source {
            Source::Memory => &self.memory,
            Source::Shared => &self.shared,
            Source::Store => &self.store,
            Source::Stale => &self.stale,
        }
    }
}
