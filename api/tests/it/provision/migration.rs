//! The account that migrates has the privileges that `migrate` needs, and no others.

use super::fixture::{
    ADMIN_PASSWORD, DATABASE, MIGRATION_PASSWORD, PASSWORD, connect, connect_migrator, fixture,
    has_user, number, owner, provision, run, secret, value, wanted,
};
use crate::harness::api_process::ApiCommand;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::{Flavour, SqlServer};
use reckon_api::provision::{MIGRATION_CONNECTIONS, Wanted, ensure};
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::{Change, Reason};
use sqlx::{AssertSqlSafe, Executor, Row};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_mins(1);
const MADE: [Change; 2] = [Change::MigrationUserMade, Change::MigrationGranted];

fn migrator() -> String {
    wanted().owner.migration_user_name()
}

/// `reckon-api migrate` with that account; its lines.
async fn migrate(server: &Address) -> Vec<String> {
    let command = ApiCommand::new()
        .args(["migrate"])
        .env("DB_HOST", &server.host)
        .env("DB_PORT", server.port.to_string())
        .env("DB_USER", migrator())
        .env("DB_PASSWORD", MIGRATION_PASSWORD)
        .env("DB_NAME", &server.database);
    let mut process = command.spawn();
    let exit = process.process.exit(TIMEOUT).await;
    let lines = process.process.logs();
    assert!(exit.status.success(), "{lines:#?}");
    lines
}

/// The result of one statement of the account.
async fn try_out(server: &Address, sql: &str) -> Result<(), u16> {
    let mut session = connect_migrator(server, MIGRATION_PASSWORD).await?;
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    let done = session.execute(sql).await;
    done.map(drop).map_err(|error| number(&error))
}

