//! Storing events and erasing users in MySQL or MariaDB.

mod rejection;

use super::relay::{Relay, SHORT, Server};
use super::session::{self, Purpose};
use super::{Address, events_table, failed, idle, is_unknown_text, number};
use crate::model::UserId;
use crate::store::write::{
    Digest, Digests, EVENTS_TABLE, Entry, Event, Kind, LOCK, Outcome, Place, Privilege, Rejected,
    Unusable, WriteError, WriteSession, WriteStore, accepted, literal, of_user, unexpected, utc,
};
use crate::store::{AccountLimit, Error, Reason, Scope};
use jiff::Timestamp;
use reckon_contract::tables::{Table, Tables};
use rejection::rejection;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlQueryResult, MySqlRow};
use sqlx::{
    Arguments as _, AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, Row as _,
};
use std::collections::{BTreeMap, BTreeSet};
use std::{sync::Arc, time::Duration};

/// Rows of one INSERT: less than a packet of 1 MiB.
const ROWS: usize = 100;
/// Statements for at most this many rows, or for [`ROWS`], are prepared once.
const KEPT: usize = 8;

/// A MySQL or MariaDB server that events are written to.
pub struct MySqlWriter {
    server: Server,
    options: MySqlConnectOptions,
    limit: Duration,
    greeting: Arc<str>,
    tables: Arc<[Option<Table>; 2]>,
}

impl MySqlWriter {
    /// A writer to `tables` whose statements wait for locks for less than `query_timeout`.
    #[must_use]
    pub fn new(address: &Address, query_timeout: Duration, tables: &Tables) -> Self {
        let limit = query_timeout.mul_f64(0.9);
        let settings = session::settings(&address.database, Purpose::Events { limit });
        Self {
            server: address.relay(),
            options: address.options().set_names(false),
            limit,
            greeting: settings.into(),
            tables: Arc::new(Kind::ALL.map(|kind| kind.of(tables))),
        }
    }
}

impl WriteStore for MySqlWriter {
    type Session = Session;

    fn statement_limit(&self) -> Duration {
        session::lock_wait(self.limit)
    }

    async fn connect(&self) -> Result<Session, Error> {
        let (mut session, mut relay) = Relay::connect(&self.server, &self.options)
            .await
            .map_err(idle)?;
        let greeting = AssertSqlSafe(Arc::clone(&self.greeting));
        let row = relay
            .during(SHORT, session.fetch_one(sqlx::raw_sql(greeting)))
            .await
            .map_err(session::not_executed)
            .map_err(idle)?;
        Ok(Session {
            driver: session,
            relay,
            account_limit: session::account_limit(&row),
            tables: Arc::clone(&self.tables),
            columns: [Columns::default(), Columns::default()],
        })
    }
}

/// A session that writes.
pub struct Session {
    driver: MySqlConnection,
    relay: Relay,
    account_limit: Option<AccountLimit>,
    /// The table of each [`Kind`].
    tables: Arc<[Option<Table>; 2]>,
    /// The optional columns of the table of each [`Kind`].
    columns: [Columns; 2],
}

/// The optional columns that a table has.
#[derive(Clone, Copy, Debug, Default)]
struct Columns {
    text: bool,
    success: bool,
}

impl Columns {
    /// The names of the columns of a row, and the values of a row with parameters.
    fn of_row(self, table: &Table) -> (String, String) {
        let mut names = vec![&table.user, &table.time, &table.category];
        let mut values = vec!["?"; 3];
        if self.text {
            names.extend(&table.text);
            values.push("?");
        }
        if self.success {
            names.extend(&table.success);
            values.push("1");
        }
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        (names.join(", "), values.join(", "))
    }
}

/// The privilege and the table that a statement needs, for the message if it is denied.
#[derive(Clone, Copy)]
struct Need {
    privilege: Privilege,
    table: Place,
}

const fn need(privilege: Privilege, table: Place) -> Need {
    Need { privilege, table }
}

/// Appends a user's id.
fn push_user(values: &mut MySqlArguments, user: &UserId) {
    match user {
        UserId::Integer(id) => push(values, *id),
        UserId::Unsigned(id) => push(values, *id),
        UserId::Text(id) => push(values, &**id),
    }
}

