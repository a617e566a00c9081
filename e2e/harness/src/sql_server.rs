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

/// The administrator, with all privileges.
pub const ROOT: User = User {
    name: "root",
    password: "root-password",
};

/// The user the API connects as: all privileges in the databases whose names begin with `reckon`.
pub const RECKON: User = User {
    name: "reckon",
    password: "reckon-password",
};

/// Time limit of a start: crash recovery on a busy machine. Half a second is usual.
const START: Duration = Duration::from_mins(1);

/// An account that may connect over TCP.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The account's name, for any host.
    pub name: &'static str,
    /// The account's password.
    pub password: &'static str,
}

/// A server with a separate data directory and port; dropping it removes both.
pub struct SqlServer {
    // Before the directory: fields are dropped in this order.
    /// The server's process: freeze, thaw, kill and stop it here; read its error log.
    pub process: Process,
    port: Port,
    directory: Scratch,
}

impl Flavour {
    /// Starts a server, and waits until it answers.
    pub async fn start(self) -> SqlServer {
        self.start_with(&[]).await
    }

    /// The same with extra arguments: `&["--max-connections=20"]`.
    pub async fn start_with(self, arguments: &[&str]) -> SqlServer {
        let mut server = self.reserve(arguments);
        server.start().await;
        server
    }

    /// A server that is not started yet; its port and its data exist.
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

    /// Kills it with SIGKILL and starts it again: same port, same data.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.start().await;
    }

    /// Its directory; the server resolves relative paths in `data` below it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Connection options for `user`, without a database.
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

    /// Limits `user` to this many connections; the server rejects any further one (error 1226).
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

    /// Runs statements as [`ROOT`], in a separate session.
    pub async fn execute(&self, sql: impl Into<String>) {
        let sql = sql.into();
        sqlx::raw_sql(AssertSqlSafe(sql.clone()))
            .execute(&mut self.admin().await)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}
