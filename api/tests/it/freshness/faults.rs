//! Redis that is cut off, a database that is frozen, and processes that are replaced, while rows come in.

use super::scene::{SOON, Scene, TABLES};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;

async fn a_row_that_arrives_while_redis_is_cut_off_is_invalidated_in_it_afterwards(
    flavour: Flavour,
) {
    let redis = RedisServer::running().await;
    let mut scene = Scene::start(flavour, TABLES, "", Some(&redis), 2).await;
    scene.shows(7, 0).await;
    redis.process.freeze().await;
    for api in &scene.processes {
        eventually(SOON, async || {
            api.client().get("/health").await.json()["redis"] == "disconnected"
        })
        .await;
    }
    scene.insert(&[7]).await;
    scene.shows(7, 1).await;
    // Polls go on.
    scene.insert(&[7]).await;
    scene.shows(7, 2).await;
    redis.process.thaw();
    // The entry from before the cut is no longer served: not to these, and not to a process that starts now.
    scene.shows(7, 2).await;
    scene.server.allow_connections("reckon", 9).await;
    scene.add(1).await;
    scene.shows(7, 2).await;
    scene.insert(&[7]).await;
    scene.shows(7, 3).await;
}

async fn a_row_that_arrives_after_the_database_was_frozen_shows(flavour: Flavour) {
    let scene = Scene::start(flavour, TABLES, "", None, 2).await;
    scene.shows(7, 0).await;
    scene.server.process.freeze().await;
    for api in &scene.processes {
        eventually(SOON, async || {
            api.client().get("/health").await.status == 503
        })
        .await;
    }
    scene.server.process.thaw();
    scene.insert(&[7]).await;
    scene.shows(7, 1).await;
    scene.is_within_its_connections().await;
}

async fn rows_that_arrive_while_no_process_runs_are_found_by_the_next_one(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let mut scene = Scene::start(flavour, TABLES, "", Some(&redis), 2).await;
    scene.insert(&[1]).await;
    for user in [7, 8] {
        scene.shows(user, 0).await;
    }
    scene.shows(1, 1).await;
    // What was seen has been kept, also after the invalidation of everything at the start.
    eventually(SOON, async || {
        let keys = redis.command(&["KEYS", "*state"]).await.unwrap().unwrap();
        let fields = redis.command(&["HKEYS", &keys]).await.unwrap().unwrap();
        fields
            .lines()
            .filter(|field| field.starts_with("p:"))
            .count()
            == 2
    })
    .await;
    scene.shows(8, 0).await;
    scene.stop().await;
    scene.insert(&[7]).await;
    scene.add(2).await;
    scene.shows(7, 1).await;
    // Others were not invalidated.
    let answer = scene.clients()[0].get("/recommend/8").await;
    assert_eq!(answer.header("x-cache"), Some("HIT"), "{answer:?}");
    // Without what was kept, everything is invalidated once.
    scene.stop().await;
    let keys = redis.command(&["KEYS", "*state"]).await.unwrap().unwrap();
    let fields = redis.command(&["HKEYS", &keys]).await.unwrap().unwrap();
    for field in fields.lines().filter(|field| field.starts_with("p:")) {
        redis.command(&["HDEL", &keys, field]).await.unwrap();
    }
    scene.insert(&[8]).await;
    scene.add(1).await;
    scene.shows(8, 1).await;
}

on_each_flavour!(
    a_row_that_arrives_while_redis_is_cut_off_is_invalidated_in_it_afterwards,
    a_row_that_arrives_after_the_database_was_frozen_shows,
    rows_that_arrive_while_no_process_runs_are_found_by_the_next_one,
);
