//! Cold users: the statements that the database receives for many requests.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::generated_users::{DATABASE, assert_correct, database};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::general_log::LoggedStatement;
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::table_lock::TableLock;

const SOON: Duration = Duration::from_secs(8);

/// A lock on the tables may last this long without a timeout.
const PATIENT: &str =
    "{store: {queryTimeoutMilliseconds: 10000}, server: {requestTimeoutMilliseconds: 12000}}";

async fn start(server: &SqlServer, directory: &tempfile::TempDir) -> ApiProcess {
    let tuning = directory.path().join("tuning.yaml");
    std::fs::write(&tuning, PATIENT).unwrap();
    let api = ApiCommand::new()
        .envs(server.environment(DATABASE))
        .env("RECKON_TUNING", &tuning)
        .classic()
        .spawn();
    api.ready().await;
    api
}

/// The statements that read histories: the probe reads none.
async fn reads(server: &SqlServer) -> Vec<LoggedStatement> {
    let mut statements = server.history_statements().await;
    statements.retain(|statement| !statement.text.contains("WHERE FALSE"));
    statements
}

async fn three_hundred_requests_for_one_cold_user_read_the_tables_twice_at_most(flavour: Flavour) {
    let server = database(flavour, 0..100).await;
    let directory = tempfile::tempdir().unwrap();
    let api = start(&server, &directory).await;
    server.log_statements().await;

    // The requests arrive one by one: the later ones may find the answer of the first.
    let answers = api
        .client()
        .get_concurrently((0..300).map(|_| "/recommend/7".to_owned()))
        .await;
    let bodies: BTreeSet<String> = answers
        .into_iter()
        .map(|answer| {
            let answer = answer.unwrap();
            assert_correct(7, &answer);
            answer.body
        })
        .collect();
    let statements = reads(&server).await;
    println!(
        "{flavour:?}: 300 requests for one cold user: {} statements",
        statements.len()
    );
    assert_eq!(bodies.len(), 1);
    assert!((1..=2).contains(&statements.len()), "{statements:#?}");

    // All requests arrive before the first is answered.
    server.log_statements().await;
    let lock = TableLock::of(&server).await;
    let client = api.client();
    let asked = tokio::spawn(async move {
        client
            .get_concurrently((0..300).map(|_| "/recommend/8".to_owned()))
            .await
    });
    eventually(SOON, async || {
        let figures = api.exposition().await;
        let waiting = figures.sum("reckon_http_requests_in_flight", None);
        (waiting >= 300.0).then_some(()).ok_or(waiting)
    })
    .await;
    lock.release().await;
    for answer in asked.await.unwrap() {
        let answer = answer.unwrap();
        assert_correct(8, &answer);
        assert_eq!(answer.header("x-cache"), Some("MISS"));
    }
    let statements = reads(&server).await;
    println!(
        "{flavour:?}: 300 requests that all wait for it: {} statements",
        statements.len()
    );
    assert!((1..=2).contains(&statements.len()), "{statements:#?}");
}

async fn fifty_users_that_waited_for_a_connection_are_read_by_fourteen_statements_at_most(
    flavour: Flavour,
) {
    let server = database(flavour, 0..100).await;
    let directory = tempfile::tempdir().unwrap();
    let api = start(&server, &directory).await;
    server.log_statements().await;
    let lock = TableLock::of(&server).await;
    let figure = async |family, label| api.exposition().await.sum(family, label);

    // One user for each of the nine connections that serve requests.
    let mut holding = Vec::new();
    for user in 1..=9_i32 {
        let client = api.client();
        holding.push(tokio::spawn(async move {
            client.get(&format!("/recommend/{user}")).await
        }));
        eventually(SOON, async || {
            let busy = figure("reckon_store_connections", Some(("state", "busy"))).await;
            (busy >= f64::from(user)).then_some(()).ok_or(busy)
        })
        .await;
    }
    let client = api.client();
    let waiting = tokio::spawn(async move {
        client
            .get_concurrently((50..100).map(|user| format!("/recommend/{user}")))
            .await
    });
    eventually(SOON, async || {
        let queued = figure("reckon_loader_queue_users", None).await;
        (queued >= 50.0).then_some(()).ok_or(queued)
    })
    .await;
    lock.release().await;

    for (user, answer) in (1..).zip(holding) {
        assert_correct(user, &answer.await.unwrap());
    }
    for (user, answer) in (50..).zip(waiting.await.unwrap()) {
        assert_correct(user, &answer.unwrap());
    }
    let statements = reads(&server).await;
    let for_the_fifty = statements.len() - 9;
    println!(
        "{flavour:?}: 50 cold users that waited: {for_the_fifty} statements; users a statement: {:?}",
        api.exposition().await.buckets("reckon_loader_batch_users")
    );
    // 50 users of two tables each need 7 at 8 a statement; 100 would be one for each.
    assert!((7..=14).contains(&for_the_fifty), "{statements:#?}");
}

/// Each scenario on each flavour, as separate tests.
macro_rules! on_each_flavour {
    ($($scenario:ident),+ $(,)?) => {
        mod mariadb {
            $(#[tokio::test] async fn $scenario() { super::$scenario(super::Flavour::MariaDb).await; })+
        }
        mod mysql9 {
            $(#[tokio::test] async fn $scenario() { super::$scenario(super::Flavour::MySql9).await; })+
        }
    };
}

on_each_flavour!(
    three_hundred_requests_for_one_cold_user_read_the_tables_twice_at_most,
    fifty_users_that_waited_for_a_connection_are_read_by_fourteen_statements_at_most,
);
