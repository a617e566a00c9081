//! MySQL and MariaDB, with existing tables unchanged: any indexes, collations, column types and NULLs.

mod address;
pub(crate) mod events_table;
mod history_query;
mod indexes;
pub mod migrate;
pub(crate) mod model_table;
mod new_rows;
pub(crate) mod relay;
pub(crate) mod rows;
pub(crate) mod session;
pub mod write;

pub use address::{Address, AuthoritiesError, FileError, Tls, check_authorities};

use super::new_rows::{Answer, Followed, Question};
use super::{AccountLimit, Error, Reason, Scope, Store};
use crate::model::{History, UserId};
use crate::trained::{MAX_BYTES, Published};
use history_query::HistoryQuery;
use new_rows::NewRows;
use reckon_contract::tables::Tables;
use relay::{Relay, SHORT};
use rows::add_row;
use session::Purpose;
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor, MySqlConnection, Row};
use std::{io, sync::Arc, time::Duration};

/// Maximum bytes of a category, on average over a statement's rows. A longer answer counts as an error, because
/// otherwise the server could fill the memory of the process.
const CATEGORY_BYTES: usize = 1 << 10;

/// A MySQL or MariaDB server.
pub struct MySql {
    server: relay::Server,
    options: MySqlConnectOptions,
    limit: Duration,
    /// [`session::settings`].
    greeting: Arc<str>,
    query: Arc<HistoryQuery>,
    new_rows: Arc<NewRows>,
}

impl MySql {
    /// A store that reads `tables`, and whose statements the server ends within `query_timeout`.
    #[must_use]
    pub fn new(address: &Address, query_timeout: Duration, tables: &Tables) -> Self {
        // The server's limit is below the client's timeout, so that the client receives the error and the session
        // remains usable.
        let limit = query_timeout.mul_f64(0.9);
        let settings = session::settings(&address.database, Purpose::Read { limit });
        Self {
            server: address.relay(),
            options: address.options().set_names(false),
            limit,
            greeting: settings.into(),
            query: Arc::new(HistoryQuery::new(tables)),
            new_rows: Arc::new(NewRows::new(tables)),
        }
    }
}

impl Store for MySql {
    type Connection = Connection;

    /// 8 was best in measurements: more users need fewer round trips, but then a slow user delays more others.
    const USERS_PER_STATEMENT: usize = 8;

    fn statement_limit(&self) -> Duration {
        session::lock_wait(self.limit)
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let (mut session, mut relay) = Relay::connect(&self.server, &self.options)
            .await
            .map_err(idle)?;
        // Sent as text. A prepared statement would be closed, and the server does not answer the close message. The
        // next statement would then wait for the server's delayed acknowledgement, since the driver leaves Nagle's
        // algorithm on (measured: 44 ms).
        let greeting = AssertSqlSafe(Arc::clone(&self.greeting));
        let row = relay
            .during(SHORT, session.fetch_one(sqlx::raw_sql(greeting)))
            .await
            .map_err(session::not_executed)
            .map_err(idle)?;
        let version = row.try_get::<String, _>(0).map_err(idle)?;
        Ok(Connection {
            session,
            relay,
            version,
            account_limit: session::account_limit(&row),
            query: Arc::clone(&self.query),
            new_rows: Arc::clone(&self.new_rows),
            statements: Vec::new(),
        })
    }
}

/// A session of a MySQL or MariaDB server.
pub struct Connection {
    session: MySqlConnection,
    relay: Relay,
    version: String,
    account_limit: Option<AccountLimit>,
    query: Arc<HistoryQuery>,
    new_rows: Arc<NewRows>,
    /// The statement for 1, 2, ... users with its history length.
    statements: Vec<(u32, Arc<str>)>,
}

impl Connection {
    fn statement(&mut self, users: usize, length: u32) -> Arc<str> {
        if self
            .statements
            .first()
            .is_none_or(|(made_for, _)| *made_for != length)
        {
            let shapes = 1..=MySql::USERS_PER_STATEMENT;
            self.statements = shapes
                .map(|users| (length, self.query.select(users, length).into()))
                .collect();
        }
        Arc::clone(&self.statements[users - 1].1)
    }
}

impl super::Connection for Connection {
    async fn histories(&mut self, users: &[UserId], length: u32) -> Result<Vec<History>, Error> {
        let statement = self.statement(users.len(), length);
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for user in users {
            for _ in 0..self.query.parameters() {
                query = match user {
                    UserId::Integer(id) => query.bind(*id),
                    UserId::Unsigned(id) => query.bind(*id),
                    UserId::Text(id) => query.bind(Arc::clone(id)),
                };
            }
        }
        let limit = SHORT + 2 * users.len() * length as usize * CATEGORY_BYTES;
        let rows = query.fetch_all(&mut self.session);
        let rows = match self.relay.during(limit, rows).await {
            Err(error) if is_unknown_text(&error, users) => Vec::new(),
            rows => rows.map_err(failed)?,
        };
        let mut histories = vec![History::default(); users.len()];
        for row in &rows {
            add(row, &mut histories).map_err(failed)?;
        }
        Ok(histories)
    }

    async fn probe(&mut self) -> Result<(), Error> {
        // Sent as text, so that the server's log distinguishes this statement from those of requests.
        let statement = AssertSqlSafe(Arc::clone(&self.query.probe));
        let probed = self.session.fetch_one(sqlx::raw_sql(statement));
        let row = self.relay.during(SHORT, probed).await.map_err(failed)?;
        self.query.check_types(&row)?;
        if let Some(limit) = &mut self.account_limit {
            let read = session::read_limit(&mut self.session, &mut self.relay, limit);
            read.await.map_err(failed)?;
        }
        Ok(())
    }

