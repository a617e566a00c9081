//! The tuning that the pods read.

use super::error::Error;
use super::resources::parse_quantity;
use crate::crd::{Cache, MemoryCache, RecommendationServiceSpec};
use crate::tuning::budget::Budget;
use crate::tuning::quantity::Quantity;
use crate::tuning::{memory, threads};
use k8s_openapi::api::core::v1::ResourceRequirements;
use reckon_contract::Tuning;
use reckon_contract::tuning::Server;

/// The settings of the resource, with pool, caches and threads derived from the budget and the pod's limits.
pub(super) fn tuning(
    spec: &RecommendationServiceSpec,
    resources: &ResourceRequirements,
    budget: &Budget,
) -> Result<Tuning, Error> {
    let Cache {
        memory: memory_cache,
        shared,
        stale_seconds,
    } = spec.cache.clone().unwrap_or(Cache {
        memory: None,
        shared: None,
        stale_seconds: Tuning::default().cache.stale_seconds,
    });
    let MemoryCache {
        percent_of_limit,
        ttl_seconds,
        allow_stale: _,
    } = memory_cache.unwrap_or_default();
    let limit = parse_quantity(
        resources.limits.as_ref(),
        "memory",
        "pod.resources.limits.memory",
    )?;
    let cpu_limit = parse_quantity(resources.limits.as_ref(), "cpu", "pod.resources.limits.cpu")?;
    let cpu_request = parse_quantity(
        resources.requests.as_ref(),
        "cpu",
        "pod.resources.requests.cpu",
    )?;

    let mut tuning = Tuning {
        // The tuning contains no version, because a new operator must not change the pods of a resource that pins its
        // image.
        written_by: Some("reckon-operator".to_owned()),
        rate_limit: spec.rate_limit.clone(),
        freshness: spec.freshness.clone().unwrap_or_default(),
        recommendation: spec.recommendation.clone().unwrap_or_default(),
        events: spec.events.clone().unwrap_or_default(),
        tables: spec.tables.clone().unwrap_or_default(),
        ..Tuning::default()
    };
    let memory_limit = limit.map_or(0, Quantity::rounded_down);
    tuning.cache.memory.max_bytes = memory::cache_bytes(memory_limit, percent_of_limit);
    let connections = memory::connections(memory_limit, tuning.cache.memory.max_bytes);
    let server = spec.server.clone().unwrap_or_default();
    tuning.server = Server {
        max_connections: Some(server.max_connections.unwrap_or(connections)),
        threads: Some(
            server
                .threads
                .unwrap_or_else(|| threads::threads(cpu_limit, cpu_request)),
        ),
        ..server
    };
    tuning.store.pool_size = budget.pool;
    tuning.store.query_timeout_milliseconds = tuning
        .store
        .query_timeout_milliseconds
        .min(tuning.server.request_timeout_milliseconds);
    tuning.cache.stale_seconds = stale_seconds;
    tuning.cache.memory.ttl_seconds = ttl_seconds;
    if let Some(shared) = shared {
        tuning.cache.shared.ttl_seconds = shared.ttl_seconds;
    }
    tuning.auth.reads = spec.auth.as_ref().is_some_and(|auth| auth.reads);
    Ok(tuning)
}
