//! SQLite: one file, for evaluation and for single machines.

mod new_rows;
pub mod write;

use super::new_rows::{Answer, Followed, Question};
use super::{Error, Reason, Scope, Store, view};
use crate::model::{Day, History, UserId};
use crate::trained::{MAX_BYTES, Published};
use new_rows::NewRows;
use reckon_contract::tables::{Table, Tables, UserIdType};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor, Row, SqliteConnection};
use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Creates the table of published models if it is missing: the row with the greatest id counts.
pub(crate) const MODEL_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS reckon_model (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL,
        created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, document BLOB NOT NULL)";

/// Creates the table of received events and erased users if it is missing.
const EVENTS_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS reckon_events (digest BLOB NOT NULL PRIMARY KEY, kind INTEGER NOT NULL, received_at TEXT NOT NULL,
        batch INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS reckon_events_received ON reckon_events (received_at);";

/// Maximum wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// The statements for one mapping.
struct Statements {
    /// Reads the newest rows of user `?1`, at most `?2` of each table. The first column is 0 for searches and 1 for
    /// purchases.
    history: Arc<str>,
    probe: Arc<str>,
    new_rows: NewRows,
}

impl Statements {
    fn new(tables: &Tables) -> Self {
        let both = [tables.searches(), tables.purchases()];
        let existing = || {
            (0..)
                .zip(&both)
                .filter_map(|(place, table)| Some((place, table.as_ref()?)))
        };
        let histories = existing().map(|(place, table)| history(place, table, tables.user_id));
        let probes = existing().map(|(_, table)| probe(table));
        let joined = |parts: Vec<String>| parts.join(" UNION ALL ").into();
        Self {
            history: joined(histories.collect()),
            probe: joined(probes.collect()),
            new_rows: NewRows::new(tables),
        }
    }
}

/// Days are counted as [`Day`] requires: 1721059.5 is the Julian day of its zero. Text ids are also compared byte by
/// byte, because the column may have another collation or type.
fn history(place: u8, table: &Table, ids: UserIdType) -> String {
    let Table {
        name,
        user,
        time,
        category,
        ..
    } = table;
    let bytes = match ids {
        UserIdType::Integer => String::new(),
        UserIdType::Text => format!(" AND CAST(`{user}` AS TEXT) COLLATE BINARY = ?1"),
    };
    let success = table.success.as_ref().filter(|_| table.only_successful);
    let success = success.map_or(String::new(), |success| format!(" AND `{success}` = 1"));
    format!(
        "SELECT {place}, category, day FROM (SELECT CAST(`{category}` AS TEXT) AS category, \
         CAST(julianday(`{time}`, 'start of day') - 1721059.5 AS INTEGER) AS day \
         FROM `{name}` WHERE `{user}` = ?1{bytes}{success} ORDER BY `{time}` DESC, `{name}`.`{category}` DESC LIMIT ?2)"
    )
}

fn probe(table: &Table) -> String {
    let Table {
        name,
        user,
        time,
        category,
        ..
    } = table;
    let success = table.success.as_ref().filter(|_| table.only_successful);
    let last = success.unwrap_or(category);
    format!("SELECT `{user}`, `{time}`, `{category}`, `{last}` FROM `{name}` WHERE FALSE")
}

/// A SQLite file.
pub struct Sqlite {
    path: PathBuf,
    statements: Arc<Statements>,
}

impl Sqlite {
    /// The store in `tables` of the file at `path`, which must exist.
    #[must_use]
    pub fn new(path: &Path, tables: &Tables) -> Self {
        Self {
            path: path.to_owned(),
            statements: Arc::new(Statements::new(tables)),
        }
    }
}

/// Maximum wait for another process that writes, before a model is published.
const PUBLISHING_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens the file at `path` for writing; creates a missing file, the tables with their default names (those of models and events too) and
/// indexes.
///
/// # Errors
/// The file cannot be created or written.
pub async fn create(path: &Path) -> Result<SqliteConnection, Error> {
    let (session, _) = create_mapped(path, &Tables::default()).await?;
    Ok(session)
}

/// The same with other tables. Also returns a line for each table that is a view, because a view cannot have an index.
///
/// # Errors
/// The file cannot be created or written, or a table lacks a column.
pub async fn create_mapped(
    path: &Path,
    tables: &Tables,
) -> Result<(SqliteConnection, Vec<String>), Error> {
    let mut session = create_tables(path, tables).await?;
    let views = create_indexes(&mut session, tables).await?;
    session
        .execute(sqlx::raw_sql(MODEL_TABLE))
        .await
        .map_err(failed)?;
    session
        .execute(sqlx::raw_sql(EVENTS_TABLE))
        .await
        .map_err(failed)?;
    // Existing tables with these names may not be Reckon's.
    let columns = "SELECT id, digest, document FROM reckon_model WHERE FALSE";
    session.execute(columns).await.map_err(failed)?;
    let columns = "SELECT digest, kind, received_at, batch FROM reckon_events WHERE FALSE";
    session.execute(columns).await.map_err(failed)?;
    Ok((session, views))
}

/// Opens the file at `path` for writing; creates a missing file and tables. For callers that fill the tables and call
/// [`create_indexes`] afterwards.
pub(crate) async fn create_tables(path: &Path, tables: &Tables) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut session = options.connect().await.map_err(failed)?;
    for table in tables.existing() {
        let statement = create_table(&table, tables.user_id);
        let created = session.execute(sqlx::raw_sql(AssertSqlSafe(statement)));
        created.await.map_err(failed)?;
    }
    Ok(session)
}

