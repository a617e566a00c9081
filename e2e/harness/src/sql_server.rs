//! A real MariaDB or MySQL server with an empty database `reckon` and the users `root` and `reckon`.
//!
//! Both flavours are one type, so that a test can run on each: `for flavour in Flavour::ALL { ... }`.

pub mod connection_sampler;
pub mod flavour;
pub mod general_log;
mod template;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection};

pub use self::flavour::Flavour;

use crate::eventually::eventually;
use crate::port::Port;
use crate::process::Process;
use crate::watchdog::Scratch;

/// The administrator, who may do anything.
pub const ROOT: User = User {
    name: "root",
    password: "root-password",
};

/// The user the API connects as: everything in the databases whose names begin with `reckon`.
pub const RECKON: User = User {
    name: "reckon",
    password: "reckon-password",
};

/// A start with crash recovery on a busy machine; the usual one is half a second.
const START: Duration = Duration::from_mins(1);

/// Somebody who may connect over TCP.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The account's name, at any host.
    pub name: &'static str,
    /// The account's password.
    pub password: &'static str,
}

/// A server with a data directory and a port of its own; both go when it is dropped.
pub struct SqlServer {
    // Before the directory: fields are dropped in this order.
    /// The server's process: freeze, thaw, kill and stop it here; see its error log.
    pub process: Process,
    port: Port,
    directory: Scratch,
}

impl Flavour {
    /// A server that answers.
    pub async fn start(self) -> SqlServer {
        self.start_with(&[]).await
    }

    /// A server that answers, with more arguments: `&["--max-connections=20"]`.
    pub async fn start_with(self, arguments: &[&str]) -> SqlServer {
        let mut server = self.reserve(arguments);
        server.start().await;
        server
    }

    /// A server that is not there yet: its port and its data are.
    #[must_use]
    pub fn reserve(self, arguments: &[&str]) -> SqlServer {
        let installation = self.installation();
        let directory = template::copy(&installation);
        let port = Port::take();
        let mut command: Command = installation.server(directory.path());
        command
            .arg(format!("--port={}", port.number()))
            .args(arguments);
        SqlServer {
            process: Process::new(command),
            port,
            directory,
        }
    }
}

impl SqlServer {
    /// Starts it, for the first time or again after `process.kill()` or `process.stop()`, and waits until it answers.
    pub async fn start(&mut self) {
        self.process.start();
        eventually(START, async || {
            assert!(self.process.is_running(), "the server gave up");
            let mut connection = MySqlConnection::connect_with(&self.options(ROOT)).await?;
            connection.ping().await
        })
        .await;
    }

    /// SIGKILL and start again: same port, same data.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.start().await;
    }

    /// Its directory; the server looks up relative paths in `data` below it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// How to connect as `user`, to no database in particular.
    #[must_use]
    pub fn options(&self, user: User) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port())
            .username(user.name)
            .password(user.password)
    }

    /// The API's environment variables for this server, as [`RECKON`].
    #[must_use]
    pub fn environment(&self, database: &str) -> Vec<(&'static str, String)> {
        vec![
            ("DB_HOST", "127.0.0.1".to_owned()),
            ("DB_PORT", self.port().to_string()),
            ("DB_USER", RECKON.name.to_owned()),
            ("DB_PASSWORD", RECKON.password.to_owned()),
            ("DB_NAME", database.to_owned()),
        ]
    }

    /// The server refuses a connection of `user` that would be one more than so many (error 1226).
    pub async fn allow_connections(&self, user: &str, connections: i64) {
        self.execute(format!(
            "ALTER USER '{user}'@'%' WITH MAX_USER_CONNECTIONS {connections}"
        ))
        .await;
    }

    /// A new connection as [`ROOT`].
    pub async fn admin(&self) -> MySqlConnection {
        MySqlConnection::connect_with(&self.options(ROOT))
            .await
            .unwrap()
    }

    /// Runs statements as [`ROOT`], in a session of their own.
    pub async fn execute(&self, sql: impl Into<String>) {
        let sql = sql.into();
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.admin().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}
