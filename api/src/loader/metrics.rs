//! The metrics of the loader.

use super::error::LoadError;
use crate::latency::latency;
use crate::{store::Reason, supervise::Supervisor};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::Registry;
use reckon_contract::tuning;
use reckon_metrics::Register as _;
use std::sync::Arc;

/// The store and its connections.
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
    /// Workers that execute a job.
    pub busy: Gauge,
    /// 1 if the prober has its connection.
    pub prober_open: Gauge,
    /// 1 if the connection for events is open.
    pub writer_open: Gauge,
    /// 1 if the last probe succeeded.
    pub up: Gauge,
    /// Connections that the server allows the account.
    pub account_limit: Gauge,
    /// Attempts to connect that the server refused because of a limit of connections.
    pub refused: Counter,
    /// Keeps the workers and the prober running.
    pub tasks: Arc<Supervisor>,
    quarantined: Gauge,
    /// Counters by reason, in the order of [`Reason::ALL`].
    pub(super) store_errors: [Counter; Reason::ALL.len()],
    pub(super) overloaded: Counter,
    pub(super) timed_out: Counter,
    pub(super) unavailable: Counter,
}

impl LoaderMetrics {
    pub(crate) fn new(
        registry: &mut Registry,
        tuning: &tuning::Store,
        tasks: Arc<Supervisor>,
    ) -> Self {
        let limit = |limit: u32| {
            let gauge = Gauge::<i64>::default();
            gauge.set(limit.into());
            gauge
        };
        registry.register(
            "store_connections_limit",
            "Connections to the database that this process may have, the prober's included",
            limit(tuning.pool_size),
        );
        registry.register(
            "loader_queue_limit_users",
            "Users that may wait for a connection; the load of one more fails as overloaded",
            limit(tuning.queue_length),
        );
        let [open, busy, quarantined, prober_open, writer_open] = registry.add_labelled(
            "store_connections",
            "Connections to the database. open: for requests. busy: those of open that execute a statement. quarantined: those \
             of busy whose statement is past its deadline or broke off, so that the server may still be running it. prober: \
             the one that checks the database. writer: the one for events",
            "state",
            ["open", "busy", "quarantined", "prober", "writer"],
        );
        let [overloaded, timed_out, unavailable] = registry.add_labelled(
            "loader_failures",
            "Loads of a user that failed: the queue was full (overloaded), the database did not answer in time (timeout) or is \
             unavailable (unavailable)",
            "reason",
            ["overloaded", "timeout", "unavailable"],
        );
        Self {
            queued: registry.add(
                "loader_queue_users",
                "Users that wait for a connection to the database",
                Gauge::default(),
            ),
            wait_seconds: registry.add(
                "loader_wait_seconds",
                "Time that a user waited for a connection to the database, in seconds",
                latency(0.000_1),
            ),
            batch_users: registry.add(
                "loader_batch_users",
                "Users read by one statement",
                Histogram::new([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            ),
            statement_seconds: registry.add(
                "store_statement_duration_seconds",
                "Time that the database took for a statement, in seconds",
                latency(0.000_1),
            ),
            store_errors: registry.add_labelled(
                "store_errors",
                "Statements, probes and attempts to connect that failed, by reason",
                "reason",
                Reason::ALL.map(Reason::as_str),
            ),
            account_limit: registry.add(
                "store_account_connections_limit",
                "Connections that the database server allows the account (MAX_USER_CONNECTIONS), as the open session with the least \
                 strict limit reports it; 0: no limit, or no session is open",
                Gauge::default(),
            ),
            refused: registry.add(
                "store_connections_refused",
                "Attempts to open a connection that the database server refused, because it or the account has no more \
                 connections",
                Counter::default(),
            ),
            up: registry.add(
                "store_up",
                "1 if the last probe of the database succeeded, else 0",
                Gauge::default(),
            ),
            open,
            busy,
            prober_open,
            writer_open,
            quarantined,
            tasks,
            overloaded,
            timed_out,
            unavailable,
        }
    }

    /// A load failed.
    pub(crate) fn failed(&self, error: LoadError) {
        match error {
            LoadError::Overloaded => &self.overloaded,
            LoadError::TimedOut => &self.timed_out,
            LoadError::Unavailable(_) => &self.unavailable,
        }
        .inc();
    }

    /// The store itself failed.
    pub fn store_error(&self, reason: Reason) {
        self.store_errors[reason as usize].inc();
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

/// Increments a gauge until it is dropped, by a panic too.
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
