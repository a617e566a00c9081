//! `/metrics` after all kinds of requests, and while they are answered, read by a strict reader.

use std::sync::Arc;

use http::Method;
use reckon_api::model::Day;
use reckon_api::trained::{Figures, ListQuality, Published, Quality};
use reckon_contract::Tuning;
use reckon_contract::tuning::{Algorithm, Experiment};
use reckon_harness::exposition::Exposition;
use reckon_harness::generated::compare;

use crate::generated_users::{DATABASE, database};
use crate::harness::api_process::ApiCommand;
use crate::harness::sql_server::Flavour;
use crate::next_basket;
use crate::scripted::ScriptedStore;
use crate::service::Service;

const DOCUMENTATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");

#[tokio::test]
async fn the_metrics_are_strictly_valid_after_any_request() {
    let server = database(Flavour::MariaDb, 0..1000).await;
    let api = ApiCommand::new().envs(server.environment(DATABASE)).spawn();
    // Before the first request, too.
    api.live().await;
    api.exposition().await;
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

    let load = client.send_load(8, |worker, nth| {
        format!("/recommend/{}", (worker * 100 + nth) % 1000)
    });
    let mut size = (0, 0);
    for _ in 0..20 {
        size = api.exposition().await.size();
    }
    let answers = load.stop().await;
    let figures = api.exposition().await;

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
    // Two users were warmed, and nothing failed.
    let looked_up = figures.sum("reckon_cache_lookups", Some(("tier", "memory")));
    let given = figures.sum("reckon_recommendations", None) + 2.0;
    assert!((looked_up - given).abs() < 0.5, "{looked_up} {given}");
    let posts = figures.sum("reckon_http_requests", Some(("method", "POST")));
    assert!((posts - 4.0).abs() < 0.5, "{posts}");
    let others = figures.sum("reckon_http_requests", Some(("method", "other")));
    assert!((others - 1.0).abs() < 0.5, "{others}");
    assert_eq!(figures.single("reckon_shared_cache_connected"), None);
    assert!(figures.single("process_resident_memory_bytes").unwrap() > 1e6);
    let invalidations = figures.sum("reckon_invalidations", None);
    assert!((invalidations - 2.0).abs() < 0.5, "{invalidations}");
}

