//! A long transaction has read the table, so that it cannot be altered: which sessions wait, and for how long.

use super::online::ConcurrentClients;
use super::{assert_covered, command, definition, fill, run};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::original_tables::OriginalTables;
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::tables::address;
use reckon_api::store::mysql::migrate::{self, LockRetries};
use reckon_contract::tables::Tables;
use sqlx::{Executor, MySqlConnection};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// Begins a transaction that has read `searches`.
async fn long_transaction(server: &SqlServer) -> MySqlConnection {
    let mut connection = server.admin().await;
    connection
        .execute(sqlx::raw_sql(
            "BEGIN; SELECT id FROM reckon.searches LIMIT 1",
        ))
        .await
        .unwrap();
    connection
}

/// Whether an ALTER is in a state.
async fn is_in_state(server: &SqlServer, state: &str) -> bool {
    let altering: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'ALTER TABLE%' AND state LIKE ?",
    )
    .bind(state)
    .fetch_one(&mut server.admin().await)
    .await
    .unwrap();
    altering > 0
}

/// Whether an ALTER waits for the table.
async fn waits(server: &SqlServer) -> bool {
    is_in_state(server, "Waiting for table metadata lock%").await
}

async fn the_lock_is_requested_again_and_blocks_no_other_client(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    fill(&server, "reckon", 5_000).await;
    let others = ConcurrentClients::start(&server, "reckon", 8).await;
    let mut transaction = long_transaction(&server).await;
    let migration = tokio::spawn(run(command(&server, "reckon", "migrate")));
    for attempt in 1..=2 {
        eventually(SOON, async || waits(&server).await).await;
        let began = Instant::now();
        eventually(SOON, async || !waits(&server).await).await;
        println!(
            "{flavour:?}: attempt {attempt} waited {:?}",
            began.elapsed()
        );
    }
    assert!(!migration.is_finished());
    transaction.execute(sqlx::raw_sql("COMMIT")).await.unwrap();
    let ran = migration.await.unwrap();
    let seen = others.stop().await;
    println!("{flavour:?}: {:?} in {:?}; {seen:?}", ran.lines, ran.took);
    assert_eq!(
        ran.lines,
        [
            "searches: index created",
            "purchase: index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    // One second for the lock, plus the delay of a busy machine.
    assert!(seen.longest_answer < Duration::from_secs(2), "{seen:?}");
    assert!(seen.longest_write < Duration::from_secs(2), "{seen:?}");
    assert_covered(&server, "reckon").await;
}

async fn an_index_that_cannot_be_committed_is_built_again(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    fill(&server, "reckon", 200_000).await;
    let migration = tokio::spawn(run(command(&server, "reckon", "migrate")));
    let began = Instant::now();
    eventually(SOON, async || is_in_state(&server, "altering table").await).await;
    // This transaction begins during the build. It does not block the build, but its end.
    let mut transaction = long_transaction(&server).await;
    eventually(SOON, async || waits(&server).await).await;
    eventually(SOON, async || !waits(&server).await).await;
    println!(
        "{flavour:?}: the build was lost after {:?}",
        began.elapsed()
    );
    let searches = definition(&server, "reckon", "searches").await;
    assert!(!searches.contains("KEY"), "{searches}");
    transaction.execute(sqlx::raw_sql("COMMIT")).await.unwrap();
    let ran = migration.await.unwrap();
    println!("{flavour:?}: {:?} in {:?}", ran.lines, ran.took);
    assert_eq!(
        ran.lines,
        [
            "searches: index created",
            "purchase: index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
}

async fn a_permanent_lock_is_reported_and_nothing_is_changed(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    let before = definition(&server, "reckon", "searches").await;
    let _transaction = long_transaction(&server).await;
    let retries = LockRetries {
        attempts: 2,
        ..LockRetries::default()
    };
    let mut lines = Vec::new();
    let began = Instant::now();
    let address = address(&server, "reckon");
    let error = migrate::with_retries(&address, &Tables::default(), retries, |line| {
        lines.push(line);
    })
    .await
    .unwrap_err();
    println!("{flavour:?}: {error} after {:?}", began.elapsed());
    insta::allow_duplicates! {
        insta::assert_snapshot!(error, @"other sessions kept the table searches locked during all 2 attempts of 1 s, so it is unchanged: run this again when no transaction keeps the table in use for longer than that; the lock is needed at the start and at the end of the build");
    }
    assert!(lines.is_empty(), "{lines:?}");
    assert_eq!(definition(&server, "reckon", "searches").await, before);
}

on_each_flavour!(
    the_lock_is_requested_again_and_blocks_no_other_client,
    an_index_that_cannot_be_committed_is_built_again,
    a_permanent_lock_is_reported_and_nothing_is_changed,
);
