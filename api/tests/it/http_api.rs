//! Every row of the endpoint table, through the real router over SQLite.

use crate::service::{Answer, Service};
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_contract::Tuning;
use reckon_contract::tables::{Tables, UserIdType};
use reckon_harness::exposition::Exposition;
use sqlx::Executor;
use std::path::Path;

/// Six searches and three purchases of user 123, one search of user 5.
const ROWS: &str = "
    INSERT INTO searches VALUES
        (123, 'q', '2025-01-01 10:00:00', 'electronics', 1), (123, 'q', '2025-01-02 10:00:00', 'electronics', 1),
        (123, 'q', '2025-01-03 10:00:00', 'electronics', 0), (123, 'q', '2025-01-04 10:00:00', 'electronics', 1),
        (123, 'q', '2025-01-05 10:00:00', 'electronics', 1), (123, 'q', '2025-01-05 10:00:00', NULL, 1),
        (5, 'q', '2025-01-05 10:00:00', 'toys', 1);
    INSERT INTO purchase VALUES
        (123, 'p', '2025-01-01 10:00:00', 'books', 1), (123, 'p', '2025-01-02 10:00:00', 'books', 1),
        (123, 'p', '2025-01-02 10:00:00', 'books', 1);";

async fn service(directory: &Path, tuning: Tuning) -> Service {
    let path = directory.join("test.db");
    let mut session = sqlite::create(&path).await.unwrap();
    session.execute(sqlx::raw_sql(ROWS)).await.unwrap();
    Service::over(Sqlite::new(&path, &Tables::default()), tuning)
}

fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{}",
        answer.body
    );
    let problem = answer.json();
    assert_eq!(problem["status"], answer.status);
    (
        answer.status,
        problem["detail"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn a_recommendation_has_the_documented_fields() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let answer = service.get("/recommend/123").await;
    insta::assert_snapshot!(answer.body, @r#"{"user_id":123,"recommendations":{"weightage":14.2,"search_weight":8.1,"purchase_weight":6.1,"recommended_categories":["electronics","books"],"explore_categories":[]},"metadata":{"search_count":6,"purchase_count":3,"algorithm":"NextBasket"}}"#);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("x-cache"), "MISS");
    let again = service.get("/recommend/000123").await;
    assert_eq!(
        (again.header("x-cache"), &again.body),
        ("HIT", &answer.body)
    );
}

#[tokio::test]
async fn an_answer_is_the_same_with_and_without_the_router() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let batch = "/batch-recommend?user_ids=5,123";
    service.get(batch).await;
    // A percent-encoded id, and HEAD, go through the router.
    let (direct, routed) = (
        service.get("/recommend/123").await,
        service.get("/recommend/12%33").await,
    );
    assert_eq!((direct.status, &direct.body), (200, &routed.body));
    let names = ["content-type", "cache-control", "x-cache"];
    let headers = |answer: &Answer| names.map(|name| answer.header(name).to_owned());
    assert_eq!(headers(&direct), headers(&routed));
    let (direct, routed) = (
        service.get(batch).await,
        service.send_request("HEAD", batch).await,
    );
    assert_eq!(
        (direct.status, headers(&direct)),
        (routed.status, headers(&routed))
    );
    assert_eq!(
        direct.body.len().to_string(),
        routed.header("content-length")
    );
    let metrics = Exposition::read(&service.metrics.text());
    for (route, method, count) in [
        ("/recommend/{user_id}", "GET", 2.0),
        ("/batch-recommend", "GET", 2.0),
        ("/batch-recommend", "HEAD", 1.0),
    ] {
        let labels = [("route", route), ("method", method), ("code", "200")];
        let requests = metrics.sum_of("reckon_http_requests", &labels);
        assert!(
            (requests - count).abs() < 0.1,
            "{method} {route}: {requests}"
        );
    }
}

#[tokio::test]
async fn a_batch_in_too_long_a_url_is_rejected_whatever_its_users() {
    let directory = tempfile::tempdir().unwrap();
    let mut tuning = Tuning::default();
    tuning.tables.user_id = UserIdType::Text;
    let service = service(directory.path(), tuning).await;
    let users = vec!["%41".repeat(64); 100].join(",");
    let answer = service
        .get(&format!("/batch-recommend?user_ids={users}"))
        .await;
    assert_eq!(answer.status, 414, "{}", answer.body);
}

#[tokio::test]
async fn a_head_request_is_answered_without_a_body() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let head = service.send_request("HEAD", "/recommend/123").await;
    let length = service.get("/recommend/123").await.body.len().to_string();
    assert_eq!(
        (
            head.status,
            head.body.as_str(),
            head.header("content-length")
        ),
        (200, "", length.as_str())
    );
}

#[tokio::test]
async fn a_user_without_rows_gets_zeros_and_a_message() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    insta::assert_snapshot!(service.get("/recommend/-9").await.body, @r#"{"user_id":-9,"recommendations":{"weightage":0.0,"search_weight":0.0,"purchase_weight":0.0,"recommended_categories":[],"explore_categories":[]},"metadata":{"search_count":0,"purchase_count":0,"algorithm":"NextBasket"},"message":"No data found for this user"}"#);
}

