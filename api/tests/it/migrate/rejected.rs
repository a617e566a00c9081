//! What `migrate` rejects without a change, and its messages.

use super::{Ran, command, definition, migrate, run};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{Collation, OriginalTables};
use crate::harness::sql_server::{Flavour, SqlServer};

/// The one line of a command that failed.
fn error_line(ran: &Ran) -> &str {
    assert!(!ran.succeeded);
    let [line] = ran.lines.as_slice() else {
        panic!("not one line: {:#?}", ran.lines);
    };
    println!("{line}");
    line
}

async fn assert_left_unchanged(server: &SqlServer, database: &str, words: &[&str]) {
    let before = definition(server, database, "searches").await;
    let ran = migrate(server, database).await;
    for words in words {
        let line = error_line(&ran);
        assert!(line.contains(words), "no {words:?}: {line}");
    }
    assert_eq!(definition(server, database, "searches").await, before);
}

async fn a_table_that_cannot_be_altered_in_place_is_reported_with_the_statement_to_run(
    flavour: Flavour,
) {
    let server = flavour.start().await;
    let by_hand =
        "ALTER TABLE `searches` ADD INDEX `reckon_history` (`id`, `searched_at`, `category`)";
    let tables = OriginalTables {
        collation: Collation::Latin1,
        ..OriginalTables::default()
    };
    tables.create(&server, "reckon").await;
    server
        .execute("ALTER TABLE reckon.searches ENGINE = MyISAM")
        .await;
    assert_left_unchanged(
        &server,
        "reckon",
        &["the server cannot add the index to searches", by_hand],
    )
    .await;
    server.execute(format!("USE reckon; {by_hand}")).await;
    let after = migrate(&server, "reckon").await;
    assert_eq!(
        after.lines,
        [
            "searches: index exists",
            "purchase: index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
}

async fn other_tables_than_the_original_ones_are_left_unchanged(flavour: Flavour) {
    let server = flavour.start().await;
    let original = OriginalTables::default();
    original.create(&server, "reckon_column").await;
    server
        .execute("ALTER TABLE reckon_column.searches RENAME COLUMN searched_at TO found_at")
        .await;
    assert_left_unchanged(
        &server,
        "reckon_column",
        &[
            "error: the table searches has no column searched_at: Reckon reads id, searched_at, category",
        ],
    )
    .await;

    original.create(&server, "reckon_taken").await;
    server
        .execute("ALTER TABLE reckon_taken.searches ADD INDEX reckon_history (search)")
        .await;
    assert_left_unchanged(
        &server,
        "reckon_taken",
        &[
            "error: the table searches has an index reckon_history that is not on the columns Reckon reads: drop or rename it",
        ],
    )
    .await;

    original.create(&server, "reckon_kept").await;
    server
        .execute(
            "CREATE DATABASE reckon_view; USE reckon_view; \
             CREATE VIEW searches AS SELECT * FROM reckon_kept.searches; \
             CREATE VIEW purchase AS SELECT * FROM reckon_kept.purchase",
        )
        .await;
    let ran = migrate(&server, "reckon_view").await;
    assert!(
        error_line(&ran).starts_with("error: failed to create the index of searches: ")
            && error_line(&ran).contains("'reckon_view.searches' is not"),
        "{:?}",
        ran.lines
    );
}

async fn a_missing_privilege_is_reported(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    server
        .execute(
            "CREATE USER reader@'%' IDENTIFIED BY 'reader'; GRANT SELECT ON reckon.* TO reader@'%'",
        )
        .await;
    let reader = || {
        command(&server, "reckon", "migrate")
            .env("DB_USER", "reader")
            .env("DB_PASSWORD", "reader")
    };
    let denied = run(reader()).await;
    let line = error_line(&denied);
    assert!(line.starts_with("error: failed to create the index of searches: "));
    assert!(
        line.contains("ALTER command denied to user 'reader'@"),
        "{line}"
    );

    assert!(migrate(&server, "reckon").await.succeeded);
    let found = run(reader()).await;
    assert_eq!(
        found.lines,
        [
            "searches: index exists",
            "purchase: index exists",
            "reckon_model: table exists",
            "reckon_events: table exists",
        ]
    );

    for (name, value, words) in [
        ("DB_PASSWORD", "wrong", "Access denied for user 'reckon'"),
        ("DB_NAME", "reckon_none", "Unknown database 'reckon_none'"),
        ("DB_PORT", "1", "Connection refused"),
        ("DB_HOST", "reckon.invalid", "failed to lookup address"),
    ] {
        let failed = run(command(&server, "reckon", "migrate").env(name, value)).await;
        let line = error_line(&failed);
        assert!(line.starts_with("error: failed to connect to the database: "));
        assert!(line.contains(words), "{line}");
    }
}

on_each_flavour!(
    a_table_that_cannot_be_altered_in_place_is_reported_with_the_statement_to_run,
    other_tables_than_the_original_ones_are_left_unchanged,
    a_missing_privilege_is_reported,
);
