//! Privileges to store events and erase users: on the tables that need them, and only while they are wanted.

use super::fixture::{PASSWORD, connect, fixture, provision, run, wanted};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, SqlServer};
use reckon_api::provision::{Wanted, ensure};
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::{Change, Reason};
use sqlx::{AssertSqlSafe, Row as _};
use std::collections::BTreeSet;
use std::time::Duration;

/// `ER_TABLEACCESS_DENIED_ERROR`.
const DENIED: Result<(), u16> = Err(1142);
const TABLES: [&str; 4] = ["searches", "purchase", "reckon_events", "reckon_model"];

fn writing(tables: &[&str]) -> Wanted {
    Wanted {
        writes: Some(tables.iter().map(|name| (*name).to_owned()).collect()),
        ..wanted()
    }
}

/// Creates tables, as a migration and others do.
async fn create_tables(db: &SqlServer) {
    for table in TABLES {
        db.execute(format!("CREATE TABLE shop_a.{table} (id BIGINT)"))
            .await;
    }
}

async fn insert(server: &Address, table: &str) -> Result<(), u16> {
    let sql = format!("INSERT INTO shop_a.{table} VALUES (1)");
    run(server, &wanted(), &sql).await
}

async fn delete(server: &Address, table: &str) -> Result<(), u16> {
    let sql = format!("DELETE FROM shop_a.{table}");
    run(server, &wanted(), &sql).await
}

/// The account's privileges on single tables, queried by root.
async fn on_tables(db: &SqlServer) -> BTreeSet<String> {
    let user = wanted().owner.user_name();
    let show = format!("SHOW GRANTS FOR {user}@'%'");
    let rows = sqlx::raw_sql(AssertSqlSafe(show))
        .fetch_all(&mut db.admin().await)
        .await
        .unwrap();
    let grants = rows.iter().map(|row| row.get::<String, _>(0));
    let on_tables = grants.filter(|grant| !grant.contains(".* TO "));
    on_tables
        .map(|grant| grant.split(" TO ").next().unwrap().to_owned())
        .collect()
}

/// How they are shown for tables of the database.
fn shown(tables: &[&str]) -> BTreeSet<String> {
    let shown = tables.iter().map(|table| match table.split_once(' ') {
        None => format!("GRANT INSERT, DELETE ON `shop_a`.`{table}`"),
        Some((privileges, table)) => format!("GRANT {privileges} ON `shop_a`.`{table}`"),
    });
    shown.collect()
}

async fn rows_can_be_written_only_while_events_are_enabled(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    create_tables(&db).await;
    for table in TABLES {
        assert_eq!(insert(&server, table).await, DENIED, "{table}");
    }

    let both = writing(&["searches", "purchase"]);
    assert_eq!(
        provision(&server, &both).await.changes,
        [Change::WriteGranted]
    );
    assert_eq!(provision(&server, &both).await.changes, []);
    for table in ["searches", "purchase", "reckon_events"] {
        assert_eq!(insert(&server, table).await, Ok(()), "{table}");
        assert_eq!(delete(&server, table).await, Ok(()), "{table}");
    }
    // No further privilege is granted.
    assert_eq!(
        on_tables(&db).await,
        shown(&["searches", "purchase", "reckon_events"])
    );
    assert_eq!(insert(&server, "reckon_model").await, DENIED);
    for sql in [
        "UPDATE shop_a.searches SET id = 2",
        "DROP TABLE shop_a.searches",
        "TRUNCATE TABLE shop_a.searches",
        "ALTER TABLE shop_a.searches ADD COLUMN more INT",
        "CREATE TABLE shop_a.more (id INT)",
        "DELETE FROM shop_a.reckon_owner",
    ] {
        assert_eq!(run(&server, &wanted(), sql).await, DENIED, "{sql}");
    }

    // A session that began before the revocation loses them too.
    let mut session = connect(&server, &wanted(), PASSWORD).await.unwrap();
    let none = writing(&[]);
    assert_eq!(
        provision(&server, &none).await.changes,
        [Change::WriteRevoked]
    );
    let rest = sqlx::raw_sql("INSERT INTO shop_a.searches VALUES (1)");
    let rest = rest.execute(&mut session).await.unwrap_err();
    assert_eq!(super::fixture::number(&rest), 1142);
    assert_eq!(provision(&server, &none).await.changes, []);
    assert_eq!(provision(&server, &wanted()).await.changes, []);
    assert_eq!(on_tables(&db).await, shown(&[]));
    let read = run(&server, &wanted(), "SELECT * FROM shop_a.searches").await;
    assert_eq!(read, Ok(()));
}

async fn tables_need_not_exist_and_none_can_be_created(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let both = writing(&["searches", "purchase"]);
    let changes = provision(&server, &both).await.changes;
    assert!(changes.contains(&Change::WriteGranted), "{changes:?}");
    assert_eq!(provision(&server, &both).await.changes, []);
    for table in ["searches", "purchase", "reckon_events"] {
        let create = format!("CREATE TABLE shop_a.{table} (id BIGINT)");
        assert_eq!(run(&server, &wanted(), &create).await, DENIED, "{table}");
    }
    create_tables(&db).await;
    assert_eq!(insert(&server, "searches").await, Ok(()));
    assert_eq!(delete(&server, "reckon_events").await, Ok(()));
}