async fn migrate_succeeds_with_the_account(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    assert_eq!(
        migrate(&server).await,
        [
            "searches: table and index created",
            "purchase: table and index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    assert_eq!(
        migrate(&server).await,
        [
            "searches: index exists",
            "purchase: index exists",
            "reckon_model: table exists",
            "reckon_events: table exists",
        ]
    );
    // Tables that others created, without the index.
    db.execute(
        "ALTER TABLE shop_a.searches DROP INDEX reckon_history; ALTER TABLE shop_a.purchase DROP INDEX reckon_history",
    )
    .await;
    assert_eq!(
        migrate(&server).await,
        [
            "searches: index created",
            "purchase: index created",
            "reckon_model: table exists",
            "reckon_events: table exists",
        ]
    );
    let read = run(&server, &wanted(), "SELECT * FROM shop_a.searches").await;
    assert_eq!(read, Ok(()));
}

async fn the_account_has_exactly_the_needed_privileges(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    migrate(&server).await;
    db.execute("CREATE DATABASE shopxa; CREATE TABLE shopxa.searches (id BIGINT)")
        .await;

    let granted = grants(&db).await;
    println!("{granted:#?}");
    let [usage, rights] = &granted[..] else {
        panic!("{granted:#?}");
    };
    assert!(usage.starts_with("GRANT USAGE ON *.* TO "), "{usage}");
    let (privileges, rest) = rights.split_once(" ON ").unwrap();
    let mut privileges: Vec<_> = privileges
        .strip_prefix("GRANT ")
        .unwrap()
        .split(", ")
        .collect();
    privileges.sort_unstable();
    assert_eq!(
        privileges,
        ["ALTER", "CREATE", "INDEX", "INSERT", "SELECT", "UPDATE"]
    );
    assert!(rest.starts_with(r"`shop\_a`.* TO "), "{rest}");
    assert!(!rest.contains("GRANT OPTION"), "{rest}");

    let reader = wanted().owner.user_name();
    for (sql, numbers) in [
        ("GRANT SELECT ON shop_a.* TO reckon@'%'", &[1044][..]),
        ("GRANT SELECT ON shop_a.searches TO reckon@'%'", &[1142]),
        ("CREATE USER more@'%'", &[1227]),
        (
            &format!("ALTER USER {reader}@'%' IDENTIFIED BY 'x'"),
            &[1227, 1044],
        ),
        (
            &format!("SET PASSWORD FOR {reader}@'%' = 'x'"),
            &[1044, 1227, 1372],
        ),
        ("SELECT * FROM shopxa.searches", &[1142, 1044]),
        ("INSERT INTO shopxa.searches VALUES (1)", &[1142, 1044]),
        ("CREATE TABLE shopxa.more (id INT)", &[1142, 1044]),
        ("SELECT * FROM mysql.user", &[1142, 1044]),
        ("CREATE DATABASE more", &[1044]),
        ("DROP TABLE shop_a.searches", &[1142]),
        ("DROP DATABASE shop_a", &[1044]),
        ("DELETE FROM shop_a.searches", &[1142]),
        ("TRUNCATE TABLE shop_a.searches", &[1142]),
        ("CREATE VIEW shop_a.more AS SELECT 1", &[1142]),
        (
            "CREATE TRIGGER shop_a.more BEFORE INSERT ON shop_a.searches FOR EACH ROW SET @a = 1",
            &[1142],
        ),
        ("CREATE PROCEDURE shop_a.more() SELECT 1", &[1044]),
        ("SELECT 1 INTO OUTFILE '/tmp/more'", &[1045, 1227]),
        ("SET GLOBAL max_connections = 1", &[1227]),
    ] {
        let refused = try_out(&server, sql).await;
        assert!(
            matches!(refused, Err(number) if numbers.contains(&number)),
            "{sql}: {refused:?}"
        );
    }
}

/// `SHOW GRANTS`, queried by root.
async fn grants(db: &SqlServer) -> Vec<String> {
    let show = format!("SHOW GRANTS FOR {}@'%'", migrator());
    let rows = sqlx::raw_sql(AssertSqlSafe(show))
        .fetch_all(&mut db.admin().await)
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn few_sessions_are_enough(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let mut held = Vec::new();
    for _ in 0..MIGRATION_CONNECTIONS.get() {
        held.push(connect_migrator(&server, MIGRATION_PASSWORD).await.unwrap());
    }
    let more = connect_migrator(&server, MIGRATION_PASSWORD).await;
    assert_eq!(more.map(drop), Err(1226));
    // Full, it is told from one with another password, and nothing is reported as changed.
    assert_eq!(provision(&server, &wanted()).await.changes, []);
}

async fn changes_by_others_are_repaired(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let user = migrator();
    for (harm, changes) in [
        (
            format!("ALTER USER {user}@'%' IDENTIFIED BY 'another'"),
            &[Change::MigrationPasswordSet][..],
        ),
        (
            format!("ALTER USER {user}@'%' WITH MAX_USER_CONNECTIONS 99"),
            &[Change::MigrationFenceSet],
        ),
        (
            format!("REVOKE INDEX ON `shop\\_a`.* FROM {user}@'%'"),
            &[Change::MigrationGranted],
        ),
        (format!("DROP USER {user}@'%'"), &MADE),
    ] {
        db.execute(harm.clone()).await;
        assert_eq!(
            provision(&server, &wanted()).await.changes,
            changes,
            "{harm}"
        );
        assert_eq!(provision(&server, &wanted()).await.changes, [], "{harm}");
    }
    migrate(&server).await;
}

async fn another_password_is_set_and_the_reader_keeps_its_own(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let next = "second-password-Aa1";
    let rotated = Wanted {
        migration_password: Some(secret(next)),
        ..wanted()
    };
    for changes in [&[Change::MigrationPasswordSet][..], &[]] {
        assert_eq!(provision(&server, &rotated).await.changes, changes);
        let old = connect_migrator(&server, MIGRATION_PASSWORD).await;
        assert_eq!(old.map(drop), Err(1045));
        assert!(connect_migrator(&server, next).await.is_ok());
        assert!(connect(&server, &wanted(), PASSWORD).await.is_ok());
    }
}

async fn without_a_password_no_account_is_created_and_an_existing_one_is_kept(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let without = Wanted {
        migration_password: None,
        ..wanted()
    };
    provision(&server, &without).await;
    assert!(!has_user(&db, &migrator()).await);
    // Later, as in a database that was made before there were two accounts.
    assert_eq!(provision(&server, &wanted()).await.changes, MADE);
    assert_eq!(provision(&server, &without).await.changes, []);
    assert!(connect_migrator(&server, MIGRATION_PASSWORD).await.is_ok());
}

async fn a_foreign_account_is_left_unchanged(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let user = migrator();
    db.execute(format!("CREATE USER {user}@'%' IDENTIFIED BY 'theirs'"))
        .await;
    for _ in 0..2 {
        let error = ensure(&server, &wanted()).await.unwrap_err();
        println!("{error}");
        assert_eq!(error.reason(), Reason::UserNotOurs);
        assert!(error.to_string().contains(&user), "{error}");
    }
    let mut session = connect_migrator(&server, "theirs").await.unwrap();
    let read = session.execute("SELECT * FROM shop_a.reckon_owner").await;
    assert!([1142, 1044].contains(&number(&read.unwrap_err())));
    // The API can still read.
    assert!(connect(&server, &wanted(), PASSWORD).await.is_ok());
    db.execute(format!("DROP USER {user}@'%'")).await;
    assert_eq!(provision(&server, &wanted()).await.changes, MADE);
}

async fn an_interrupted_step_is_completed(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    // The process died between creating the account and noting so.
    db.execute("DELETE FROM shop_a.reckon_owner WHERE id = 2")
        .await;
    assert_eq!(provision(&server, &wanted()).await.changes, []);
    let noted =
        "SELECT CONCAT_WS('/', name, account, account_made) FROM shop_a.reckon_owner WHERE id = 2";
    let expected = format!("shop/{}/1", migrator());
    assert_eq!(value(&db, noted).await.unwrap(), expected);

    // A record of another account does not count for this one.
    db.execute("UPDATE shop_a.reckon_owner SET account = 'other' WHERE id = 2")
        .await;
    db.execute(format!("ALTER USER {}@'%' IDENTIFIED BY 'x'", migrator()))
        .await;
    let error = ensure(&server, &wanted()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::UserNotOurs);
}

async fn the_administrator_needs_no_further_privileges(flavour: Flavour) {
    let db = flavour.start().await;
    // The statements of an earlier version's documentation.
    db.execute(format!(
        "CREATE USER provisioner@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'; GRANT CREATE USER ON *.* TO provisioner@'%'; \
         GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX ON `{DATABASE}`.* TO provisioner@'%' WITH GRANT OPTION"
    ))
    .await;
    let server = super::fixture::server(&db);
    let mut first = wanted();
    first.owner = owner("another");
    provision(&server, &first).await;
    let error = ensure(&server, &wanted()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OwnedByAnother);
    assert!(!has_user(&db, &migrator()).await);
}

on_each_flavour!(
    migrate_succeeds_with_the_account,
    the_account_has_exactly_the_needed_privileges,
    few_sessions_are_enough,
    changes_by_others_are_repaired,
    another_password_is_set_and_the_reader_keeps_its_own,
    without_a_password_no_account_is_created_and_an_existing_one_is_kept,
    a_foreign_account_is_left_unchanged,
    an_interrupted_step_is_completed,
    the_administrator_needs_no_further_privileges,
);
