//! Redis is cut off, a database is frozen, and processes are replaced, while rows are inserted.

use super::fixture::{Fixture, SOON, TABLES};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;

async fn a_row_that_arrives_while_redis_is_cut_off_is_invalidated_in_it_afterwards(
    flavour: Flavour,
) {
    let redis = RedisServer::running().await;
    let mut fixture = Fixture::start(flavour, TABLES, "", Some(&redis), 2).await;
    fixture.shows(7, 0).await;
    redis.process.freeze().await;
    for api in &fixture.processes {
        eventually(SOON, async || {
            api.client().get("/health").await.json()["redis"] == "disconnected"
        })
        .await;
    }
    fixture.insert(&[7]).await;
    fixture.shows(7, 1).await;
    // Polls go on.
    fixture.insert(&[7]).await;
    fixture.shows(7, 2).await;
    redis.process.thaw();
    // The entry from before the cut is no longer served: not to these, and not to a process that starts now.
    fixture.shows(7, 2).await;
    fixture.server.allow_connections("reckon", 9).await;
    fixture.add(1).await;
    fixture.shows(7, 2).await;
    fixture.insert(&[7]).await;
    fixture.shows(7, 3).await;
}

async fn a_row_that_arrives_after_the_database_was_frozen_is_served(flavour: Flavour) {
    let fixture = Fixture::start(flavour, TABLES, "", None, 2).await;
    fixture.shows(7, 0).await;
    fixture.server.process.freeze().await;
    for api in &fixture.processes {
        eventually(SOON, async || {
            api.client().get("/health").await.status == 503
        })
        .await;
    }
    fixture.server.process.thaw();
    fixture.insert(&[7]).await;
    fixture.shows(7, 1).await;
    fixture.is_within_its_connections().await;
}

async fn rows_that_arrive_while_no_process_runs_are_found_by_the_next_one(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let mut fixture = Fixture::start(flavour, TABLES, "", Some(&redis), 2).await;
    fixture.insert(&[1]).await;
    for user in [7, 8] {
        fixture.shows(user, 0).await;
    }
    fixture.shows(1, 1).await;
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
    fixture.shows(8, 0).await;
    fixture.stop().await;
    fixture.insert(&[7]).await;
    fixture.add(2).await;
    fixture.shows(7, 1).await;
    // Others were not invalidated.
    let answer = fixture.clients()[0].get("/recommend/8").await;
    assert_eq!(answer.header("x-cache"), Some("HIT"), "{answer:?}");
    // Without what was kept, everything is invalidated once.
    fixture.stop().await;
    let keys = redis.command(&["KEYS", "*state"]).await.unwrap().unwrap();
    let fields = redis.command(&["HKEYS", &keys]).await.unwrap().unwrap();
    for field in fields.lines().filter(|field| field.starts_with("p:")) {
        redis.command(&["HDEL", &keys, field]).await.unwrap();
    }
    fixture.insert(&[8]).await;
    fixture.add(1).await;
    fixture.shows(8, 1).await;
}

on_each_flavour!(
    a_row_that_arrives_while_redis_is_cut_off_is_invalidated_in_it_afterwards,
    a_row_that_arrives_after_the_database_was_frozen_is_served,
    rows_that_arrive_while_no_process_runs_are_found_by_the_next_one,
);
