//! A SQLite file is replaced, as in a publication, or removed.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use reckon_api::store::sqlite;
use sqlx::{AssertSqlSafe, Connection, Executor, raw_sql};
use std::path::Path;
use std::time::Duration;

/// Within two probes.
const NOTICED_WITHIN: Duration = Duration::from_secs(12);

/// A file whose users 1 to 50 all like `category`.
async fn make(path: &Path, category: &str) {
    let mut session = sqlite::create(path).await.unwrap();
    for user in 1..=50 {
        let insert = format!(
            "INSERT INTO searches VALUES ({user}, 'x', '2026-01-31 12:00:00', '{category}', 1), \
             ({user}, 'y', '2026-01-31 11:00:00', '{category}', 1)"
        );
        session
            .execute(raw_sql(AssertSqlSafe(insert)))
            .await
            .unwrap();
    }
    session.close().await.unwrap();
}

async fn serves_category(api: &ApiProcess, user: i64, category: &str) {
    let answer = api.client().get(&format!("/recommend/{user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains(category), "{}", answer.body);
}

#[tokio::test]
async fn a_replaced_file_is_used_and_a_removed_one_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("reckon.db");
    let new = directory.path().join("new.db");
    make(&data, "first").await;
    let api = ApiCommand::new().env("RECKON_DATA", &data).spawn();
    api.ready().await;
    let client = api.client();
    // All users are requested at once, so that every worker has the file open.
    let paths = (1..=50).map(|user| format!("/recommend/{user}"));
    for answer in client.get_concurrently(paths).await {
        assert!(answer.unwrap().body.contains("first"));
    }

    make(&new, "second").await;
    std::fs::rename(&new, &data).unwrap();
    assert_eq!(client.post("/invalidate-cache/all").await.status, 200);
    for user in 1..=50 {
        serves_category(&api, user, "second").await;
    }

    std::fs::remove_file(&data).unwrap();
    assert_eq!(client.post("/invalidate-cache/all").await.status, 200);
    let answer = client.get("/recommend/1").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    eventually(NOTICED_WITHIN, async || {
        let health = client.get("/health").await;
        health.status == 503 && health.json()["database_error"] == "unreachable"
    })
    .await;

    make(&new, "third").await;
    std::fs::rename(&new, &data).unwrap();
    eventually(NOTICED_WITHIN, async || {
        client.get("/health").await.status == 200
    })
    .await;
    serves_category(&api, 1, "third").await;
}
