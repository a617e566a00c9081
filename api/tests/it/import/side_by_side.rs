//! Two imports into one database at once.

use super::{SEARCHES, Target, purchases, scratch};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, SqlServer};
use sqlx::{Connection, Executor, raw_sql};

const SAMPLE: [&str; 6] = [
    "--searches",
    SEARCHES,
    "--map",
    "searches.category=kind",
    "--map",
    "searched_at=when",
];
const ROWS: usize = 20_002;

async fn notes(server: &SqlServer) -> Vec<(String, i64)> {
    sqlx::query_as("SELECT table_name, rows_written FROM reckon.reckon_import")
        .fetch_all(&mut server.admin().await)
        .await
        .unwrap()
}

async fn an_import_that_ends_keeps_the_journal_entry_of_one_that_begins(flavour: Flavour) {
    let server = flavour.start().await;
    let target = Target::Server(&server, "reckon");
    let directory = scratch();
    let file = purchases(&directory, ROWS, "1,2025-03-01 00:00:00,books,a");
    target.succeed(&SAMPLE).await;
    assert_eq!(notes(&server).await, []);

    // A session that has read the journal table blocks its removal: a session that wants to drop the table waits, and
    // writers wait behind it.
    let mut reader = server.admin().await;
    let read = raw_sql("START TRANSACTION; SELECT * FROM reckon.reckon_import");
    reader.execute(read).await.unwrap();
    let append = [&SAMPLE[..], &["--append"]].concat();
    let mut ending = target.import(&append).spawn();
    eventually(super::SOON, async || {
        let logs = ending.process.logs();
        logs.iter().any(|line| line.starts_with("purchase: "))
    })
    .await;
    let mut beginning = target.import(&["--purchases", &file]).spawn();
    for import in [&mut ending, &mut beginning] {
        let exit = import.process.exit(super::SOON).await;
        assert!(exit.status.success(), "{:#?}", import.process.logs());
    }
    reader.close().await.unwrap();
    assert_eq!(target.count("searches").await, 24);
    assert_eq!(target.count("purchase").await, ROWS);
    assert_eq!(notes(&server).await, []);
}

async fn of_two_imports_of_one_file_one_writes(flavour: Flavour) {
    let server = flavour.start().await;
    let target = Target::Server(&server, "reckon");
    let directory = scratch();
    let file = purchases(&directory, ROWS, "1,2025-03-01 00:00:00,books,a");
    let mut imports = [(); 2].map(|()| target.import(&["--purchases", &file]).spawn());
    let mut succeeded = 0;
    for import in &mut imports {
        let exit = import.process.exit(super::SOON).await;
        succeeded += usize::from(exit.status.success());
        println!("{flavour:?}: {:?}", import.process.logs().last());
    }
    assert!(succeeded > 0);
    assert_eq!(target.count("purchase").await, ROWS);
}

on_each_flavour!(
    an_import_that_ends_keeps_the_journal_entry_of_one_that_begins,
    of_two_imports_of_one_file_one_writes,
);
