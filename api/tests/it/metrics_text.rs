//! `/metrics` after all kinds of requests, and while they are answered, read by a strict reader.

use http::Method;

use crate::exposition::Exposition;
use crate::harness::api_process::ApiCommand;
use crate::harness::sql_server::Flavour;
use crate::people::{DATABASE, database};

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
    assert!(figures.sum("reckon_invalidations", None) > 1.5);
}
