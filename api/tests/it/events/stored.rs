//! Events that are stored once, and are in the next answer.

use super::fixture::{Fixture, answered_rows, at, counts, purchase, search};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;
use serde_json::json;

async fn are_in_the_next_answer_and_a_repeated_id_is_a_duplicate(fixture: &Fixture) {
    let api = fixture.start().await;
    let client = api.client();
    assert_eq!(answered_rows(&client, 7).await, (0, 0));
    let batch = json!([search("a", 7), purchase("b", 7), search("c", 8)]);
    assert_eq!(counts(&client, &batch).await, [3, 0, 0]);
    assert_eq!(answered_rows(&client, 7).await, (1, 1));
    assert_eq!(counts(&client, &batch).await, [0, 3, 0]);
    let more = json!([
        search("c", 9),
        search("d", 7),
        search("d", 7),
        search("d", 8)
    ]);
    assert_eq!(counts(&client, &more).await, [1, 3, 0]);
    assert_eq!(answered_rows(&client, 7).await, (2, 1));
    assert_eq!(answered_rows(&client, 9).await, (0, 0));
    assert_eq!(counts(&client, &search("e", 9)).await, [1, 0, 0]);
    assert_eq!(answered_rows(&client, 9).await, (1, 0));
    assert_eq!(fixture.rows().await, (4, 1));
    let columns =
        "id = 7 AND product_name = 'a robot' AND product_category = 'toys' AND SUCCESS = 1";
    let stored = format!("SELECT COUNT(*) FROM purchase WHERE {columns}");
    assert_eq!(fixture.count(&stored).await, 1);

    let figures = api.exposition().await;
    let outcome = |name| figures.sum("reckon_events", Some(("outcome", name)));
    let outcomes = format!("{} {}", outcome("accepted"), outcome("duplicate"));
    assert_eq!(outcomes, "5 6");
    let writer = figures.sum("reckon_store_connections", Some(("state", "writer")));
    assert!((writer - 1.0).abs() < 0.1, "{writer}");
}

async fn have_their_time_in_utc_and_never_a_later_one(fixture: &Fixture) {
    let api = fixture.start().await;
    let event = at(search("a", 7), "2026-03-01T00:30:00.75+01:00");
    assert_eq!(counts(&api.client(), &event).await, [1, 0, 0]);
    let late = "SELECT COUNT(*) FROM searches WHERE searched_at BETWEEN '2026-02-28 23:30:00' AND '2026-02-28 23:30:00.75'";
    assert_eq!(fixture.count(late).await, 1);
    // By default, it is now.
    assert_eq!(counts(&api.client(), &search("b", 7)).await, [1, 0, 0]);
    let now = match fixture.database {
        super::fixture::Database::Server(_) => {
            "ABS(TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(), searched_at)) < 120"
        }
        super::fixture::Database::File => {
            "ABS(julianday('now') - julianday(searched_at)) < 120 / 86400.0"
        }
    };
    let recent = format!("SELECT COUNT(*) FROM searches WHERE {now}");
    assert_eq!(fixture.count(&recent).await, 1);
}

async fn digests_are_kept_for_the_retention_and_then_deleted(fixture: &Fixture) {
    let (old, recent) = ("2001-01-01 00:00:00", "2999-01-01 00:00:00");
    let rows: Vec<String> = (0..2500)
        .map(|number| {
            let kind = 1 + number % 2;
            format!(
                "(X'{number:032x}', {kind}, '{}', 0)",
                if number == 7 { recent } else { old }
            )
        })
        .skip(1)
        .collect();
    let insert = format!("INSERT INTO reckon_events VALUES {}", rows.join(", "));
    fixture.execute(&insert).await;
    let api = fixture.start().await;
    eventually(super::fixture::TIMEOUT, async || {
        fixture
            .count("SELECT COUNT(*) FROM reckon_events WHERE kind > 0")
            .await
            == 1
    })
    .await;
    assert_eq!(counts(&api.client(), &search("a", 7)).await, [1, 0, 0]);
    assert_eq!(counts(&api.client(), &search("a", 7)).await, [0, 1, 0]);
}

async fn all_scenarios(fixture: impl AsyncFn() -> Fixture) {
    are_in_the_next_answer_and_a_repeated_id_is_a_duplicate(&fixture().await).await;
    have_their_time_in_utc_and_never_a_later_one(&fixture().await).await;
    digests_are_kept_for_the_retention_and_then_deleted(&fixture().await).await;
}

#[tokio::test]
async fn events_are_stored_once_on_mariadb() {
    all_scenarios(async || Fixture::on(Flavour::MariaDb).await).await;
}

#[tokio::test]
async fn events_are_stored_once_on_mysql9() {
    all_scenarios(async || Fixture::on(Flavour::MySql9).await).await;
}

#[tokio::test]
async fn events_are_stored_once_in_a_file() {
    all_scenarios(async || Fixture::in_a_file().await).await;
}

#[tokio::test]
async fn mapped_tables_get_the_columns_that_they_name_and_text_ids() {
    for flavour in Flavour::ALL {
        let fixture = Fixture::on(flavour).await;
        fixture
            .execute(
                "CREATE TABLE orders (customer VARCHAR(64) COLLATE utf8mb4_general_ci, at DATETIME(3), kind VARCHAR(40), \
                 paid BOOLEAN, note VARCHAR(9) DEFAULT 'none')",
            )
            .await;
        let tuning = "{store: {poolSize: 3}, events: {enabled: true}, tables: {userId: Text, searches: {table: ''}, \
             purchases: {table: orders, user: customer, time: at, category: kind, success: paid, onlySuccessful: true}}}";
        let api = fixture.command(tuning).spawn();
        super::fixture::is_available(&api).await;
        let client = api.client();
        let order = |id: &str, user: &str| json!({"id": id, "type": "purchase", "user_id": user, "category": "toys", "text": "not stored"});
        let both = json!([order("a", "Ann"), order("b", "ann")]);
        assert_eq!(counts(&client, &both).await, [2, 0, 0]);
        let answer = client.get("/recommend/Ann").await.json();
        assert_eq!(answer["metadata"]["purchase_count"], 1, "{answer}");
        let erased = client
            .send(http::Method::DELETE, "/users/Ann", "")
            .await
            .unwrap();
        assert_eq!(
            erased.json(),
            json!({"user_id": "Ann", "searches": 0, "purchases": 1})
        );
        assert_eq!(
            fixture
                .count("SELECT COUNT(*) FROM orders WHERE customer = 'ann' AND paid = 1")
                .await,
            1
        );
        let absent =
            super::fixture::send(&client, &json!([order("c", "Ann"), search("d", 7)])).await;
        assert_eq!(absent.status, 422);
        let detail = absent.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("events[1].type") && detail.contains("tables.searches"),
            "{detail}"
        );
    }
}
