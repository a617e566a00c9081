//! The state of the service, for humans and operators, never for probes.

use super::app::App;
use crate::events::Unavailable;
use crate::freshness::State as FreshnessState;
use crate::store::new_rows::Followed;
use crate::trained::Problem;
use crate::{cache::shared::SharedCache, loader::Availability, recommend::Source};
use axum::{Json, extract::State};
use http::StatusCode;
use reckon_contract::health::{ConnectionLimit, Model, STARTING};
use reckon_contract::tuning::{self, Algorithm};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use utoipa::ToSchema;

/// Maximum wait for the database's answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// The service's health.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "status": "healthy", "database": "connected", "redis": "disabled", "pool_size": "1-10",
    "memory_cache_size": 1284, "memory_cache_limit": 67_108_864
}))]
pub struct Health {
    /// `healthy`; `degraded` if only the shared cache is unavailable; `unhealthy` if the database is unavailable.
    status: &'static str,
    /// `connected` or `disconnected`.
    database: &'static str,
    /// Why the database is unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_error: Option<&'static str>,
    /// The shared cache: `connected`, `disconnected`, or `disabled` when none is configured.
    redis: &'static str,
    /// Why the shared cache is unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    redis_error: Option<&'static str>,
    /// The trained model; absent unless users get `NextBasket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ModelHealth>)]
    model: Option<Model>,
    /// Whether events can be stored and users erased. Absent unless the setting `events.enabled` is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventHealth>,
    /// How new rows of the tables are followed; absent unless `freshness` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness: Option<Freshness>,
    /// How many connections the database server allows the instance's account; absent if no session is open, and for SQLite.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ConnectionLimitHealth>)]
    connection_limit: Option<ConnectionLimit>,
    /// Minimum and maximum number of connections to the database: `1-10`.
    #[schema(value_type = String)]
    pool_size: String,
    /// Entries of the memory cache.
    memory_cache_size: u64,
    /// Bytes that the memory cache may hold.
    memory_cache_limit: u64,
}

/// How new rows of each table are followed: `sequence`, by a column that grows with each row; `time`; `cannot be followed`, with
/// the reason in the log; `starting`.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"searches": "sequence", "purchases": "time"}))]
struct Freshness {
    /// The table with searches; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    searches: Option<&'static str>,
    /// The table with purchases; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    purchases: Option<&'static str>,
}

fn freshness(app: &App) -> Option<Freshness> {
    let status = app.freshness.as_ref()?;
    let [searches, purchases] = Followed::ALL.map(|of| status.get(of).map(FreshnessState::as_str));
    Some(Freshness {
        searches,
        purchases,
    })
}

/// The trained model.
#[derive(ToSchema)]
#[schema(example = json!({"version": "1764000000-cea175c5c238", "created": 1_764_000_000}))]
#[expect(
    dead_code,
    reason = "the schema of the type in the contract, which does not depend on utoipa"
)]
struct ModelHealth {
    /// Version of the model in use; absent without one.
    version: Option<String>,
    /// When it was created, in seconds since 1970.
    created: Option<u64>,
    /// Why the newest published model is not used; absent if it is.
    problem: Option<String>,
}

/// How many connections the database server allows the instance's account (`MAX_USER_CONNECTIONS`).
#[derive(ToSchema)]
#[schema(example = json!({"account": "5b1f0c0c0e7c9a44", "connections": 64}))]
#[expect(
    dead_code,
    reason = "the schema of the type in the contract, which does not depend on utoipa"
)]
struct ConnectionLimitHealth {
    /// The account as 16 hexadecimal digits; absent if sessions have different accounts.
    account: Option<String>,
    /// The least strict limit of an open session; 0: a session has no limit.
    connections: u32,
}

