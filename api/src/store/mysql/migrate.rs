//! Creates missing tables (the published models' too) and the covering indexes, while other sessions continue to use the tables.
//!
//! Never waits long for a lock, since later sessions would wait behind it; never copies a table.

use super::address::Address;
use super::model_table;
use super::session::{self, Purpose};
use crate::store::table::{TABLES, Table};
use sqlx::mysql::{MySqlDatabaseError, MySqlRow};
use sqlx::{AssertSqlSafe, Executor, MySqlConnection, Row as _, ValueRef as _};
use std::time::Duration;

/// The index that covers Reckon's queries.
const COVERING: &str = "reckon_history";
/// The index if the category is too wide for the covering one. It has a different name, because MySQL compares the name
/// before the width.
const NARROW: &str = "reckon_time";
/// Maximum characters of the text columns of tables created here.
pub(crate) const TEXT_LENGTH: u32 = 255;
/// Maximum wait for a table's lock, each time: the minimum that MySQL supports. Later sessions wait as long, and the API's
/// own sessions give up after two seconds.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Maximum pause between two attempts to get the lock.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long to retry for a table that other sessions keep locked.
///
/// An online `ALTER` needs the exclusive lock twice, briefly: at its start, and at its end, when the index is built. If an
/// attempt does not get it at its end, the built index is lost.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Number of attempts to get the lock.
    pub attempts: u32,
    /// Pause after the first attempt; each later one is twice as long, up to 10 s.
    pub first_pause: Duration,
}

impl Default for Patience {
    /// Somewhat less than a minute in all, and the time of the builds that were lost.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(500),
        }
    }
}

impl Patience {
    /// The pauses after each failed attempt but the last.
    fn pauses(self) -> impl Iterator<Item = Duration> {
        let twice = |pause: &Duration| Some((*pause * 2).min(LONGEST_PAUSE));
        std::iter::successors(Some(self.first_pause), twice)
            .take(self.attempts.saturating_sub(1) as usize)
    }
}

/// Why a migration failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No session could be opened.
    #[error("failed to connect to the database")]
    Connect(#[source] sqlx::Error),
    /// A statement failed.
    #[error("failed to {0}")]
    Statement(String, #[source] sqlx::Error),
    /// An existing table lacks a column that Reckon reads.
    #[error("the table {table} has no column {column}: Reckon reads {needed}")]
    NoColumn {
        /// The table.
        table: &'static str,
        /// The missing column.
        column: &'static str,
        /// The columns that it must have.
        needed: String,
    },
    /// Other sessions kept the table locked.
    #[error(
        "the table {table} stayed locked by other sessions through {attempts} attempts of {} s, so it was \
         left as it is: run this again when no transaction that uses the table is open for longer than that, at the start or \
         the end of the build",
        LOCK_WAIT.as_secs()
    )]
    Locked {
        /// The table.
        table: &'static str,
        /// Number of attempts to get the lock.
        attempts: u32,
    },
    /// The server would have to block or copy the table.
    #[error(
        "the server cannot add the index to {table} while others use it, so it was left as it is ({reason}); \
         make it yourself at a quiet time: {statement}"
    )]
    NotOnline {
        /// The table.
        table: &'static str,
        /// The server's message.
        reason: String,
        /// The statement that would create the index, with a lock.
        statement: String,
    },
    /// Another index already uses the name.
    #[error(
        "the table {table} has an index {index} that is not on the columns Reckon reads: drop or rename it"
    )]
    NameTaken {
        /// The table.
        table: &'static str,
        /// The name.
        index: &'static str,
    },
}

/// The clauses after the columns of a table that is created with its index.
fn with_index(table: &Table) -> String {
    let columns = quoted(&covering(table));
    format!(", INDEX `{COVERING}` ({columns})")
}

/// The table with the original's columns. Categories are compared as bytes, as in the results.
fn create(table: &Table, index: &str) -> String {
    let Table {
        name,
        text,
        time,
        category,
    } = table;
    format!(
        "CREATE TABLE IF NOT EXISTS `{name}` (`id` BIGINT NOT NULL, `{text}` VARCHAR({TEXT_LENGTH}), `{time}` DATETIME, \
         `{category}` VARCHAR({TEXT_LENGTH}) COLLATE utf8mb4_bin, `SUCCESS` TINYINT(1){index}) \
         ENGINE=InnoDB CHARACTER SET utf8mb4"
    )
}

/// The columns of the covering index.
fn covering(table: &Table) -> [&'static str; 3] {
    ["id", table.time, table.category]
}

fn add_index(table: &Table, index: Index<'_>) -> String {
    format!(
        "ALTER TABLE `{}` ADD INDEX `{}` ({})",
        table.name,
        index.name,
        quoted(index.columns)
    )
}

fn quoted(columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    columns.join(", ")
}

/// Creates missing tables, without their indexes: for callers that fill them and call [`migrate`] afterwards.
pub(crate) async fn make_tables(session: &mut MySqlConnection) -> Result<(), Error> {
    for table in &TABLES {
        run(session, create(table, ""))
            .await
            .map_err(|error| Error::Statement(format!("make the table {}", table.name), error))?;
    }
    Ok(())
}

