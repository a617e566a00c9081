//! A server that does not answer, or does not exist.

use super::fixture::{Fixture, POOL, fill};
use super::tables::{pace, paced};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON};
use std::time::Duration;

/// A probe's deadline, the wait after it, and the time until the next connection.
const GIVEN_UP: Duration = Duration::from_secs(25);
/// Time between the last rejected request of a failure and the log line about its end.
const QUIET: Duration = Duration::from_secs(15);

pub async fn a_store_that_freezes_under_load(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("frozen {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    fixture.server.process.freeze().await;
    fixture.becomes_unavailable("timeout").await;
    fixture.is_ready(true).await;
    fixture.cached_answers_are_served().await;
    fixture.server.process.thaw();
    fixture.recovers().await;
    let tally = load.stop().await;
    assert!(tally.count("503") > 0);
    fixture.is_within_its_connections().await;
    fixture.logs_are_short(&["timeout"], 1);
}

/// In the middle of statements. The prober tries new connections after a while, which the server finds when it goes on.
pub async fn a_store_that_is_frozen_for_longer_than_a_connection_is_kept(flavour: Flavour) {
    let fixture = paced(&format!("frozen long {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    pace(&fixture.server, 0.1).await;
    eventually(GIVEN_UP, async || {
        fixture.server.sessions(RECKON.name).await.running == POOL - 1
    })
    .await;
    fixture.server.process.freeze().await;
    eventually(GIVEN_UP, async || {
        fixture
            .figure("reckon_store_connections{state=\"prober\"}")
            .await
            == 0
    })
    .await;
    fixture.server.process.thaw();
    pace(&fixture.server, 0.0).await;
    fixture.recovers().await;
    load.stop().await;
    fixture.is_within_its_connections().await;
    eventually(QUIET, async || {
        let logs = fixture.api.process.logs();
        logs.iter()
            .any(|line| line.contains("recovered: no 503 or 504 for 5 s"))
    })
    .await;
    fixture.logs_are_short(&["timeout"], 1);
}

pub async fn a_store_that_is_killed_under_load_and_started_again(flavour: Flavour) {
    let mut fixture = Fixture::ready(&format!("killed {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    fixture.server.process.kill();
    fixture.becomes_unavailable("unreachable").await;
    fixture.is_ready(true).await;
    fixture.cached_answers_are_served().await;
    fixture.server.start().await;
    fixture.recovers().await;
    load.stop().await;
    fixture.is_within_its_connections().await;
    fixture.logs_are_short(&["unreachable"], 1);
}

pub async fn a_store_that_is_started_after_the_service(flavour: Flavour) {
    let server = flavour.reserve(&[]);
    let mut fixture = Fixture::over(&format!("late {flavour:?}"), server, |api| api).await;
    let load = fixture.send_load();
    fixture.becomes_unavailable("unreachable").await;
    fixture.is_ready(false).await;
    fixture.server.start().await;
    fixture.count_connections().await;
    fixture.becomes_unavailable("missing table or column").await;
    fixture.is_ready(false).await;
    fill(&fixture.server, "reckon_source").await;
    fixture
        .server
        .execute("RENAME TABLE reckon_source.searches TO reckon.searches, reckon_source.purchase TO reckon.purchase")
        .await;
    fixture.recovers().await;
    load.stop().await;
    fixture.logs_are_short(&["unreachable", "missing table or column"], 1);
}
