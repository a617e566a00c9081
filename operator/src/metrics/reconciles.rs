//! Reconciles: how many, how long, and how many at once.

use super::labels::{CONTROLLER, Label};
use jiff::Timestamp;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use reckon_metrics::Register as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

type Times = Family<Label, Histogram, fn() -> Histogram>;

/// Bounds in seconds. A reconcile without anything to do takes a millisecond or less, and none exceeds its deadline of a
/// minute.
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
        let [successes, failures] = registry.add_with_labels(
            "controller_runtime_reconcile",
            "Reconciles by result",
            ["controller", "result"],
            [[CONTROLLER, "success"], [CONTROLLER, "error"]],
        );
        let [errors] = registry.add_labelled(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed",
            "controller",
            [CONTROLLER],
        );
        let times = registry.add(
            "controller_runtime_reconcile_time_seconds",
            "Duration of a reconcile",
            Times::new_with_constructor(|| Histogram::new(BOUNDS)),
        );
        let [active] = registry.add_labelled(
            "controller_runtime_active_workers",
            "Reconciles that are running",
            "controller",
            [CONTROLLER],
        );
        let [most] = registry.add_labelled(
            "controller_runtime_max_concurrent_reconciles",
            "Reconciles that can run at once",
            "controller",
            [CONTROLLER],
        );
        Self {
            successes,
            failures,
            errors,
            seconds: times.get_or_create_owned(&[("controller", CONTROLLER)]),
            active,
            most,
            last: registry.add(
                "reckon_operator_last_reconcile_timestamp_seconds",
                "Unix time at which the last reconcile ended",
                LastEnd::default(),
            ),
        }
    }

    /// A controller was started that runs up to `concurrency` reconciles at once.
    pub fn controller_started(&self, concurrency: u16) {
        self.most.inc_by(concurrency.into());
    }

    /// Starts a reconcile. It is active until the value is dropped.
    pub fn begin(&self) -> Reconcile<'_> {
        self.active.inc();
        Reconcile {
            of: self,
            began: Instant::now(),
        }
    }
}

/// A reconcile in progress.
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

/// When the last reconcile ended. It has no series until then: 0 would read as 1970.
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