/// Creates missing tables and indexes; `say` receives a line for each object created or found. Idempotent, and safe to run
/// concurrently.
///
/// # Errors
/// See [`Error`]; completed steps remain.
pub async fn migrate(address: &Address, say: impl FnMut(String)) -> Result<(), Error> {
    patiently(address, Patience::default(), say).await
}

/// The same as [`migrate`], with other retries.
///
/// # Errors
/// See [`Error`]; completed steps remain.
pub async fn patiently(
    address: &Address,
    patience: Patience,
    mut say: impl FnMut(String),
) -> Result<(), Error> {
    let purpose = Purpose::Write {
        lock_wait: LOCK_WAIT,
    };
    let mut session = session::open(address, purpose)
        .await
        .map_err(Error::Connect)?;
    for table in &TABLES {
        say(one(&mut session, table, patience).await?);
    }
    say(models(&mut session).await?);
    Ok(())
}

/// The table of published models.
async fn models(session: &mut MySqlConnection) -> Result<String, Error> {
    let name = model_table::NAME;
    let columns = model_table::columns(session)
        .await
        .map_err(|error| Error::Statement(format!("look at the table {name}"), error))?;
    match model_table::missing(&columns) {
        None => Ok(format!("{name}: table is there")),
        Some(column) if !columns.is_empty() => Err(Error::NoColumn {
            table: name,
            column,
            needed: model_table::COLUMNS.join(", "),
        }),
        Some(_) => match run(session, model_table::CREATE.to_owned()).await {
            Ok(()) => Ok(format!("{name}: table made")),
            // An account that may not create it can still serve.
            Err(error) if model_table::is_denied(&error) => Ok(format!(
                "{name}: not made, since this account may not create tables; only `reckon-api train` needs it"
            )),
            Err(error) => Err(Error::Statement(format!("make the table {name}"), error)),
        },
    }
}

async fn one(
    session: &mut MySqlConnection,
    table: &'static Table,
    patience: Patience,
) -> Result<String, Error> {
    let name = table.name;
    let columns = columns(session, table).await?;
    if columns.is_empty() {
        return match run(session, create(table, &with_index(table))).await {
            Ok(()) => Ok(format!("{name}: table and index made")),
            Err(error) => Err(Error::Statement(format!("make the table {name}"), error)),
        };
    }
    for column in covering(table) {
        if !columns
            .iter()
            .any(|there| there.eq_ignore_ascii_case(column))
        {
            let needed = covering(table).join(", ");
            return Err(Error::NoColumn {
                table: name,
                column,
                needed,
            });
        }
    }
    index(session, table, patience).await
}

/// The covering index; if the category is too wide for one, an index on user and time.
async fn index(
    session: &mut MySqlConnection,
    table: &'static Table,
    patience: Patience,
) -> Result<String, Error> {
    let name = table.name;
    let covering = covering(table);
    let index = Index {
        name: COVERING,
        columns: &covering,
    };
    match add(session, table, index, patience).await? {
        Added::Now => Ok(format!("{name}: index made")),
        Added::Before => Ok(format!("{name}: index is there")),
        Added::TooWide(_) => {
            let narrow = &covering[..2];
            let index = Index {
                name: NARROW,
                columns: narrow,
            };
            let made = match add(session, table, index, patience).await? {
                Added::Now => "made",
                Added::Before => "is there",
                Added::TooWide(error) => return Err(failed(table, error)),
            };
            Ok(format!(
                "{name}: index on ({}) {made}; the column {} is too wide for an index that covers it, \
                 so each answer reads the rows themselves (VARCHAR(255) would be covered)",
                narrow.join(", "),
                table.category
            ))
        }
    }
}

#[derive(Clone, Copy)]
struct Index<'a> {
    name: &'static str,
    columns: &'a [&'static str],
}

enum Added {
    Now,
    Before,
    TooWide(sqlx::Error),
}

fn failed(table: &Table, error: sqlx::Error) -> Error {
    Error::Statement(format!("make the index of {}", table.name), error)
}

async fn add(
    session: &mut MySqlConnection,
    table: &'static Table,
    index: Index<'_>,
    patience: Patience,
) -> Result<Added, Error> {
    let statement = add_index(table, index);
    let online = format!("{statement}, ALGORITHM=INPLACE, LOCK=NONE");
    let mut pauses = patience.pauses();
    loop {
        if has_index(session, table, index.columns).await? {
            return Ok(Added::Before);
        }
        let Err(error) = run(session, online.clone()).await else {
            return Ok(Added::Now);
        };
        match number(&error) {
            // A lock timeout, or a deadlock.
            Some(1205 | 1213) => {}
            // Another session has created an index with this name in the meantime, or it was created long ago.
            Some(1061) if has_index(session, table, index.columns).await? => {
                return Ok(Added::Before);
            }
            Some(1061) => {
                return Err(Error::NameTaken {
                    table: table.name,
                    index: index.name,
                });
            }
            // Key too long; TEXT in a key.
            Some(1071 | 1170) => return Ok(Added::TooWide(error)),
            // Not supported with this algorithm, lock or engine.
            Some(1845 | 1846 | 1221 | 1478) => {
                return Err(Error::NotOnline {
                    table: table.name,
                    reason: message(&error),
                    statement,
                });
            }
            _ => return Err(failed(table, error)),
        }
        let Some(pause) = pauses.next() else {
            return Err(Error::Locked {
                table: table.name,
                attempts: patience.attempts,
            });
        };
        tokio::time::sleep(pause).await;
    }
}

