//! Inspects the tables before anything is written.

use super::columns::{ColumnInfo, Ids, TableLimits};
use super::constraints;
use super::journal::{self, Entry};
use super::session::Session;
use crate::store::location::Location;
use crate::store::sqlite;
use anyhow::{Context as _, bail};
use reckon_contract::tables::{Table, UserIdType};
use sqlx::mysql::MySqlRow;
use sqlx::{MySqlConnection, Row as _, SqliteConnection};

/// The current state of a table.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its limits.
    pub limits: TableLimits,
    /// Number of rows. An import that appends does not count them, and only needs whether there are any.
    pub rows: u64,
    /// The progress of an earlier import into it.
    pub entry: Option<Entry>,
}

/// Inspects a table; a missing one is described as it will be created.
///
/// # Errors
/// The database is unavailable, or the table cannot be imported into.
pub async fn look(
    location: &Location,
    table: &Table,
    ids: UserIdType,
    append: bool,
) -> anyhow::Result<Found> {
    let new = match location {
        Location::MySql(_) => TableLimits::new_table(),
        Location::Sqlite(_) => TableLimits::new_file(),
    };
    let absent = Found {
        limits: TableLimits {
            id: Ids::new_column(ids),
            ..new
        },
        rows: 0,
        entry: None,
    };
    let Some(mut session) = Session::look(location).await? else {
        return Ok(absent);
    };
    let (columns, constraints) = match &mut session {
        Session::MySql(session) => {
            refuse_others(session, table).await?;
            on_server(session, table).await
        }
        Session::Sqlite(session) => {
            refuse_view(session, table).await?;
            in_file(session, table).await
        }
    }
    .with_context(|| format!("failed to inspect the table {}", table.name))?;
    let entry = journal::entry(&mut session, table)
        .await
        .context("failed to look for an interrupted import")?;
    if columns.is_empty() {
        return Ok(Found { entry, ..absent });
    }
    let mut limits = TableLimits::from_columns(table, ids, &columns)?;
    limits.unchecked.extend(constraints);
    Ok(Found {
        limits,
        rows: rows(&mut session, table, append && entry.is_none())
            .await
            .with_context(|| format!("failed to count the rows of {}", table.name))?,
        entry,
    })
}

/// The table's number of rows; at most one if `any` is set, since counting reads all of them.
async fn rows(session: &mut Session, table: &Table, any: bool) -> Result<u64, sqlx::Error> {
    let name = &table.name;
    let select = if any {
        format!("SELECT COUNT(*) FROM (SELECT 1 FROM `{name}` LIMIT 1) AS first_row")
    } else {
        format!("SELECT COUNT(*) FROM `{name}`")
    };
    let count: Option<(i64,)> = session.row(select).await?;
    Ok(count.map_or(0, |(count,)| count.cast_unsigned()))
}

/// Rejects a view, and a table whose engine has no transactions.
async fn refuse_others(session: &mut MySqlConnection, table: &Table) -> anyhow::Result<()> {
    let found: Option<(Option<String>, i64)> = sqlx::query_as(
        "SELECT CAST(TABLES.ENGINE AS CHAR), CAST(COALESCE(TRANSACTIONS, 'NO') = 'YES' AS SIGNED) \
         FROM information_schema.TABLES LEFT JOIN information_schema.ENGINES ON ENGINES.ENGINE = TABLES.ENGINE \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
    )
    .bind(&table.name)
    .fetch_optional(session)
    .await
    .with_context(|| format!("failed to inspect the table {}", table.name))?;
    let name = &table.name;
    match found {
        Some((None, _)) => bail!("{name} is a view: an import needs the table itself"),
        Some((Some(engine), 0)) => bail!(
            "the table {name} uses the engine {engine}, which has no transactions, so that an import could leave half a chunk behind; \
             convert it first: ALTER TABLE `{name}` ENGINE=InnoDB (copies the table)"
        ),
        Some(_) | None => Ok(()),
    }
}

async fn refuse_view(session: &mut SqliteConnection, table: &Table) -> anyhow::Result<()> {
    let name = &table.name;
    let is_view = sqlite::is_view(session, table)
        .await
        .with_context(|| format!("failed to inspect the table {name}"))?;
    if is_view {
        bail!("{name} is a view: an import needs the table itself");
    }
    Ok(())
}

/// The columns of a table, and the constraints that may reject a row.
type Inspected = (Vec<ColumnInfo>, Vec<String>);