fn create_table(table: &Table, ids: UserIdType) -> String {
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
        UserIdType::Integer => "INTEGER",
        UserIdType::Text => "TEXT",
    };
    let text = text.as_ref().map(|text| format!(", `{text}` TEXT"));
    let success = success.as_ref();
    let success = success.map(|success| format!(", `{success}` INTEGER"));
    let sequence = sequence.as_ref();
    let sequence =
        sequence.map(|sequence| format!(", `{sequence}` INTEGER PRIMARY KEY AUTOINCREMENT"));
    format!(
        "CREATE TABLE IF NOT EXISTS `{name}` (`{user}` {user_type} NOT NULL{}, `{time}` TEXT, `{category}` TEXT{}{})",
        text.unwrap_or_default(),
        success.unwrap_or_default(),
        sequence.unwrap_or_default()
    )
}

/// Creates missing indexes. Returns a line for each table that is a view.
pub(crate) async fn create_indexes(
    session: &mut SqliteConnection,
    tables: &Tables,
) -> Result<Vec<String>, Error> {
    let mut views = Vec::new();
    for table in tables.existing() {
        if is_view(session, &table).await.map_err(failed)? {
            views.push(view(&table));
            continue;
        }
        let statement = create_index(&table);
        let created = session.execute(sqlx::raw_sql(AssertSqlSafe(statement)));
        created.await.map_err(failed)?;
    }
    Ok(views)
}

/// Whether there is a view of this name.
pub(crate) async fn is_view(
    session: &mut SqliteConnection,
    table: &Table,
) -> Result<bool, sqlx::Error> {
    let select =
        "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'view' AND name = ? COLLATE NOCASE";
    let views: i64 = sqlx::query_scalar(select)
        .bind(&table.name)
        .fetch_one(session)
        .await?;
    Ok(views > 0)
}

/// Names of indexes are unique in the file, and an index of the same name on other columns would count as this one. So
/// if an index is not on the default columns, its name contains the columns.
fn create_index(table: &Table) -> String {
    let columns = table.read_columns();
    let is_default = [Table::searches(), Table::purchases()]
        .iter()
        .any(|default| default.name == table.name && default.read_columns() == columns);
    let mut index = format!("{}_reckon", table.name);
    if !is_default {
        index = format!("{index}_{}", columns.join("_"));
    }
    let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    format!(
        "CREATE INDEX IF NOT EXISTS `{index}` ON `{}` ({})",
        table.name,
        columns.join(", ")
    )
}

/// Opens the file at `path`, which must exist, for reading, and for writing a model.
pub(crate) async fn open_for_publishing(path: &Path) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(PUBLISHING_TIMEOUT)
        .disable_statement_logging();
    options.connect().await.map_err(failed)
}

/// Opens the file at `path`, which must exist, for reading.
pub(crate) async fn open(path: &Path) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .pragma("query_only", "on")
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    options.connect().await.map_err(failed)
}

impl Store for Sqlite {
    type Connection = Connection;

    const USERS_PER_STATEMENT: usize = 1;

    fn statement_limit(&self) -> Duration {
        BUSY_TIMEOUT
    }

    async fn connect(&self) -> Result<Connection, Error> {
        // The identity is read before the file is opened. If the file is replaced in between, the next check detects
        // it.
        let file = identity(&self.path)?;
        let session = open(&self.path).await?;
        Ok(Connection {
            session,
            path: self.path.clone(),
            file,
            statements: Arc::clone(&self.statements),
        })
    }
}

/// A session of a SQLite file, which the driver runs on a separate thread.
pub struct Connection {
    session: SqliteConnection,
    path: PathBuf,
    file: Identity,
    statements: Arc<Statements>,
}

