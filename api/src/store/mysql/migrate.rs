//! Creates missing tables (those of models and events too) and the covering indexes, while other sessions continue to
//! use the tables. It never waits long for a lock, since later sessions would wait behind it. It never copies a table.

use super::address::Address;
use super::indexes::{covers, part};
use super::session::{self, Purpose};
use super::{events_table, model_table};
use crate::model::user_id::MAX_TEXT_BYTES;
use crate::store;
use crate::store::write::{EVENTS_COLUMNS, EVENTS_TABLE};
use reckon_contract::tables::{Table, Tables, UserIdType};
use sqlx::mysql::MySqlDatabaseError;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use std::time::Duration;

/// The index that covers Reckon's queries.
const COVERING: &str = "reckon_history";
/// The same for a table of which only successful rows count. It has a different name, because a table may already have
/// the other index.
const COVERING_SUCCESS: &str = "reckon_successful";
/// The indexes if the category is too wide for the covering one. They have different names, because MySQL compares the name
/// before the width.
const NARROW: &str = "reckon_time";
const NARROW_SUCCESS: &str = "reckon_successful_time";
/// Maximum characters of the text columns of tables created here.
pub(crate) const TEXT_LENGTH: u32 = 255;
/// Maximum wait of one attempt for a table's lock: the minimum that MySQL supports. Later sessions wait behind the
/// attempt, and the API's own sessions give up after two seconds.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// Maximum pause between two attempts to get the lock.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// How long to retry for a table that other sessions keep locked.
///
/// An online `ALTER` needs the exclusive lock twice, briefly: at its start, and at its end, when the index is built. If
/// an attempt does not get the lock at its end, the built index is lost.
#[derive(Clone, Copy, Debug)]
pub struct LockRetries {
    /// Number of attempts to get the lock.
    pub attempts: u32,
    /// Pause after the first attempt; each later one is twice as long, up to 10 s.
    pub first_pause: Duration,
}

impl Default for LockRetries {
    /// The attempts take somewhat less than a minute in all, plus the time of lost builds.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_pause: Duration::from_millis(500),
        }
    }
}

impl LockRetries {
    /// The pauses after each failed attempt but the last.
    fn pauses(self) -> impl Iterator<Item = Duration> {
        let twice = |pause: &Duration| Some((*pause * 2).min(MAX_PAUSE));
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
        table: String,
        /// The missing column.
        column: String,
        /// The columns that it must have.
        needed: String,
    },
    /// Other sessions kept the table locked.
    #[error(
        "other sessions kept the table {table} locked during all {attempts} attempts of {} s, so it is unchanged: run this \
         again when no transaction keeps the table in use for longer than that; the lock is needed at the start and at the \
         end of the build",
        LOCK_WAIT.as_secs()
    )]
    Locked {
        /// The table.
        table: String,
        /// Number of attempts to get the lock.
        attempts: u32,
    },
    /// The server would have to block or copy the table.
    #[error(
        "the server cannot add the index to {table} while others use it, so the table is unchanged ({reason}); \
         create the index when the load is low: {statement}"
    )]
    NotOnline {
        /// The table.
        table: String,
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
        table: String,
        /// The name.
        index: &'static str,
    },
}

/// The clauses after the columns of a table that is created with its index.
fn with_index(table: &Table) -> String {
    let columns = quoted(&table.read_columns());
    format!(", INDEX `{}` ({columns})", covering_name(table))
}

