//! The next-basket ranking over HTTP: answers of a trained model, explained, with a request's choices, and for sessions.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use http::Method;
use reckon_api::model::Day;
use reckon_api::store::sqlite;
use reckon_api::trained::{Category, TrainedModel};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection, raw_sql};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);
pub const NEXT_BASKET: &str = "recommendation: {algorithm: NextBasket, algorithmParameter: true}";

pub fn model() -> TrainedModel {
    let category = |name: &str, share: f64, related: &[(u32, f32)]| Category {
        name: name.into(),
        share,
        take_up: share / 10.0,
        related: related.to_vec(),
    };
    let categories = vec![
        category("milk", 0.5, &[(2, 0.25), (3, 0.5)]),
        category("bread", 0.25, &[]),
        category("tea", 0.125, &[]),
        category("jam", 0.0625, &[]),
    ];
    // 2026-11-29.
    TrainedModel::new(1_796_000_000, Day(740_314), (100, 1000), categories).unwrap()
}

/// Tables in which user 1 bought milk and cheese; the model is published if there is one.
async fn tables(path: &Path, model: Option<&TrainedModel>) {
    let mut session = sqlite::create(path).await.unwrap();
    let rows = "INSERT INTO purchase VALUES (1, 'x', '2026-11-28 12:00:00', 'milk', 1), \
        (1, 'x', '2026-11-28 12:00:00', 'cheese', 1), (1, 'x', '2026-11-21 09:00:00', 'milk', 1)";
    session.execute(raw_sql(rows)).await.unwrap();
    if let Some(model) = model {
        publish(&mut session, model).await;
    }
    session.close().await.unwrap();
}

/// An API over these tables; with a model it is in use.
async fn api(tuning: &str, model: Option<&TrainedModel>) -> (TempDir, ApiProcess) {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (
        directory.path().join("data.db"),
        directory.path().join("tuning.yaml"),
    );
    tables(&data, model).await;
    std::fs::write(&file, tuning).unwrap();
    let command = ApiCommand::new()
        .env("RECKON_DATA", &data)
        .env("RECKON_TUNING", &file);
    let api = command.spawn();
    api.ready().await;
    if let Some(model) = model {
        in_use(&api, model).await;
    }
    (directory, api)
}

/// Waits until this model is in use.
pub async fn in_use(api: &ApiProcess, model: &TrainedModel) {
    let client = api.client();
    let version = async || client.get("/health").await.json()["model"]["version"].clone();
    eventually(SOON, async || version().await == model.version()).await;
}

/// Publishes a model.
pub async fn publish(session: &mut SqliteConnection, model: &TrainedModel) {
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS reckon_model (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL, \
         created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, document BLOB NOT NULL); \
         INSERT INTO reckon_model (digest, document) VALUES ('{}', CAST('{}' AS BLOB))",
        model.version(),
        String::from_utf8(model.document()).unwrap()
    );
    session
        .execute(raw_sql(AssertSqlSafe(statement)))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_names_the_model_and_its_explanation_adds_up() {
    let model = model();
    let (_directory, api) = api(NEXT_BASKET, Some(&model)).await;
    let client = api.client();
    let plain = client.get("/recommend/1").await;
    assert_eq!(
        plain.json(),
        json!({
            "user_id": 1,
            "recommendations": {
                "weightage": 3.2, "search_weight": 0.0, "purchase_weight": 3.2,
                "recommended_categories": ["milk", "bread", "cheese", "tea", "jam"],
                "explore_categories": []
            },
            "metadata": {
                "search_count": 0, "purchase_count": 3, "algorithm": "NextBasket",
                "model": model.version(), "generated_at": "2026-11-30T00:53:20Z"
            }
        })
    );
    assert_eq!(
        client.get("/recommend/1").await.header("x-cache"),
        Some("HIT")
    );

    let explained = client
        .get("/recommend/1?explain=true&limit=1&exclude=bread")
        .await;
    assert_eq!(
        explained.header("x-cache"),
        Some("MISS"),
        "it is computed for the request"
    );
    let explained = explained.json();
    let lists = &explained["recommendations"];
    assert_eq!(lists["recommended_categories"], json!(["milk"]));
    assert_eq!(lists["explore_categories"], json!(["jam", "tea"]));
    let explanation = &explained["explanation"];
    assert_eq!(
        explanation["recommended"][0]["terms"][0],
        json!(
            {"because": "shopping_days", "days": 2, "of": 2, "value": 1.95}
        )
    );
    assert_eq!(
        explanation["explore"][0]["terms"][0],
        json!(
            {"because": "related", "category": "milk", "value": 0.5}
        )
    );
    for list in ["recommended", "explore"] {
        for one in explanation[list].as_array().unwrap() {
            let values = one["terms"].as_array().unwrap().iter();
            let sum: f64 = values.map(|term| term["value"].as_f64().unwrap()).sum();
            assert!((sum - one["score"].as_f64().unwrap()).abs() < 1e-9, "{one}");
        }
    }
}