/// Dashboards and alerts name these: a change is one for CHANGELOG.md.
#[tokio::test]
async fn the_names_types_and_labels_of_the_metrics_are_these() {
    let figures = every_label_value().await;
    let is_ours = |name: &str| {
        ["reckon_", "process_"]
            .iter()
            .any(|own| name.starts_with(own))
    };
    assert!(figures.names().all(is_ours));
    insta::assert_snapshot!(figures.shape(), @r"
    process_cpu_seconds counter
    process_max_fds gauge
    process_open_fds gauge
    process_resident_memory_bytes gauge
    process_start_time_seconds gauge
    process_threads gauge
    process_virtual_memory_bytes gauge
    reckon_build info version=N
    reckon_cache_lookups counter result=hit|miss|stale tier=memory|shared
    reckon_erasures counter outcome=erased|failed
    reckon_events counter outcome=accepted|duplicate|failed|ignored
    reckon_events_write_duration_seconds histogram le=N
    reckon_freshness_dropped_gaps counter
    reckon_freshness_last_poll_timestamp_seconds gauge table=purchases|searches
    reckon_freshness_poll_duration_seconds histogram le=N
    reckon_freshness_poll_failures counter table=purchases|searches
    reckon_freshness_poll_period_seconds gauge
    reckon_freshness_rows counter table=purchases|searches
    reckon_freshness_up gauge table=purchases|searches
    reckon_http_connections gauge
    reckon_http_connections_evicted counter
    reckon_http_connections_limit gauge
    reckon_http_rejections counter reason=client_connections|connections|in_flight|no_key|no_keys_set|not_direct|rate_limit|wrong_key
    reckon_http_request_duration_seconds histogram le=N route=/batch-recommend|/docs|/events|/health|/invalidate-cache|/popular|/recommend|/recommend/{user_id}|/related/{category}|/stats|/users/{user_id}|/warm-cache|unmatched
    reckon_http_requests counter code=N method=GET|HEAD|OPTIONS|POST|other route=/batch-recommend|/docs|/health|/invalidate-cache|/recommend/{user_id}|/stats|/warm-cache|unmatched
    reckon_http_requests_in_flight gauge
    reckon_http_requests_in_flight_limit gauge
    reckon_invalidations counter scope=all|users
    reckon_loader_batch_users histogram le=N
    reckon_loader_failures counter reason=overloaded|timeout|unavailable
    reckon_loader_joined counter
    reckon_loader_queue_limit_users gauge
    reckon_loader_queue_users gauge
    reckon_loader_wait_seconds histogram le=N
    reckon_memory_cache_bytes gauge
    reckon_memory_cache_entries gauge
    reckon_memory_cache_evictions counter cause=expired|size
    reckon_memory_cache_limit_bytes gauge
    reckon_model_categories gauge
    reckon_model_created_timestamp_seconds gauge
    reckon_model_reads counter result=failed|invalid|loaded
    reckon_quality_coverage gauge algorithm=Classic|NextBasket list=explore|recommended
    reckon_quality_cut_off_timestamp_seconds gauge
    reckon_quality_evaluated_users gauge list=explore|recommended
    reckon_quality_hit_rate gauge algorithm=Classic|NextBasket list=explore|recommended
    reckon_quality_ndcg gauge algorithm=Classic|NextBasket list=explore|recommended
    reckon_quality_ndcg_half_width gauge algorithm=Classic|NextBasket list=explore|recommended
    reckon_recommendation_exposures counter algorithm=Classic|NextBasket group=control|experiment
    reckon_recommendations counter source=memory|shared|stale|store
    reckon_shared_cache_connected gauge
    reckon_shared_cache_filled_entries counter
    reckon_shared_cache_invalidation_lag_seconds gauge
    reckon_shared_cache_invalidations_received counter
    reckon_shared_cache_operation_duration_seconds histogram le=N
    reckon_shared_cache_operations counter operation=discard|fill|invalidate|read outcome=error|ok|timeout
    reckon_shared_cache_rejected_fills counter
    reckon_shared_cache_unreadable_entries counter
    reckon_store_account_connections_limit gauge
    reckon_store_connections gauge state=busy|open|prober|quarantined|writer
    reckon_store_connections_limit gauge
    reckon_store_connections_refused counter
    reckon_store_errors counter reason=access denied|missing table or column|other|timeout|tls|too many connections|unknown database|unreachable|user ids are not integers
    reckon_store_statement_duration_seconds histogram le=N
    reckon_store_up gauge
    reckon_task_restarts counter task=api_keys|connection_worker|event_writer|freshness|model_file|outages|prober|shared_cache
    ");
}

#[tokio::test]
async fn the_page_has_every_metric() {
    compare(DOCUMENTATION, "api", &every_label_value().await.table());
}

/// The metrics of a service to which each method and each route has been sent.
async fn every_label_value() -> Exposition {
    let mut tuning = Tuning::default();
    tuning.recommendation.algorithm = Algorithm::Classic;
    tuning.recommendation.experiment = Some(Experiment {
        name: "experiment".to_owned(),
        algorithm: Algorithm::NextBasket,
        percent: 50,
    });
    let service = Service::over(ScriptedStore(Arc::default()), tuning);
    let (figures, model) = (Figures::default(), next_basket::model());
    let list = ListQuality {
        users: 1,
        classic: figures,
        next_basket: figures,
    };
    let model = model.with_quality(Some(Quality {
        cut_off: Day(740_300),
        recommended: list,
        explore: Some(list),
    }));
    let document = Published::Document(model.unwrap().document());
    service.metrics.models.take(None, document);
    for method in ["GET", "HEAD", "POST", "OPTIONS", "PUT"] {
        service.send_request(method, "/nothing").await;
    }
    for path in [
        "/recommend/1",
        "/batch-recommend?user_ids=1",
        "/invalidate-cache/1",
        "/warm-cache?user_ids=1",
        "/health",
        "/stats",
        "/docs",
    ] {
        service.get(path).await;
    }
    Exposition::read(&service.metrics.text())
}
