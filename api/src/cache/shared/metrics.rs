//! What the shared cache counts.

use crate::{latency::latency, supervise::Supervisor};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// The shared cache.
pub struct SharedMetrics {
    /// 1 if there is a connection.
    pub connected: Gauge,
    /// How long reads and fills took.
    pub seconds: Histogram,
    /// Entries written.
    pub filled: Counter,
    /// Entries that could not be read.
    pub unreadable: Counter,
    /// Invalidations heard, our own included.
    pub received: Counter,
    /// Keeps the task running that these count for.
    pub tasks: Arc<Supervisor>,
    operations: Family<[(&'static str, &'static str); 2], Counter>,
}

impl SharedMetrics {
    pub(crate) fn new(registry: &mut Registry, tasks: Arc<Supervisor>) -> Self {
        let metrics = Self {
            connected: Gauge::default(),
            seconds: latency(0.000_05),
            filled: Counter::default(),
            unreadable: Counter::default(),
            received: Counter::default(),
            operations: Family::default(),
            tasks,
        };
        registry.register(
            "shared_cache_connected",
            "1 if there is a connection to the shared cache",
            metrics.connected.clone(),
        );
        registry.register(
            "shared_cache_operation_duration_seconds",
            "Time the shared cache took for a read or a fill",
            metrics.seconds.clone(),
        );
        registry.register(
            "shared_cache_operations",
            "Operations of the shared cache: ok, error or timeout",
            metrics.operations.clone(),
        );
        registry.register(
            "shared_cache_filled_entries",
            "Entries written",
            metrics.filled.clone(),
        );
        registry.register(
            "shared_cache_unreadable_entries",
            "Entries that could not be read and counted as misses",
            metrics.unreadable.clone(),
        );
        registry.register(
            "shared_cache_invalidations_received",
            "Invalidations heard from the shared cache, our own included",
            metrics.received.clone(),
        );
        metrics
    }

    /// The counter of one kind of operation and outcome.
    #[must_use]
    pub fn operation(&self, operation: &'static str, outcome: &'static str) -> Counter {
        self.operations
            .get_or_create_owned(&[("operation", operation), ("outcome", outcome)])
    }
}