#[tokio::test]
async fn an_invalid_user_id_is_rejected_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    for id in [
        "abc",
        "1_0",
        "22345678901234567890",
        "18446744073709551616",
        "-9223372036854775809",
        "%D9%A3",
        "1%00",
        "+1",
        "1.0",
        "%FF",
    ] {
        let answer = service.get(&format!("/recommend/{id}")).await;
        let (status, detail) = problem(&answer);
        assert_eq!(status, 422, "{id}");
        assert!(
            detail.starts_with("invalid user_id: expected a 64-bit integer"),
            "{detail}"
        );
        assert_eq!(answer.json()["errors"][0]["name"], "user_id");
    }
}

#[tokio::test]
async fn a_batch_keeps_the_requested_order_and_computes_repeated_users_once() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let answer = service.get("/batch-recommend?user_ids=5,123,5,7").await;
    let batch = answer.json();
    let ids: Vec<i64> = batch["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["user_id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [5, 123, 5, 7]);
    assert_eq!(
        batch["results"][1],
        service.get("/recommend/123").await.json()
    );
    let head = answer.body.split_once("\"results\"").unwrap().0.to_owned();
    insta::assert_snapshot!(head, @r#"{"successful":4,"failed":0,"total_requested":4,"cache_hits":0,"cache_misses":4,"stale":0,"#);
    assert!(answer.body.ends_with("],\"errors\":[]}"));
    let again = service
        .get("/batch-recommend?user_ids=5,123,5,7")
        .await
        .json();
    assert_eq!(
        (&again["cache_hits"], &again["cache_misses"]),
        (&4.into(), &0.into())
    );
}

#[tokio::test]
async fn invalid_lists_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let ids = |count: usize| vec!["1"; count].join(",");
    for (method, path, status) in [
        ("GET", "/batch-recommend".to_owned(), 422),
        ("GET", "/batch-recommend?user_ids=".to_owned(), 400),
        ("GET", "/batch-recommend?user_ids=1,,2".to_owned(), 400),
        ("GET", "/batch-recommend?user_ids=a".to_owned(), 400),
        (
            "GET",
            "/batch-recommend?user_ids=1&user_ids=2".to_owned(),
            400,
        ),
        (
            "GET",
            format!("/batch-recommend?user_ids={}", ids(100)),
            200,
        ),
        (
            "GET",
            format!("/batch-recommend?user_ids={}", ids(101)),
            400,
        ),
        (
            "POST",
            format!("/invalidate-cache?user_ids={}", ids(500)),
            200,
        ),
        (
            "POST",
            format!("/invalidate-cache?user_ids={}", ids(501)),
            400,
        ),
        ("POST", "/invalidate-cache".to_owned(), 422),
        ("POST", "/invalidate-cache/x".to_owned(), 422),
        ("POST", format!("/warm-cache?user_ids={}", ids(501)), 400),
        ("POST", "/warm-cache".to_owned(), 422),
    ] {
        let answer = service.send_request(method, &path).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        if status != 200 {
            problem(&answer);
        }
    }
}

#[tokio::test]
async fn an_invalidation_reports_its_effect() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let mut said = Vec::new();
    for path in [
        "/invalidate-cache/123",
        "/invalidate-cache?user_ids=1,2,3",
        "/invalidate-cache/all",
    ] {
        service.get("/recommend/123").await;
        said.push(service.send_request("POST", path).await.body);
        let cached = service.get("/recommend/123").await;
        let expected = if path.contains("1,2,3") {
            "HIT"
        } else {
            "MISS"
        };
        assert_eq!(cached.header("x-cache"), expected, "{path}");
    }
    insta::assert_snapshot!(said.join("\n"), @r#"
    {"message":"Cache invalidated for user 123"}
    {"message":"Cache invalidated for 3 users"}
    {"message":"Cache invalidated for all users"}
    "#);
}

#[tokio::test]
async fn warmed_users_are_hits() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let answer = service
        .send_request("POST", "/warm-cache?user_ids=5,123,7")
        .await;
    insta::assert_snapshot!(answer.body, @r#"{"message":"Cache warming initiated for 3 users","user_count":3,"status":"processing"}"#);
    crate::harness::eventually::eventually(std::time::Duration::from_secs(5), || async {
        service.recommender.memory().len() == 3
    })
    .await;
    let given = async || {
        let stats = service.get("/stats").await.json();
        ["hits", "hit_ratio"]
            .map(|name| stats["memory_cache"][name].to_string())
            .join(" ")
            + &format!(" {} {}", stats["misses"], stats["stale"])
    };
    // Warming returns no data.
    assert_eq!(given().await, "0 null 0 0");
    assert_eq!(service.get("/recommend/123").await.header("x-cache"), "HIT");
    assert_eq!(given().await, "1 1.0 0 0");
}

