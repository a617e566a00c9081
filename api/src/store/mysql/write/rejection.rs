//! Finds the value of a multi-row INSERT that a server rejects, from the server's message.

use crate::store::mysql::number;
use crate::store::write::{Field, Rejected};
use reckon_contract::tables::Table;

/// The event whose row the server rejects; `None`: the error is of another kind. `positions` are the positions of the
/// rows' events.
pub(super) fn rejection(
    error: &sqlx::Error,
    table: &Table,
    positions: &[usize],
) -> Option<Rejected> {
    let does_not_fit = match number(error)? {
        // Data too long, out of range, incorrect string, incorrect time, truncated, incorrect value, characters that the
        // column's character set lacks.
        1406 | 1264 | 1366 | 1292 | 1265 | 1411 | 3988 => true,
        // NULL, duplicate key, foreign keys, CHECK (MySQL, MariaDB), SIGNAL of a trigger, no partition.
        1048 | 1062 | 1452 | 1216 | 3819 | 4025 | 1644 | 1526 => false,
        _ => return None,
    };
    let message = error.as_database_error()?.message();
    let only = match positions {
        [one] => Some(*one),
        _ => None,
    };
    let row = row(message).and_then(|row| positions.get(row.checked_sub(1)?));
    let index = if does_not_fit { row.copied() } else { None };
    Some(Rejected {
        index: index.or(only).and_then(|index| u16::try_from(index).ok()),
        field: does_not_fit.then(|| field(message, table)).flatten(),
        does_not_fit,
    })
}

/// The number at the end of "... at row 3".
fn row(message: &str) -> Option<usize> {
    let (_, row) = message.rsplit_once(" at row ")?;
    row.trim().parse().ok()
}

/// The field that belongs to the column in "... for column 'category' at row 1". MariaDB also writes the database and the
/// table: "`shop`.`searches`.`category`".
fn field(message: &str, table: &Table) -> Option<Field> {
    let (before, _) = message.rsplit_once(" at row ")?;
    let (_, column) = before.rsplit_once("column ")?;
    let column = column.rsplit('.').next().unwrap_or(column);
    let column = column.trim_matches(['\'', '`', '"', ' ']);
    let fields = [
        (Some(&table.user), Field::User),
        (Some(&table.time), Field::Time),
        (Some(&table.category), Field::Category),
        (table.text.as_ref(), Field::Text),
    ];
    let is_it = |name: Option<&String>| name.is_some_and(|name| column.eq_ignore_ascii_case(name));
    let mut fields = fields.into_iter();
    Some(fields.find(|(name, _)| is_it(*name))?.1)
}

#[cfg(test)]
mod tests {
    use super::{Field, field, row};
    use reckon_contract::tables::Table;

    #[test]
    fn row_and_field_are_read_from_the_messages_of_both_servers() {
        for (message, expected) in [
            ("Data too long for column 'category' at row 3", "category"),
            (
                "Incorrect string value: '\\xF0\\x9F' for column `shop`.`searches`.`search` at row 3",
                "text",
            ),
            ("Out of range value for column 'ID' at row 3", "user_id"),
            (
                "Incorrect datetime value: 'for column 'id' at row 1' for column 'searched_at' at row 3",
                "time",
            ),
        ] {
            assert_eq!(row(message), Some(3), "{message}");
            let field = field(message, &Table::searches());
            assert_eq!(field.map(Field::name), Some(expected), "{message}");
        }
        assert_eq!(row("Data too long"), None);
        assert_eq!(
            field(
                "Data too long for column 'note' at row 1",
                &Table::searches()
            ),
            None
        );
    }
}
