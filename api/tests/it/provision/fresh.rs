//! The resulting state, and the privileges of the API.

use super::fixture::{
    DATABASE, MIGRATION_PASSWORD, allow, as_user, fixture, has_user, owner, provision, root, run,
    server, value, wanted,
};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;
use reckon_api::provision::{Provisioned, Wanted, ensure};
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::{Change, Flavour as Product, Owner, Reason, removal};
use sqlx::{ConnectOptions, Executor};
use std::time::Duration;

async fn everything_is_created_once_and_then_nothing_is_written(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let first = provision(&server, &wanted()).await;
    println!("{first:?}");
    assert_eq!(
        first.changes,
        [
            Change::DatabaseMade,
            Change::UserMade,
            Change::ReadGranted,
            Change::MigrationUserMade,
            Change::MigrationGranted,
        ]
    );

    db.log_statements().await;
    let second = provision(&server, &wanted()).await;
    // Every session said farewell, which the server may log later than we are done.
    let farewells = async || {
        let statements = db.statements().await;
        let quits = statements.iter().filter(|logged| logged.command == "Quit");
        quits.count() >= 3
    };
    eventually(Duration::from_secs(10), farewells).await;
    db.stop_logging().await;
    assert_eq!(second.changes, []);
    let statements = db.statements().await;
    let ran: Vec<_> = statements
        .iter()
        .filter(|logged| logged.command == "Query")
        .collect();
    assert!(ran.len() > 5, "{ran:#?}");
    for statement in ran {
        let word = statement.text.split(' ').next().unwrap();
        assert!(["SELECT", "SHOW", "SET"].contains(&word), "{statement:?}");
    }
    let of = |command: &str| {
        statements
            .iter()
            .filter(|logged| logged.command == command)
            .count()
    };
    assert_eq!(of("Connect"), 3);
    assert_eq!(of("Quit"), 3);
}

async fn the_account_may_read_its_database_and_nothing_else(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    db.execute("CREATE DATABASE shopxa; CREATE TABLE shopxa.searches (id BIGINT)")
        .await;

    // What `reckon-api migrate` does.
    let migrator = wanted().owner.migration_user_name();
    let mut migration = as_user(&server, &migrator, MIGRATION_PASSWORD)
        .connect()
        .await
        .unwrap();
    for sql in [
        "CREATE TABLE IF NOT EXISTS shop_a.searches (id BIGINT NOT NULL, searched_at DATETIME, category VARCHAR(255))",
        "ALTER TABLE shop_a.searches ADD INDEX reckon_history (id, searched_at, category), ALGORITHM=INPLACE, LOCK=NONE",
    ] {
        migration.execute(sqlx::raw_sql(sql)).await.unwrap();
    }

    let run = async |sql| run(&server, &wanted(), sql).await;
    assert_eq!(run("SELECT * FROM shop_a.searches").await, Ok(()));
    for (sql, numbers) in [
        (
            "INSERT INTO shop_a.searches VALUES (1, NULL, NULL)",
            [1142, 1142],
        ),
        ("DELETE FROM shop_a.searches", [1142, 1142]),
        ("UPDATE shop_a.reckon_owner SET account = 'x'", [1142, 1142]),
        ("CREATE TABLE shop_a.more (id INT)", [1142, 1142]),
        ("DROP TABLE shop_a.searches", [1142, 1142]),
        ("SELECT * FROM shopxa.searches", [1142, 1044]),
        ("SELECT * FROM mysql.user", [1142, 1044]),
        ("CREATE DATABASE more", [1044, 1044]),
        ("GRANT SELECT ON shop_a.* TO reckon@'%'", [1044, 1044]),
    ] {
        let refused = run(sql).await.unwrap_err();
        assert!(numbers.contains(&refused), "{sql}: {refused}");
    }
    let collation = "SELECT CAST(DEFAULT_COLLATION_NAME AS CHAR) FROM information_schema.SCHEMATA \
        WHERE SCHEMA_NAME = 'shop_a'";
    assert_eq!(value(&db, collation).await.unwrap(), "utf8mb4_bin");
}

