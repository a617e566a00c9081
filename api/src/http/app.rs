//! The shared state of the handlers.

use super::access::Access;
use super::metrics::HttpMetrics;
use crate::recommend::Recommender;
use reckon_contract::Tuning;
use std::{sync::Arc, time::Instant};

/// The shared state of the handlers.
pub struct App {
    /// The use case.
    pub recommender: Arc<Recommender>,
    /// Metrics of requests.
    pub metrics: Arc<HttpMetrics>,
    /// The runtime settings.
    pub tuning: Tuning,
    /// The access rules.
    pub access: Access,
    /// Start of the process.
    pub started: Instant,
}
