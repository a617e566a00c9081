//! Requests that store nothing.

use super::fixture::{
    Fixture, TUNING, answered_rows, counts, is_available, purchase, search, send,
};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::sql_server::Flavour;
use http::Method;
use serde_json::{Value, json};

async fn rejection(api: &ApiProcess, body: impl Into<bytes::Bytes>) -> (u16, Value) {
    let answer = api
        .client()
        .send(Method::POST, "/events", body)
        .await
        .unwrap();
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{}", answer.body);
    (answer.status.as_u16(), answer.json())
}

async fn invalid_requests_store_nothing(fixture: &Fixture) {
    let api = fixture.start().await;
    let many = json!(
        (0..501)
            .map(|number| search(&number.to_string(), 7))
            .collect::<Vec<_>>()
    );
    for (body, status, part) in [
        (String::new(), 422, "invalid body: expected an event"),
        ("[".to_owned(), 422, "invalid body"),
        ("[]".to_owned(), 422, "1 to 500 events, not 0"),
        (many.to_string(), 422, "more than 500 events"),
        (" ".repeat(1 << 20) + "[]", 413, "too long"),
        (
            json!([search("a", 7), {"id": "b"}]).to_string(),
            422,
            "missing events[1].type",
        ),
    ] {
        let (code, problem) = rejection(&api, body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(code == status && detail.contains(part), "{code} {detail}");
    }
    let mut bytes = search("a", 7).to_string().into_bytes();
    let place = bytes.iter().position(|byte| *byte == b'r').unwrap();
    bytes[place] = 0xFF;
    assert_eq!(rejection(&api, bytes).await.0, 422);
    let mut event = search("c", 7);
    event["time"] = json!("tomorrow");
    let (status, problem) = rejection(&api, json!([search("a", 7), event]).to_string()).await;
    assert_eq!(status, 422);
    assert_eq!(problem["errors"][0]["in"], "body", "{problem}");
    assert_eq!(problem["errors"][0]["name"], "events[1].time", "{problem}");
    assert_eq!(fixture.rows().await, (0, 0));
    assert_eq!(
        fixture
            .count("SELECT COUNT(*) FROM reckon_events WHERE kind > 0")
            .await,
        0
    );
    // The connection and the ids can still be used.
    assert_eq!(counts(&api.client(), &search("a", 7)).await, [1, 0, 0]);
}

#[tokio::test]
async fn invalid_requests_are_named_on_mariadb() {
    invalid_requests_store_nothing(&Fixture::on(Flavour::MariaDb).await).await;
}

#[tokio::test]
async fn invalid_requests_are_named_in_a_file() {
    invalid_requests_store_nothing(&Fixture::in_a_file().await).await;
}

#[tokio::test]
async fn a_value_that_does_not_fit_its_column_is_an_error_and_never_truncated() {
    for flavour in Flavour::ALL {
        let fixture = Fixture::on(flavour).await;
        fixture
            .execute(
                "ALTER TABLE searches MODIFY category VARCHAR(10) CHARACTER SET latin1, MODIFY id INT; \
                 ALTER TABLE purchase ADD COLUMN price INT, ADD CHECK (product_category <> 'forbidden'); \
                 ALTER TABLE purchase MODIFY product_name VARCHAR(20)",
            )
            .await;
        let api = fixture.start().await;
        let with = |mut event: Value, field: &str, value: Value| {
            event[field] = value;
            event
        };
        for (event, name) in [
            (
                with(search("x", 7), "category", json!("eleven char")),
                "category",
            ),
            (with(search("x", 7), "category", json!("日本")), "category"),
            (
                with(search("x", 7), "user_id", json!(1_i64 << 40)),
                "user_id",
            ),
            (
                with(purchase("x", 7), "text", json!("x".repeat(21))),
                "text",
            ),
        ] {
            let batch = json!([search("a", 7), purchase("b", 7), event]);
            let (status, problem) = rejection(&api, batch.to_string()).await;
            println!("{flavour:?}: {}", problem["detail"]);
            assert_eq!(status, 422, "{problem}");
            // For some errors MySQL does not name the column.
            let found = problem["errors"][0]["name"].as_str();
            let found = found.or(problem["detail"].as_str()).unwrap();
            let expected = format!("events[2].{name}");
            assert!(
                found == expected || found == "a value of events[2] does not fit into its column",
                "{problem}"
            );
        }
        let forbidden = with(purchase("x", 7), "category", json!("forbidden"));
        let (status, problem) =
            rejection(&api, json!([search("a", 7), forbidden]).to_string()).await;
        assert_eq!(status, 422);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("events[1]") && detail.contains("constraint"),
            "{detail}"
        );
        assert_eq!(fixture.rows().await, (0, 0));
        assert_eq!(
            fixture
                .count("SELECT COUNT(*) FROM reckon_events WHERE kind > 0")
                .await,
            0
        );
        let fits = with(search("x", 7), "category", json!("ten chars!"));
        assert_eq!(
            counts(&api.client(), &json!([search("a", 7), fits])).await,
            [2, 0, 0]
        );
    }
}

