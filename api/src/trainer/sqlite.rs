//! SQLite: one session, in which both tables are read, and then the model is published.

use super::error::Error;
use super::window::Window;
use crate::model::Day;
use crate::store::mysql::model_table;
use crate::store::sqlite::{self, MODEL_TABLE};
use crate::trained::{MAX_BYTES, digest};
use crate::training::user::number_of_text;
use futures_util::TryStreamExt as _;
use reckon_contract::tables::{Table, UserIdType};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use std::borrow::Cow;
use std::path::Path;
use tokio::time::{Duration, timeout};

/// What `TO_SECONDS` of MySQL adds to the seconds since 1970.
const SECONDS_OF_1970: i64 = 62_167_219_200;
/// Maximum time to close the session.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);

/// The session.
pub struct Sqlite {
    session: SqliteConnection,
}

impl Sqlite {
    /// Opens the file at `path`; only for reading if `is_read_only`.
    pub async fn open(path: &Path, is_read_only: bool) -> Result<Self, Error> {
        if !path.exists() {
            return Err(Error::NoFile(path.to_owned()));
        }
        let session = if is_read_only {
            sqlite::open(path).await
        } else {
            sqlite::open_for_publishing(path).await
        };
        let session = session.map_err(|error| Error::Open(path.to_owned(), error))?;
        Ok(Self { session })
    }

    /// Ensures that there is a table for models.
    pub async fn ensure_table(&mut self) -> Result<(), Error> {
        self.run("create the table reckon_model", MODEL_TABLE)
            .await?;
        for column in model_table::COLUMNS {
            let statement = format!("SELECT {column} FROM reckon_model WHERE FALSE");
            if self
                .session
                .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                .await
                .is_err()
            {
                return Err(Error::OtherTable(column));
            }
        }
        Ok(())
    }