async fn a_recreated_resource_finds_its_database(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let again = Wanted {
        owner: Owner {
            uid: "2222".to_owned(),
            ..owner("shop")
        },
        ..wanted()
    };
    assert_eq!(
        provision(&server, &again).await.changes,
        [Change::OwnerRenewed]
    );
    assert_eq!(provision(&server, &again).await.changes, []);
    let uid = value(&db, "SELECT uid FROM shop_a.reckon_owner").await;
    assert_eq!(uid.unwrap(), "2222");
}

async fn concurrent_runs_create_one_database_and_one_account(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    let wanted = wanted();
    let all: Vec<Provisioned> =
        futures_util::future::try_join_all((0..8).map(|_| ensure(&server, &wanted)))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", error.reason()));
    for change in [
        Change::DatabaseMade,
        Change::UserMade,
        Change::MigrationUserMade,
    ] {
        let who = all.iter().filter(|one| one.changes.contains(&change));
        assert_eq!(who.count(), 1, "{change:?}: {all:?}");
    }
    let changes = provision(&server, &wanted).await.changes;
    assert_eq!(changes, []);
}

async fn concurrent_runs_of_different_resources_give_a_database_one_owner(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let all: Vec<Wanted> = (0..8)
        .map(|n| Wanted {
            owner: owner(&format!("shop-{n}")),
            ..wanted()
        })
        .collect();
    let done =
        futures_util::future::join_all(all.iter().map(|wanted| ensure(&server, wanted))).await;
    let mut winners = 0;
    for (wanted, done) in all.iter().zip(&done) {
        let has_user = has_user(&db, &wanted.owner.user_name()).await;
        match done {
            Ok(_) => winners += 1,
            Err(error) => assert_eq!(error.reason(), Reason::OwnedByAnother, "{error}"),
        }
        assert_eq!(has_user, done.is_ok());
    }
    assert_eq!(winners, 1);
}

async fn the_documented_statements_remove_accounts_and_database(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let sql = removal(DATABASE, &wanted().owner);
    db.execute(sql.clone()).await;
    db.execute(sql).await;
    for user in [
        wanted().owner.user_name(),
        wanted().owner.migration_user_name(),
    ] {
        assert!(!has_user(&db, &user).await, "{user}");
    }
    let found = "SELECT CAST(SCHEMA_NAME AS CHAR) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'shop_a'";
    assert_eq!(value(&db, found).await, None);
}

async fn names_with_special_characters_are_quoted(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let odd = "a`b'c\"d%e-f";
    allow(&db, odd).await;
    let server = Address {
        database: odd.to_owned(),
        ..server
    };
    let first = provision(&server, &wanted()).await;
    assert_eq!(first.changes.len(), 5, "{first:?}");
    assert_eq!(provision(&server, &wanted()).await.changes, []);
    db.execute(removal(odd, &wanted().owner)).await;
}

async fn the_product_version_and_limit_of_the_server_are_reported(flavour: Flavour) {
    let db = flavour.start_with(&["--max-connections=77"]).await;
    allow(&db, DATABASE).await;
    let facts = provision(&server(&db), &wanted()).await.facts;
    println!("{facts}");
    assert_eq!(facts.max_connections, 77);
    match flavour {
        Flavour::MariaDb => assert_eq!(facts.flavour, Product::MariaDb),
        Flavour::MySql9 => assert_eq!((facts.flavour, facts.version.0), (Product::MySql, 9)),
    }
}

on_each_flavour!(
    everything_is_created_once_and_then_nothing_is_written,
    the_account_may_read_its_database_and_nothing_else,
    a_recreated_resource_finds_its_database,
    concurrent_runs_create_one_database_and_one_account,
    concurrent_runs_of_different_resources_give_a_database_one_owner,
    the_documented_statements_remove_accounts_and_database,
    names_with_special_characters_are_quoted,
    the_product_version_and_limit_of_the_server_are_reported,
);

/// MySQL can be told to take `_` in grants literally.
#[tokio::test]
async fn a_grant_is_correct_with_partial_revokes() {
    let db = Flavour::MySql9.start_with(&["--partial-revokes=ON"]).await;
    let root = root(&db);
    provision(&root, &wanted()).await;
    let changes = provision(&root, &wanted()).await.changes;
    assert_eq!(changes, []);
    let read = run(&root, &wanted(), "SELECT * FROM shop_a.reckon_owner").await;
    assert_eq!(read, Ok(()));
}
