//! A server with an account for provisioning, and the wanted state.

use crate::harness::sql_server::{Flavour, ROOT, SqlServer};
use reckon_api::provision::grants;
use reckon_api::provision::{Provisioned, Wanted, ensure};
use reckon_api::store::mysql::{Address, Tls};
use reckon_contract::provisioning::Owner;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use std::num::NonZeroU32;

/// The name has an underscore, which matches any character in a grant.
pub const DATABASE: &str = "shop_a";
pub const ADMIN_PASSWORD: &str = "admin-password";
pub const PASSWORD: &str = "first-password-Aa1";
pub const MIGRATION_PASSWORD: &str = "migration-password-Aa1";

pub fn secret(text: &str) -> SecretString {
    text.into()
}

/// A server, and the address with an account that may do the least that is needed for [`DATABASE`].
pub async fn fixture(flavour: Flavour) -> (SqlServer, Address) {
    let db = flavour.start().await;
    allow(&db, DATABASE).await;
    let server = server(&db);
    (db, server)
}

/// Lets the admin account, made if absent, provision a database.
pub async fn allow(db: &SqlServer, database: &str) {
    let grants = grants::needed("provisioner", database).join(";");
    db.execute(format!(
        "CREATE USER IF NOT EXISTS provisioner@'%' IDENTIFIED BY '{ADMIN_PASSWORD}'; {grants}"
    ))
    .await;
}

pub fn server(db: &SqlServer) -> Address {
    Address {
        host: "127.0.0.1".to_owned(),
        port: db.port(),
        user: "provisioner".to_owned(),
        password: secret(ADMIN_PASSWORD),
        tls: Tls::Preferred,
        database: DATABASE.to_owned(),
        tls_ca: None,
    }
}

pub fn root(db: &SqlServer) -> Address {
    Address {
        user: ROOT.name.to_owned(),
        password: secret(ROOT.password),
        ..server(db)
    }
}

pub fn owner(name: &str) -> Owner {
    Owner {
        cluster: "0c8f".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: "1111".to_owned(),
    }
}

pub fn fence(connections: u32) -> NonZeroU32 {
    NonZeroU32::new(connections).unwrap()
}

pub fn wanted() -> Wanted {
    Wanted {
        owner: owner("shop"),
        password: secret(PASSWORD),
        max_user_connections: fence(5),
        writes: None,
        migration_password: Some(secret(MIGRATION_PASSWORD)),
        training_password: None,
    }
}

/// Panics with the error's words.
pub async fn provision(server: &Address, wanted: &Wanted) -> Provisioned {
    let provisioned = ensure(server, wanted).await;
    provisioned.unwrap_or_else(|error| panic!("{}: {error}", error.reason()))
}

/// The address with the account of the API.
pub fn as_user(server: &Address, user: &str, password: &str) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port)
        .username(user)
        .password(password)
}

/// A connection of the wanted account that migrates, or the server's number of the error.
pub async fn connect_migrator(server: &Address, password: &str) -> Result<MySqlConnection, u16> {
    let options = as_user(server, &wanted().owner.migration_user_name(), password);
    options.connect().await.map_err(|error| number(&error))
}

/// A connection of the wanted account, or the server's number of the error.
pub async fn connect(
    server: &Address,
    wanted: &Wanted,
    password: &str,
) -> Result<MySqlConnection, u16> {
    let options = as_user(server, &wanted.owner.user_name(), password);
    options.connect().await.map_err(|error| number(&error))
}

/// The result of one statement of the wanted account.
pub async fn run(server: &Address, wanted: &Wanted, sql: &str) -> Result<(), u16> {
    let mut session = connect(server, wanted, wanted.password.expose_secret()).await?;
    let done = session
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await;
    session.close().await.unwrap();
    done.map(|_| ()).map_err(|error| number(&error))
}

/// One value, queried by root.
pub async fn value(db: &SqlServer, sql: &str) -> Option<String> {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_optional(&mut db.admin().await)
        .await
        .unwrap()
}

/// Whether the server has an account of the name.
pub async fn has_user(db: &SqlServer, user: &str) -> bool {
    let sql = format!("SELECT CAST(User AS CHAR) FROM mysql.user WHERE User = '{user}'");
    value(db, &sql).await.is_some()
}

pub fn number(error: &sqlx::Error) -> u16 {
    let database = error
        .as_database_error()
        .unwrap_or_else(|| panic!("not of the server: {error:?}"));
    database.downcast_ref::<MySqlDatabaseError>().number()
}