/// Device and inode of a file: unique as long as this file is open.
type Identity = (u64, u64);

fn identity(path: &Path) -> Result<Identity, Error> {
    let file = std::fs::metadata(path).map_err(|error| gone(error.into()))?;
    Ok((file.dev(), file.ino()))
}

fn gone(source: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error {
        reason: Reason::Unreachable,
        scope: Scope::Session,
        source,
    }
}

impl Connection {
    /// Returns an error if the path now has another file or none, because the session would continue to read the old
    /// file.
    fn check_file(&self) -> Result<(), Error> {
        if identity(&self.path)? == self.file {
            return Ok(());
        }
        Err(gone("the file was replaced by another one".into()))
    }
}

impl super::Connection for Connection {
    async fn histories(&mut self, users: &[UserId], length: u32) -> Result<Vec<History>, Error> {
        self.check_file()?;
        let mut histories = Vec::with_capacity(users.len());
        for user in users {
            let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.statements.history)));
            let query = match user {
                UserId::Integer(id) => query.bind(*id),
                // The id is greater than any integer of SQLite.
                UserId::Unsigned(id) => query.bind(id.to_string()),
                UserId::Text(id) => query.bind(id.to_string()),
            };
            let query = query.bind(length);
            let mut history = History::default();
            for row in query.fetch_all(&mut self.session).await.map_err(failed)? {
                let branch: i64 = row.try_get(0).map_err(failed)?;
                let category: Option<&str> = row.try_get(1).map_err(failed)?;
                let day: Option<i32> = row.try_get(2).map_err(failed)?;
                let column = if branch == 0 {
                    &mut history.searches
                } else {
                    &mut history.purchases
                };
                column.push(category, day.map(Day));
            }
            histories.push(history);
        }
        Ok(histories)
    }

    async fn probe(&mut self) -> Result<(), Error> {
        self.check_file()?;
        let statement = sqlx::raw_sql(AssertSqlSafe(Arc::clone(&self.statements.probe)));
        self.session.execute(statement).await.map_err(failed)?;
        Ok(())
    }

    async fn model(&mut self, known: Option<&str>) -> Result<(Option<String>, Published), Error> {
        let newest = "SELECT CAST(digest AS TEXT) FROM reckon_model ORDER BY id DESC LIMIT 1";
        let digest: Option<String> =
            match sqlx::query(newest).fetch_optional(&mut self.session).await {
                Ok(row) => row.map(|row| row.try_get(0)).transpose().map_err(failed)?,
                Err(error) if error.to_string().contains("no such table") => None,
                Err(error) => return Err(failed(error)),
            };
        let Some(digest) = digest else {
            return Ok((None, Published::Nothing));
        };
        if known == Some(&*digest) {
            return Ok((Some(digest), Published::Unchanged));
        }
        // One byte more than a model may have is enough to reject it.
        let document = format!(
            "SELECT CAST(substr(CAST(document AS BLOB), 1, {}) AS BLOB) FROM reckon_model WHERE digest = ? LIMIT 1",
            MAX_BYTES + 1
        );
        let query = sqlx::query(AssertSqlSafe(document)).bind(&digest);
        let row = query
            .fetch_optional(&mut self.session)
            .await
            .map_err(failed)?;
        Ok(
            match row.map(|row| row.try_get(0)).transpose().map_err(failed)? {
                Some(document) => (Some(digest), Published::Document(document)),
                // The model was replaced in between. The next look finds the newer one.
                None => (known.map(str::to_owned), Published::Unchanged),
            },
        )
    }

    async fn new_rows(&mut self, of: Followed, question: &Question) -> Result<Answer, Error> {
        self.check_file()?;
        let new_rows = &self.statements.new_rows;
        let answer = new_rows.answer(&mut self.session, of, question).await;
        answer.map_err(failed)
    }

    async fn ping(&mut self) -> Result<(), Error> {
        self.check_file()
    }

    fn describe(&self) -> String {
        "SQLite".to_owned()
    }

    async fn close(self) {
        self.session.close().await.ok();
    }
}

fn failed(error: sqlx::Error) -> Error {
    let text = error.to_string();
    let (reason, scope) = if text.contains("no such table") || text.contains("no such column") {
        (Reason::SchemaMismatch, Scope::Statement)
    } else if text.contains("database is locked") {
        (Reason::Timeout, Scope::Statement)
    } else if text.contains("unable to open") {
        (Reason::Unreachable, Scope::Session)
    } else {
        (Reason::Other, Scope::Session)
    };
    Error {
        reason,
        scope,
        source: error.into(),
    }
}
