//! What handlers work with.

use super::access::Access;
use super::metrics::HttpMetrics;
use crate::recommend::Recommender;
use reckon_contract::Tuning;
use std::{sync::Arc, time::Instant};

/// What handlers need.
pub struct App {
    /// The use case.
    pub recommender: Arc<Recommender>,
    /// Metrics of requests.
    pub metrics: Arc<HttpMetrics>,
    /// How the process runs.
    pub tuning: Tuning,
    /// Who may ask for what.
    pub access: Access,
    /// Start of the process.
    pub started: Instant,
}