/// Appends a value.
fn push<'q, T>(values: &mut MySqlArguments, value: T)
where
    T: sqlx::Encode<'q, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    values
        .add(value)
        .expect("numbers, bytes and strings can always be encoded");
}

/// `(?, ?), (?, ?), ...`
fn repeated(values: &str, times: usize) -> String {
    vec![format!("({values})"); times].join(", ")
}

impl Session {
    /// Runs a statement as text.
    async fn run(&mut self, need: Need, statement: impl Into<String>) -> Result<u64, WriteError> {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.into()));
        let ran = self.driver.execute(statement);
        let ran = self.relay.during(SHORT, ran).await;
        ran.map(|result| result.rows_affected())
            .map_err(|error| classified(need, error))
    }

    /// Runs a statement with values.
    async fn run_with(
        &mut self,
        statement: String,
        values: MySqlArguments,
        keep: bool,
    ) -> Result<MySqlQueryResult, sqlx::Error> {
        let query = sqlx::query_with(AssertSqlSafe(statement), values).persistent(keep);
        self.relay
            .during(SHORT, query.execute(&mut self.driver))
            .await
    }

    /// Locks the lock row; inserts the row if it is missing.
    async fn lock(&mut self, how: &str) -> Result<(), WriteError> {
        let digest = literal(LOCK);
        let select = format!("SELECT `kind` FROM `{EVENTS_TABLE}` WHERE `digest` = {digest} {how}");
        for _ in 0..2 {
            let statement = sqlx::raw_sql(AssertSqlSafe(select.clone()));
            let row = self.driver.fetch_optional(statement);
            let row = self.relay.during(SHORT, row).await;
            let row =
                row.map_err(|error| classified(need(Privilege::Select, Place::Events), error))?;
            if row.is_some() {
                return Ok(());
            }
            self.run(
                need(Privilege::Insert, Place::Events),
                events_table::insert_lock(),
            )
            .await?;
        }
        let missing = unexpected("the row that is only locked is missing");
        Err(WriteError::Failed(missing))
    }

    /// Runs `work` in a transaction that holds the lock.
    async fn in_transaction<T>(
        &mut self,
        lock: &str,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        let any = need(Privilege::Select, Place::Events);
        self.run(any, "START TRANSACTION").await?;
        let worked = match self.lock(lock).await {
            Ok(()) => work(self).await,
            Err(error) => Err(error),
        };
        match worked {
            Ok(result) => match self.run(any, "COMMIT").await {
                Ok(_) => Ok(result),
                Err(WriteError::Busy(error)) => {
                    self.roll_back().await?;
                    Err(WriteError::Busy(error))
                }
                Err(error) => Err(WriteError::Unknown(lost(error))),
            },
            Err(error) if error.cause().scope == Scope::Statement => {
                self.roll_back().await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    async fn roll_back(&mut self) -> Result<(), WriteError> {
        let any = need(Privilege::Select, Place::Events);
        let rolled_back = self.run(any, "ROLLBACK").await;
        rolled_back.map_err(|error| WriteError::Failed(lost(error)))?;
        Ok(())
    }

    /// Stores the events; does not check which events are already in the tables.
    async fn insert_new(&mut self, events: &[&Event]) -> Result<Vec<Outcome>, WriteError> {
        let digests = Digests::of(events);
        let batch = fastrand::i64(..);
        let now = utc(Timestamp::now());
        let all: Vec<&Digest> = digests.events.keys().collect();
        for digests in all.chunks(ROWS) {
            let rows = repeated("?, ?, ?, ?", digests.len());
            let statement = format!(
                "INSERT IGNORE INTO `{EVENTS_TABLE}` (`digest`, `kind`, `received_at`, `batch`) VALUES {rows}"
            );
            let mut values = MySqlArguments::default();
            for digest in digests {
                push(&mut values, &digest[..]);
                push(&mut values, Entry::Event as i8);
                push(&mut values, now.as_str());
                push(&mut values, batch);
            }
            self.run_with(statement, values, is_kept(digests.len()))
                .await
                .map_err(|error| classified(need(Privilege::Insert, Place::Events), error))?;
        }
        let (written, erased) = self.find(&digests, batch).await?;
        let outcomes = digests.outcomes(events, &written, &erased);
        for kind in Kind::ALL {
            for positions in accepted(events, &outcomes, kind).chunks(ROWS) {
                match self.insert_rows(kind, events, positions).await {
                    // The message does not contain the number of the row.
                    Err(WriteError::Rejected(Rejected { index: None, .. }, _)) => {
                        for position in positions {
                            self.insert_rows(kind, events, &[*position]).await?;
                        }
                    }
                    result => result?,
                }
            }
        }
        Ok(outcomes)
    }

    /// Reads which of these digests this transaction has written, and which of these users were erased and when. No
    /// earlier statement of the transaction may read without a lock, because its snapshot would hide rows that other
    /// transactions stored in the meantime.
    async fn find(
        &mut self,
        digests: &Digests,
        batch: i64,
    ) -> Result<(BTreeSet<Digest>, BTreeMap<Digest, String>), WriteError> {
        let (mut written, mut erased) = (BTreeSet::new(), BTreeMap::new());
        let all: Vec<&Digest> = digests.all().collect();
        for some in all.chunks(ROWS) {
            let marks = vec!["?"; some.len()].join(", ");
            let statement = format!(
                "SELECT `digest`, `kind`, `batch`, CAST(`received_at` AS CHAR) FROM `{EVENTS_TABLE}` WHERE `digest` IN ({marks})"
            );
            let mut values = MySqlArguments::default();
            for digest in some {
                push(&mut values, &digest[..]);
            }
            let query = sqlx::query_with(AssertSqlSafe(statement), values);
            let query = query.persistent(is_kept(some.len()));
            let rows = query.fetch_all(&mut self.driver);
            let rows = self.relay.during(SHORT, rows).await;
            let rows =
                rows.map_err(|error| classified(need(Privilege::Select, Place::Events), error))?;
            for row in &rows {
                let (digest, entry, of, at) =
                    found(row).map_err(|error| WriteError::Failed(failed(error)))?;
                if entry == Entry::Erasure as i64 {
                    erased.insert(digest, at);
                } else if of == batch {
                    written.insert(digest);
                }
            }
        }
        Ok((written, erased))
    }

    async fn insert_rows(
        &mut self,
        kind: Kind,
        events: &[&Event],
        positions: &[usize],
    ) -> Result<(), WriteError> {
        let tables = Arc::clone(&self.tables);
        let Some(table) = &tables[kind as usize] else {
            return Err(WriteError::Failed(unexpected("no table for an event")));
        };
        let columns = self.columns[kind as usize];
        let (names, row) = columns.of_row(table);
        let rows = repeated(&row, positions.len());
        let statement = format!("INSERT INTO `{}` ({names}) VALUES {rows}", table.name);
        let mut values = MySqlArguments::default();
        for &position in positions {
            let event = events[position];
            push_user(&mut values, &event.user);
            push(&mut values, utc(event.time));
            push(&mut values, event.category.as_str());
            if columns.text {
                push(&mut values, event.text.as_deref());
            }
        }
        let inserted = self
            .run_with(statement, values, is_kept(positions.len()))
            .await;
        match inserted {
            Ok(_) => Ok(()),
            Err(error) => Err(match rejection(&error, table, positions) {
                Some(rejected) => WriteError::Rejected(rejected, statement_failed(error)),
                None => classified(need(Privilege::Insert, Place::Rows(kind)), error),
            }),
        }
    }

    /// Which optional columns the tables have.
    async fn look_at_tables(&mut self) -> Result<(), WriteError> {
        let statement = "SELECT CAST(TABLE_NAME AS CHAR), CAST(COLUMN_NAME AS CHAR) FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME IN (?, ?, ?)";
        let name = |kind: Kind| {
            let table = self.tables[kind as usize].as_ref();
            table.map_or("", |table| &table.name)
        };
        let query = sqlx::query(statement)
            .bind(EVENTS_TABLE)
            .bind(name(Kind::Search))
            .bind(name(Kind::Purchase));
        let rows = self
            .relay
            .during(SHORT, query.fetch_all(&mut self.driver))
            .await
            .map_err(|error| WriteError::Failed(failed(error)))?;
        let named: Vec<(String, String)> = rows
            .iter()
            .map(|row| Ok((row.try_get_unchecked(0)?, row.try_get_unchecked(1)?)))
            .collect::<Result<_, sqlx::Error>>()
            .map_err(|error| WriteError::Failed(failed(error)))?;
        let of = |table: &str| -> Vec<String> {
            let named = named
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(table));
            named.map(|(_, column)| column.clone()).collect()
        };
        let ours = of(EVENTS_TABLE);
        if !ours.is_empty() && events_table::missing(&ours).is_some() {
            return Err(unusable(Unusable::Mismatch(Place::Events)));
        }
        for (table, existing) in self.tables.iter().zip(&mut self.columns) {
            let Some(table) = table else { continue };
            let columns = of(&table.name);
            let has = |column: &Option<String>| {
                let column = column.as_ref();
                column.is_some_and(|name| columns.iter().any(|it| it.eq_ignore_ascii_case(name)))
            };
            *existing = Columns {
                text: has(&table.text),
                success: has(&table.success),
            };
        }
        Ok(())
    }
}

impl WriteSession for Session {
    async fn check(&mut self) -> Result<(), WriteError> {
        self.look_at_tables().await?;
        // The server checks privileges even though there is no row to write.
        let nothing = "FROM (SELECT 1 AS one) AS ones WHERE FALSE";
        let insert = format!(
            "INSERT INTO `{EVENTS_TABLE}` (`digest`, `kind`, `received_at`, `batch`) SELECT '', 0, '{}', 0 {nothing}",
            utc(Timestamp::UNIX_EPOCH)
        );
        self.run(need(Privilege::Insert, Place::Events), insert)
            .await?;
        for (privilege, what) in [
            (Privilege::Select, "SELECT `kind`"),
            (Privilege::Delete, "DELETE"),
        ] {
            let statement = format!("{what} FROM `{EVENTS_TABLE}` WHERE FALSE");
            self.run(need(privilege, Place::Events), statement).await?;
        }
        let tables = Arc::clone(&self.tables);
        for kind in Kind::ALL {
            let Some(table) = &tables[kind as usize] else {
                continue;
            };
            let (names, values) = self.columns[kind as usize].of_row(table);
            let values = values.replace('?', "NULL");
            let name = &table.name;
            let insert = format!("INSERT INTO `{name}` ({names}) SELECT {values} {nothing}");
            self.run(need(Privilege::Insert, Place::Rows(kind)), insert)
                .await?;
        }
        Ok(())
    }

    async fn insert(&mut self, events: &[&Event]) -> Result<Vec<Outcome>, WriteError> {
        let work = async |session: &mut Self| session.insert_new(events).await;
        self.in_transaction("LOCK IN SHARE MODE", work).await
    }

    async fn begin_erasure(&mut self, user: &UserId) -> Result<(), WriteError> {
        let digest = of_user(user);
        let work = async |session: &mut Self| {
            // The time is read under the lock, so that it is not before the time of a stored event.
            let mut values = MySqlArguments::default();
            push(&mut values, &digest[..]);
            push(&mut values, Entry::Erasure as i8);
            push(&mut values, utc(Timestamp::now()));
            let statement = format!(
                "REPLACE INTO `{EVENTS_TABLE}` (`digest`, `kind`, `received_at`, `batch`) VALUES (?, ?, ?, 0)"
            );
            let replaced = session.run_with(statement, values, false).await;
            replaced.map_err(|error| classified(need(Privilege::Insert, Place::Events), error))?;
            Ok(())
        };
        self.in_transaction("FOR UPDATE", work).await
    }

    async fn erase(&mut self, user: &UserId, kind: Kind, most: u32) -> Result<u64, WriteError> {
        let Some(table) = &self.tables[kind as usize] else {
            return Ok(0);
        };
        let Table { name, user: id, .. } = table;
        let mut values = MySqlArguments::default();
        push_user(&mut values, user);
        let bytes = if let UserId::Text(_) = user {
            push_user(&mut values, user);
            // Different texts can be equal under the column's collation.
            format!(" AND CAST(CONVERT(`{id}` USING utf8mb4) AS BINARY) = CAST(? AS BINARY)")
        } else {
            String::new()
        };
        let statement = format!("DELETE FROM `{name}` WHERE `{id}` = ?{bytes} LIMIT {most}");
        let deleted = match self.run_with(statement, values, false).await {
            Err(error) if is_unknown_text(&error, std::slice::from_ref(user)) => return Ok(0),
            deleted => deleted,
        };
        let need = need(Privilege::Delete, Place::Rows(kind));
        let deleted = deleted.map_err(|error| classified(need, error))?;
        Ok(deleted.rows_affected())
    }

    async fn end_erasure(&mut self) {}

    async fn purge(&mut self, before: Timestamp, most: u32) -> Result<u64, WriteError> {
        let (before, lock) = (utc(before), Entry::Lock as u8);
        let statement = format!(
            "DELETE FROM `{EVENTS_TABLE}` WHERE `received_at` < '{before}' AND `kind` <> {lock} ORDER BY `received_at` LIMIT {most}"
        );
        self.run(need(Privilege::Delete, Place::Events), statement)
            .await
    }

    fn account_limit(&self) -> Option<AccountLimit> {
        self.account_limit
    }

    async fn ping(&mut self) -> Result<(), Error> {
        let answered = self.driver.ping();
        self.relay.during(SHORT, answered).await.map_err(idle)
    }

    async fn close(self) {
        self.relay.close(self.driver).await;
    }
}

fn is_kept(rows: usize) -> bool {
    rows <= KEPT || rows == ROWS
}

fn found(row: &MySqlRow) -> Result<(Digest, i64, i64, String), sqlx::Error> {
    let digest: &[u8] = row.try_get_unchecked(0)?;
    let digest = Digest::try_from(digest).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok((
        digest,
        row.try_get_unchecked::<i8, _>(1)?.into(),
        row.try_get_unchecked(2)?,
        row.try_get_unchecked(3)?,
    ))
}

/// The error of a statement that the server rejected.
fn statement_failed(error: sqlx::Error) -> Error {
    Error {
        scope: Scope::Statement,
        ..failed(error)
    }
}

fn unusable(why: Unusable) -> WriteError {
    let error = Error {
        reason: Reason::SchemaMismatch,
        scope: Scope::Statement,
        source: why.into(),
    };
    WriteError::Unusable(why, error)
}

/// A session in an unknown state must not be used again.
fn lost(error: WriteError) -> Error {
    let (WriteError::Busy(error)
    | WriteError::Rejected(_, error)
    | WriteError::Unusable(_, error)
    | WriteError::Failed(error)
    | WriteError::Unknown(error)) = error;
    match error.scope {
        Scope::Statement => Error {
            scope: Scope::Session,
            ..error
        },
        Scope::Session | Scope::Abandoned => error,
    }
}

/// Classifies an error by the server's number.
fn classified(need: Need, error: sqlx::Error) -> WriteError {
    let Need { privilege, table } = need;
    let unusable = match number(&error) {
        // Deadlock, lock wait, a cluster's conflict, and a row that changed since the transaction's snapshot.
        Some(1213 | 1205 | 1020) => return WriteError::Busy(statement_failed(error)),
        Some(1142 | 1143 | 1044 | 1227) => Unusable::Denied(privilege, table),
        Some(1146) => Unusable::NoTable(table),
        // Errors because of missing columns, columns without a default, and views.
        Some(1054 | 1364 | 1136 | 1288 | 1348 | 1471) => Unusable::Mismatch(table),
        // Errors because of `--read-only`, or of a read-only transaction or server.
        Some(1290 | 1792 | 1836) => Unusable::ReadOnly,
        _ => return WriteError::Failed(failed(error)),
    };
    WriteError::Unusable(unusable, statement_failed(error))
}
