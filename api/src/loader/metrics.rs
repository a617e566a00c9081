//! What the loader counts.

use super::error::LoadError;
use crate::latency::latency;
use crate::{store::Reason, supervise::Supervisor};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use std::sync::Arc;

type Label = [(&'static str, &'static str); 1];

/// The store and the way to it.
pub struct LoaderMetrics {
    /// Users that wait for a connection.
    pub queued: Gauge,
    /// How long users waited for a connection.
    pub wait_seconds: Histogram,
    /// Users read by one statement.
    pub batch_users: Histogram,
    /// How long statements took.
    pub statement_seconds: Histogram,
    /// Connections of workers.
    pub open: Gauge,
    /// Slots that work on a job.
    pub busy: Gauge,
    /// 1 if the prober has its connection.
    pub prober_open: Gauge,
    /// 1 if the last probe succeeded.
    pub up: Gauge,
    /// Keeps the tasks running that these count for.
    pub tasks: Arc<Supervisor>,
    quarantined: Gauge,
    store_errors: Family<Label, Counter>,
    overloaded: Counter,
    timed_out: Counter,
    unavailable: Counter,
}

impl LoaderMetrics {
    pub(crate) fn new(registry: &mut Registry, tasks: Arc<Supervisor>) -> Self {
        let connections = Family::<Label, Gauge>::default();
        let of = |state| connections.get_or_create_owned(&[("state", state)]);
        // Made before the first failure: a rate needs a zero to begin with.
        let failures = Family::<Label, Counter>::default();
        let failed = |reason| failures.get_or_create_owned(&[("reason", reason)]);
        let metrics = Self {
            queued: Gauge::default(),
            wait_seconds: latency(0.000_1),
            batch_users: Histogram::new([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            statement_seconds: latency(0.000_1),
            open: of("open"),
            busy: of("busy"),
            prober_open: of("prober"),
            quarantined: of("quarantined"),
            up: Gauge::default(),
            tasks,
            store_errors: Family::default(),
            overloaded: failed("overloaded"),
            timed_out: failed("timeout"),
            unavailable: failed("unavailable"),
        };
        registry.register(
            "store_up",
            "1 if the last probe of the database succeeded",
            metrics.up.clone(),
        );
        registry.register(
            "store_connections",
            "Connections to the database: open for requests, busy ones among them, quarantined ones among those \
             (their statement's deadline has passed, or they broke in the middle of one), and the prober's",
            connections,
        );
        registry.register(
            "store_statement_duration_seconds",
            "Time the database took for a statement",
            metrics.statement_seconds.clone(),
        );
        registry.register(
            "store_errors",
            "Failed statements and connections, by reason",
            metrics.store_errors.clone(),
        );
        registry.register(
            "loader_queue_users",
            "Users that wait for a connection",
            metrics.queued.clone(),
        );
        registry.register(
            "loader_wait_seconds",
            "Time users waited for a connection",
            metrics.wait_seconds.clone(),
        );
        registry.register(
            "loader_batch_users",
            "Users read by one statement",
            metrics.batch_users.clone(),
        );
        registry.register(
            "loader_failures",
            "Loads that failed: overloaded, timeout or unavailable",
            failures,
        );
        metrics
    }

    /// A load that failed.
    pub(crate) fn failed(&self, error: LoadError) {
        match error {
            LoadError::Overloaded => &self.overloaded,
            LoadError::TimedOut => &self.timed_out,
            LoadError::Unavailable(_) => &self.unavailable,
        }
        .inc();
    }

    /// A failure of the store itself.
    pub fn store_error(&self, reason: Reason) {
        self.store_errors
            .get_or_create(&[("reason", reason.as_str())])
            .inc();
    }

    /// Counts a connection as quarantined until the guard is dropped.
    #[must_use]
    pub(crate) fn quarantine(&self) -> Counted<'_> {
        Counted::new(&self.quarantined)
    }

    /// Counts a worker as busy until the guard is dropped.
    #[must_use]
    pub(crate) fn work(&self) -> Counted<'_> {
        Counted::new(&self.busy)
    }
}

/// One that a gauge counts until this is dropped, by a panic too.
pub struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
