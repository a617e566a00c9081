//! Histograms of durations.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Buckets of factor 2 from `first` seconds up to more than the longest deadline.
pub(crate) fn latency(first: f64) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, 18))
}
