//! The indexes of a table, as `SHOW INDEX` describes them.

use sqlx::mysql::MySqlRow;
use sqlx::{Row as _, ValueRef as _};

/// A part of an index.
pub struct Part {
    /// Name of the index.
    pub index: String,
    /// Its column, whole and in ascending order; `None`: anything else.
    pub column: Option<String>,
    /// Whether the optimizer uses the index.
    pub is_used: bool,
}

/// A row of `SHOW INDEX`. MySQL has a column for visible indexes, MariaDB one for ignored ones.
pub fn part(row: &MySqlRow) -> Result<Part, sqlx::Error> {
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
        // NULL if the part is an expression.
        column: text("Column_name")?.filter(|_| is_whole && is_ascending),
        is_used: !is_hidden && text("Index_type")?.as_deref() == Some("BTREE"),
    })
}

/// Whether an index of `parts` begins with exactly these whole columns.
pub fn covers(parts: &[Part], columns: &[&str]) -> bool {
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