    async fn model(&mut self, known: Option<&str>) -> Result<(Option<String>, Published), Error> {
        // Sent as text, like the probe.
        let newest = "SELECT `digest` FROM `reckon_model` ORDER BY `id` DESC LIMIT 1";
        let read = self.session.fetch_optional(sqlx::raw_sql(newest));
        let digest = match self.relay.during(SHORT, read).await {
            Ok(row) => row
                .map(|row| row.try_get_unchecked::<String, _>(0))
                .transpose()
                .map_err(failed)?,
            // The table is missing, or the account has no privilege for it.
            Err(error) if matches!(number(&error), Some(1142 | 1143 | 1146)) => None,
            Err(error) => return Err(failed(error)),
        };
        let Some(digest) = digest else {
            return Ok((None, Published::Nothing));
        };
        if known == Some(&*digest) {
            return Ok((Some(digest), Published::Unchanged));
        }
        // One byte more than a model may have is enough to reject it.
        let document = "SELECT LEFT(`document`, ?) FROM `reckon_model` WHERE `digest` = ? LIMIT 1";
        let read = sqlx::query(document)
            .bind(MAX_BYTES as u64 + 1)
            .bind(&digest)
            .fetch_optional(&mut self.session);
        let row = self
            .relay
            .during(SHORT + MAX_BYTES, read)
            .await
            .map_err(failed)?;
        let document = row
            .map(|row| row.try_get_unchecked::<Vec<u8>, _>(0))
            .transpose();
        Ok(match document.map_err(failed)? {
            Some(document) => (Some(digest), Published::Document(document)),
            // The model was replaced in between. The next look finds the newer one.
            None => (known.map(str::to_owned), Published::Unchanged),
        })
    }

    async fn new_rows(&mut self, of: Followed, question: &Question) -> Result<Answer, Error> {
        let session = (&mut self.session, &mut self.relay);
        let answer = self.new_rows.answer(session, of, question).await;
        answer.map_err(failed)
    }

    async fn ping(&mut self) -> Result<(), Error> {
        let answered = self.session.ping();
        self.relay.during(SHORT, answered).await.map_err(idle)
    }

    async fn close(self) {
        // The server detects a closed socket as well as the protocol's quit message.
        self.relay.close(self.session).await;
    }

    fn account_limit(&self) -> Option<AccountLimit> {
        self.account_limit
    }

    fn describe(&self) -> String {
        let product = if self.version.contains("MariaDB") {
            ""
        } else {
            "MySQL "
        };
        format!("{product}{}", self.version)
    }
}

/// Whether the server refused the only user because the character set of the column cannot express the id: such a user has
/// no rows.
fn is_unknown_text(error: &sqlx::Error, users: &[UserId]) -> bool {
    let is_text = |user: &UserId| matches!(user, UserId::Text(id) if !id.is_ascii());
    matches!(number(error), Some(1267 | 3988)) && users.len() == 1 && users.iter().all(is_text)
}

fn add(row: &MySqlRow, histories: &mut [History]) -> Result<(), sqlx::Error> {
    let branch = row.try_get(0)?;
    let (category, day) = (row.try_get_unchecked(1)?, row.try_get_unchecked(2)?);
    add_row(branch, category, day, histories)
        .map_err(|error| sqlx::Error::Protocol(error.to_string()))
}

/// Classifies an error of a session that runs no statement on the tables.
fn idle(error: sqlx::Error) -> Error {
    Error {
        scope: Scope::Session,
        ..failed(error)
    }
}

/// Classifies a driver's error by its number, as the servers' reference lists them.
fn failed(error: sqlx::Error) -> Error {
    let number = number(&error);
    let (reason, scope) = match (&error, number) {
        // Privileges, hosts that are not allowed or are blocked, expired passwords, locked accounts.
        (
            _,
            Some(1044 | 1045 | 1129 | 1130 | 1142 | 1143 | 1227 | 1698 | 1820 | 1862 | 3118 | 4151),
        ) => (Reason::AccessDenied, Scope::Session),
        (_, Some(1049)) => (Reason::UnknownDatabase, Scope::Session),
        (_, Some(1054 | 1146)) => (Reason::SchemaMismatch, Scope::Statement),
        (_, Some(1040 | 1203 | 1226)) => (Reason::TooManyConnections, Scope::Session),
        // Execution time, lock wait, and a statement that was killed for either.
        (_, Some(1205 | 1317 | 1969 | 3024)) => (Reason::Timeout, Scope::Statement),
        (sqlx::Error::Tls(_), None) | (_, Some(3159)) => (Reason::Tls, Scope::Session),
        // The driver reports a failed handshake as an error while reading.
        (sqlx::Error::Io(io), None) if is_of_tls(io) => (Reason::Tls, Scope::Session),
        // Shutdown in progress, killed, timed out for idleness.
        (_, Some(1053 | 1927 | 4031)) => (Reason::Unreachable, Scope::Session),
        (sqlx::Error::Io(_), None) => (Reason::Unreachable, Scope::Abandoned),
        (_, Some(_)) | (sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_), None) => {
            (Reason::Other, Scope::Statement)
        }
        _ => (Reason::Other, Scope::Abandoned),
    };
    Error {
        reason,
        scope,
        source: error.into(),
    }
}

/// The server's number of an error.
pub(crate) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    let error = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>()?;
    Some(error.number())
}

/// Whether the driver's read error was a failed handshake.
pub(crate) fn is_of_tls(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(cause) if cause.is::<rustls::Error>())
}
