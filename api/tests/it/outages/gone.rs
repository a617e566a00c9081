//! A server that does not answer, or is not there.

use super::scene::{POOL, Scene, fill};
use super::tables::{pace, paced};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON};
use std::time::Duration;

/// A probe's deadline, its last chance and the time until the next connection.
const GIVEN_UP: Duration = Duration::from_secs(25);
/// Between a failure's last refusal and the line in the log that says so.
const QUIET: Duration = Duration::from_secs(15);

pub async fn a_store_that_freezes_under_load(flavour: Flavour) {
    let scene = Scene::ready(&format!("frozen {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    scene.server.process.freeze().await;
    scene.is_down("timeout").await;
    scene.is_ready(true).await;
    scene.cached_answers_are_served().await;
    scene.server.process.thaw();
    scene.is_well_again().await;
    let tally = load.stop().await;
    assert!(tally.count("503") > 0);
    scene.has_few_connections().await;
    scene.logs_are_short(&["timeout"], 1);
}

/// In the middle of statements. The prober tries new connections after a while, which the server finds when it goes on.
pub async fn a_store_that_is_frozen_for_longer_than_a_connection_is_kept(flavour: Flavour) {
    let scene = paced(&format!("frozen long {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    pace(&scene.server, 0.1).await;
    eventually(GIVEN_UP, async || {
        scene.server.sessions(RECKON.name).await.running == POOL - 1
    })
    .await;
    scene.server.process.freeze().await;
    eventually(GIVEN_UP, async || {
        scene
            .figure("reckon_store_connections{state=\"prober\"}")
            .await
            == 0
    })
    .await;
    scene.server.process.thaw();
    pace(&scene.server, 0.0).await;
    scene.is_well_again().await;
    load.stop().await;
    scene.has_few_connections().await;
    eventually(QUIET, async || {
        let logs = scene.api.process.logs();
        logs.iter()
            .any(|line| line.contains("recovered: no 503 or 504 for 5 s"))
    })
    .await;
    scene.logs_are_short(&["timeout"], 1);
}

pub async fn a_store_that_is_killed_under_load_and_started_again(flavour: Flavour) {
    let mut scene = Scene::ready(&format!("killed {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    scene.server.process.kill();
    scene.is_down("unreachable").await;
    scene.is_ready(true).await;
    scene.cached_answers_are_served().await;
    scene.server.start().await;
    scene.is_well_again().await;
    load.stop().await;
    scene.has_few_connections().await;
    scene.logs_are_short(&["unreachable"], 1);
}

pub async fn a_store_that_is_started_after_the_service(flavour: Flavour) {
    let server = flavour.reserve(&[]);
    let mut scene = Scene::over(&format!("late {flavour:?}"), server, |api| api).await;
    let load = scene.keep_asking();
    scene.is_down("unreachable").await;
    scene.is_ready(false).await;
    scene.server.start().await;
    scene.count_connections().await;
    scene.is_down("missing table or column").await;
    scene.is_ready(false).await;
    fill(&scene.server, "reckon_source").await;
    scene
        .server
        .execute("RENAME TABLE reckon_source.searches TO reckon.searches, reckon_source.purchase TO reckon.purchase")
        .await;
    scene.is_well_again().await;
    load.stop().await;
    scene.logs_are_short(&["unreachable", "missing table or column"], 1);
}
