//! What Prometheus gets to see: the metrics of all parts in one registry. Label values come from closed sets: never a user, a
//! path or an error's text.

use crate::cache::shared::SharedMetrics;
use crate::http::HttpMetrics;
use crate::loader::LoaderMetrics;
use crate::recommend::CacheMetrics;
use crate::supervise::Supervisor;
use prometheus_client::metrics::{gauge::Gauge, info::Info};
use prometheus_client::{encoding::text::encode, registry::Registry};
use reckon_contract::Tuning;
use std::sync::Arc;

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Of the HTTP API.
    pub http: Arc<HttpMetrics>,
    /// Of the caches.
    pub cache: Arc<CacheMetrics>,
    /// Of the shared cache.
    pub shared: Arc<SharedMetrics>,
    /// Of the store and the way to it.
    pub loader: Arc<LoaderMetrics>,
    /// Of the tasks, which it keeps running.
    pub tasks: Arc<Supervisor>,
}

impl Metrics {
    /// All metrics, registered, with the values of `tuning` among them.
    #[must_use]
    pub fn new(tuning: &Tuning) -> Self {
        let mut registry = Registry::with_prefix("reckon");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the program", Info::new(version));
        describe(tuning, &mut registry);
        let tasks = Arc::new(Supervisor::new(&mut registry));
        Self {
            http: Arc::new(HttpMetrics::new(&mut registry)),
            cache: Arc::new(CacheMetrics::new(&mut registry)),
            shared: Arc::new(SharedMetrics::new(&mut registry, Arc::clone(&tasks))),
            loader: Arc::new(LoaderMetrics::new(&mut registry, Arc::clone(&tasks))),
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

fn describe(tuning: &Tuning, registry: &mut Registry) {
    let mut value = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    value(
        "store_pool_limit_connections",
        "Connections to the database that this process may have",
        tuning.store.pool_size.into(),
    );
    value(
        "memory_cache_limit_bytes",
        "Size the memory cache may have",
        tuning.cache.memory.max_bytes,
    );
    value(
        "http_requests_in_flight_limit",
        "Requests that may be in flight at once",
        tuning.server.max_requests_in_flight.into(),
    );
    value(
        "http_connections_limit",
        "Connections of clients that may be open at once",
        tuning.server.most_connections().into(),
    );
}
