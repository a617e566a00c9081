//! Storing events and erasing users in a SQLite file.

use super::{BUSY_TIMEOUT, Identity, failed, gone, identity};
use crate::model::UserId;
use crate::store::write::{
    Digest, Digests, EVENTS_TABLE, Entry, Event, Kind, Outcome, Place, Rejected, Unusable,
    WriteError, WriteSession, WriteStore, accepted, of_user, unexpected, utc,
};
use crate::store::{Error, Scope};
use jiff::Timestamp;
use reckon_contract::tables::{Table, Tables};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{
    Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{sync::Arc, time::Duration};

/// Digests of one SELECT: fewer than SQLite has parameters.
const DIGESTS: usize = 500;

/// A SQLite file that events are written to.
pub struct SqliteWriter {
    path: PathBuf,
    tables: Arc<[Option<Table>; 2]>,
}

impl SqliteWriter {
    /// A writer to `tables` of the file at `path`, which must exist.
    #[must_use]
    pub fn new(path: &Path, tables: &Tables) -> Self {
        Self {
            path: path.to_owned(),
            tables: Arc::new(Kind::ALL.map(|kind| kind.of(tables))),
        }
    }
}

impl WriteStore for SqliteWriter {
    type Session = Session;

    fn statement_limit(&self) -> Duration {
        BUSY_TIMEOUT
    }

    async fn connect(&self) -> Result<Session, Error> {
        let file = identity(&self.path)?;
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(false)
            // Deleted rows are overwritten.
            .pragma("secure_delete", "on")
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        Ok(Session {
            driver: options.connect().await.map_err(failed)?,
            path: self.path.clone(),
            file,
            tables: Arc::clone(&self.tables),
            columns: [Columns::default(), Columns::default()],
        })
    }
}

/// A session that writes.
pub struct Session {
    driver: SqliteConnection,
    path: PathBuf,
    file: Identity,
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

/// Appends a user's id.
fn push_user(values: &mut SqliteArguments, user: &UserId) {
    match user {
        UserId::Integer(id) => push(values, *id),
        // SQLite has no such integers: no row has this id.
        UserId::Unsigned(id) => push(values, id.to_string()),
        UserId::Text(id) => push(values, &**id),
    }
}

/// Appends a value.
fn push<'q, T>(values: &mut SqliteArguments, value: T)
where
    T: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    values
        .add(value)
        .expect("numbers, bytes and strings can always be encoded");
}

impl Session {
    /// Returns an error if the path now has another file or none.
    fn check_file(&self) -> Result<(), WriteError> {
        match identity(&self.path) {
            Ok(file) if file == self.file => Ok(()),
            Ok(_) => Err(WriteError::Failed(gone(
                "the file was replaced by another one".into(),
            ))),
            Err(error) => Err(WriteError::Failed(error)),
        }
    }

    async fn run(
        &mut self,
        statement: impl Into<String>,
        values: SqliteArguments,
    ) -> Result<u64, sqlx::Error> {
        let query = sqlx::query_with(AssertSqlSafe(statement.into()), values);
        Ok(query.execute(&mut self.driver).await?.rows_affected())
    }

    async fn run_plain(&mut self, table: Place, statement: &str) -> Result<(), WriteError> {
        let ran = self.run(statement, SqliteArguments::default()).await;
        ran.map(|_| ()).map_err(|error| classified(table, error))
    }

    async fn in_transaction<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        self.check_file()?;
        self.run_plain(Place::Events, "BEGIN IMMEDIATE").await?;
        match work(self).await {
            Ok(result) => match self.run_plain(Place::Events, "COMMIT").await {
                Ok(()) => Ok(result),
                Err(error) => {
                    self.roll_back().await?;
                    Err(error)
                }
            },
            Err(error) => {
                self.roll_back().await?;
                Err(error)
            }
        }
    }

    async fn roll_back(&mut self) -> Result<(), WriteError> {
        let rolled_back = self.run("ROLLBACK", SqliteArguments::default()).await;
        rolled_back.map_err(|error| {
            WriteError::Failed(Error {
                scope: Scope::Session,
                ..failed(error)
            })
        })?;
        Ok(())
    }

    async fn insert_new(&mut self, events: &[&Event]) -> Result<Vec<Outcome>, WriteError> {
        let digests = Digests::of(events);
        let batch = fastrand::i64(..);
        let now = utc(Timestamp::now());
        for digest in digests.events.keys() {
            let mut values = SqliteArguments::default();
            push(&mut values, &digest[..]);
            push(&mut values, Entry::Event as i32);
            push(&mut values, now.as_str());
            push(&mut values, batch);
            let statement = format!(
                "INSERT OR IGNORE INTO {EVENTS_TABLE} (digest, kind, received_at, batch) VALUES (?, ?, ?, ?)"
            );
            self.run(statement, values)
                .await
                .map_err(|error| classified(Place::Events, error))?;
        }
        let (written, erased) = self.find(&digests, batch).await?;
        let outcomes = digests.outcomes(events, &written, &erased);
        for kind in Kind::ALL {
            for position in accepted(events, &outcomes, kind) {
                let inserted = self.insert_row(events[position]).await;
                inserted.map_err(|error| at(position, error))?;
            }
        }
        Ok(outcomes)
    }

    async fn find(
        &mut self,
        digests: &Digests,
        batch: i64,
    ) -> Result<(BTreeSet<Digest>, BTreeMap<Digest, String>), WriteError> {
        let (mut written, mut erased) = (BTreeSet::new(), BTreeMap::new());
        let all: Vec<&Digest> = digests.all().collect();
        for some in all.chunks(DIGESTS) {
            let marks = vec!["?"; some.len()].join(", ");
            let statement = format!(
                "SELECT digest, kind, batch, received_at FROM {EVENTS_TABLE} WHERE digest IN ({marks})"
            );
            let mut values = SqliteArguments::default();
            for digest in some {
                push(&mut values, &digest[..]);
            }
            let query = sqlx::query_with(AssertSqlSafe(statement), values);
            let rows = query.fetch_all(&mut self.driver).await;
            for row in rows.map_err(|error| classified(Place::Events, error))? {
                let read = || -> Result<(Digest, i64, i64, String), sqlx::Error> {
                    let digest: &[u8] = row.try_get(0)?;
                    let digest = Digest::try_from(digest)
                        .map_err(|error| sqlx::Error::Decode(error.into()))?;
                    Ok((digest, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
                };
                let (digest, entry, of, at) =
                    read().map_err(|error| WriteError::Failed(failed(error)))?;
                if entry == Entry::Erasure as i64 {
                    erased.insert(digest, at);
                } else if of == batch {
                    written.insert(digest);
                }
            }
        }
        Ok((written, erased))
    }

    async fn insert_row(&mut self, event: &Event) -> Result<(), WriteError> {
        let tables = Arc::clone(&self.tables);
        let Some(table) = &tables[event.kind as usize] else {
            return Err(WriteError::Failed(unexpected("no table for an event")));
        };
        let columns = self.columns[event.kind as usize];
        let mut names = vec![&table.user, &table.time, &table.category];
        let mut marks = vec!["?"; 3];
        let mut values = SqliteArguments::default();
        push_user(&mut values, &event.user);
        push(&mut values, shortened(&utc(event.time)));
        push(&mut values, event.category.as_str());
        if columns.text {
            names.extend(&table.text);
            marks.push("?");
            push(&mut values, event.text.as_deref());
        }
        if columns.success {
            names.extend(&table.success);
            marks.push("1");
        }
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let statement = format!(
            "INSERT INTO `{}` ({}) VALUES ({})",
            table.name,
            names.join(", "),
            marks.join(", ")
        );
        let inserted = self.run(statement, values).await;
        inserted.map_err(|error| classified(Place::Rows(event.kind), error))?;
        Ok(())
    }

    async fn has_column(
        &mut self,
        table: &str,
        column: Option<&String>,
    ) -> Result<bool, WriteError> {
        let statement = "SELECT COUNT(*) FROM pragma_table_info(?) WHERE name = ? COLLATE NOCASE";
        let count = sqlx::query_scalar::<_, i64>(statement)
            .bind(table)
            .bind(column)
            .fetch_one(&mut self.driver)
            .await;
        let count = count.map_err(|error| WriteError::Failed(failed(error)))?;
        Ok(count > 0)
    }
}

impl WriteSession for Session {
    async fn check(&mut self) -> Result<(), WriteError> {
        self.check_file()?;
        let tables = Arc::clone(&self.tables);
        for (index, table) in tables.iter().enumerate() {
            let Some(table) = table else { continue };
            self.columns[index] = Columns {
                text: self.has_column(&table.name, table.text.as_ref()).await?,
                success: self.has_column(&table.name, table.success.as_ref()).await?,
            };
        }
        // This takes the lock for writing, so it fails if the file cannot be written.
        let work = async |session: &mut Self| {
            let select =
                format!("SELECT digest, kind, received_at, batch FROM {EVENTS_TABLE} WHERE FALSE");
            session.run_plain(Place::Events, &select).await?;
            for kind in Kind::ALL {
                let Some(table) = &tables[kind as usize] else {
                    continue;
                };
                let statement = format!(
                    "INSERT INTO `{}` (`{}`, `{}`, `{}`) SELECT 0, '', '' WHERE FALSE",
                    table.name, table.user, table.time, table.category
                );
                session.run_plain(Place::Rows(kind), &statement).await?;
            }
            Ok(())
        };
        self.in_transaction(work).await
    }

    async fn insert(&mut self, events: &[&Event]) -> Result<Vec<Outcome>, WriteError> {
        let work = async |session: &mut Self| session.insert_new(events).await;
        self.in_transaction(work).await
    }

    async fn begin_erasure(&mut self, user: &UserId) -> Result<(), WriteError> {
        let digest = of_user(user);
        let work = async |session: &mut Self| {
            let mut values = SqliteArguments::default();
            push(&mut values, &digest[..]);
            push(&mut values, Entry::Erasure as i32);
            push(&mut values, utc(Timestamp::now()));
            let statement = format!(
                "INSERT OR REPLACE INTO {EVENTS_TABLE} (digest, kind, received_at, batch) VALUES (?, ?, ?, 0)"
            );
            let replaced = session.run(statement, values).await;
            replaced.map_err(|error| classified(Place::Events, error))?;
            Ok(())
        };
        self.in_transaction(work).await
    }

    async fn erase(&mut self, user: &UserId, kind: Kind, most: u32) -> Result<u64, WriteError> {
        self.check_file()?;
        let Some(Table { name, user: id, .. }) = &self.tables[kind as usize] else {
            return Ok(0);
        };
        let bytes = match user {
            UserId::Text(_) => format!(" AND CAST(`{id}` AS TEXT) COLLATE BINARY = ?1"),
            UserId::Integer(_) | UserId::Unsigned(_) => String::new(),
        };
        let statement = format!(
            "DELETE FROM `{name}` WHERE rowid IN (SELECT rowid FROM `{name}` WHERE `{id}` = ?1{bytes} LIMIT {most})"
        );
        let mut values = SqliteArguments::default();
        push_user(&mut values, user);
        let deleted = self.run(statement, values).await;
        deleted.map_err(|error| classified(Place::Rows(kind), error))
    }

    async fn end_erasure(&mut self) {
        // Without this checkpoint, the log still contains the rows. If a reader prevents it, a later checkpoint removes
        // them.
        self.run(
            "PRAGMA wal_checkpoint(TRUNCATE)",
            SqliteArguments::default(),
        )
        .await
        .ok();
    }

    async fn purge(&mut self, before: Timestamp, most: u32) -> Result<u64, WriteError> {
        self.check_file()?;
        let mut values = SqliteArguments::default();
        push(&mut values, utc(before));
        let statement = format!(
            "DELETE FROM {EVENTS_TABLE} WHERE digest IN \
             (SELECT digest FROM {EVENTS_TABLE} WHERE received_at < ? ORDER BY received_at LIMIT {most})"
        );
        let deleted = self.run(statement, values).await;
        deleted.map_err(|error| classified(Place::Events, error))
    }

    async fn ping(&mut self) -> Result<(), Error> {
        match self.check_file() {
            Err(WriteError::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }

    async fn close(self) {
        self.driver.close().await.ok();
    }
}

fn at(position: usize, error: WriteError) -> WriteError {
    match error {
        WriteError::Rejected(rejected, error) => WriteError::Rejected(
            Rejected {
                index: u16::try_from(position).ok(),
                ..rejected
            },
            error,
        ),
        error => error,
    }
}

/// The time without the zeros at the end of its fraction, as in the rows of an import.
fn shortened(time: &str) -> &str {
    match time.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => time.trim_end_matches('0'),
    }
}

fn classified(table: Place, error: sqlx::Error) -> WriteError {
    let text = error.to_string();
    let statement = |error: sqlx::Error| Error {
        scope: Scope::Statement,
        ..failed(error)
    };
    let unusable =
        if text.contains("database is locked") || text.contains("database table is locked") {
            return WriteError::Busy(statement(error));
        } else if text.contains("constraint failed") {
            let rejected = Rejected {
                index: None,
                field: None,
                does_not_fit: false,
            };
            return WriteError::Rejected(rejected, statement(error));
        } else if text.contains("no such table") {
            Unusable::NoTable(table)
        } else if text.contains("no such column")
            || text.contains("has no column")
            || text.contains("cannot modify")
        {
            Unusable::Mismatch(table)
        } else if text.contains("readonly") || text.contains("read-only") {
            Unusable::ReadOnly
        } else {
            return WriteError::Failed(failed(error));
        };
    WriteError::Unusable(unusable, statement(error))
}
