//! Reconciles: how many, how long, and how many at once.

use super::CONTROLLER;
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

type Labels<const N: usize> = [(&'static str, &'static str); N];

const OF_CONTROLLER: Labels<1> = [("controller", CONTROLLER)];

/// Bounds in seconds. A reconcile that has nothing to do takes a millisecond or less, and none exceeds its deadline of a minute.
const BOUNDS: [f64; 17] = [
    0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
    30.0, 60.0,
];

/// Counters and times of reconciles.
#[derive(Debug)]
pub struct Reconciles {
    successes: Counter,
    failures: Counter,
    errors: Counter,
    seconds: Histogram,
    active: Gauge,
    most: Gauge,
    last: LastEnd,
}

impl Reconciles {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let by_result = Family::<Labels<2>, Counter>::default();
        let result = |result| {
            by_result.get_or_create_owned(&[("controller", CONTROLLER), ("result", result)])
        };
        let (successes, failures) = (result("success"), result("error"));
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by result",
            by_result,
        );
        let last = LastEnd::default();
        registry.register(
            "reckon_operator_last_reconcile_timestamp_seconds",
            "Unix time at which the last reconcile ended",
            last.clone(),
        );
        Self {
            successes,
            failures,
            errors: single(
                registry,
                "controller_runtime_reconcile_errors",
                "Reconciles that failed",
                Counter::default,
            ),
            seconds: single(
                registry,
                "controller_runtime_reconcile_time_seconds",
                "Time that a reconcile takes",
                || Histogram::new(BOUNDS),
            ),
            active: single(
                registry,
                "controller_runtime_active_workers",
                "Reconciles that run at this moment",
                Gauge::default,
            ),
            most: single(
                registry,
                "controller_runtime_max_concurrent_reconciles",
                "Reconciles that can run at once",
                Gauge::default,
            ),
            last,
        }
    }

    /// A controller was started that runs up to `concurrency` reconciles at once.
    pub fn controller_started(&self, concurrency: u16) {
        self.most.inc_by(concurrency.into());
    }

    /// A reconcile begins. It is active until the value is dropped.
    pub fn begin(&self) -> Reconcile<'_> {
        self.active.inc();
        Reconcile {
            of: self,
            began: Instant::now(),
        }
    }
}

/// A reconcile that runs.
pub struct Reconcile<'a> {
    of: &'a Reconciles,
    began: Instant,
}

impl Reconcile<'_> {
    /// It ended, with or without success.
    pub fn end(self, success: bool) {
        if success {
            self.of.successes.inc();
        } else {
            self.of.failures.inc();
            self.of.errors.inc();
        }
        self.of.seconds.observe(self.began.elapsed().as_secs_f64());
        self.of.last.set(Timestamp::now());
    }
}

impl Drop for Reconcile<'_> {
    fn drop(&mut self) {
        self.of.active.dec();
    }
}

/// When the last reconcile ended. Without a series until then: 0 would read as 1970.
#[derive(Clone, Debug, Default)]
struct LastEnd(Arc<AtomicU64>);

impl LastEnd {
    fn set(&self, now: Timestamp) {
        let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or(0);
        self.0.store(milliseconds, Ordering::Relaxed);
    }
}

impl EncodeMetric for LastEnd {
    fn encode(&self, mut encoder: MetricEncoder) -> std::fmt::Result {
        let ended = Timestamp::from_millisecond(
            i64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(i64::MAX),
        );
        let seconds = ended.map_or(0.0, |ended| ended.as_duration().as_secs_f64());
        encoder.encode_gauge(&seconds)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A metric of the only controller.
fn single<M, C>(registry: &mut Registry, name: &str, help: &str, constructor: C) -> M
where
    M: Clone,
    C: MetricConstructor<M> + Clone,
    Family<Labels<1>, M, C>: Metric,
{
    let family = Family::<Labels<1>, M, C>::new_with_constructor(constructor);
    let metric = family.get_or_create_owned(&OF_CONTROLLER);
    registry.register(name, help, family);
    metric
}