#[tokio::test]
async fn the_example_of_a_problem_equals_a_real_response() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let description = service.get("/openapi.json").await.json();
    let example = &description["components"]["schemas"]["Problem"]["example"];
    assert_eq!(*example, service.get("/recommend/abc").await.json());
}

#[tokio::test]
async fn invalidations_are_counted_by_call() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    for path in [
        "/invalidate-cache/123",
        "/invalidate-cache?user_ids=1,2,3",
        "/invalidate-cache/all",
        "/invalidate-cache/x",
    ] {
        service.send_request("POST", path).await;
    }
    let figures = Exposition::read(&service.metrics.text());
    let counted = figures.sum("reckon_invalidations", None);
    assert!((counted - 3.0).abs() < 0.5, "{counted}");
    let for_all = figures.sum("reckon_invalidations", Some(("scope", "all")));
    assert!((for_all - 1.0).abs() < 0.5, "{for_all}");
}

#[tokio::test]
async fn health_and_stats_report_the_actual_state() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    service.get("/recommend/123").await;
    service.get("/recommend/123").await;
    let health = service.get("/health").await;
    insta::assert_snapshot!(health.body, @r#"{"status":"healthy","database":"connected","redis":"disabled","model":{},"pool_size":"1-10","memory_cache_size":1,"memory_cache_limit":67108864}"#);
    let stats = service.get("/stats").await.json();
    assert_eq!(stats["memory_cache"]["hits"], 1);
    assert_eq!(stats["misses"], 1);
    assert_eq!(stats["memory_cache"]["hit_ratio"], 0.5);
    assert!(stats["shared_cache"].is_null());
    assert_eq!(stats["store_connections"]["limit"], 10);
    assert_eq!(stats["store_connections"]["idle"], 1);
}

#[tokio::test]
async fn invalid_paths_methods_and_lengths_are_problem_documents() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    assert_eq!(problem(&service.get("/nothing/here").await).0, 404);
    let posted = service.send_request("POST", "/recommend/1").await;
    assert_eq!(
        (problem(&posted).0, posted.header("allow")),
        (405, "GET,HEAD")
    );
    let got = service.get("/invalidate-cache/1").await;
    assert_eq!((problem(&got).0, got.header("allow")), (405, "POST"));
    let long = service
        .get(&format!("/batch-recommend?user_ids={}", "1".repeat(9000)))
        .await;
    assert_eq!(problem(&long).0, 414);
}

#[tokio::test]
async fn requests_beyond_the_limit_in_flight_get_503_with_retry_after() {
    let directory = tempfile::tempdir().unwrap();
    let mut tuning = Tuning::default();
    tuning.server.max_requests_in_flight = 1;
    let service = service(directory.path(), tuning).await;
    let (first, second) = tokio::join!(service.get("/recommend/123"), service.get("/recommend/5"));
    assert_eq!(first.status, 200);
    assert_eq!(
        (problem(&second).0, second.header("retry-after")),
        (503, "1")
    );
    assert_eq!(service.get("/recommend/5").await.status, 200);
}

#[tokio::test]
async fn valid_request_ids_are_kept_and_others_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let returned_id = async |id: &str| {
        let request = http::Request::get("/health")
            .header("x-request-id", id)
            .body(())
            .unwrap();
        service
            .send(request)
            .await
            .header("x-request-id")
            .to_owned()
    };
    assert_eq!(returned_id("abc-123").await, "abc-123");
    let long = "x".repeat(129);
    for id in ["", "a b", "\"", long.as_str()] {
        let made = returned_id(id).await;
        assert!(made.len() == 16 && made != id, "{made}");
    }
}

#[tokio::test]
async fn the_description_covers_every_route_and_real_answers_match_it() {
    let directory = tempfile::tempdir().unwrap();
    let service = service(directory.path(), Tuning::default()).await;
    let description = service.get("/openapi.json").await.json();
    let mut routes: Vec<String> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    routes.sort_unstable();
    insta::assert_snapshot!(routes.join(" "), @"/batch-recommend /events /health /invalidate-cache /invalidate-cache/all /invalidate-cache/{user_id} /popular /recommend /recommend/{user_id} /related/{category} /stats /users/{user_id} /warm-cache");
    for (path, schema) in [
        ("/recommend/123", "Recommendation"),
        ("/recommend/6", "Recommendation"),
        ("/batch-recommend?user_ids=5,6", "Batch"),
        ("/health", "Health"),
        ("/stats", "Stats"),
        ("/recommend/x", "Problem"),
    ] {
        let mut root = description["components"]["schemas"][schema].clone();
        assert!(root.is_object(), "no schema {schema}");
        root["components"] = description["components"].clone();
        let answer = service.get(path).await.json();
        let validator = jsonschema::validator_for(&root).unwrap();
        if let Err(error) = validator.validate(&answer) {
            panic!("{path} is no {schema}: {error}\n{answer}");
        }
    }
}
