//! A session that writes, in either database.

use super::columns::Column;
use super::rows::Row;
use crate::model::UserId;
use crate::store::location::Location;
use crate::store::mysql::session::{self, Purpose};
use crate::store::mysql::{Address, migrate};
use crate::store::sqlite;
use anyhow::Context as _;
use reckon_contract::tables::{Table, Tables};
use sqlx::mysql::MySqlRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Connection as _, Database, Encode, Executor as _, FromRow, MySql,
    MySqlConnection, QueryBuilder, Sqlite, SqliteConnection, Type, raw_sql,
};
use std::time::Duration;

/// Maximum wait for a table that another session has locked.
const LOCK_WAIT: Duration = Duration::from_mins(1);
/// Rows of one statement; 5 values each, and SQLite accepts 32,766.
const ROWS: usize = 1000;
/// If the strings of a statement exceed this many bytes, the statement gets no further row, because servers limit the
/// size of a packet (16 MiB).
const BYTES: usize = 1 << 20;

/// A session.
pub enum Session {
    /// A session of a server.
    MySql(MySqlConnection),
    /// A session of a file.
    Sqlite(SqliteConnection),
}

impl Session {
    /// Opens the database unchanged, to inspect it; `None` if there is no file yet.
    pub async fn look(location: &Location) -> anyhow::Result<Option<Self>> {
        match location {
            Location::MySql(address) => Ok(Some(Self::MySql(connect(address).await?))),
            Location::Sqlite(path) if path.exists() => {
                let session = sqlite::open(path).await;
                Ok(Some(Self::Sqlite(session.with_context(|| {
                    format!("failed to open {}", path.display())
                })?)))
            }
            Location::Sqlite(_) => Ok(None),
        }
    }

    /// Opens the database for writing; creates missing `tables`, but not their indexes.
    pub async fn write(location: &Location, tables: &Tables) -> anyhow::Result<Self> {
        match location {
            Location::MySql(address) => {
                let mut session = connect(address).await?;
                migrate::make_tables(&mut session, tables).await?;
                Ok(Self::MySql(session))
            }
            Location::Sqlite(path) => {
                if let Some(directory) = path.parent() {
                    std::fs::create_dir_all(directory)
                        .with_context(|| format!("failed to create {}", directory.display()))?;
                }
                let session = sqlite::create_tables(path, tables).await;
                Ok(Self::Sqlite(session.with_context(|| {
                    format!("failed to open {} for writing", path.display())
                })?))
            }
        }
    }

    /// Closes the session; SQLite then merges the write-ahead log into the file.
    pub async fn close(self) {
        match self {
            Self::MySql(session) => session.close().await.ok(),
            Self::Sqlite(session) => session.close().await.ok(),
        };
    }