#[tokio::test]
async fn of_requests_that_are_stored_together_only_the_rejected_one_fails() {
    let fixture = Fixture::on(Flavour::MariaDb).await;
    fixture
        .execute("ALTER TABLE searches MODIFY category VARCHAR(10)")
        .await;
    let api = fixture.start().await;
    let client = api.client();
    let requests = (0..60).map(|number| {
        let mut event = search(&number.to_string(), number);
        if number % 3 == 0 {
            event["category"] = json!("longer than ten");
        }
        let client = client.clone();
        async move { (number, send(&client, &event).await) }
    });
    for (number, answer) in futures_util::future::join_all(requests).await {
        let expected = if number % 3 == 0 { 422 } else { 200 };
        assert_eq!(answer.status, expected, "{number} {}", answer.body);
    }
    assert_eq!(fixture.rows().await, (40, 0));
}

#[tokio::test]
async fn unless_events_are_enabled_both_requests_name_the_setting() {
    let fixture = Fixture::in_a_file().await;
    let api = fixture.command("{}").spawn();
    api.ready().await;
    for (method, path, body) in [
        (Method::POST, "/events", search("a", 7).to_string()),
        (Method::DELETE, "/users/7", String::new()),
    ] {
        let answer = api.client().send(method, path, body).await.unwrap();
        assert_eq!(answer.status, 403);
        assert!(
            answer.body.contains("events.enabled: true"),
            "{}",
            answer.body
        );
    }
    let health = api.client().get("/health").await.json();
    assert_eq!(health.get("events"), None);
}

#[tokio::test]
async fn requests_without_a_key_are_rejected_before_their_body_is_read() {
    let fixture = Fixture::in_a_file().await;
    let keys = fixture.directory.path().join("keys");
    std::fs::write(&keys, "the-key-of-16-bytes-or-more").unwrap();
    let api = fixture
        .command(TUNING)
        .env("RECKON_API_KEYS", &keys)
        .spawn();
    is_available(&api).await;
    assert_eq!(send(&api.client(), &search("a", 7)).await.status, 401);
    let answer = api
        .client()
        .send(Method::DELETE, "/users/7", "")
        .await
        .unwrap();
    assert_eq!(answer.status, 401);
    let keyed = api
        .client()
        .with_header("authorization", "Bearer the-key-of-16-bytes-or-more");
    assert_eq!(counts(&keyed, &search("a", 7)).await, [1, 0, 0]);
    assert_eq!(answered_rows(&api.client(), 7).await, (1, 0));
}

#[tokio::test]
async fn a_pool_without_a_connection_for_events_ends_the_start_with_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let tuning = directory.path().join("tuning.yaml");
    std::fs::write(&tuning, "{store: {poolSize: 2}, events: {enabled: true}}").unwrap();
    let mut api = ApiCommand::new().env("RECKON_TUNING", &tuning).spawn();
    let exit = api.process.exit(super::fixture::TIMEOUT).await;
    assert_eq!(exit.status.code(), Some(1));
    let logs = api.process.logs();
    assert_eq!(logs.len(), 1, "{logs:?}");
    assert!(
        logs[0].contains("store.poolSize is 2: expected at least 3"),
        "{logs:?}"
    );
}
