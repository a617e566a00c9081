//! The 100 vectors whose answers are known to be right, through the real router and each store.

use crate::service::Service;
use reckon_api::store::Store;
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_contract::Tuning;
use serde_json::Value;

pub struct Vector {
    /// The newest rows' categories, newest first.
    pub searches: Vec<Option<String>>,
    pub purchases: Vec<Option<String>>,
    answer: Value,
}

impl Vector {
    /// The body of the right answer for `user`, without the message for users that have no rows.
    pub fn answer(&self, user: i64) -> Value {
        let mut answer = self.answer.clone();
        answer["user_id"] = user.into();
        answer
    }
}

pub fn vectors() -> Vec<Vector> {
    parse(include_str!("golden.json"))
}

/// The vectors for tables in latin1: the one category that it cannot hold is another, which sorts to the same place.
pub fn latin1_vectors() -> Vec<Vector> {
    parse(&include_str!("golden.json").replace("日本", "é"))
}

fn parse(text: &str) -> Vec<Vector> {
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    let column = |rows: &Value| serde_json::from_value(rows.clone()).unwrap();
    vectors
        .iter()
        .map(|vector| Vector {
            searches: column(&vector["searches"]),
            purchases: column(&vector["purchases"]),
            answer: vector["answer"].clone(),
        })
        .collect()
}

/// A time for each of `rows` rows, the newest first, as a text that both databases take.
pub fn times(rows: usize) -> impl Iterator<Item = String> {
    (0..rows)
        .rev()
        .map(|row| format!("2025-03-01 {:02}:{:02}:00", row / 60, row % 60))
}

/// Asks for user 1000 + i the i-th vector's answer, one by one and as batches.
pub async fn compare<S: Store>(store: S, vectors: &[Vector]) {
    let service = Service::over(store, Tuning::default());
    let mut right = 0;
    for (user, vector) in (1000..).zip(vectors) {
        let answer = service.get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut told = answer.json();
        told.as_object_mut().unwrap().remove("message");
        assert_eq!(told, vector.answer(user), "user {user}");
        right += 1;
    }
    assert_eq!(right, 100);
    assert_eq!(
        service.ask("POST", "/invalidate-cache/all").await.status,
        200
    );
    let ids: Vec<String> = (1000..1100).map(|user: u32| user.to_string()).collect();
    let batch = service
        .get(&format!("/batch-recommend?user_ids={}", ids.join(",")))
        .await
        .json();
    for (result, vector) in batch["results"].as_array().unwrap().iter().zip(vectors) {
        assert_eq!(result["recommendations"], vector.answer["recommendations"]);
    }
    assert_eq!(batch["successful"], 100);
}

#[tokio::test]
async fn all_100_over_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("golden.db");
    let mut session = sqlite::create(&path).await.unwrap();
    for (user, vector) in (1000..).zip(vectors()) {
        for (insert, rows) in [
            (
                "INSERT INTO searches VALUES (?, 'q', ?, ?, 1)",
                vector.searches,
            ),
            (
                "INSERT INTO purchase VALUES (?, 'p', ?, ?, 1)",
                vector.purchases,
            ),
        ] {
            for (time, category) in times(rows.len()).zip(rows) {
                let row = sqlx::query(insert).bind(user).bind(time).bind(category);
                row.execute(&mut session).await.unwrap();
            }
        }
    }
    compare(Sqlite::new(&path), &vectors()).await;
}
