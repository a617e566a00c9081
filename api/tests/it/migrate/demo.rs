//! The demo data: all of it or none, and into empty tables only.

use super::{Ran, command, count, migrate, run};
use crate::harness::api_process::ApiCommand;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_api::store::{Connection as _, Store as _};
use reckon_api::{demo, model::UserId};
use reckon_contract::tables::Tables;
use sqlx::Executor;
use std::fs;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Rows of `searches` and of `purchase` in the demo data.
fn rows() -> (i64, i64) {
    let users: Vec<_> = demo::USERS.map(demo::person).collect();
    let sum = |each: fn(&demo::Person) -> usize| -> i64 {
        i64::try_from(users.iter().map(each).sum::<usize>()).unwrap()
    };
    (
        sum(|person| person.searches.len()),
        sum(|person| person.purchases.len()),
    )
}

async fn rows_in(server: &SqlServer, database: &str) -> (i64, i64) {
    (
        count(server, database, "searches").await,
        count(server, database, "purchase").await,
    )
}

async fn demo_data_fill_empty_tables_once(flavour: Flavour) {
    let server = flavour.start().await;
    let first = run(command(&server, "reckon", "demo")).await;
    let (searches, purchases) = rows();
    println!(
        "{flavour:?}: {searches} + {purchases} rows in {:?}: {:?}",
        first.took, first.lines
    );
    assert!(first.succeeded);
    assert_eq!(
        first.lines,
        [
            "searches: table and index created".to_owned(),
            "purchase: table and index created".to_owned(),
            "reckon_model: table created".to_owned(),
            "reckon_events: table created".to_owned(),
            format!(
                "{} rows of demo data written: users 1..=4703",
                searches + purchases
            ),
        ]
    );
    assert_eq!(rows_in(&server, "reckon").await, (searches, purchases));

    let second = run(command(&server, "reckon", "demo")).await;
    assert!(!second.succeeded);
    assert_eq!(
        second.error(),
        "error: the table searches has rows already: demo data is only written into empty tables"
    );
    assert_eq!(rows_in(&server, "reckon").await, (searches, purchases));
}

async fn demo_data_are_not_added_to_tables_with_rows(flavour: Flavour) {
    let server = flavour.start().await;
    migrate(&server, "reckon").await;
    server
        .execute("INSERT INTO reckon.purchase (id) VALUES (1)")
        .await;
    let ran = run(command(&server, "reckon", "demo")).await;
    assert!(!ran.succeeded);
    assert_eq!(
        ran.error(),
        "error: the table purchase has rows already: demo data is only written into empty tables"
    );
    assert_eq!(rows_in(&server, "reckon").await, (0, 1));
}

async fn interrupted_demo_data_are_rolled_back(flavour: Flavour) {
    let server = flavour.start().await;
    migrate(&server, "reckon").await;
    let mut dirty = server.admin().await;
    dirty
        .execute(sqlx::raw_sql(
            "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED; USE reckon",
        ))
        .await
        .unwrap();
    let mut filling = command(&server, "reckon", "demo").spawn();
    let mut seen: i64 = 0;
    while seen < 5000 {
        assert!(filling.process.is_running());
        let looked = sqlx::query_scalar("SELECT COUNT(*) FROM searches");
        seen = looked.fetch_one(&mut dirty).await.unwrap();
    }
    filling.process.kill();
    eventually(SOON, async || server.sessions(RECKON.name).await.open == 0).await;
    println!("{flavour:?}: killed after {seen} rows");
    assert_eq!(rows_in(&server, "reckon").await, (0, 0));
}

on_each_flavour!(
    demo_data_fill_empty_tables_once,
    demo_data_are_not_added_to_tables_with_rows,
    interrupted_demo_data_are_rolled_back,
);

async fn on_file(path: &Path, name: &str) -> Ran {
    run(ApiCommand::new().env("RECKON_DATA", path).args([name])).await
}

async fn rows_in_file(path: &Path) -> (i64, i64) {
    let mut session = sqlite::create(path).await.unwrap();
    sqlx::query_as("SELECT (SELECT COUNT(*) FROM searches), (SELECT COUNT(*) FROM purchase)")
        .fetch_one(&mut session)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_file_is_created_then_filled_then_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reckon.db");
    for _ in 0..2 {
        let made = on_file(&path, "migrate").await;
        assert!(made.succeeded);
        assert_eq!(
            made.lines,
            [format!("{}: tables and indexes exist", path.display())]
        );
    }
    let filled = on_file(&path, "demo").await;
    println!("SQLite: {:?} in {:?}", filled.lines, filled.took);
    assert!(filled.succeeded);
    assert_eq!(rows_in_file(&path).await, rows());
    let again = on_file(&path, "demo").await;
    assert!(!again.succeeded);
    assert_eq!(
        again.lines,
        ["error: the table searches has rows already: demo data is only written into empty tables"]
    );
    assert_eq!(rows_in_file(&path).await, rows());
    let mut session = Sqlite::new(&path, &Tables::default())
        .connect()
        .await
        .unwrap();
    let history = session.histories(&[UserId::Integer(1)], 100).await.unwrap();
    assert!(!history[0].is_empty());
}

/// Bytes of all files in a directory.
fn bytes(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).unwrap().map(Result::unwrap);
    // A file may be removed during the read.
    files
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum()
}

#[tokio::test]
async fn a_file_whose_filling_was_interrupted_has_no_rows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reckon.db");
    let mut filling = ApiCommand::new()
        .env("RECKON_DATA", &path)
        .args(["demo"])
        .spawn();
    eventually(SOON, async || bytes(directory.path()) > 200_000).await;
    filling.process.kill();
    println!("killed with {} bytes in the files", bytes(directory.path()));
    assert_eq!(rows_in_file(&path).await, (0, 0));
    let again = on_file(&path, "demo").await;
    assert!(again.succeeded, "{:?}", again.lines);
    assert_eq!(rows_in_file(&path).await, rows());
}

#[tokio::test]
async fn an_interrupted_start_with_demo_data_can_be_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reckon.db");
    let start = || {
        ApiCommand::new()
            .env("RECKON_DATA", &path)
            .args(["serve", "--demo"])
            .spawn()
    };
    let mut first = start();
    eventually(SOON, async || bytes(directory.path()) > 200_000).await;
    first.process.kill();
    assert!(!path.exists());
    let second = start();
    second.ready().await;
    assert_eq!(rows_in_file(&path).await, rows());
    let left: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    println!("files: {left:?}");
}
