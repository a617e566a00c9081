//! The account that trains has the privileges that `train` needs, and no others.

use super::fixture::{
    ADMIN_PASSWORD, DATABASE, as_user, fixture, has_user, number, provision, secret, wanted,
};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;
use reckon_api::provision::{Wanted, ensure};
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::{Change, Reason};
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PASSWORD: &str = "training-password-Aa1";
const MADE: [Change; 2] = [Change::TrainingUserMade, Change::TrainingGranted];
const MODELS: &str = "CREATE TABLE shop_a.reckon_model (id BIGINT AUTO_INCREMENT PRIMARY KEY, digest VARCHAR(64), document LONGBLOB)";

fn trained() -> Wanted {
    Wanted {
        training_password: Some(secret(PASSWORD)),
        ..wanted()
    }
}

fn trainer() -> String {
    wanted().owner.training_user_name()
}

async fn connect(server: &Address) -> Result<MySqlConnection, u16> {
    let options = as_user(server, &trainer(), PASSWORD);
    options.connect().await.map_err(|error| number(&error))
}

/// Connects once the server has noticed that the session before, the only one allowed, has ended.
async fn connect_next(server: &Address) -> Result<MySqlConnection, u16> {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        match connect(server).await {
            Err(1226) if Instant::now() < give_up => sleep(Duration::from_millis(20)).await,
            connected => return connected,
        }
    }
}

/// The result of one statement of the account.
async fn try_out(server: &Address, sql: &str) -> Result<(), u16> {
    let mut session = connect_next(server).await?;
    let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    let done = session.execute(sql).await;
    let done = done.map(drop).map_err(|error| number(&error));
    session.close().await.unwrap();
    done
}

async fn the_account_can_read_and_write_models_and_nothing_else(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    // The table of models does not exist yet.
    let changes = provision(&server, &trained()).await.changes;
    assert!(changes.ends_with(&MADE), "{changes:?}");
    assert_eq!(provision(&server, &trained()).await.changes, []);
    db.execute("CREATE TABLE shop_a.searches (id BIGINT); CREATE DATABASE shopxa; CREATE TABLE shopxa.reckon_model (id BIGINT)")
        .await;
    db.execute(MODELS).await;
    for sql in [
        "SELECT * FROM shop_a.searches",
        "INSERT INTO shop_a.reckon_model (digest, document) VALUES ('a', 'b')",
        "SELECT digest FROM shop_a.reckon_model",
        "DELETE FROM shop_a.reckon_model",
    ] {
        assert_eq!(try_out(&server, sql).await, Ok(()), "{sql}");
    }
    for (sql, numbers) in [
        ("UPDATE shop_a.reckon_model SET digest = 'c'", [1142, 1142]),
        ("DROP TABLE shop_a.reckon_model", [1142, 1142]),
        (
            "ALTER TABLE shop_a.reckon_model ADD COLUMN more INT",
            [1142, 1142],
        ),
        ("INSERT INTO shop_a.searches VALUES (1)", [1142, 1142]),
        ("DELETE FROM shop_a.searches", [1142, 1142]),
        ("CREATE TABLE shop_a.more (id INT)", [1142, 1142]),
        ("UPDATE shop_a.reckon_owner SET account = 'x'", [1142, 1142]),
        ("SELECT * FROM shopxa.reckon_model", [1142, 1044]),
        ("INSERT INTO shopxa.reckon_model VALUES (1)", [1142, 1044]),
        ("SELECT * FROM mysql.user", [1142, 1044]),
    ] {
        let refused = try_out(&server, sql).await;
        assert!(
            matches!(refused, Err(number) if numbers.contains(&number)),
            "{sql}: {refused:?}"
        );
    }
}

async fn the_server_rejects_a_second_training(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    provision(&server, &trained()).await;
    let first = connect_next(&server).await.unwrap();
    assert_eq!(connect(&server).await.map(drop), Err(1226));
    // While it runs, nothing is reported as changed.
    assert_eq!(provision(&server, &trained()).await.changes, []);
    first.close().await.unwrap();
}

async fn changes_of_the_account_by_others_are_repaired(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    provision(&server, &trained()).await;
    let user = trainer();
    for (harm, changes) in [
        (
            format!("ALTER USER {user}@'%' IDENTIFIED BY 'another'"),
            &[Change::TrainingPasswordSet][..],
        ),
        (
            format!("ALTER USER {user}@'%' WITH MAX_USER_CONNECTIONS 99"),
            &[Change::TrainingFenceSet],
        ),
        (
            format!("REVOKE DELETE ON shop_a.reckon_model FROM {user}@'%'"),
            &[Change::TrainingGranted],
        ),
        (
            format!("REVOKE SELECT ON `shop\\_a`.* FROM {user}@'%'"),
            &[Change::TrainingGranted],
        ),
        (format!("DROP USER {user}@'%'"), &MADE),
    ] {
        db.execute(harm.clone()).await;
        assert_eq!(
            provision(&server, &trained()).await.changes,
            changes,
            "{harm}"
        );
        assert_eq!(provision(&server, &trained()).await.changes, [], "{harm}");
    }
}

async fn a_missing_delete_privilege_of_the_administrator_is_reported(flavour: Flavour) {
    let db = flavour.start().await;
    // The statements of an earlier version's documentation.
    db.execute(format!(
        "CREATE USER provisioner@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'; GRANT CREATE USER ON *.* TO provisioner@'%'; \
         GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX ON `{DATABASE}`.* TO provisioner@'%' WITH GRANT OPTION"
    ))
    .await;
    let server = super::fixture::server(&db);
    provision(&server, &wanted()).await;
    assert!(!has_user(&db, &trainer()).await);
    let error = ensure(&server, &trained()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::InsufficientPrivilege);
    assert!(error.to_string().contains("DELETE"), "{error}");
    db.execute(format!(
        "GRANT DELETE ON `{DATABASE}`.* TO provisioner@'%' WITH GRANT OPTION"
    ))
    .await;
    // Its account exists, without all of its privileges.
    provision(&server, &trained()).await;
    assert_eq!(provision(&server, &trained()).await.changes, []);
}

on_each_flavour!(
    the_account_can_read_and_write_models_and_nothing_else,
    the_server_rejects_a_second_training,
    changes_of_the_account_by_others_are_repaired,
    a_missing_delete_privilege_of_the_administrator_is_reported,
);