#[tokio::test]
async fn a_user_without_rows_gets_popular_categories() {
    let (_directory, api) = api(NEXT_BASKET, Some(&model())).await;
    let answer = api.client().get("/recommend/4711").await.json();
    let names = json!(["milk", "bread", "tea", "jam"]);
    assert_eq!(answer["recommendations"]["recommended_categories"], names);
    assert_eq!(
        answer["message"],
        "No data found for this user: these categories are popular"
    );
}

#[tokio::test]
async fn without_a_model_a_users_own_days_are_ranked_and_popularity_is_unavailable() {
    let (_directory, api) = api(NEXT_BASKET, None).await;
    let client = api.client();
    let answer = client.get("/recommend/1").await.json();
    assert_eq!(
        answer["recommendations"]["recommended_categories"],
        json!(["milk", "cheese"])
    );
    assert_eq!(answer["metadata"]["model"], Value::Null);
    assert_eq!(client.get("/health").await.json()["model"], json!({}));
    for path in ["/popular", "/related/milk"] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("retry-after")),
            (503, Some("1")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_algorithm_is_a_requests_choice_only_if_the_settings_allow_it() {
    let (_directory, api) = api(NEXT_BASKET, Some(&model())).await;
    let answer = api
        .client()
        .get("/recommend/1?algorithm=classic")
        .await
        .json();
    assert_eq!(
        answer["recommendations"]["recommended_categories"],
        json!(["milk"])
    );
    assert_eq!(
        answer["metadata"],
        json!({"search_count": 0, "purchase_count": 3})
    );

    let (_directory, api) = self::api("recommendation: {algorithm: Classic}", None).await;
    let client = api.client();
    let refused = client.get("/recommend/1?algorithm=nextBasket").await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.json()["errors"][0]["name"], "algorithm");
    assert_eq!(client.get("/health").await.json()["model"], Value::Null);
}

#[tokio::test]
async fn popular_and_related_categories_come_from_the_model() {
    let model = model();
    let (_directory, api) = api(NEXT_BASKET, Some(&model)).await;
    let client = api.client();
    let popular = client.get("/popular").await.json();
    assert_eq!(
        popular["categories"][1],
        json!({"category": "bread", "share": 0.25})
    );
    assert_eq!(popular["model"], model.version());
    let related = client.get("/related/milk").await.json();
    let expected = json!([{"category": "jam", "weight": 0.5}, {"category": "tea", "weight": 0.25}]);
    assert_eq!(related["related"], expected);
    assert_eq!(client.get("/related/caviar").await.status, 404);
    assert_eq!(client.get("/related/%FF").await.status, 422);
}

/// The status and the JSON of a session's recommendation.
async fn session(api: &ApiProcess, body: &str) -> (u16, Value) {
    let client = api.client();
    let answer = client
        .send(Method::POST, "/recommend?limit=2", body.to_owned())
        .await
        .unwrap();
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn a_session_is_answered_from_its_events_and_nothing_is_stored() {
    let (_directory, api) = api(NEXT_BASKET, Some(&model())).await;
    let body = r#"{"purchases": [{"category": "jam", "at": "2026-11-28"}], "searches": [{"category": "tea"}]}"#;
    let (status, answer) = session(&api, body).await;
    assert_eq!(status, 200, "{answer}");
    let lists = &answer["recommendations"];
    // Milk 6 x 0.5; tea 1 + 6 x 0.125; jam 1 + 6 x 0.0625.
    assert_eq!(lists["recommended_categories"], json!(["milk", "tea"]));
    assert_eq!(answer["user_id"], Value::Null);
    assert_eq!(answer["metadata"]["purchase_count"], 1);

    for (body, status) in [
        ("", 422),
        ("{}", 200),
        ("null", 422),
        (r#"{"purchases": [{"category": "jam", "at": "soon"}]}"#, 422),
        (
            &format!(
                r#"{{"purchases": [{{"category": "{}"}}]}}"#,
                "x".repeat(4096)
            ),
            413,
        ),
        (&"x".repeat(60_000), 413),
    ] {
        let (given, answer) = session(&api, body).await;
        assert_eq!(given, status, "{answer}");
    }
}