async fn on_server(session: &mut MySqlConnection, table: &Table) -> Result<Inspected, sqlx::Error> {
    let columns = of_server(session, table).await?;
    if columns.is_empty() {
        return Ok((columns, Vec::new()));
    }
    let constraints = constraints::of_server(session, table, &columns).await?;
    Ok((columns, constraints))
}

async fn in_file(session: &mut SqliteConnection, table: &Table) -> Result<Inspected, sqlx::Error> {
    let columns = of_file(session, table).await?;
    let constraints = constraints::of_file(session, table).await?;
    Ok((columns, constraints))
}

async fn of_server(
    session: &mut MySqlConnection,
    table: &Table,
) -> Result<Vec<ColumnInfo>, sqlx::Error> {
    let columns = sqlx::query(
        "SELECT CAST(COLUMN_NAME AS CHAR) AS name, CAST(LOWER(DATA_TYPE) AS CHAR) AS kind, \
             CAST(COLUMN_TYPE LIKE '%unsigned%' AS SIGNED) AS is_unsigned, CAST(IS_NULLABLE = 'YES' AS SIGNED) AS nullable, \
             CAST(IS_NULLABLE = 'NO' AND COLUMN_DEFAULT IS NULL AND EXTRA NOT LIKE '%auto_increment%' \
                 AND EXTRA NOT LIKE '%GENERATED%' AS SIGNED) AS needs_value, \
             CAST(CHARACTER_MAXIMUM_LENGTH AS SIGNED) AS characters, CAST(CHARACTER_OCTET_LENGTH AS SIGNED) AS bytes, \
             CAST(CHARACTER_SET_NAME AS CHAR) AS character_set, CAST(DATETIME_PRECISION AS SIGNED) AS fraction, \
             CAST(NUMERIC_PRECISION AS SIGNED) - CAST(COALESCE(NUMERIC_SCALE, 0) AS SIGNED) AS digits, \
             CAST(EXTRA LIKE '%VIRTUAL GENERATED%' OR EXTRA LIKE '%STORED GENERATED%' AS SIGNED) AS is_generated, \
             CAST(EXTRA LIKE '%auto_increment%' AS SIGNED) AS is_numbered \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
    )
    .bind(&table.name)
    .fetch_all(session)
    .await?;
    columns.iter().map(described).collect()
}

fn described(row: &MySqlRow) -> Result<ColumnInfo, sqlx::Error> {
    let number = |name: &str| row.try_get::<Option<i64>, _>(name);
    let is = |name: &str| Ok::<_, sqlx::Error>(number(name)? == Some(1));
    Ok(ColumnInfo {
        name: row.try_get("name")?,
        kind: row.try_get("kind")?,
        affinity: String::new(),
        unsigned: is("is_unsigned")?,
        nullable: is("nullable")?,
        needs_value: is("needs_value")?,
        characters: number("characters")?.map(i64::cast_unsigned),
        bytes: number("bytes")?.map(i64::cast_unsigned),
        character_set: row.try_get("character_set")?,
        fraction: number("fraction")?.and_then(|digits| digits.try_into().ok()),
        digits: number("digits")?.and_then(|digits| digits.try_into().ok()),
        generated: is("is_generated")?,
        auto_increment: is("is_numbered")?,
    })
}

async fn of_file(
    session: &mut SqliteConnection,
    table: &Table,
) -> Result<Vec<ColumnInfo>, sqlx::Error> {
    // A primary key of a single integer column is generated automatically. The type does not limit the values, but strings that
    // look like numbers become numbers, unless the type contains one of these words (https://sqlite.org/datatype3.html).
    let select = "SELECT name, \"notnull\" = 0, \
             \"notnull\" AND dflt_value IS NULL AND NOT (pk AND UPPER(type) = 'INTEGER') AND hidden NOT IN (2, 3), \
             hidden IN (2, 3), \
             CASE WHEN type LIKE '%INT%' THEN type \
                 WHEN type = '' OR type LIKE '%CHAR%' OR type LIKE '%CLOB%' OR type LIKE '%TEXT%' OR type LIKE '%BLOB%' THEN '' \
                 ELSE type END \
         FROM pragma_table_xinfo(?)";
    let columns: Vec<(String, bool, bool, bool, String)> = sqlx::query_as(select)
        .bind(&table.name)
        .fetch_all(session)
        .await?;
    let described = columns.into_iter().map(|column| {
        let (name, nullable, needs_value, generated, affinity) = column;
        ColumnInfo {
            name,
            affinity,
            nullable,
            needs_value,
            generated,
            ..ColumnInfo::default()
        }
    });
    Ok(described.collect())
}
