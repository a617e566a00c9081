//! The table `reckon_model` of published models: the row with the greatest id counts.

use sqlx::MySqlConnection;

/// Its name.
pub(crate) const NAME: &str = "reckon_model";
/// The columns that Reckon uses.
pub(crate) const COLUMNS: [&str; 3] = ["id", "digest", "document"];
/// Creates it if it is missing.
pub(crate) const CREATE: &str = "CREATE TABLE IF NOT EXISTS `reckon_model` (`id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, \
     `digest` CHAR(64) CHARACTER SET ascii NOT NULL, `created_at` TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
     `document` LONGBLOB NOT NULL) ENGINE=InnoDB";

/// The columns of the existing table; empty if there is none, or if the account has no privilege for it.
pub(crate) async fn columns(session: &mut MySqlConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT CAST(COLUMN_NAME AS CHAR) FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
    )
    .bind(NAME)
    .fetch_all(session)
    .await
}

/// A column that Reckon uses and an existing table lacks.
pub(crate) fn missing(columns: &[String]) -> Option<&'static str> {
    let has = |column: &str| columns.iter().any(|it| it.eq_ignore_ascii_case(column));
    COLUMNS.into_iter().find(|column| !has(column))
}

/// Whether the account lacks a privilege.
pub(crate) fn is_denied(error: &sqlx::Error) -> bool {
    matches!(super::number(error), Some(1044 | 1142 | 1143 | 1227))
}
