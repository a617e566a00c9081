//! The shared state of the handlers.

use super::access::Access;
use super::metrics::HttpMetrics;
use super::parameters::IdType;
use super::problem::Problem;
use crate::events::Events;
use crate::freshness::Status;
use crate::recommend::Recommender;
use axum::extract::FromRef;
use reckon_contract::Tuning;
use std::{sync::Arc, time::Instant};

/// The shared state of the handlers.
pub struct App {
    /// The use case.
    pub recommender: Arc<Recommender>,
    /// Stores events and erases users; `None` if that is disabled.
    pub events: Option<Arc<Events>>,
    /// Metrics of requests.
    pub metrics: Arc<HttpMetrics>,
    /// The runtime settings.
    pub tuning: Tuning,
    /// The access rules.
    pub access: Access,
    /// How new rows of the tables are followed; `None`: they are not.
    pub freshness: Option<Arc<Status>>,
    /// Start of the process.
    pub started: Instant,
}

impl App {
    /// The part that stores events and erases users.
    pub(super) fn events(&self) -> Result<&Events, Problem> {
        self.events.as_deref().ok_or_else(Problem::events_disabled)
    }
}

impl FromRef<Arc<App>> for IdType {
    fn from_ref(app: &Arc<App>) -> Self {
        Self(app.tuning.tables.user_id)
    }
}
