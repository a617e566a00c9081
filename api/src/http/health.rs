//! How the service is: for people and for who runs it, never a probe.

use super::App;
use crate::{loader::Availability, recommend::Source};
use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use utoipa::ToSchema;

/// Longest wait for the database's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The service's health.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "healthy", "database": "connected", "redis": "disabled", "pool_size": "1-10",
    "memory_cache_size": 1284, "memory_cache_limit": 67_108_864
}))]
pub struct Health {
    /// `healthy`, or `unhealthy` when the database cannot be asked.
    status: &'static str,
    /// `connected` or `disconnected`.
    database: &'static str,
    /// Why the database cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_error: Option<&'static str>,
    /// `disabled`: this service runs without a shared cache.
    redis: &'static str,
    /// Fewest and most connections to the database.
    #[schema(value_type = String)]
    pool_size: String,
    /// Entries of the memory cache.
    memory_cache_size: u64,
    /// Bytes that the memory cache may hold.
    memory_cache_limit: u64,
}

/// Whether the database can be asked, found out now.
#[utoipa::path(
    get,
    path = "/health",
    tag = "state",
    responses(
        (status = 200, description = "The database can be asked", body = Health),
        (status = 503, description = "The database cannot be asked", body = Health, example = json!({
            "status": "unhealthy", "database": "disconnected", "database_error": "access denied", "redis": "disabled",
            "pool_size": "1-10", "memory_cache_size": 0, "memory_cache_limit": 67_108_864
        }))
    )
)]
pub async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let known = app.recommender.loader().probe(PROBE_TIMEOUT).await;
    let database_error = match known {
        Availability::Up { .. } => None,
        Availability::Starting => Some("not connected yet"),
        Availability::Down(reason) => Some(reason.as_str()),
    };
    let (code, status, database) = match database_error {
        None => (StatusCode::OK, "healthy", "connected"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "disconnected"),
    };
    let health = Health {
        status,
        database,
        database_error,
        redis: "disabled",
        pool_size: format!("1-{}", app.tuning.store.pool_size),
        memory_cache_size: app.recommender.memory().len(),
        memory_cache_limit: app.tuning.cache.memory.max_bytes,
    };
    (code, Json(health))
}

/// Live figures of this process.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "version": "0.1.0", "uptime_seconds": 86_400, "requests_in_flight": 3,
    "memory_cache": {"entries": 1284, "bytes": 901_368, "limit_bytes": 67_108_864, "hits": 90_210, "misses": 1301,
        "stale": 0, "hit_ratio": 0.986},
    "store_connections": {"in_use": 2, "idle": 4, "limit": 10}
}))]
pub struct Stats {
    /// Version of the program.
    version: &'static str,
    /// Seconds since the process began.
    uptime_seconds: u64,
    /// Requests being answered, this one included.
    requests_in_flight: i64,
    /// The memory cache.
    memory_cache: MemoryCacheStats,
    /// Connections to the database.
    store_connections: ConnectionStats,
}

/// Figures of the memory cache.
#[derive(Serialize, ToSchema)]
struct MemoryCacheStats {
    /// Entries held.
    entries: u64,
    /// Bytes held, overhead included.
    bytes: u64,
    /// Bytes that may be held.
    limit_bytes: u64,
    /// Recommendations given from it.
    hits: u64,
    /// Recommendations that had to be loaded.
    misses: u64,
    /// Recommendations given past their age limit.
    stale: u64,
    /// Hits by all recommendations given; null before the first.
    hit_ratio: Option<f64>,
}

/// Figures of the connections to the database.
#[derive(Serialize, ToSchema)]
struct ConnectionStats {
    /// With a statement under way, and the prober's.
    in_use: i64,
    /// Open and waiting for work.
    idle: i64,
    /// Most that may be open.
    limit: u32,
}

/// Live figures of this process: caches, connections, requests.
#[utoipa::path(
    get,
    path = "/stats",
    tag = "state",
    responses((status = 200, description = "The figures", body = Stats))
)]
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub async fn stats(State(app): State<Arc<App>>) -> Json<Stats> {
    let of = |source| app.metrics.cache.count(source);
    let (hits, misses, stale) = (of(Source::Hit), of(Source::Miss), of(Source::Stale));
    let given = hits + misses + stale;
    let memory = app.recommender.memory();
    let loader = &app.metrics.loader;
    let busy = loader.busy.get();
    Json(Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs(),
        requests_in_flight: app.metrics.http.in_flight.get(),
        memory_cache: MemoryCacheStats {
            entries: memory.len(),
            bytes: memory.bytes(),
            limit_bytes: app.tuning.cache.memory.max_bytes,
            hits,
            misses,
            stale,
            hit_ratio: (given > 0).then(|| hits as f64 / given as f64),
        },
        store_connections: ConnectionStats {
            in_use: busy + loader.prober_open.get(),
            idle: (loader.open.get() - busy).max(0),
            limit: app.tuning.store.pool_size,
        },
    })
}
