//! Histograms of how long something takes.

use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// Buckets of factor 2 from `first` seconds on, past the greatest deadline.
pub(crate) fn latency(first: f64) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, 18))
}
