//! Objects that others created are not changed.

use super::fixture::{
    DATABASE, PASSWORD, connect, fixture, has_user, owner, provision, root, run, value, wanted,
};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::{Flavour, SqlServer};
use reckon_api::provision::adoption;
use reckon_api::provision::error::Error;
use reckon_api::provision::{Wanted, ensure};
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::{Change, Owner, Reason};

const ACCOUNTS_MADE: [Change; 4] = [
    Change::UserMade,
    Change::ReadGranted,
    Change::MigrationUserMade,
    Change::MigrationGranted,
];

async fn the_database_of_another_resource_is_left_unchanged(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &wanted()).await;
    let before = row(&db).await;
    let mut other = Wanted {
        owner: owner("other"),
        ..wanted()
    };
    for cluster in ["0c8f", "another"] {
        other.owner.cluster = cluster.to_owned();
        let error = ensure(&server, &other).await.unwrap_err();
        println!("{error}");
        assert!(!error.to_string().contains("default"), "{error}");
        let Error::OwnedByAnother { database, owner } = &error else {
            panic!("{error}");
        };
        assert_eq!((database.as_str(), &**owner), (DATABASE, &wanted().owner));
        assert!(!has_user(&db, &other.owner.user_name()).await);
    }
    // The same names in another cluster are another place.
    other.owner = Owner {
        cluster: "another".to_owned(),
        ..owner("shop")
    };
    let error = ensure(&server, &other).await.unwrap_err();
    assert_eq!(error.reason(), Reason::OwnedByAnother);
    assert_eq!(row(&db).await, before);
}

async fn row(db: &SqlServer) -> Option<String> {
    value(
        db,
        "SELECT CONCAT_WS('/', cluster, namespace, name, uid, account, account_made) FROM shop_a.reckon_owner",
    )
    .await
}

async fn a_foreign_account_is_left_unchanged(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let user = wanted().owner.user_name();
    db.execute(format!(
        "CREATE USER {user}@'%' IDENTIFIED BY 'theirs' WITH MAX_USER_CONNECTIONS 3"
    ))
    .await;
    let before = account(&db, &user).await;
    // A second time, the owner's row is there.
    for _ in 0..2 {
        let error = ensure(&server, &wanted()).await.unwrap_err();
        println!("{error}");
        assert_eq!(error.reason(), Reason::UserNotOurs);
        assert!(error.to_string().contains(&user), "{error}");
    }
    assert_eq!(account(&db, &user).await, before);
    assert!(connect(&server, &wanted(), "theirs").await.is_ok());
    let read = run(&server, &wanted(), "SELECT 1 FROM shop_a.reckon_owner").await;
    assert_eq!(read, Err(1045));

    // After the object is removed, provisioning continues.
    db.execute(format!("DROP USER {user}@'%'")).await;
    let changes = provision(&server, &wanted()).await.changes;
    assert_eq!(changes, ACCOUNTS_MADE);
}

async fn account(db: &SqlServer, user: &str) -> Option<String> {
    let columns = "Host, max_user_connections, IFNULL(plugin, ''), IFNULL(HEX(authentication_string), ''), Select_priv";
    value(
        db,
        &format!(
            "SELECT CAST(CONCAT_WS('/', {columns}) AS CHAR) FROM mysql.user WHERE User = '{user}'"
        ),
    )
    .await
}

async fn an_empty_database_is_adopted_and_one_with_tables_is_not(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    db.execute("CREATE DATABASE shop_a; CREATE TABLE shop_a.orders (id INT)")
        .await;
    let error = ensure(&server, &wanted()).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.reason(), Reason::DatabaseNotEmpty);
    assert!(!has_user(&db, &wanted().owner.user_name()).await);
    let table = "SELECT CAST(TABLE_NAME AS CHAR) FROM information_schema.TABLES \
        WHERE TABLE_SCHEMA = 'shop_a' AND TABLE_NAME = 'reckon_owner'";
    assert_eq!(value(&db, table).await, None);

    // The message has the statements that transfer the database.
    let adopt = adoption(DATABASE, &wanted().owner);
    assert!(error.to_string().contains(&adopt), "{error}");
    db.execute(adopt).await;
    let changes = provision(&server, &wanted()).await.changes;
    assert_eq!(changes, ACCOUNTS_MADE);

    let (db, server) = fixture(flavour).await;
    db.execute("CREATE DATABASE shop_a").await;
    let changes = provision(&server, &wanted()).await.changes;
    assert_eq!(
        changes,
        [&[Change::DatabaseAdopted], &ACCOUNTS_MADE[..]].concat()
    );
    for system in ["mysql", "information_schema", "SYS"] {
        let system = Address {
            database: system.to_owned(),
            ..root(&db)
        };
        let error = ensure(&system, &wanted()).await.unwrap_err();
        println!("{error}");
        assert_eq!(error.reason(), Reason::SystemDatabase);
    }
}

async fn an_interrupted_step_is_completed(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let user = wanted().owner.user_name();
    // The process died after one of these steps: the database, the table, the row, the account without a record.
    db.execute("CREATE DATABASE shop_a").await;
    db.execute(
        adoption(DATABASE, &wanted().owner)
            .split_once(';')
            .unwrap()
            .0,
    )
    .await;
    let changes = provision(&server, &wanted()).await.changes;
    assert!(changes.contains(&Change::UserMade), "{changes:?}");
    db.execute(format!(
        "REVOKE SELECT ON `shop\\_a`.* FROM {user}@'%'; UPDATE shop_a.reckon_owner SET account_made = 0"
    ))
    .await;
    let changes = provision(&server, &wanted()).await.changes;
    assert_eq!(changes, [Change::ReadGranted]);
    assert!(row(&db).await.unwrap().ends_with("/1"));
    assert!(connect(&server, &wanted(), PASSWORD).await.is_ok());
}

on_each_flavour!(
    the_database_of_another_resource_is_left_unchanged,
    a_foreign_account_is_left_unchanged,
    an_empty_database_is_adopted_and_one_with_tables_is_not,
    an_interrupted_step_is_completed,
);
