//! A connection to the server that is in time or an error, and is closed at the end.

use super::failure::{self, Failure};
use super::relay::{MOST, Relay};
use super::server::{Facts, Flavour, Server, Tls};
use super::statement::{self, Statement};
use super::{CONNECT, STATEMENT, error::Error};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use std::time::Duration;
use tokio::time::timeout;

/// A farewell that takes longer is not waited for.
const FAREWELL: Duration = Duration::from_secs(1);

/// A session of one account.
pub(super) struct Session {
    connection: MySqlConnection,
    relay: Relay,
    server: Server,
    database: String,
}

/// What the server says of itself, with what only we need.
pub(super) struct Variables {
    pub facts: Facts,
    /// Whether `_` and `%` in a `GRANT` stand for other characters.
    pub patterns: bool,
}

impl Session {
    /// As the administering account. `database` is what it will be about, for messages; it need not exist.
    pub async fn open(server: &Server, database: &str) -> Result<Self, Failure> {
        let connecting = async {
            let relay = Relay::connect(server)
                .await
                .map_err(|error| failure::connecting(&sqlx::Error::Io(error), server))?;
            let options = options(server).socket(relay.path());
            match options.connect().await {
                Ok(connection) => Ok((connection, relay)),
                Err(_) if relay.is_flooded() => Err(failure::flooded(server, MOST)),
                Err(error) => Err(failure::connecting(&error, server)),
            }
        };
        let (connection, relay) = timeout(CONNECT, connecting)
            .await
            .map_err(|_| failure::timed_out(server, CONNECT))??;
        let mut session = Self {
            connection,
            relay,
            server: server.clone(),
            database: database.to_owned(),
        };
        match session.run(&statement::begin_session()).await {
            Ok(()) => Ok(session),
            Err(failure) => {
                session.close().await;
                Err(failure)
            }
        }
    }

    /// Runs a statement without a result.
    pub async fn run(&mut self, statement: &Statement) -> Result<(), Failure> {
        self.rows(statement).await.map(|_| ())
    }

    /// The rows of a result as texts; a NULL is an empty one.
    pub async fn rows(&mut self, statement: &Statement) -> Result<Vec<Vec<String>>, Failure> {
        let sql = AssertSqlSafe(statement.sql.clone());
        let running = async {
            let rows = self.connection.fetch_all(sqlx::raw_sql(sql)).await?;
            rows.iter().map(texts).collect::<Result<_, _>>()
        };
        match timeout(STATEMENT, running).await {
            Err(_) => Err(failure::timed_out(&self.server, STATEMENT)),
            Ok(Err(_)) if self.relay.is_flooded() => Err(failure::flooded(&self.server, MOST)),
            Ok(Err(error)) => Err(failure::running(
                &error,
                &self.server,
                &self.database,
                statement,
            )),
            Ok(Ok(rows)) => Ok(rows),
        }
    }

    /// The one number of a result.
    pub async fn number(&mut self, statement: &Statement) -> Result<u32, Failure> {
        let rows = self.rows(statement).await?;
        let found = rows.first().and_then(|row| row.first());
        found
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Failure {
                number: None,
                error: Error::Other {
                    doing: statement.doing.clone(),
                    message: format!("the server answered {found:?}"),
                },
            })
    }

    /// Asks for version and limits.
    pub async fn variables(&mut self) -> Result<Variables, Failure> {
        let rows = self.rows(&statement::variables()).await?;
        let value = |name: &str| {
            let row = rows.iter().find(|row| row[0] == name);
            row.map_or("", |row| row[1].as_str())
        };
        Ok(Variables {
            facts: facts(value("version"), value("max_connections")),
            patterns: value("partial_revokes") != "ON",
        })
    }

    /// Says farewell.
    pub async fn close(self) {
        // Whatever becomes of it: the server notices a closed socket as well.
        let farewell = async {
            self.connection.close().await.ok();
            self.relay.ended().await;
        };
        timeout(FAREWELL, farewell).await.ok();
    }
}

fn facts(version: &str, max_connections: &str) -> Facts {
    let is_digit = |letter: char| letter.is_ascii_digit();
    let mut numbers = version
        .split(|letter| !is_digit(letter))
        .map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    Facts {
        flavour: if version.contains("MariaDB") {
            Flavour::MariaDb
        } else {
            Flavour::MySql
        },
        version: (next(), next(), next()),
        version_text: version.to_owned(),
        max_connections: max_connections.parse().unwrap_or(0),
    }
}

fn texts(row: &MySqlRow) -> Result<Vec<String>, sqlx::Error> {
    let text = |column| row.try_get_unchecked::<Option<String>, _>(column);
    (0..row.len())
        .map(|column| Ok(text(column)?.unwrap_or_default()))
        .collect()
}

fn options(server: &Server) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port)
        .username(&server.user)
        .ssl_mode(match server.tls {
            Tls::Disabled => MySqlSslMode::Disabled,
            Tls::Preferred => MySqlSslMode::Preferred,
            Tls::Required => MySqlSslMode::Required,
            Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
        })
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        // Statements hold passwords.
        .disable_statement_logging();
    // The driver would send a proof of knowing the empty password, which an account without one refuses.
    let options = match server.password.expose() {
        "" => options,
        password => options.password(password),
    };
    match &server.authorities {
        Some(pem) => options.ssl_ca_from_pem(pem.clone()),
        None => options,
    }
}

#[cfg(test)]
mod tests {
    use super::facts;

    #[test]
    fn a_version_tells_whose_server_it_is_and_what_it_can() {
        for (text, version, can_rotate, shown) in [
            ("9.7.4-2", (9, 7, 4), true, "MySQL 9.7.4-2"),
            ("8.0.14", (8, 0, 14), true, "MySQL 8.0.14"),
            ("8.0.13-log", (8, 0, 13), false, "MySQL 8.0.13-log"),
            (
                "10.11.14-MariaDB-0+deb12u2",
                (10, 11, 14),
                false,
                "10.11.14-MariaDB-0+deb12u2",
            ),
        ] {
            let facts = facts(text, "151");
            assert_eq!(facts.version, version);
            assert_eq!(facts.can_rotate(), can_rotate, "{text}");
            assert_eq!(facts.to_string(), shown);
            assert_eq!(facts.max_connections, 151);
        }
    }
}
