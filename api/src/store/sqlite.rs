//! SQLite: one file, for evaluation and for single machines.

use super::{Error, Reason, Scope, Store};
use crate::model::{Day, History, UserId};
use crate::trained::{MAX_BYTES, Published};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor, Row, SqliteConnection};
use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Creates missing tables.
const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS searches (id INTEGER NOT NULL, search TEXT, searched_at TEXT, category TEXT, SUCCESS INTEGER);
    CREATE TABLE IF NOT EXISTS purchase (id INTEGER NOT NULL, product_name TEXT, purchased_at TEXT, product_category TEXT, SUCCESS INTEGER);";

/// Creates the table of published models if it is missing: the row with the greatest id counts.
pub(crate) const MODEL_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS reckon_model (id INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL,
        created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, document BLOB NOT NULL)";

/// Creates missing covering indexes.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS searches_reckon ON searches (id, searched_at, category);
    CREATE INDEX IF NOT EXISTS purchase_reckon ON purchase (id, purchased_at, product_category);";

/// Maximum wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

/// Days are counted as [`Day`] requires: 1721059.5 is the Julian day of its zero.
const HISTORY: &str = "
    SELECT 0, category, day FROM (SELECT CAST(category AS TEXT) AS category,
            CAST(julianday(searched_at, 'start of day') - 1721059.5 AS INTEGER) AS day
        FROM searches WHERE id = ?1 ORDER BY searched_at DESC, searches.category DESC LIMIT ?2)
    UNION ALL
    SELECT 1, category, day FROM (SELECT CAST(product_category AS TEXT) AS category,
            CAST(julianday(purchased_at, 'start of day') - 1721059.5 AS INTEGER) AS day
        FROM purchase WHERE id = ?1 ORDER BY purchased_at DESC, product_category DESC LIMIT ?2)";

/// A SQLite file.
pub struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    /// The store in the file at `path`, which must exist.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

/// Maximum wait for another process that writes, before a model is published.
const PUBLISHING_TIMEOUT: Duration = Duration::from_secs(30);

/// Opens the file at `path` for writing; creates a missing file, tables (that of models too) and indexes.
///
/// # Errors
/// The file cannot be created or written.
pub async fn create(path: &Path) -> Result<SqliteConnection, Error> {
    let mut session = create_tables(path).await?;
    create_indexes(&mut session).await?;
    session
        .execute(sqlx::raw_sql(MODEL_TABLE))
        .await
        .map_err(failed)?;
    // An existing table of this name may be another one.
    let columns = "SELECT id, digest, document FROM reckon_model WHERE FALSE";
    session.execute(columns).await.map_err(failed)?;
    Ok(session)
}

/// Opens the file at `path` for writing; creates a missing file and tables. For callers that fill the tables and call
/// [`create_indexes`] afterwards.
pub(crate) async fn create_tables(path: &Path) -> Result<SqliteConnection, Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    let mut session = options.connect().await.map_err(failed)?;
    session
        .execute(sqlx::raw_sql(TABLES))
        .await
        .map_err(failed)?;
    Ok(session)
}

/// Creates missing indexes.
pub(crate) async fn create_indexes(session: &mut SqliteConnection) -> Result<(), Error> {
    session
        .execute(sqlx::raw_sql(INDEXES))
        .await
        .map_err(failed)?;
    Ok(())
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
        // Checked first: a file that replaces it in between is detected by the next check.
        let file = identity(&self.path)?;
        let session = open(&self.path).await?;
        Ok(Connection {
            session,
            path: self.path.clone(),
            file,
        })
    }
}

/// A session of a SQLite file, which the driver runs on a separate thread.
pub struct Connection {
    session: SqliteConnection,
    path: PathBuf,
    file: Identity,
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
    /// An error if the path now has another file or none: the session would continue to read the old one.
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
            let query = sqlx::query(HISTORY).bind(user.0).bind(length);
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
        let statement = "SELECT id, searched_at, category FROM searches WHERE FALSE \
            UNION ALL SELECT id, purchased_at, product_category FROM purchase WHERE FALSE";
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
                // Replaced in between: the next look finds the newer one.
                None => (known.map(str::to_owned), Published::Unchanged),
            },
        )
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