/// The table with the columns of the mapping; by default those of the original service. Categories are compared as
/// bytes, as in the results; text ids too.
fn create(table: &Table, ids: UserIdType, index: &str) -> String {
    let Table {
        name,
        user,
        time,
        category,
        text,
        success,
        sequence,
        only_successful: _,
    } = table;
    let user_type = match ids {
        UserIdType::Integer => "BIGINT".to_owned(),
        UserIdType::Text => {
            format!("VARCHAR({MAX_TEXT_BYTES}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        }
    };
    let text = text.as_ref();
    let text = text.map(|text| format!(", `{text}` VARCHAR({TEXT_LENGTH})"));
    let success = success.as_ref();
    let success = success.map(|success| format!(", `{success}` TINYINT(1)"));
    let sequence = sequence.as_ref().map(|sequence| {
        format!(", `{sequence}` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY")
    });
    format!(
        "CREATE TABLE IF NOT EXISTS `{name}` (`{user}` {user_type} NOT NULL{}, `{time}` DATETIME, \
         `{category}` VARCHAR({TEXT_LENGTH}) COLLATE utf8mb4_bin{}{}{index}) \
         ENGINE=InnoDB CHARACTER SET utf8mb4",
        text.unwrap_or_default(),
        success.unwrap_or_default(),
        sequence.unwrap_or_default(),
    )
}

/// The name of the covering index.
fn covering_name(table: &Table) -> &'static str {
    if table.only_successful {
        COVERING_SUCCESS
    } else {
        COVERING
    }
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
pub(crate) async fn make_tables(
    session: &mut MySqlConnection,
    tables: &Tables,
) -> Result<(), Error> {
    for table in tables.existing() {
        run(session, create(&table, tables.user_id, ""))
            .await
            .map_err(|error| Error::Statement(format!("create the table {}", table.name), error))?;
    }
    Ok(())
}

/// Creates missing `tables` and indexes; `say` receives a line for each object created or found. Idempotent, and safe to run
/// concurrently.
///
/// # Errors
/// See [`Error`]; completed steps remain.
pub async fn migrate(
    address: &Address,
    tables: &Tables,
    say: impl FnMut(String),
) -> Result<(), Error> {
    with_retries(address, tables, LockRetries::default(), say).await
}

/// The same as [`migrate`], with other retries.
///
/// # Errors
/// See [`Error`]; completed steps remain.
pub async fn with_retries(
    address: &Address,
    tables: &Tables,
    retries: LockRetries,
    mut say: impl FnMut(String),
) -> Result<(), Error> {
    let purpose = Purpose::Write {
        lock_wait: LOCK_WAIT,
    };
    let mut session = session::open(address, purpose)
        .await
        .map_err(Error::Connect)?;
    for table in tables.existing() {
        say(one(&mut session, &table, tables.user_id, retries).await?);
    }
    say(models(&mut session).await?);
    say(events(&mut session).await?);
    Ok(())
}

/// The table of received events and erased users.
async fn events(session: &mut MySqlConnection) -> Result<String, Error> {
    let name = EVENTS_TABLE;
    let columns = events_table::columns(session).await.map_err(|error| {
        Error::Statement(format!("read the definition of the table {name}"), error)
    })?;
    match events_table::missing(&columns) {
        None => Ok(format!("{name}: table exists")),
        Some(column) if !columns.is_empty() => Err(Error::NoColumn {
            table: name.to_owned(),
            column: column.to_owned(),
            needed: EVENTS_COLUMNS.join(", "),
        }),
        Some(_) => match events_table::create(session).await {
            Ok(()) => Ok(format!("{name}: table created")),
            // An account that may not create the table can still serve.
            Err(error) if model_table::is_denied(&error) => Ok(format!(
                "{name}: not created, because this account may not create tables; only `events.enabled` needs it"
            )),
            Err(error) => Err(Error::Statement(format!("create the table {name}"), error)),
        },
    }
}

/// The table of published models.
async fn models(session: &mut MySqlConnection) -> Result<String, Error> {
    let name = model_table::NAME;
    let columns = model_table::columns(session).await.map_err(|error| {
        Error::Statement(format!("read the definition of the table {name}"), error)
    })?;
    match model_table::missing(&columns) {
        None => Ok(format!("{name}: table exists")),
        Some(column) if !columns.is_empty() => Err(Error::NoColumn {
            table: name.to_owned(),
            column: column.to_owned(),
            needed: model_table::COLUMNS.join(", "),
        }),
        Some(_) => match run(session, model_table::CREATE.to_owned()).await {
            Ok(()) => Ok(format!("{name}: table created")),
            // An account that may not create the table can still serve.
            Err(error) if model_table::is_denied(&error) => Ok(format!(
                "{name}: not created, because this account may not create tables; only `reckon-api train` needs it"
            )),
            Err(error) => Err(Error::Statement(format!("create the table {name}"), error)),
        },
    }
}

async fn one(
    session: &mut MySqlConnection,
    table: &Table,
    ids: UserIdType,
    retries: LockRetries,
) -> Result<String, Error> {
    let name = &table.name;
    let columns = columns(session, table).await?;
    if columns.is_empty() {
        return match run(session, create(table, ids, &with_index(table))).await {
            Ok(()) => Ok(format!("{name}: table and index created")),
            Err(error) => Err(Error::Statement(format!("create the table {name}"), error)),
        };
    }
    for column in table.read_columns() {
        if !columns
            .iter()
            .any(|there| there.eq_ignore_ascii_case(column))
        {
            return Err(Error::NoColumn {
                table: name.clone(),
                column: column.to_owned(),
                needed: table.read_columns().join(", "),
            });
        }
    }
    if is_mapped(table) && is_view(session, table).await? {
        return Ok(store::view(table));
    }
    index(session, table, retries).await
}

/// Whether the table has another name than in the original.
fn is_mapped(table: &Table) -> bool {
    [Table::searches(), Table::purchases()]
        .iter()
        .all(|original| original.name != table.name)
}

/// Creates the covering index; if the category is too wide for it, an index on user and time.
async fn index(
    session: &mut MySqlConnection,
    table: &Table,
    retries: LockRetries,
) -> Result<String, Error> {
    let name = &table.name;
    let covering = table.read_columns();
    let index = Index {
        name: covering_name(table),
        columns: &covering,
    };
    match add(session, table, index, retries).await? {
        Added::Now => Ok(format!("{name}: index created")),
        Added::Before => Ok(format!("{name}: index exists")),
        Added::TooWide(_) => {
            let narrow = &covering[..covering.len() - 1];
            let index = Index {
                name: if table.only_successful {
                    NARROW_SUCCESS
                } else {
                    NARROW
                },
                columns: narrow,
            };
            let done = match add(session, table, index, retries).await? {
                Added::Now => "created",
                Added::Before => "exists",
                Added::TooWide(error) => return Err(failed(table, error)),
            };
            Ok(format!(
                "{name}: index on ({}) {done}; the column {} is too wide for an index that covers it, \
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
    columns: &'a [&'a str],
}

enum Added {
    Now,
    Before,
    TooWide(sqlx::Error),
}

fn failed(table: &Table, error: sqlx::Error) -> Error {
    Error::Statement(format!("create the index of {}", table.name), error)
}

async fn add(
    session: &mut MySqlConnection,
    table: &Table,
    index: Index<'_>,
    retries: LockRetries,
) -> Result<Added, Error> {
    let statement = add_index(table, index);
    let online = format!("{statement}, ALGORITHM=INPLACE, LOCK=NONE");
    let mut pauses = retries.pauses();
    loop {
        if has_index(session, table, index.columns).await? {
            return Ok(Added::Before);
        }
        let Err(error) = run(session, online.clone()).await else {
            return Ok(Added::Now);
        };
        match number(&error) {
            // The attempt ended with a lock timeout or a deadlock.
            Some(1205 | 1213) => {}
            // Another session has created an index with this name in the meantime, or it was created long ago.
            Some(1061) if has_index(session, table, index.columns).await? => {
                return Ok(Added::Before);
            }
            Some(1061) => {
                return Err(Error::NameTaken {
                    table: table.name.clone(),
                    index: index.name,
                });
            }
            // The key is too long, or has a column of type TEXT.
            Some(1071 | 1170) => return Ok(Added::TooWide(error)),
            // The change is not supported with this algorithm, lock or engine.
            Some(1845 | 1846 | 1221 | 1478) => {
                return Err(Error::NotOnline {
                    table: table.name.clone(),
                    reason: message(&error),
                    statement,
                });
            }
            _ => return Err(failed(table, error)),
        }
        let Some(pause) = pauses.next() else {
            return Err(Error::Locked {
                table: table.name.clone(),
                attempts: retries.attempts,
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
    .bind(&table.name)
    .fetch_all(session)
    .await
    .map_err(|error| {
        Error::Statement(
            format!("read the definition of the table {}", table.name),
            error,
        )
    })
}

async fn is_view(session: &mut MySqlConnection, table: &Table) -> Result<bool, Error> {
    let views: Result<i64, _> = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND TABLE_TYPE = 'VIEW'",
    )
    .bind(&table.name)
    .fetch_one(session)
    .await;
    let views = views.map_err(|error| {
        Error::Statement(
            format!("read the definition of the table {}", table.name),
            error,
        )
    })?;
    Ok(views > 0)
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
    use super::{LOCK_WAIT, LockRetries};
    use crate::store::mysql::indexes::{Part, covers};
    use std::time::Duration;

    #[test]
    fn an_index_covers_its_first_columns() {
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
            // Any other part: a prefix, a descending part or an expression.
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
    fn a_lock_is_requested_again_after_growing_pauses() {
        let retries = LockRetries::default();
        let pauses: Vec<_> = retries.pauses().map(|pause| pause.as_secs_f64()).collect();
        assert_eq!(pauses, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        let waits = LOCK_WAIT * retries.attempts;
        assert!(retries.pauses().sum::<Duration>() + waits < Duration::from_mins(1));
        let once = LockRetries {
            attempts: 1,
            ..retries
        };
        assert_eq!(once.pauses().count(), 0);
    }
}
