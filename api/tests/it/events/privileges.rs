//! Accounts that lack a privilege, and databases without the table.

use super::fixture::{Fixture, TUNING, answered_rows, counts, erase, is_available, search, send};
use crate::harness::api_process::ApiProcess;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;
use serde_json::Value;

const PASSWORD: &str = "the-password-of-an-account";

fn start_as(fixture: &Fixture, name: &str) -> ApiProcess {
    let command = fixture.command(TUNING);
    command
        .env("DB_USER", name)
        .env("DB_PASSWORD", PASSWORD)
        .spawn()
}

/// Waits until `/health` has this reason. Reads work, and events are answered with the same reason.
async fn is_unavailable(api: &ApiProcess, reason: &str) {
    api.ready().await;
    eventually(super::fixture::TIMEOUT, async || {
        let health = api.client().get("/health").await.json();
        let is_it = health["events"]["reason"].as_str() == Some(reason);
        is_it.then_some(()).ok_or(health)
    })
    .await;
    let health: Value = api.client().get("/health").await.json();
    assert_eq!(
        (&health["status"], &health["events"]["available"]),
        (&"healthy".into(), &false.into())
    );
    assert_eq!(answered_rows(&api.client(), 1).await, (0, 0));
    let answer = send(&api.client(), &search("a", 7)).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.header("retry-after").is_some());
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(detail, format!("nothing is stored: {reason}"));
}

async fn missing_privileges_are_named_and_the_documented_ones_are_enough(flavour: Flavour) {
    let fixture = Fixture::on(flavour).await;
    let grant = async |what: &str| {
        fixture
            .execute(&format!("GRANT {what} TO writer@'%'"))
            .await;
    };
    fixture
        .execute(&format!(
            "CREATE USER writer@'%' IDENTIFIED BY '{PASSWORD}'"
        ))
        .await;
    grant("SELECT ON reckon.*").await;
    let api = start_as(&fixture, "writer");
    is_unavailable(
        &api,
        "the database user lacks the privilege INSERT on the table reckon_events",
    )
    .await;
    grant("INSERT ON reckon.reckon_events").await;
    is_unavailable(
        &api,
        "the database user lacks the privilege DELETE on the table reckon_events",
    )
    .await;
    grant("DELETE ON reckon.reckon_events").await;
    is_unavailable(
        &api,
        "the database user lacks the privilege INSERT on the table of searches",
    )
    .await;
    grant("INSERT ON reckon.searches").await;
    is_unavailable(
        &api,
        "the database user lacks the privilege INSERT on the table of purchases",
    )
    .await;
    grant("INSERT ON reckon.purchase").await;
    is_available(&api).await;
    assert_eq!(counts(&api.client(), &search("a", 7)).await, [1, 0, 0]);
    let denied = erase(&api.client(), 7).await.unwrap();
    assert_eq!(denied.status, 503);
    assert!(
        denied
            .body
            .contains("lacks the privilege DELETE on the table of searches"),
        "{}",
        denied.body
    );
    grant("DELETE ON reckon.searches").await;
    grant("DELETE ON reckon.purchase").await;
    is_available(&api).await;
    let erased = erase(&api.client(), 7).await.unwrap();
    assert_eq!(erased.status, 200, "{}", erased.body);
    assert_eq!(fixture.rows().await, (0, 0));
}

async fn a_missing_table_is_named_with_the_command_that_creates_it(flavour: Flavour) {
    let fixture = Fixture::on(flavour).await;
    fixture.execute("DROP TABLE reckon_events").await;
    let api = fixture.command(TUNING).spawn();
    let reason = "the table reckon_events does not exist: run `reckon-api migrate`";
    is_unavailable(&api, reason).await;
    fixture.migrate().await;
    is_available(&api).await;
    assert_eq!(counts(&api.client(), &search("a", 7)).await, [1, 0, 0]);
    // Lost while it is in use.
    fixture.execute("DROP TABLE reckon_events").await;
    let answer = send(&api.client(), &search("b", 7)).await;
    assert_eq!(answer.status, 503);
    is_unavailable(&api, reason).await;
    fixture.migrate().await;
    is_available(&api).await;
    // The row that is only locked is inserted again.
    fixture.execute("DELETE FROM reckon_events").await;
    assert_eq!(counts(&api.client(), &search("b", 7)).await, [1, 0, 0]);
    assert_eq!(fixture.count("SELECT COUNT(*) FROM reckon_events").await, 2);
}

on_each_flavour!(
    missing_privileges_are_named_and_the_documented_ones_are_enough,
    a_missing_table_is_named_with_the_command_that_creates_it,
);