/// Whether events can be stored and users erased. It does not change `status`: recommendations do not depend on it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"available": true}))]
struct EventHealth {
    /// Whether events can be stored.
    available: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

fn events(app: &App) -> Option<EventHealth> {
    let unavailable = app.events.as_ref()?.unavailable();
    let available = unavailable.is_none();
    let reason = unavailable.map(|unavailable| match unavailable {
        Unavailable::Starting => STARTING.to_owned(),
        Unavailable::Store(reason) => reason.as_str().to_owned(),
        Unavailable::Unusable(unusable) => unusable.to_string(),
    });
    Some(EventHealth { available, reason })
}

fn model(app: &App) -> Option<Model> {
    if !app.tuning.recommendation.uses(Algorithm::NextBasket) {
        return None;
    }
    let model = app.recommender.model();
    let problem = app.recommender.model_problem();
    // A database without a model has no problem.
    let problem = problem.filter(|problem| *problem != Problem::Missing);
    Some(Model {
        version: model.as_ref().map(|model| model.version().to_owned()),
        created: model.as_ref().map(|model| model.created()),
        problem: problem.map(|problem| problem.to_string()),
    })
}

/// State of the database and the shared cache, at most one second old. For humans: use the operations port for probes.
#[utoipa::path(
    get,
    path = "/health",
    tag = "state",
    responses(
        (status = 200, description = "The database is available", body = Health),
        (status = 503, description = "The database is unavailable", body = Health, example = json!({
            "status": "unhealthy", "database": "disconnected", "database_error": "access denied", "redis": "disabled",
            "pool_size": "1-10", "memory_cache_size": 0, "memory_cache_limit": 67_108_864
        }))
    )
)]
pub async fn health(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let known = app.recommender.loader().probe(PROBE_TIMEOUT).await;
    let database_error = match known {
        Availability::Up { .. } => None,
        Availability::Starting => Some(STARTING),
        Availability::Down(reason) => Some(reason.as_str()),
    };
    let redis_error = app
        .recommender
        .shared()
        .and_then(SharedCache::unavailable_reason);
    let (code, status, database) = match (database_error, redis_error) {
        (None, None) => (StatusCode::OK, "healthy", "connected"),
        (None, Some(_)) => (StatusCode::OK, "degraded", "connected"),
        (Some(_), _) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy", "disconnected"),
    };
    let redis = match (app.recommender.shared(), redis_error) {
        (None, _) => "disabled",
        (Some(_), None) => "connected",
        (Some(_), Some(_)) => "disconnected",
    };
    let health = Health {
        status,
        database,
        database_error,
        redis,
        redis_error,
        model: model(&app),
        events: events(&app),
        freshness: freshness(&app),
        connection_limit: app.recommender.loader().connection_limit(),
        pool_size: pool_size(&app.tuning.store),
        memory_cache_size: app.recommender.memory().len(),
        memory_cache_limit: app.tuning.cache.memory.max_bytes,
    };
    (code, Json(health))
}

/// Minimum and maximum number of connections.
fn pool_size(store: &tuning::Store) -> String {
    format!("{}-{}", store.min_pool_size.unwrap_or(1), store.pool_size)
}

/// Live figures of this process.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "version": "0.1.0", "uptime_seconds": 86_400, "requests_in_flight": 3,
    "memory_cache": {"entries": 1284, "bytes": 901_368, "limit_bytes": 67_108_864, "hits": 90_210, "hit_ratio": 0.98},
    "shared_cache": {"hits": 940, "hit_ratio": 0.51},
    "misses": 901, "stale": 0,
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
    /// The shared cache; null when none is configured.
    shared_cache: Option<SharedCacheStats>,
    /// Recommendations that were loaded from the database.
    misses: u64,
    /// Recommendations returned past their time to live.
    stale: u64,
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
    /// Recommendations returned from it.
    hits: u64,
    /// Hits divided by all recommendations returned; null before the first.
    hit_ratio: Option<f64>,
}

/// Figures of the shared cache.
#[derive(Serialize, ToSchema)]
struct SharedCacheStats {
    /// Recommendations that this instance returned from it.
    hits: u64,
    /// Hits divided by the misses of the memory cache; null before the first.
    hit_ratio: Option<f64>,
}

/// Figures of the connections to the database.
#[derive(Serialize, ToSchema)]
struct ConnectionStats {
    /// Connections that run a statement, plus the one that checks the database and the one that stores events.
    in_use: i64,
    /// Open and idle.
    idle: i64,
    /// Maximum number of open connections.
    limit: u32,
}

/// Live figures of this process: caches, connections, requests.
#[utoipa::path(
    get,
    path = "/stats",
    tag = "state",
    responses((status = 200, description = "The figures", body = Stats))
)]
pub async fn stats(State(app): State<Arc<App>>) -> Json<Stats> {
    let of = |source| app.recommender.metrics().count(source);
    let (hits, shared, misses, stale) = (
        of(Source::Memory),
        of(Source::Shared),
        of(Source::Store),
        of(Source::Stale),
    );
    let beyond_memory = shared + misses + stale;
    let memory = app.recommender.memory();
    let loader = app.recommender.loader().metrics();
    let busy = loader.busy.get();
    Json(Stats {
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: app.started.elapsed().as_secs(),
        requests_in_flight: app.metrics.in_flight.get(),
        memory_cache: MemoryCacheStats {
            entries: memory.len(),
            bytes: memory.bytes(),
            limit_bytes: app.tuning.cache.memory.max_bytes,
            hits,
            hit_ratio: ratio(hits, hits + beyond_memory),
        },
        shared_cache: app.recommender.shared().map(|_| SharedCacheStats {
            hits: shared,
            hit_ratio: ratio(shared, beyond_memory),
        }),
        misses,
        stale,
        store_connections: ConnectionStats {
            in_use: busy + loader.prober_open.get() + loader.writer_open.get(),
            idle: (loader.open.get() - busy).max(0),
            limit: app.tuning.store.pool_size,
        },
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
