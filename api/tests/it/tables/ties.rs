//! Rows of the same time at the limit of a history: the hundredth is the same on every store.

use super::address;
use crate::harness::classic;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{Collation, Event, History, OriginalTables, insert};
use crate::harness::sql_server::Flavour;
use crate::service::Service;
use reckon_api::store::Store;
use reckon_api::store::mysql::{MySql, migrate};
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_contract::tables::Tables;
use std::path::Path;
use std::time::Duration;

const NOON: &str = "2026-01-31 12:00:00";

/// 142 categories in two cases and three planes of Unicode, and two rows without one, all at noon, in no order.
fn tied() -> History {
    let series = [("Z", 60), ("a", 60), ("é", 10), ("～", 6), ("\u{1f600}", 6)];
    let mut names: Vec<Option<String>> = series
        .iter()
        .flat_map(|(name, count)| (10..10 + count).map(move |n| Some(format!("{name}{n}"))))
        .chain([None, Some(String::new())])
        .collect();
    fastrand::Rng::with_seed(7).shuffle(&mut names);
    let event = |name: &Option<String>| Event::new(name.as_deref(), NOON);
    let mut history = History {
        user_id: 1,
        searches: names.iter().map(event).collect(),
        purchases: names.iter().map(event).collect(),
    };
    // Newer rows, so that not all rows have the same time.
    history
        .searches
        .push(Event::new("newer", "2026-01-31 12:00:01"));
    history
        .purchases
        .push(Event::new("newer", "2026-01-31 12:00:01"));
    history
}

async fn answer<S: Store>(store: S) -> String {
    let answer = Service::over(store, classic::tuning())
        .get("/recommend/1")
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

async fn over_sqlite(path: &Path) -> String {
    let mut session = sqlite::create(path).await.unwrap();
    let history = tied();
    for (insert, events) in [
        (
            "INSERT INTO searches VALUES (1, 'q', ?, ?, 1)",
            history.searches,
        ),
        (
            "INSERT INTO purchase VALUES (1, 'p', ?, ?, 1)",
            history.purchases,
        ),
    ] {
        for event in events {
            let row = sqlx::query(insert).bind(event.at).bind(event.category);
            row.execute(&mut session).await.unwrap();
        }
    }
    answer(Sqlite::new(path, &Tables::default())).await
}

async fn at_the_limit_end_with_the_same_row_as_on_sqlite(flavour: Flavour) {
    let directory = tempfile::tempdir().unwrap();
    let expected = over_sqlite(&directory.path().join("ties.db")).await;
    // 1 newer, 6 + 6 + 10 + 60 of the last series, and of the first one the 17 that sort last: Z53 to Z69.
    insta::allow_duplicates! {
        insta::assert_snapshot!(expected, @r#"{"user_id":1,"recommendations":{"weightage":20.0,"search_weight":10.0,"purchase_weight":10.0,"recommended_categories":[],"explore_categories":["Z53","Z54","Z55","Z56","Z57"]},"metadata":{"search_count":100,"purchase_count":100}}"#);
    }

    let server = flavour.start().await;
    let tables = OriginalTables {
        collation: Collation::Utf8mb4Bin,
        ..OriginalTables::default()
    };
    tables.create(&server, "reckon").await;
    insert(&server, "reckon", &[tied()]).await;
    let store = || {
        MySql::new(
            &address(&server, "reckon"),
            Duration::from_secs(10),
            &Tables::default(),
        )
    };
    assert_eq!(answer(store()).await, expected, "without an index");
    migrate::migrate(&address(&server, "reckon"), &Tables::default(), |_| {})
        .await
        .unwrap();
    assert_eq!(answer(store()).await, expected, "with the covering index");
}

on_each_flavour!(at_the_limit_end_with_the_same_row_as_on_sqlite);
