//! The metrics of the shared cache, on a real Redis.

use super::{SOON, change, get, invalidate, metric, process, shared, tuning, two};
use crate::harness::eventually::eventually;
use crate::harness::process::Signal;
use crate::harness::redis_server::RedisServer;
use crate::scripted::Script;
use crate::service::Service;
use reckon_harness::exposition::Exposition;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

fn figures(service: &Service) -> Exposition {
    Exposition::read(&service.metrics.text())
}

/// Hits, stale entries and misses of a cache.
fn lookups(service: &Service, tier: &str) -> [u64; 3] {
    ["hit", "stale", "miss"].map(|result| {
        let name = format!("reckon_cache_lookups_total{{tier=\"{tier}\",result=\"{result}\"}}");
        metric(service, &name)
    })
}

#[tokio::test]
async fn each_cache_counts_its_hits_stale_entries_and_misses() {
    let redis = RedisServer::running().await;
    let mut short_lived = tuning();
    short_lived.cache.memory.ttl_seconds = 1;
    let (one, other, _) = two(&redis, short_lived).await;
    get(&one, 1).await;
    shared(&redis, [1]).await;
    assert_eq!(lookups(&one, "memory"), [0, 0, 1]);
    assert_eq!(lookups(&one, "shared"), [0, 0, 1]);

    get(&other, 1).await;
    assert_eq!(lookups(&other, "memory"), [0, 0, 1]);
    assert_eq!(lookups(&other, "shared"), [1, 0, 0]);

    // Until the entry in memory is stale. The one in the shared cache is still fresh.
    eventually(SOON, async || {
        get(&other, 1).await;
        lookups(&other, "memory")[1] > 0
    })
    .await;
    let [hits, stale, misses] = lookups(&other, "memory");
    let given = metric(&other, "reckon_recommendations_total");
    assert_eq!(hits + stale + misses, given);
    assert_eq!(lookups(&other, "shared"), [1 + stale, 0, 0]);
}

#[tokio::test]
async fn a_joined_load_and_a_rejected_fill_are_counted() {
    let redis = RedisServer::running().await;
    let script = Arc::new(Script::default());
    let service = process(redis.port(), &script, tuning()).await;
    script.least_delay.store(300, SeqCst);
    let counted = |family: &str| figures(&service).sum(family, None);

    tokio::join!(get(&service, 1), get(&service, 1));
    assert!((counted("reckon_loader_joined") - 1.0).abs() < 0.5);
    eventually(SOON, async || {
        counted("reckon_shared_cache_filled_entries") > 0.5
    })
    .await;
    assert!(counted("reckon_shared_cache_rejected_fills") < 0.5);

    let begun = script.statements.load(SeqCst);
    tokio::join!(get(&service, 2), async {
        eventually(SOON, async || script.statements.load(SeqCst) > begun).await;
        change(&script);
        invalidate(&service, "/2").await;
    });
    eventually(SOON, async || {
        counted("reckon_shared_cache_rejected_fills") > 0.5
    })
    .await;
    assert!((counted("reckon_shared_cache_filled_entries") - 1.0).abs() < 0.5);
    let scope = |scope| figures(&service).sum("reckon_invalidations", Some(("scope", scope)));
    assert!((scope("users") - 1.0).abs() < 0.5 && scope("all") < 0.5);
}

#[tokio::test]
async fn entries_evicted_from_memory_are_counted_by_cause() {
    let redis = RedisServer::running().await;
    let script = Arc::new(Script::default());
    let mut small = tuning();
    small.cache.memory.max_bytes = 5000;
    let service = process(redis.port(), &script, small).await;
    let evicted = |cause| {
        assert!(service.recommender.memory().len() <= 12);
        figures(&service).sum("reckon_memory_cache_evictions", Some(("cause", cause)))
    };
    get(&service, 1).await;
    invalidate(&service, "/all").await;
    assert!(evicted("size") < 0.5 && evicted("expired") < 0.5);
    for user in 0..100 {
        get(&service, user).await;
    }
    eventually(SOON, async || evicted("size") > 80.0).await;
    assert!(evicted("expired") < 0.5);
}

#[tokio::test]
async fn the_lag_of_invalidations_is_the_age_of_the_last_heartbeat_and_absent_without_a_connection()
{
    let redis = RedisServer::running().await;
    let service = process(redis.port(), &Arc::default(), tuning()).await;
    let lag = || figures(&service).single("reckon_shared_cache_invalidation_lag_seconds");
    let connected = || figures(&service).single("reckon_shared_cache_connected");
    assert_eq!(connected(), Some(1.0));
    assert!(lag().unwrap() >= 0.0);
    redis.process.signal(Signal::STOP);
    eventually(SOON, async || lag().is_some_and(|lag| lag > 0.5)).await;
    // The connection is given up.
    eventually(SOON, async || lag().is_none()).await;
    assert_eq!(connected(), Some(0.0));
    redis.process.signal(Signal::CONT);
    eventually(SOON, async || lag().is_some()).await;
    assert_eq!(connected(), Some(1.0));
}
