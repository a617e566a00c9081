//! The table `reckon_events` of received events and erased users.

use crate::store::write::{EVENTS_COLUMNS, EVENTS_TABLE, Entry, FOREVER, LOCK, literal};
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection};

/// Creates it if it is missing.
pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS `reckon_events` (`digest` BINARY(16) NOT NULL PRIMARY KEY, \
     `kind` TINYINT NOT NULL, `received_at` DATETIME(6) NOT NULL, `batch` BIGINT NOT NULL, \
     INDEX `reckon_events_received` (`received_at`)) ENGINE=InnoDB";

/// The columns of the existing table; empty if there is none, or if the account has no privilege for it.
pub(crate) async fn columns(session: &mut MySqlConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT CAST(COLUMN_NAME AS CHAR) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
    )
    .bind(EVENTS_TABLE)
    .fetch_all(session)
    .await
}

/// A column that Reckon uses and an existing table lacks.
pub(crate) fn missing(columns: &[String]) -> Option<&'static str> {
    let has = |column: &str| columns.iter().any(|it| it.eq_ignore_ascii_case(column));
    EVENTS_COLUMNS.into_iter().find(|column| !has(column))
}

/// The statement that inserts the lock row (a row without data that is only locked).
pub(crate) fn insert_lock() -> String {
    let (digest, kind) = (literal(LOCK), Entry::Lock as u8);
    format!(
        "INSERT IGNORE INTO `{EVENTS_TABLE}` (`digest`, `kind`, `received_at`, `batch`) VALUES ({digest}, {kind}, '{FOREVER}', 0)"
    )
}

/// Creates the table with the lock row.
pub(crate) async fn create(session: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    session.execute(sqlx::raw_sql(CREATE)).await?;
    session
        .execute(sqlx::raw_sql(AssertSqlSafe(insert_lock())))
        .await?;
    Ok(())
}