    /// The clauses after the columns of a new table, which give the table transactions and all of Unicode.
    pub fn table_options(&self) -> &'static str {
        match self {
            Self::MySql(_) => " ENGINE=InnoDB CHARACTER SET utf8mb4",
            Self::Sqlite(_) => "",
        }
    }

    /// Whether the database has the table.
    pub async fn has_table(&mut self, name: &'static str) -> Result<bool, sqlx::Error> {
        let select = match self {
            Self::MySql(_) => {
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = "
            }
            Self::Sqlite(_) => {
                "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = "
            }
        };
        let count: Option<(i64,)> = self.row(format!("{select}'{name}'")).await?;
        Ok(count.is_some_and(|(count,)| count > 0))
    }

    /// Runs a statement; returns the number of changed rows.
    pub async fn run(&mut self, statement: impl Into<String>) -> Result<u64, sqlx::Error> {
        let statement = raw_sql(AssertSqlSafe(statement.into()));
        Ok(match self {
            Self::MySql(session) => session.execute(statement).await?.rows_affected(),
            Self::Sqlite(session) => session.execute(statement).await?.rows_affected(),
        })
    }

    /// Runs a statement with `texts` as the values of its question marks; returns the number of rows found.
    pub async fn run_with(
        &mut self,
        statement: String,
        texts: &[&str],
    ) -> Result<u64, sqlx::Error> {
        let statement = AssertSqlSafe(statement);
        Ok(match self {
            Self::MySql(session) => {
                let query = texts
                    .iter()
                    .fold(sqlx::query(statement), |it, text| it.bind(*text));
                query.execute(session).await?.rows_affected()
            }
            Self::Sqlite(session) => {
                let query = texts
                    .iter()
                    .fold(sqlx::query(statement), |it, text| it.bind(*text));
                query.execute(session).await?.rows_affected()
            }
        })
    }

    /// The first row of a statement's result.
    pub async fn row<T>(&mut self, statement: String) -> Result<Option<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, MySqlRow> + for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let statement = AssertSqlSafe(statement);
        match self {
            Self::MySql(session) => sqlx::query_as(statement).fetch_optional(session).await,
            Self::Sqlite(session) => sqlx::query_as(statement).fetch_optional(session).await,
        }
    }

    /// Begins a transaction that will write.
    pub async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let begin = match self {
            Self::MySql(_) => "START TRANSACTION",
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
        };
        self.run(begin).await.map(|_| ())
    }

    /// Writes the `columns` of `rows`, in their order.
    pub async fn insert(
        &mut self,
        table: &Table,
        columns: &[Column],
        mut rows: &[Row],
    ) -> Result<(), sqlx::Error> {
        while !rows.is_empty() {
            let (some, rest) = rows.split_at(fitting(rows));
            // Statements of the usual size are prepared once.
            let keep = some.len() == ROWS;
            match self {
                Self::MySql(session) => {
                    let mut insert = statement::<MySql>(table, columns, some);
                    insert.build().persistent(keep).execute(session).await?;
                }
                Self::Sqlite(session) => {
                    let mut insert = statement::<Sqlite>(table, columns, some);
                    insert.build().persistent(keep).execute(session).await?;
                }
            }
            rows = rest;
        }
        Ok(())
    }
}

async fn connect(address: &Address) -> anyhow::Result<MySqlConnection> {
    let purpose = Purpose::Write {
        lock_wait: LOCK_WAIT,
    };
    session::open(address, purpose)
        .await
        .context("failed to connect to the database")
}

/// How many of the rows fit into one statement: at least one.
fn fitting(rows: &[Row]) -> usize {
    let mut bytes = 0;
    let full = rows.iter().take(ROWS).position(|row| {
        bytes += [&row.text, &row.category]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>();
        bytes > BYTES
    });
    full.map_or(rows.len().min(ROWS), |place| place.max(1))
}

fn statement<'q, D: Database>(table: &Table, columns: &[Column], rows: &'q [Row]) -> QueryBuilder<D>
where
    i64: Encode<'q, D> + Type<D>,
    String: Encode<'q, D> + Type<D>,
    &'q str: Encode<'q, D> + Type<D>,
    Option<&'q str>: Encode<'q, D> + Type<D>,
    Option<bool>: Encode<'q, D> + Type<D>,
{
    let names = columns.iter().filter_map(|column| column.name(table));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let start = format!("INSERT INTO `{}` ({}) ", table.name, names.join(", "));
    let mut query = QueryBuilder::new(start);
    query.push_values(rows, |mut values, row| {
        for column in columns {
            match column {
                Column::Id => match &row.id {
                    UserId::Integer(id) => values.push_bind(*id),
                    // Stored as text, because SQLite has no such integers.
                    UserId::Unsigned(id) => values.push_bind(id.to_string()),
                    UserId::Text(id) => values.push_bind(&**id),
                },
                Column::Text => values.push_bind(row.text.as_deref()),
                Column::Time => values.push_bind(row.time.as_str()),
                Column::Category => values.push_bind(row.category.as_deref()),
                Column::Success => values.push_bind(row.success),
            };
        }
    });
    query
}

#[cfg(test)]
mod tests {
    use super::{BYTES, ROWS, fitting};
    use crate::import::rows::Row;
    use crate::model::UserId;

    #[test]
    fn statements_are_limited_in_rows_and_bytes() {
        let row = |length: usize| Row {
            id: UserId::Integer(1),
            text: Some("x".repeat(length)),
            time: String::new(),
            category: None,
            success: None,
        };
        assert_eq!(fitting(&vec![row(1); 3]), 3);
        assert_eq!(fitting(&vec![row(1); ROWS + 3]), ROWS);
        assert_eq!(fitting(&vec![row(BYTES / 2); 5]), 2);
        assert_eq!(fitting(&vec![row(BYTES + 1); 5]), 1);
    }
}