    /// The newest model: its digest and document.
    pub async fn published(&mut self) -> Result<Option<(String, Vec<u8>)>, Error> {
        let doing = "read the published model";
        let statement = format!(
            "SELECT CAST(digest AS TEXT), CAST(substr(CAST(document AS BLOB), 1, {}) AS BLOB) \
             FROM reckon_model ORDER BY id DESC LIMIT 1",
            MAX_BYTES + 1
        );
        let row = self.row(doing, statement).await?;
        let model = row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        model
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))
    }

    /// The newest day of a purchase that is not in the future. A day more is allowed, since times have no zone.
    pub async fn newest_day(&mut self, purchases: &Table) -> Result<Option<Day>, Error> {
        let Table { name, time, .. } = purchases;
        let doing = format!("read the newest date of {name}");
        let (seconds, successful) = (seconds(time), successful(purchases));
        let statement = format!(
            "SELECT MAX({seconds}) / 86400 FROM `{name}` \
             WHERE {seconds} < unixepoch('now') + {SECONDS_OF_1970} + 86400{successful}"
        );
        let row = self.row(doing.clone(), statement).await?;
        let day = row.map(|row| row.try_get::<Option<i32>, _>(0));
        let day = day
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))?;
        Ok(day.flatten().map(Day))
    }

    /// Begins a snapshot: from here on, later changes of rows are not visible.
    pub async fn begin_reading(&mut self) -> Result<(), Error> {
        self.run("begin a transaction", "BEGIN DEFERRED").await
    }

    /// Ends the snapshot, because its transaction would keep the write-ahead log from being merged into the file.
    pub async fn end_reading(&mut self) -> Result<(), Error> {
        self.run("end the transaction", "COMMIT").await
    }

    /// Calls `take` with user, time (as `TO_SECONDS` counts) and category of each row in the window, in any order.
    pub async fn read(
        &mut self,
        table: &Table,
        ids: UserIdType,
        window: Window,
        mut take: impl FnMut(i64, i64, Option<&str>),
    ) -> Result<(), Error> {
        let (from, to) = window.seconds();
        let statement = select(table, ids);
        let rows = sqlx::query(AssertSqlSafe(statement)).bind(from).bind(to);
        let mut rows = rows.fetch(&mut self.session);
        let reading = async {
            while let Some(row) = rows.try_next().await? {
                // Rows may always be ready, so a pause is needed in which an interruption is noticed.
                tokio::task::consume_budget().await;
                let category: Option<&[u8]> = row.try_get_unchecked(2)?;
                let category = category.map(String::from_utf8_lossy);
                let user = match ids {
                    UserIdType::Integer => row.try_get_unchecked(0)?,
                    UserIdType::Text => number_of_text(row.try_get_unchecked(0)?),
                };
                take(user, row.try_get_unchecked(1)?, category.as_deref());
            }
            Ok(())
        };
        let doing = format!("read the table {}", table.name);
        reading
            .await
            .map_err(|error| Error::Statement(doing.into(), error))
    }

    /// Publishes a document, unless a document newer than `known` was published. Deletes old documents; if `replaces`
    /// is set, also the one of `known`.
    pub async fn publish(
        &mut self,
        known: Option<&str>,
        document: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        let doing = "publish the model";
        self.run(doing, "BEGIN IMMEDIATE").await?;
        let newest = "SELECT CAST(digest AS TEXT) FROM reckon_model ORDER BY id DESC LIMIT 1";
        let newest = self.row(doing, newest.to_owned()).await?;
        let newest = newest.map(|row| row.try_get::<String, _>(0));
        let newest = newest
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))?;
        if newest.as_deref() != known {
            self.run(doing, "ROLLBACK").await?;
            return Err(Error::Overtaken);
        }
        if replaces {
            let delete = "DELETE FROM reckon_model WHERE id = (SELECT MAX(id) FROM reckon_model)";
            self.run(doing, delete).await?;
        }
        let insert = sqlx::query("INSERT INTO reckon_model (digest, document) VALUES (?, ?)")
            .bind(digest(document))
            .bind(document);
        let inserted = insert.execute(&mut self.session).await;
        inserted.map_err(|error| Error::Statement(doing.into(), error))?;
        let delete = "DELETE FROM reckon_model WHERE id NOT IN (SELECT id FROM reckon_model ORDER BY id DESC LIMIT 3)";
        self.run(doing, delete).await?;
        self.run(doing, "COMMIT").await
    }

    /// Closes the session.
    pub async fn close(self) {
        timeout(CLOSE_TIMEOUT, self.session.close()).await.ok();
    }

    async fn run(&mut self, doing: &'static str, statement: &'static str) -> Result<(), Error> {
        let done = self.session.execute(sqlx::raw_sql(statement)).await;
        done.map(|_| ())
            .map_err(|error| Error::Statement(doing.into(), error))
    }

    async fn row(
        &mut self,
        doing: impl Into<Cow<'static, str>>,
        statement: String,
    ) -> Result<Option<SqliteRow>, Error> {
        let row = sqlx::query(AssertSqlSafe(statement))
            .fetch_optional(&mut self.session)
            .await;
        row.map_err(|error| Error::Statement(doing.into(), error))
    }
}

/// The rows of a table. Each row's time is computed once.
fn select(table: &Table, ids: UserIdType) -> String {
    let Table {
        name,
        user,
        time,
        category,
        ..
    } = table;
    let id = match ids {
        UserIdType::Integer => format!("CAST(`{user}` AS INTEGER)"),
        UserIdType::Text => format!("CAST(CAST(`{user}` AS TEXT) AS BLOB)"),
    };
    format!(
        "SELECT user, seconds, category FROM (SELECT {id} AS user, {seconds} AS seconds, \
         CAST(substr(CAST(`{category}` AS TEXT), 1, 1025) AS TEXT) AS category FROM `{name}` \
         WHERE `{user}` IS NOT NULL{successful} LIMIT -1 OFFSET 0) \
         WHERE seconds >= ? AND seconds < ?",
        seconds = seconds(time),
        successful = successful(table)
    )
}

/// The condition on rows that count.
fn successful(table: &Table) -> String {
    let success = table.success.as_ref().filter(|_| table.only_successful);
    success.map_or(String::new(), |success| format!(" AND `{success}` = 1"))
}

/// A column's time as `TO_SECONDS` counts; NULL if it is no valid date.
fn seconds(time: &str) -> String {
    format!("(unixepoch(`{time}`) + {SECONDS_OF_1970})")
}
