//! The metrics of all parts in one registry, as Prometheus scrapes them. Label values come from closed sets: never a user, a
//! path or an error's text.

use crate::cache::shared::SharedMetrics;
use crate::events::EventMetrics;
use crate::freshness::FreshnessMetrics;
use crate::http::HttpMetrics;
use crate::loader::LoaderMetrics;
use crate::recommend::CacheMetrics;
use crate::supervise::Supervisor;
use crate::trained::CurrentModel;
use prometheus_client::metrics::info::Info;
use prometheus_client::{encoding::text::encode, registry::Registry};
use reckon_contract::Tuning;
use reckon_metrics::Process;
use std::sync::Arc;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// The metrics of the HTTP API.
    pub http: Arc<HttpMetrics>,
    /// The metrics of the caches.
    pub cache: Arc<CacheMetrics>,
    /// The metrics of the shared cache.
    pub shared: Arc<SharedMetrics>,
    /// The metrics of the store and the loader.
    pub loader: Arc<LoaderMetrics>,
    /// The metrics of events.
    pub events: Arc<EventMetrics>,
    /// The metrics of following the tables.
    pub freshness: Arc<FreshnessMetrics>,
    /// The trained model in use, which exposes its own metrics.
    pub models: Arc<CurrentModel>,
    /// The metrics of the background tasks; also keeps these tasks running.
    pub tasks: Arc<Supervisor>,
}

impl Metrics {
    /// All metrics, registered; the limits of `tuning` are among them.
    #[must_use]
    pub fn new(tuning: &Tuning) -> Self {
        let mut registry = Registry::default();
        Process::register(&mut registry);
        let own = registry.sub_registry_with_prefix("reckon");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        own.register("build", "Version of the program", Info::new(version));
        let tasks = Arc::new(Supervisor::new(own));
        Self {
            http: Arc::new(HttpMetrics::new(own, &tuning.server)),
            cache: Arc::new(CacheMetrics::new(own, tuning)),
            shared: Arc::new(SharedMetrics::new(own, Arc::clone(&tasks))),
            loader: Arc::new(LoaderMetrics::new(own, &tuning.store, Arc::clone(&tasks))),
            events: Arc::new(EventMetrics::new(own)),
            freshness: Arc::new(FreshnessMetrics::new(own, &tuning.freshness)),
            models: CurrentModel::registered(own),
            tasks,
            registry,
        }
    }

    /// The text format that Prometheus scrapes (`OpenMetrics`).
    ///
    /// # Panics
    /// Never: text goes into a `String`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes any text");
        text
    }
}