async fn privileges_move_with_a_renamed_table(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &writing(&["searches", "purchase"])).await;
    create_tables(&db).await;
    // A name that has to be quoted.
    db.execute("CREATE TABLE shop_a.`what's bought` (id BIGINT)")
        .await;
    let renamed = writing(&["searches", "what's bought"]);
    let both = [Change::WriteGranted, Change::WriteRevoked];
    assert_eq!(provision(&server, &renamed).await.changes, both);
    assert_eq!(provision(&server, &renamed).await.changes, []);
    assert_eq!(insert(&server, "`what's bought`").await, Ok(()));
    assert_eq!(insert(&server, "purchase").await, DENIED);
}

async fn tables_of_reckon_itself_cannot_be_named(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &writing(&["reckon_owner", "reckon_model"])).await;
    create_tables(&db).await;
    assert_eq!(on_tables(&db).await, shown(&["reckon_events"]));
    assert_eq!(delete(&server, "reckon_owner").await, DENIED);
}

async fn changes_by_others_are_repaired_and_other_privileges_are_kept(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let both = writing(&["searches", "purchase"]);
    provision(&server, &both).await;
    create_tables(&db).await;
    let user = wanted().owner.user_name();
    for (harm, changes) in [
        (
            format!("REVOKE DELETE ON shop_a.searches FROM {user}@'%'"),
            [Change::WriteGranted],
        ),
        (
            format!("GRANT INSERT ON shop_a.reckon_model TO {user}@'%'"),
            [Change::WriteRevoked],
        ),
        (
            format!("GRANT CREATE ON shop_a.searches TO {user}@'%'"),
            [Change::WriteRevoked],
        ),
    ] {
        db.execute(harm.clone()).await;
        assert_eq!(provision(&server, &both).await.changes, changes, "{harm}");
        assert_eq!(provision(&server, &both).await.changes, [], "{harm}");
    }
    // Privileges that events do not need, and those on the whole database, are not changed.
    db.execute(format!(
        "GRANT UPDATE ON shop_a.searches TO {user}@'%'; GRANT INSERT ON `shop\\_a`.* TO {user}@'%'"
    ))
    .await;
    let changes = provision(&server, &writing(&[])).await.changes;
    assert_eq!(changes, [Change::WriteRevoked]);
    assert_eq!(on_tables(&db).await, shown(&["UPDATE searches"]));
    assert_eq!(insert(&server, "purchase").await, Ok(()));
    assert_eq!(delete(&server, "purchase").await, DENIED);
}

async fn without_a_free_connection_nothing_is_reported_as_revoked(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let both = writing(&["searches", "purchase"]);
    provision(&server, &both).await;
    create_tables(&db).await;
    let user = wanted().owner.user_name();
    let mut held = Vec::new();
    while let Ok(session) = connect(&server, &wanted(), PASSWORD).await {
        held.push(session);
    }
    // The privileges are granted nevertheless.
    db.execute(format!("REVOKE INSERT ON shop_a.searches FROM {user}@'%'"))
        .await;
    assert_eq!(provision(&server, &both).await.changes, []);
    assert_eq!(
        on_tables(&db).await,
        shown(&["searches", "purchase", "reckon_events"])
    );
    let error = ensure(&server, &writing(&[])).await.unwrap_err();
    assert_eq!(error.reason(), Reason::TooManyConnections);
    assert!(error.to_string().contains(&user), "{error}");
    // An account that had none before is as it was.
    assert_eq!(provision(&server, &wanted()).await.changes, []);
    held.truncate(1);
    let freed = async || db.sessions(&user).await.open == 1;
    eventually(Duration::from_secs(10), freed).await;
    let changes = provision(&server, &writing(&[])).await.changes;
    assert_eq!(changes, [Change::WriteRevoked]);
    assert_eq!(on_tables(&db).await, shown(&[]));
}

async fn concurrent_runs_give_the_same_result(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let both = writing(&["searches", "purchase"]);
    provision(&server, &both).await;
    let none = writing(&[]);
    for wanted in [&none, &both, &none] {
        let four = [0; 4].map(|_| ensure(&server, wanted));
        for done in futures_util::future::join_all(four).await {
            done.unwrap();
        }
        assert_eq!(provision(&server, wanted).await.changes, []);
    }
    assert_eq!(on_tables(&db).await, shown(&[]));
}

on_each_flavour!(
    rows_can_be_written_only_while_events_are_enabled,
    tables_need_not_exist_and_none_can_be_created,
    privileges_move_with_a_renamed_table,
    tables_of_reckon_itself_cannot_be_named,
    changes_by_others_are_repaired_and_other_privileges_are_kept,
    without_a_free_connection_nothing_is_reported_as_revoked,
    concurrent_runs_give_the_same_result,
);
