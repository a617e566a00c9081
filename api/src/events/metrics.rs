//! The metrics of events.

use crate::latency::latency;
use crate::store::write::Outcome;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use prometheus_client::registry::Registry;
use reckon_metrics::Register as _;

/// Events by their outcome.
pub struct EventMetrics {
    accepted: Counter,
    duplicate: Counter,
    ignored: Counter,
    failed: Counter,
    /// How long it took to store the events of one or several requests.
    pub(super) seconds: Histogram,
    /// Erasures of a user that are complete.
    pub(super) erased: Counter,
    /// Erasures of a user that failed or are incomplete.
    pub(super) not_erased: Counter,
}

impl EventMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let [accepted, duplicate, ignored, failed] = registry.add_labelled(
            "events",
            "Events received: stored (accepted), received before (duplicate), of a user who was erased later (ignored), or in a \
             valid request that failed (failed)",
            "outcome",
            ["accepted", "duplicate", "ignored", "failed"],
        );
        let [erased, not_erased] = registry.add_labelled(
            "erasures",
            "Erasures of a user: complete (erased), or failed or incomplete (failed)",
            "outcome",
            ["erased", "failed"],
        );
        Self {
            accepted,
            duplicate,
            ignored,
            failed,
            seconds: registry.add(
                "events_write_duration_seconds",
                "Time to store the events of one or several requests in one transaction, repetitions included, in seconds",
                latency(0.000_5),
            ),
            erased,
            not_erased,
        }
    }

    pub(super) fn stored(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted => &self.accepted,
                Outcome::Duplicate => &self.duplicate,
                Outcome::Ignored => &self.ignored,
            }
            .inc();
        }
    }

    pub(super) fn failed(&self, events: usize) {
        self.failed.inc_by(events as u64);
    }
}
