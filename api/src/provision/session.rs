//! A connection to the server with a deadline for each step, closed at the end.

use super::error::Error;
use super::failure::{self, Failure};
use super::statement::{self, Statement};
use crate::store::mysql::Address;
use crate::store::mysql::relay::{Relay, SHORT};
use reckon_contract::provisioning::{Facts, Flavour};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use std::time::Duration;
use tokio::time::timeout;

/// Maximum time for a connection, from the name look-up to the completed login.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time for a statement.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time to close a session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A session of one account.
pub(super) struct Session {
    connection: MySqlConnection,
    relay: Relay,
    server: Address,
}

/// The server's version and limits, and a setting that only this module needs.
pub(super) struct Variables {
    pub facts: Facts,
    /// Whether `_` and `%` in a `GRANT` match other characters.
    pub patterns: bool,
    /// Whether names of tables are stored in lower case.
    pub folds_case: bool,
}

impl Session {
    /// Logs in as the account in `server`. Its database need not exist.
    pub async fn open(server: &Address) -> Result<Self, Failure> {
        let (relay, options) = (server.relay(), server.login());
        let connecting = Relay::connect(&relay, &options);
        let (connection, relay) = timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| failure::timed_out(server, CONNECT_TIMEOUT))?
            .map_err(|error| failure::connecting(&error, server))?;
        let mut session = Self {
            connection,
            relay,
            server: server.clone(),
        };
        match session.run(&statement::begin_session()).await {
            Ok(()) => Ok(session),
            Err(failure) => {
                session.close().await;
                Err(failure)
            }
        }
    }

    /// The database in the address.
    pub fn database(&self) -> &str {
        &self.server.database
    }

    /// Runs a statement without a result.
    pub async fn run(&mut self, statement: &Statement) -> Result<(), Failure> {
        self.rows(statement).await.map(|_| ())
    }

    /// The rows of a result as strings; a NULL is an empty one.
    pub async fn rows(&mut self, statement: &Statement) -> Result<Vec<Vec<String>>, Failure> {
        let sql = AssertSqlSafe(statement.sql.clone());
        let running = self
            .relay
            .during(SHORT, self.connection.fetch_all(sqlx::raw_sql(sql)));
        let rows = timeout(STATEMENT_TIMEOUT, running)
            .await
            .map_err(|_| failure::timed_out(&self.server, STATEMENT_TIMEOUT))?;
        rows.and_then(|rows| rows.iter().map(texts).collect())
            .map_err(|error| failure::running(&error, &self.server, statement))
    }

    /// The only number of a result.
    pub async fn number(&mut self, statement: &Statement) -> Result<u32, Failure> {
        let rows = self.rows(statement).await?;
        let found = rows.first().and_then(|row| row.first());
        found
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Failure {
                number: None,
                error: Error::Other {
                    action: statement.action.clone(),
                    message: format!("the server answered {found:?}"),
                },
            })
    }

    /// Queries version and limits.
    pub async fn variables(&mut self) -> Result<Variables, Failure> {
        let rows = self.rows(&statement::variables()).await?;
        let value = |name: &str| {
            let row = rows
                .iter()
                .find(|row| row.first().is_some_and(|it| it == name));
            row.and_then(|row| row.get(1)).map_or("", String::as_str)
        };
        Ok(Variables {
            facts: facts(value("version"), value("max_connections")),
            patterns: value("partial_revokes") != "ON",
            folds_case: value("lower_case_table_names") != "0",
        })
    }

    /// Closes the session.
    pub async fn close(self) {
        // The result does not matter: the server detects a closed socket as well.
        timeout(CLOSE_TIMEOUT, self.relay.close(self.connection))
            .await
            .ok();
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

#[cfg(test)]
mod tests {
    use super::facts;

    #[test]
    fn a_version_determines_the_product_and_its_features() {
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
