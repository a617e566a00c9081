//! Rows of transactions that commit at once, late or never; tables that are emptied; many rows at once.

use super::fixture::{Fixture, TABLES, search};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, raw_sql};

async fn run(session: &mut MySqlConnection, sql: String) {
    session.execute(raw_sql(AssertSqlSafe(sql))).await.unwrap();
}

async fn a_new_row_is_served_by_every_process_that_shares_a_cache(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let fixture = Fixture::start(flavour, TABLES, "", Some(&redis), 3).await;
    for user in 1..=5 {
        fixture.shows(user, 0).await;
        fixture.insert(&[user]).await;
        fixture.shows(user, 1).await;
    }
    let health = fixture.clients()[0].get("/health").await.json();
    assert_eq!(health["freshness"]["searches"], "sequence");
    assert_eq!(health["freshness"]["purchases"], "sequence");
    fixture.is_within_its_connections().await;
}

async fn a_new_row_is_served_without_a_shared_cache(flavour: Flavour) {
    let fixture = Fixture::start(flavour, TABLES, "", None, 1).await;
    fixture.shows(7, 0).await;
    fixture.insert(&[7, 8]).await;
    fixture.shows(7, 1).await;
    fixture
        .server
        .execute("USE reckon; INSERT INTO purchase (id, purchased_at, product_category) VALUES (7, NOW(), 'toys')")
        .await;
    let client = &fixture.clients()[0];
    crate::harness::eventually::eventually(super::fixture::SOON, async || {
        let answer = client.get("/recommend/7").await;
        answer.json()["metadata"]["purchase_count"] == 1
    })
    .await;
}

async fn a_transaction_that_commits_late_is_found_and_a_rolled_back_one_is_ignored(
    flavour: Flavour,
) {
    let redis = RedisServer::running().await;
    let fixture = Fixture::start(flavour, TABLES, "", Some(&redis), 2).await;
    let (mut late, mut never) = (fixture.server.admin().await, fixture.server.admin().await);
    for session in [&mut late, &mut never] {
        run(session, "USE reckon; BEGIN".to_owned()).await;
    }
    for user in [7, 8, 9] {
        fixture.shows(user, 0).await;
    }
    run(&mut late, search(&[7])).await;
    run(&mut never, search(&[8])).await;
    for others in 1..=5 {
        // Several polls, in each of which the table has rows with greater numbers.
        fixture.insert(&[9]).await;
        fixture.shows(9, others).await;
    }
    run(&mut late, "COMMIT".to_owned()).await;
    run(&mut never, "ROLLBACK".to_owned()).await;
    fixture.shows(7, 1).await;
    fixture.insert(&[9]).await;
    fixture.shows(9, 6).await;
    fixture.shows(8, 0).await;
}

async fn a_table_that_is_emptied_is_followed_from_its_beginning(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let fixture = Fixture::start(flavour, TABLES, "", Some(&redis), 2).await;
    fixture.insert(&[1, 1, 2]).await;
    fixture.have_found(3).await;
    fixture.shows(1, 2).await;
    fixture.shows(2, 1).await;
    fixture
        .server
        .execute("USE reckon; TRUNCATE searches")
        .await;
    // Everything was invalidated.
    fixture.shows(2, 0).await;
    fixture.insert(&[1]).await;
    fixture.shows(1, 1).await;
    // The newest row is deleted, and the next ones follow.
    fixture
        .server
        .execute("USE reckon; DELETE FROM searches ORDER BY n DESC LIMIT 1")
        .await;
    fixture.insert(&[2]).await;
    fixture.shows(2, 1).await;
}

async fn many_new_rows_at_once_are_served(flavour: Flavour) {
    let redis = RedisServer::running().await;
    let fixture = Fixture::start(flavour, TABLES, "", Some(&redis), 2).await;
    for user in [1, 999] {
        fixture.shows(user, 0).await;
    }
    // 150,000 rows of 15,000 users.
    let ten = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 \
        UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
    fixture
        .server
        .execute(format!(
            "USE reckon; INSERT INTO searches (id, searched_at, category) \
             SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d, NOW(), 'books' \
             FROM {ten} a, {ten} b, {ten} c, {ten} d, {ten} e, {ten} f WHERE e.d < 2 AND 10000 * e.d + 1000 * d.d < 15000"
        ))
        .await;
    for user in [1, 999] {
        fixture.shows(user, 10).await;
    }
    fixture.insert(&[1]).await;
    fixture.shows(1, 11).await;
}

on_each_flavour!(
    a_new_row_is_served_by_every_process_that_shares_a_cache,
    a_new_row_is_served_without_a_shared_cache,
    a_transaction_that_commits_late_is_found_and_a_rolled_back_one_is_ignored,
    a_table_that_is_emptied_is_followed_from_its_beginning,
    many_new_rows_at_once_are_served,
);
