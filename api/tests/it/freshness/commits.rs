//! Rows of transactions that commit at once, late or never; tables that are emptied; many rows at once.

use super::scene::{Scene, TABLES, search};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, raw_sql};

async fn run(session: &mut MySqlConnection, sql: String) {
    session.execute(raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

async fn a_row_shows_in_every_process_that_shares_a_cache(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let scene = Scene::start(flavour, TABLES, "", Some(&redis), 3).await;
    for user in 1..=5 {
        scene.shows(user, 0).await;
        scene.insert(&[user]).await;
        scene.shows(user, 1).await;
    }
    let health = scene.clients()[0].get("/health").await.json();
    assert_eq!(health["freshness"]["searches"], "sequence");
    assert_eq!(health["freshness"]["purchases"], "sequence");
    scene.is_within_its_connections().await;
}

async fn a_row_shows_without_a_shared_cache(flavour: Flavour) {
    let scene = Scene::start(flavour, TABLES, "", None, 1).await;
    scene.shows(7, 0).await;
    scene.insert(&[7, 8]).await;
    scene.shows(7, 1).await;
    scene
        .server
        .execute("USE reckon; INSERT INTO purchase (id, purchased_at, product_category) VALUES (7, NOW(), 'toys')")
        .await;
    let client = &scene.clients()[0];
    crate::harness::eventually::eventually(super::scene::SOON, async || {
        let answer = client.get("/recommend/7").await;
        answer.json()["metadata"]["purchase_count"] == 1
    })
    .await;
}

async fn a_transaction_that_commits_after_later_ones_shows_and_a_rolled_back_one_does_no_harm(
    flavour: Flavour,
) {
    let redis = RedisServer::running().await;
    let scene = Scene::start(flavour, TABLES, "", Some(&redis), 2).await;
    let (mut late, mut never) = (scene.server.admin().await, scene.server.admin().await);
    for session in [&mut late, &mut never] {
        run(session, "USE reckon; BEGIN".to_owned()).await;
    }
    for user in [7, 8, 9] {
        scene.shows(user, 0).await;
    }
    run(&mut late, search(&[7])).await;
    run(&mut never, search(&[8])).await;
    for others in 1..=5 {
        // Several polls, in each of which the table has rows with greater numbers.
        scene.insert(&[9]).await;
        scene.shows(9, others).await;
    }
    run(&mut late, "COMMIT".to_owned()).await;
    run(&mut never, "ROLLBACK".to_owned()).await;
    scene.shows(7, 1).await;
    scene.insert(&[9]).await;
    scene.shows(9, 6).await;
    scene.shows(8, 0).await;
}

async fn a_table_that_is_emptied_is_followed_from_its_beginning(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let scene = Scene::start(flavour, TABLES, "", Some(&redis), 2).await;
    scene.insert(&[1, 1, 2]).await;
    scene.have_found(3).await;
    scene.shows(1, 2).await;
    scene.shows(2, 1).await;
    scene.server.execute("USE reckon; TRUNCATE searches").await;
    // Everything was invalidated.
    scene.shows(2, 0).await;
    scene.insert(&[1]).await;
    scene.shows(1, 1).await;
    // The newest row is deleted, and the next ones follow.
    scene
        .server
        .execute("USE reckon; DELETE FROM searches ORDER BY n DESC LIMIT 1")
        .await;
    scene.insert(&[2]).await;
    scene.shows(2, 1).await;
}

async fn many_rows_at_once_show(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let scene = Scene::start(flavour, TABLES, "", Some(&redis), 2).await;
    for user in [1, 999] {
        scene.shows(user, 0).await;
    }
    // 150,000 rows of 15,000 users.
    let ten = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
        UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    scene
        .server
        .execute(format!(
            "USE reckon; INSERT INTO searches (id, searched_at, category) \
             SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d, NOW(), 'books' \
             FROM {ten} a, {ten} b, {ten} c, {ten} d, {ten} e, {ten} f WHERE e.d < 2 AND 10000 * e.d + 1000 * d.d < 15000"
        ))
        .await;
    for user in [1, 999] {
        scene.shows(user, 10).await;
    }
    scene.insert(&[1]).await;
    scene.shows(1, 11).await;
}

on_each_flavour!(
    a_row_shows_in_every_process_that_shares_a_cache,
    a_row_shows_without_a_shared_cache,
    a_transaction_that_commits_after_later_ones_shows_and_a_rolled_back_one_does_no_harm,
    a_table_that_is_emptied_is_followed_from_its_beginning,
    many_rows_at_once_show,
);
