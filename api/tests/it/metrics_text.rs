//! `/metrics` after all kinds of requests, and while they are answered, read by a strict reader.

use std::sync::Arc;

use http::Method;
use reckon_api::store::Reason;
use reckon_contract::Tuning;

use crate::exposition::Exposition;
use crate::harness::api_process::ApiCommand;
use crate::harness::sql_server::Flavour;
use crate::people::{DATABASE, database};
use crate::scripted::ScriptedStore;
use crate::service::Service;

#[tokio::test]
async fn the_metrics_can_be_read_strictly_whatever_was_asked() {
    let server = database(Flavour::MariaDb, 0..1000).await;
    let api = ApiCommand::new().envs(server.environment(DATABASE)).spawn();
    // Before the first request, too.
    api.live().await;
    Exposition::of(&api).await;
    api.ready().await;
    let client = api.client();
    for path in [
        "/recommend/1",
        "/recommend/1",
        "/recommend/x",
        "/batch-recommend?user_ids=1,2,3",
        "/batch-recommend",
        "/health",
        "/stats",
        "/docs",
        "/openapi.json",
        "/no/such/%22path%0A",
        "/recommend/%5C",
    ] {
        client.get(path).await;
    }
    for path in [
        "/invalidate-cache/1",
        "/invalidate-cache/all",
        "/warm-cache?user_ids=5,6",
        "/stats",
    ] {
        client.send(Method::POST, path, "").await.unwrap();
    }
    client
        .send(Method::from_bytes(b"BREW").unwrap(), "/coffee", "")
        .await
        .unwrap();

    let load = client.keep_asking(8, |worker, nth| {
        format!("/recommend/{}", (worker * 100 + nth) % 1000)
    });
    let mut size = (0, 0);
    for _ in 0..20 {
        size = Exposition::of(&api).await.size();
    }
    let answers = load.stop().await;
    let figures = Exposition::of(&api).await;

    println!(
        "{} families, {} samples; {} requests meanwhile",
        size.0,
        size.1,
        answers.len()
    );
    assert!(size.0 > 15 && size.1 > 200, "{size:?}");
    let routes = |route: &str| figures.sum("reckon_http_requests", Some(("route", route)));
    assert!(
        routes("/recommend/{user_id}") >= 4.0 + f64::from(u32::try_from(answers.len()).unwrap())
    );
    for (route, least) in [
        ("/batch-recommend", 2.0),
        ("/invalidate-cache", 2.0),
        ("/warm-cache", 1.0),
        ("/health", 1.0),
        ("/stats", 2.0),
        ("/docs", 2.0),
        ("unmatched", 2.0),
    ] {
        assert!(routes(route) >= least, "{route}: {}", routes(route));
        let timed = figures.sum(
            "reckon_http_request_duration_seconds",
            Some(("route", route)),
        );
        assert!((timed - routes(route)).abs() < 0.5, "{route}: {timed}");
    }
    assert!(figures.sum("reckon_store_up", None) > 0.5);
    let invalidations = figures.sum("reckon_invalidations", None);
    assert!((invalidations - 2.0).abs() < 0.5, "{invalidations}");
}

/// Dashboards and alerts name these: a change is one for CHANGELOG.md.
#[tokio::test]
async fn the_names_types_and_labels_of_the_metrics_are_these() {
    let service = Service::over(ScriptedStore(Arc::default()), Tuning::default());
    for path in ["/recommend/1", "/nothing"] {
        service.get(path).await;
    }
    let metrics = &service.metrics;
    // Families that appear with their first sample.
    for (operation, outcome) in [("read", "ok"), ("fill", "error"), ("invalidate", "timeout")] {
        metrics.shared.operation(operation, outcome).inc();
    }
    metrics.loader.store_error(Reason::Other);
    insta::assert_snapshot!(Exposition::read(&metrics.text()).shape(), @r"
    reckon_build info version=N
    reckon_http_connections gauge
    reckon_http_connections_evicted counter
    reckon_http_connections_limit gauge
    reckon_http_rejections counter reason=connections|no_key|no_keys_set|not_direct|requests|room|wrong_key
    reckon_http_request_duration_seconds histogram le=N route=/batch-recommend|/docs|/health|/invalidate-cache|/recommend/{user_id}|/stats|/warm-cache|unmatched
    reckon_http_requests counter code=N route=/recommend/{user_id}|unmatched
    reckon_http_requests_in_flight gauge
    reckon_http_requests_in_flight_limit gauge
    reckon_invalidations counter
    reckon_loader_batch_users histogram le=N
    reckon_loader_failures counter reason=overloaded|timeout|unavailable
    reckon_loader_queue_users gauge
    reckon_loader_wait_seconds histogram le=N
    reckon_memory_cache_bytes gauge
    reckon_memory_cache_entries gauge
    reckon_memory_cache_limit_bytes gauge
    reckon_recommendations counter source=memory|shared|stale|store
    reckon_shared_cache_connected gauge
    reckon_shared_cache_filled_entries counter
    reckon_shared_cache_invalidations_received counter
    reckon_shared_cache_operation_duration_seconds histogram le=N
    reckon_shared_cache_operations counter operation=fill|invalidate|read outcome=error|ok|timeout
    reckon_shared_cache_unreadable_entries counter
    reckon_store_connections gauge state=busy|open|prober|quarantined
    reckon_store_errors counter reason=other
    reckon_store_pool_limit_connections gauge
    reckon_store_statement_duration_seconds histogram le=N
    reckon_store_up gauge
    reckon_task_restarts counter task=connection_worker|keys|outages|prober|shared_cache
    ");
}
