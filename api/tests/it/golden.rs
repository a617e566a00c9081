//! The 100 golden vectors with the right answers of `Classic`, through the real router and each store.

use crate::harness::classic;
use crate::service::Service;
use reckon_api::store::Store;
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_contract::Tuning;
use reckon_contract::tables::Tables;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};

pub struct Vector {
    /// The newest rows' categories, newest first.
    pub searches: Vec<Option<String>>,
    pub purchases: Vec<Option<String>>,
    answer: Value,
}

impl Vector {
    /// The body of the right answer for `user`, without the message for users that have no rows.
    pub fn answer(&self, user: impl Into<Value>) -> Value {
        let mut answer = self.answer.clone();
        answer["user_id"] = user.into();
        answer
    }
}

pub fn vectors() -> Vec<Vector> {
    parse(include_str!("golden.json"))
}

/// The vectors for tables in latin1. The only category that latin1 cannot express is replaced by another one with the
/// same place in the order.
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

/// A time for each of `rows` rows, newest first, as a text that both databases accept.
pub fn times(rows: usize) -> impl Iterator<Item = String> {
    (0..rows)
        .rev()
        .map(|row| format!("2025-03-01 {:02}:{:02}:00", row / 60, row % 60))
}

/// Ids of the type `Text` for the vectors' users: UUIDs, addresses of e-mail, numbers with leading zeros, ids that differ in
/// case or in blanks at the end only, reserved characters of URLs and lists, and 64 bytes of UTF-8.
pub fn text_ids() -> Vec<String> {
    let id = |n: usize| match n % 10 {
        0 => format!("6f1c9a52-0c1e-4f9c-a7a6-{n:012x}"),
        1 => format!("User.{n}+shop@example.org"),
        2 => format!("user.{}+shop@example.org", n - 1),
        3 => format!("{n:012}"),
        4 => format!("{}", n - 1),
        5 => format!("guest {n}"),
        6 => format!("guest {} ", n - 1),
        7 => format!("a/b?c=d&e#{n},%2C\\,\\"),
        8 => format!("é{n:02}{}", "ü".repeat(30)),
        _ => format!("\"'`;--{n}"),
    };
    let ids: Vec<String> = (0..100).map(id).collect();
    assert!(ids.iter().any(|id| id.len() == 64));
    ids
}

/// The text as a part of a URL.
pub fn encoded(text: &str) -> String {
    let part = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(part).collect()
}

/// Compares the answers of the users 1000 + i with those of the i-th vectors, one by one and as batches.
pub async fn compare<S: Store>(store: S, vectors: &[Vector]) {
    let ids: Vec<Value> = (1000..1100).map(Value::from).collect();
    compare_for(store, Tables::default(), vectors, &ids).await;
}

/// The same for the users with these ids.
pub async fn compare_for<S: Store>(store: S, tables: Tables, vectors: &[Vector], ids: &[Value]) {
    let tuning = Tuning {
        tables,
        ..classic::tuning()
    };
    let service = Service::over(store, tuning);
    let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    let mut right = 0;
    for (user, vector) in ids.iter().zip(vectors) {
        let path = format!("/recommend/{}", encoded(&text(user)));
        let answer = service.get(&path).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut told = answer.json();
        told.as_object_mut().unwrap().remove("message");
        assert_eq!(told, vector.answer(user.clone()), "user {user}");
        right += 1;
    }
    assert_eq!(right, 100);
    assert_eq!(
        service
            .send_request("POST", "/invalidate-cache/all")
            .await
            .status,
        200
    );
    let escaped = |id: &Value| match id.as_str() {
        Some(id) => id.replace('\\', "\\\\").replace(',', "\\,"),
        None => id.to_string(),
    };
    let list: Vec<String> = ids.iter().map(escaped).collect();
    let batch = service
        .get(&format!(
            "/batch-recommend?user_ids={}",
            encoded(&list.join(","))
        ))
        .await
        .json();
    for (result, (user, vector)) in batch["results"]
        .as_array()
        .unwrap()
        .iter()
        .zip(ids.iter().zip(vectors))
    {
        assert_eq!(&result["user_id"], user);
        assert_eq!(result["recommendations"], vector.answer["recommendations"]);
    }
    assert_eq!(batch["successful"], 100);
}

#[tokio::test]
async fn all_100_over_sqlite_with_text_ids_in_mapped_tables() {
    for (kind, collation) in [("TEXT", "BINARY"), ("TEXT", "NOCASE"), ("", "RTRIM")] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("golden.db");
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let mut session = options.connect().await.unwrap();
        let tables = format!(
            "CREATE TABLE `shop searches` (who {kind} COLLATE {collation}, `when` TEXT, `group` TEXT); \
             CREATE TABLE orders (id INTEGER PRIMARY KEY, who {kind} COLLATE {collation}, paid_at TEXT, kind TEXT); \
             CREATE INDEX by_who ON orders (who, paid_at, kind)"
        );
        let created = session.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tables)));
        created.await.unwrap();
        session.execute("BEGIN").await.unwrap();
        for (user, vector) in text_ids().iter().zip(vectors()) {
            for (insert, rows) in [
                (
                    "INSERT INTO `shop searches` VALUES (?, ?, ?)",
                    vector.searches,
                ),
                (
                    "INSERT INTO orders (who, paid_at, kind) VALUES (?, ?, ?)",
                    vector.purchases,
                ),
            ] {
                for (time, category) in times(rows.len()).zip(rows) {
                    let row = sqlx::query(insert).bind(user).bind(time).bind(category);
                    row.execute(&mut session).await.unwrap();
                }
            }
        }
        session.execute("COMMIT").await.unwrap();
        let tables = mapping(
            "{userId: Text, searches: {table: shop searches, user: who, time: when, category: group}, \
             purchases: {table: orders, user: who, time: paid_at, category: kind}}",
        );
        let ids: Vec<Value> = text_ids().into_iter().map(Value::from).collect();
        let store = Sqlite::new(&path, &tables);
        compare_for(store, tables, &vectors(), &ids).await;
    }
}

/// The mapping in the format of a tuning file.
pub fn mapping(yaml: &str) -> Tables {
    Tuning::parse_tables(yaml).unwrap()
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
    compare(Sqlite::new(&path, &Tables::default()), &vectors()).await;
}
