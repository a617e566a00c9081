//! The metrics of the follower of new rows.

use super::found::Found;
use crate::latency::latency;
use crate::store::new_rows::Followed;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::Registry;
use reckon_contract::tuning;
use reckon_metrics::Register as _;

/// Polls for new rows.
pub struct FreshnessMetrics {
    /// How long a poll of one table took.
    pub seconds: Histogram,
    up: [Gauge; 2],
    last_poll: [Gauge; 2],
    rows: [Counter; 2],
    failures: [Counter; 2],
    dropped_gaps: Counter,
}

impl FreshnessMetrics {
    pub(crate) fn new(registry: &mut Registry, tuning: &tuning::Freshness) -> Self {
        let period = Gauge::<i64>::default();
        period.set(tuning.poll_seconds.into());
        registry.register(
            "freshness_poll_period_seconds",
            "Seconds between two polls of a table for new rows; 0 if tables are not polled",
            period,
        );
        let tables = Followed::ALL.map(Followed::as_str);
        Self {
            up: registry.add_labelled(
                "freshness_up",
                "1 if the last poll of the table for new rows succeeded, else 0",
                "table",
                tables,
            ),
            last_poll: registry.add_labelled(
                "freshness_last_poll_timestamp_seconds",
                "Time of the last poll of the table whose invalidations were all acknowledged, in seconds since 1970. Before \
                 the first one: the start of the process. 0 if the table is not polled",
                "table",
                tables,
            ),
            rows: registry.add_labelled(
                "freshness_rows",
                "New rows whose users were invalidated one by one",
                "table",
                tables,
            ),
            failures: registry.add_labelled(
                "freshness_poll_failures",
                "Polls of the table for new rows that the database did not answer",
                "table",
                tables,
            ),
            dropped_gaps: registry.add(
                "freshness_dropped_gaps",
                "Gaps between the numbers of rows that are no longer read because there are too many of them",
                Counter::default(),
            ),
            seconds: registry.add(
                "freshness_poll_duration_seconds",
                "Time that a completed poll of one table for new rows took, in seconds",
                latency(0.000_1),
            ),
        }
    }

    /// The table is polled from `now` on.
    pub(super) fn begin(&self, of: Followed, now: i64) {
        if self.last_poll[of as usize].get() == 0 {
            self.last_poll[of as usize].set(now);
        }
    }

    /// A poll was completed, and its invalidations were acknowledged.
    pub(super) fn polled(&self, of: Followed, now: i64) {
        self.last_poll[of as usize].set(now);
    }

    /// Whether the table is followed.
    pub(super) fn set_up(&self, of: Followed, is_up: bool) {
        self.up[of as usize].set(is_up.into());
    }

    /// Counts the result of a poll.
    pub(super) fn found(&self, of: Followed, found: &Found) {
        self.rows[of as usize].inc_by(found.rows);
        self.dropped_gaps.inc_by(found.dropped_gaps);
    }

    /// Counts a failed poll. Returns whether the failure should be logged: the first one is, and then each hundredth.
    pub(super) fn failed(&self, of: Followed) -> bool {
        self.failures[of as usize].inc().is_multiple_of(100)
    }
}
