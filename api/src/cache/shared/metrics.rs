//! The metrics of the shared cache.

use super::heartbeat::Heartbeat;
use crate::{latency::latency, supervise::Supervisor};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, counter::Counter, histogram::Histogram};
use prometheus_client::registry::Registry;
use reckon_metrics::Register as _;
use std::sync::{Arc, OnceLock};

/// The kind of an operation.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Reads entries and takes leases.
    Read,
    /// Replaces entries that could not be decoded.
    Discard,
    /// Writes entries.
    Fill,
    /// Deletes entries and notifies every process.
    Invalidate,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// It succeeded.
    Ok,
    /// Redis rejected it, or the connection broke.
    Error,
    /// No reply within the deadline.
    Timeout,
}

/// The shared cache.
pub struct SharedMetrics {
    /// How long reads and fills took.
    pub seconds: Histogram,
    /// Entries written.
    pub filled: Counter,
    /// Entries not written, because their lease was gone.
    pub rejected: Counter,
    /// Entries that could not be decoded.
    pub unreadable: Counter,
    /// Invalidations received, those of this process included.
    pub received: Counter,
    /// Keeps the connection task running.
    pub tasks: Arc<Supervisor>,
    /// Counters by operation, then by outcome.
    operations: [Counter; 12],
    connection: ConnectionState,
}

impl SharedMetrics {
    pub(crate) fn new(registry: &mut Registry, tasks: Arc<Supervisor>) -> Self {
        let connection = ConnectionState::default();
        registry.register_collector(Box::new(connection.clone()));
        Self {
            seconds: registry.add(
                "shared_cache_operation_duration_seconds",
                "Time that an operation of the shared cache took, in seconds; invalidations are not included",
                latency(0.000_05),
            ),
            filled: registry.add(
                "shared_cache_filled_entries",
                "Entries written to the shared cache",
                Counter::default(),
            ),
            rejected: registry.add(
                "shared_cache_rejected_fills",
                "Entries that the shared cache rejected because their lease was gone: the user was invalidated during the load, or \
                 the lease had expired or was evicted",
                Counter::default(),
            ),
            unreadable: registry.add(
                "shared_cache_unreadable_entries",
                "Entries of the shared cache that could not be decoded and counted as misses",
                Counter::default(),
            ),
            received: registry.add(
                "shared_cache_invalidations_received",
                "Invalidations received from the shared cache, those of this process included",
                Counter::default(),
            ),
            operations: registry.add_with_labels(
                "shared_cache_operations",
                "Operations of the shared cache, by outcome: succeeded (ok), rejected by Redis or failed without a connection (error), \
                 not answered in time (timeout). A discard replaces entries that could not be decoded",
                ["operation", "outcome"],
                [
                    ["read", "ok"],
                    ["read", "error"],
                    ["read", "timeout"],
                    ["discard", "ok"],
                    ["discard", "error"],
                    ["discard", "timeout"],
                    ["fill", "ok"],
                    ["fill", "error"],
                    ["fill", "timeout"],
                    ["invalidate", "ok"],
                    ["invalidate", "error"],
                    ["invalidate", "timeout"],
                ],
            ),
            connection,
            tasks,
        }
    }

    /// One operation ended.
    pub(crate) fn ended(&self, operation: Operation, outcome: Outcome) {
        self.operations[3 * operation as usize + outcome as usize].inc();
    }

    /// A shared cache is configured: exposes the state of its connection.
    pub(crate) fn watch(&self, heartbeat: &Arc<Heartbeat>) {
        // Setting it fails only in a test that starts two caches.
        self.connection.0.set(Arc::clone(heartbeat)).ok();
    }
}

/// The connection's state at the moment of a scrape; without samples if no shared cache is configured.
#[derive(Clone, Debug, Default)]
struct ConnectionState(Arc<OnceLock<Arc<Heartbeat>>>);

impl Collector for ConnectionState {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let age = self.0.get().map(|heartbeat| heartbeat.age());
        let connected = encoder.encode_descriptor(
            "shared_cache_connected",
            "1 while there is a connection to the shared cache, else 0; absent if none is configured.",
            None,
            MetricType::Gauge,
        )?;
        if let Some(age) = age {
            ConstGauge::new(i64::from(age.is_some())).encode(connected)?;
        }
        let lag = encoder.encode_descriptor(
            "shared_cache_invalidation_lag_seconds",
            "Age of the latest heartbeat that the shared cache answered, in seconds. All earlier invalidations were received. \
             Absent without a connection.",
            None,
            MetricType::Gauge,
        )?;
        if let Some(Some(age)) = age {
            ConstGauge::new(age.as_secs_f64()).encode(lag)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, Outcome};
    use crate::metrics::Metrics;
    use reckon_contract::Tuning;

    #[test]
    fn each_outcome_of_each_operation_has_a_counter() {
        let metrics = Metrics::new(&Tuning::default());
        let operations = [
            (Operation::Read, "read"),
            (Operation::Discard, "discard"),
            (Operation::Fill, "fill"),
            (Operation::Invalidate, "invalidate"),
        ];
        let outcomes = [
            (Outcome::Ok, "ok"),
            (Outcome::Error, "error"),
            (Outcome::Timeout, "timeout"),
        ];
        let mut expected = Vec::new();
        for (operation, operation_name) in operations {
            for (outcome, outcome_name) in outcomes {
                let count = expected.len() + 1;
                for _ in 0..count {
                    metrics.shared.ended(operation, outcome);
                }
                expected.push(format!(
                    "reckon_shared_cache_operations_total{{operation=\"{operation_name}\",outcome=\"{outcome_name}\"}} {count}"
                ));
            }
        }
        let text = metrics.text();
        let mut counted: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("reckon_shared_cache_operations_total{"))
            .collect();
        counted.sort_unstable();
        expected.sort_unstable();
        assert_eq!(counted, expected);
    }
}
