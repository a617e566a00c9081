//! Tables that are followed by time, views, text ids, tables that cannot be followed, SQLite files.

use super::fixture::{Fixture, SOON};
use crate::harness::api_process::ApiCommand;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use crate::harness::watchdog::Scratch;
use reckon_api::store::sqlite;
use sqlx::Executor as _;
use std::env;

async fn text_ids_in_a_view_with_a_sequence_and_in_a_table_with_a_time(flavour: Flavour) {
    let tables = "CREATE DATABASE IF NOT EXISTS reckon; USE reckon; \
        CREATE TABLE log (n BIGINT AUTO_INCREMENT PRIMARY KEY, who VARCHAR(64) CHARACTER SET utf8mb4, at DATETIME, \
            kind VARCHAR(50), KEY (who, at, kind)); \
        CREATE VIEW seen AS SELECT n AS number, who AS customer, at AS moment, kind AS category FROM log; \
        CREATE TABLE orders (customer VARCHAR(64) CHARACTER SET latin1, at TIMESTAMP NULL, kind VARCHAR(50), KEY (at), \
            KEY (customer, at, kind))";
    let tuning = "tables: {userId: Text, \
        searches: {table: seen, user: customer, time: moment, category: category, sequence: number}, \
        purchases: {table: orders, user: customer, time: at, category: kind}}";
    let redis = RedisServer::running().await;
    let fixture = Fixture::start(flavour, tables, tuning, Some(&redis), 2).await;
    let health = fixture.clients()[0].get("/health").await.json();
    assert_eq!(health["freshness"]["searches"], "sequence");
    assert_eq!(health["freshness"]["purchases"], "time");
    fixture.shows("anna", 0).await;
    fixture.shows("ANNA", 0).await;
    fixture
        .server
        .execute("USE reckon; INSERT INTO log (who, at, kind) VALUES ('anna', NOW(), 'books')")
        .await;
    fixture.shows("anna", 1).await;
    let purchases = async |user: &str, count: u64| {
        for client in fixture.clients() {
            eventually(SOON, async || {
                let answer = client.get(&format!("/recommend/{user}")).await;
                let found = answer.json()["metadata"]["purchase_count"].as_u64();
                (found == Some(count)).then_some(()).ok_or(answer.body)
            })
            .await;
        }
    };
    purchases("bert", 0).await;
    // Equal times; the same row again; a clock that is 30 s behind; a wrong one in the future, and after it.
    let times = [
        "NOW()",
        "NOW()",
        "NOW() - INTERVAL 30 SECOND",
        "'2037-01-01'",
        "NOW()",
    ];
    for (count, time) in (1..).zip(times) {
        fixture
            .server
            .execute(format!(
                "USE reckon; INSERT INTO orders VALUES ('bert', {time}, 'toys')"
            ))
            .await;
        purchases("bert", count).await;
    }
}

async fn a_table_without_an_order_is_reported_and_followed_once_it_has_an_index(flavour: Flavour) {
    let tables = "CREATE DATABASE IF NOT EXISTS reckon; USE reckon; \
        CREATE TABLE searches (id BIGINT, search VARCHAR(50), searched_at DATETIME, category VARCHAR(50), SUCCESS TINYINT, \
            KEY (id, searched_at, category))";
    let tuning = "tables: {purchases: {table: ''}}";
    let server = flavour.start().await;
    server.execute(tables).await;
    let scratch = Scratch::new(&env::temp_dir(), "reckon-fresh-");
    let file = scratch.path().join("tuning.yaml");
    std::fs::write(&file, format!("freshness: {{pollSeconds: 1}}\n{tuning}")).unwrap();
    let command = ApiCommand::new().envs(server.environment("reckon"));
    let api = command.env("RECKON_TUNING", &file).spawn();
    api.ready().await;
    let state = async |expected: &str| {
        eventually(SOON * 3, async || {
            let health = api.client().get("/health").await.json();
            (health["freshness"]["searches"] == expected)
                .then_some(())
                .ok_or(health)
        })
        .await;
    };
    state("cannot be followed").await;
    server
        .execute("USE reckon; CREATE INDEX by_time ON searches (searched_at)")
        .await;
    state("time").await;
    let lines = eventually(SOON, async || {
        let logs = api.process.logs();
        let lines = logs
            .into_iter()
            .filter(|line| line.contains("cannot be followed"));
        let lines: Vec<String> = lines.collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let remedy = "create such an index, or set tables.searches.sequence";
    assert!(lines[0].contains(remedy), "{lines:?}");
}

on_each_flavour!(
    text_ids_in_a_view_with_a_sequence_and_in_a_table_with_a_time,
    a_table_without_an_order_is_reported_and_followed_once_it_has_an_index,
);

#[tokio::test]
async fn a_new_row_in_a_sqlite_file_is_served() {
    let scratch = Scratch::new(&env::temp_dir(), "reckon-fresh-");
    let (file, tuning) = (
        scratch.path().join("shop.db"),
        scratch.path().join("tuning.yaml"),
    );
    let mut session = sqlite::create(&file).await.unwrap();
    std::fs::write(&tuning, "freshness: {pollSeconds: 1}").unwrap();
    let command = ApiCommand::new().env("RECKON_DATA", &file);
    let api = command.env("RECKON_TUNING", &tuning).spawn();
    api.ready().await;
    let client = api.client();
    let shows = async |count: u64| {
        eventually(SOON, async || {
            let answer = client.get("/recommend/7").await;
            let found = answer.json()["metadata"]["search_count"].as_u64();
            (found == Some(count)).then_some(()).ok_or(answer.body)
        })
        .await;
    };
    eventually(SOON, async || {
        client.get("/health").await.json()["freshness"]["searches"] == "sequence"
    })
    .await;
    shows(0).await;
    for (count, sql) in [
        (
            1,
            "INSERT INTO searches VALUES (7, 'x', '2026-01-01 10:00:00', 'books', 1)",
        ),
        (
            2,
            "INSERT INTO searches VALUES (7, 'x', '2026-01-01 10:00:00', 'books', 1)",
        ),
        // The number of the deleted row is used again.
        (
            2,
            "DELETE FROM searches WHERE _rowid_ = 2; INSERT INTO searches VALUES (7, 'y', '2026-01-02 10:00:00', 'toys', 1)",
        ),
        (
            3,
            "INSERT INTO searches VALUES (7, 'x', '2026-01-03 10:00:00', 'books', 1)",
        ),
    ] {
        session.execute(sqlx::raw_sql(sql)).await.unwrap();
        shows(count).await;
    }
}
