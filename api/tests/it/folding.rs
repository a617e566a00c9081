//! `recommendation.foldCategories`: the answers are those of data that SQL folded beforehand.

use crate::service::Service;
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_contract::Tuning;
use reckon_contract::tables::Tables;
use reckon_contract::tuning::Algorithm;
use serde_json::Value;
use sqlx::Executor as _;
use std::path::Path;

/// Rows of 40 users, each row with a different time. The newest purchase of a category is written in lower case without
/// blanks, or else the newest search.
async fn fill(path: &Path) {
    let mut session = sqlite::create(path).await.unwrap();
    session.execute("BEGIN").await.unwrap();
    let forms = [
        "books", "Books", "BOOKS ", " tea", "tea", "TEA", "toys", " Toys", "cars  ", "Cars",
    ];
    for user in 1..=40_i64 {
        for (table, rows) in [("searches", 7 + user % 11), ("purchase", user % 9)] {
            for row in 0..rows {
                let form = forms[usize::try_from((user * 7 + row * 3) % 10).unwrap()];
                let at = format!("2025-03-{:02} 10:00:00", 1 + row);
                insert(&mut session, table, user, &at, form).await;
            }
            if rows > 0 {
                for (hour, form) in ["books", "tea", "toys", "cars"].into_iter().enumerate() {
                    let at = format!("2025-03-28 {:02}:00:00", 10 + hour);
                    insert(&mut session, table, user, &at, form).await;
                }
            }
        }
    }
    session.execute("COMMIT").await.unwrap();
    // Merges the log into the file, which is copied.
    sqlx::Connection::close(session).await.unwrap();
}

async fn insert(
    session: &mut sqlx::SqliteConnection,
    table: &str,
    user: i64,
    at: &str,
    category: &str,
) {
    let insert = format!("INSERT INTO {table} VALUES (?, 'x', ?, ?, 1)");
    let row = sqlx::query(sqlx::AssertSqlSafe(insert))
        .bind(user)
        .bind(at)
        .bind(category);
    row.execute(session).await.unwrap();
}

fn service(path: &Path, algorithm: Algorithm, folds: bool) -> Service {
    let mut tuning = Tuning::default();
    tuning.recommendation.algorithm = algorithm;
    tuning.recommendation.fold_categories = folds;
    tuning.recommendation.history_length = Some(1000);
    Service::over(Sqlite::new(path, &Tables::default()), tuning)
}

async fn answers(service: &Service) -> Vec<Value> {
    let mut answers = Vec::new();
    for user in 1..=40 {
        for query in ["", "?explain=true", "?exclude=Books%20,TEA&limit=2"] {
            // Without folding, an excluded category is named as it is written.
            let answer = service.get(&format!("/recommend/{user}{query}")).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answers.push(answer.json());
        }
    }
    answers
}

#[tokio::test]
async fn answers_equal_those_of_data_that_sql_folded_beforehand() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reckon.db");
    fill(&path).await;
    for algorithm in [Algorithm::Classic, Algorithm::NextBasket] {
        let folding = answers(&service(&path, algorithm, true)).await;
        let plain = answers(&service(&path, algorithm, false)).await;
        assert_ne!(folding, plain);

        let copy = directory.path().join(format!("{algorithm:?}.db"));
        std::fs::copy(&path, &copy).unwrap();
        let options = format!("sqlite://{}?mode=rw", copy.display());
        let mut session = <sqlx::SqliteConnection as sqlx::Connection>::connect(&options)
            .await
            .unwrap();
        session
            .execute(
                "UPDATE searches SET category = lower(trim(category)); \
                 UPDATE purchase SET product_category = lower(trim(product_category))",
            )
            .await
            .unwrap();
        sqlx::Connection::close(session).await.unwrap();
        let folded = service(&copy, algorithm, true);
        assert_eq!(folding, answers(&folded).await);
        // The same without the setting, where the request names the categories as they are.
        let unset = service(&copy, algorithm, false);
        for user in 1..=40 {
            let path = format!("/recommend/{user}?exclude=books,tea&limit=2");
            let (with, without) = (folded.get(&path).await, unset.get(&path).await);
            assert_eq!(with.body, without.body);
        }
    }
}