async fn columns(session: &mut MySqlConnection, table: &Table) -> Result<Vec<String>, Error> {
    sqlx::query_scalar(
        "SELECT CAST(COLUMN_NAME AS CHAR) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
    )
    .bind(table.name)
    .fetch_all(session)
    .await
    .map_err(|error| Error::Statement(format!("look at the table {}", table.name), error))
}

/// A part of an index.
struct Part {
    index: String,
    /// Its column, whole and in ascending order; `None`: anything else.
    column: Option<String>,
    /// Whether the optimizer uses the index.
    is_used: bool,
}

/// Whether an index that the optimizer uses begins with exactly these whole columns, in ascending order.
async fn has_index(
    session: &mut MySqlConnection,
    table: &Table,
    columns: &[&str],
) -> Result<bool, Error> {
    let show = format!("SHOW INDEX FROM `{}`", table.name);
    let parts = session
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(show)))
        .await
        .and_then(|rows| rows.iter().map(part).collect::<Result<Vec<_>, _>>());
    match parts {
        Ok(parts) => Ok(covers(&parts, columns)),
        Err(error) => Err(Error::Statement(
            format!("inspect the indexes of {}", table.name),
            error,
        )),
    }
}

/// A row of `SHOW INDEX`. MySQL has a column for visible indexes, MariaDB one for ignored ones.
fn part(row: &MySqlRow) -> Result<Part, sqlx::Error> {
    let text = |name: &str| match row.try_get_unchecked::<Option<String>, _>(name) {
        Err(sqlx::Error::ColumnNotFound(_)) => Ok(None),
        found => found,
    };
    let is_whole = row.try_get_raw("Sub_part")?.is_null();
    let is_ascending = text("Collation")?.as_deref() == Some("A");
    let is_hidden = text("Visible")?.is_some_and(|visible| visible == "NO")
        || text("Ignored")?.is_some_and(|ignored| ignored == "YES");
    Ok(Part {
        index: text("Key_name")?.unwrap_or_default(),
        // NULL where the part is an expression.
        column: text("Column_name")?.filter(|_| is_whole && is_ascending),
        is_used: !is_hidden && text("Index_type")?.as_deref() == Some("BTREE"),
    })
}

fn covers(parts: &[Part], columns: &[&str]) -> bool {
    let is = |part: &Part, column: &str| {
        let name = part.column.as_deref();
        part.is_used && name.is_some_and(|name| name.eq_ignore_ascii_case(column))
    };
    let mut indexes = parts.chunk_by(|one, next| one.index == next.index);
    indexes.any(|parts| {
        parts.len() >= columns.len()
            && parts
                .iter()
                .zip(columns)
                .all(|(part, column)| is(part, column))
    })
}

async fn run(session: &mut MySqlConnection, statement: String) -> Result<(), sqlx::Error> {
    session
        .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
        .await?;
    Ok(())
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

fn message(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{LOCK_WAIT, Part, Patience, covers};
    use std::time::Duration;

    #[test]
    fn an_index_covers_what_its_first_columns_are() {
        let index = |name: &str, columns: &[Option<&str>], is_used| {
            let columns = columns.iter().map(|column| Part {
                index: name.to_owned(),
                column: column.map(str::to_owned),
                is_used,
            });
            columns.collect::<Vec<_>>()
        };
        let (id, at, kind) = (Some("ID"), Some("searched_at"), Some("category"));
        let wanted = ["id", "searched_at", "category"];
        for (columns, is_used, expected) in [
            (&[id, at, kind][..], true, true),
            (&[id, at, kind, Some("search")], true, true),
            (&[id, at, kind], false, false),
            (&[id, at], true, false),
            (&[at, id, kind], true, false),
            // A prefix, a descending part or an expression.
            (&[id, None, at, kind], true, false),
        ] {
            let others = index("others", &[id, at], true);
            let parts = [others, index("this", columns, is_used)]
                .into_iter()
                .flatten();
            let parts: Vec<Part> = parts.collect();
            assert_eq!(covers(&parts, &wanted), expected, "{columns:?} {is_used}");
        }
    }

    #[test]
    fn a_lock_is_asked_for_again_after_longer_and_longer_pauses() {
        let patience = Patience::default();
        let pauses: Vec<_> = patience.pauses().map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        let waits = LOCK_WAIT * patience.attempts;
        assert!(patience.pauses().sum::<Duration>() + waits < Duration::from_mins(1));
        let once = Patience {
            attempts: 1,
            ..patience
        };
        assert_eq!(once.pauses().count(), 0);
    }
}
