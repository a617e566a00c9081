//! The statements that read histories and probe the tables, for a mapping of names (pure except for a row's types).

use crate::store::{Error, Reason, Scope};
use reckon_contract::tables::{Table, Tables, UserIdType};
use sqlx::mysql::MySqlRow;
use sqlx::{Column as _, Row as _, TypeInfo as _};
use std::fmt::Write as _;
use std::sync::Arc;

/// Statements for one mapping.
pub struct HistoryQuery {
    /// The existing tables, each with its place within a user's branches: 0 for searches, 1 for purchases.
    tables: Vec<(usize, Table)>,
    ids: UserIdType,
    /// Opens all tables, and returns a row that has the type of each table's user ids.
    pub probe: Arc<str>,
}

impl HistoryQuery {
    pub fn new(tables: &Tables) -> Self {
        let both = [tables.searches(), tables.purchases()];
        let existing = both.into_iter().enumerate();
        let existing: Vec<(usize, Table)> = existing
            .filter_map(|(place, table)| Some((place, table?)))
            .collect();
        let probes: Vec<String> = existing.iter().map(|(_, table)| probe(table)).collect();
        Self {
            tables: existing,
            ids: tables.user_id,
            probe: format!("SELECT {}", probes.join(", ")).into(),
        }
    }

    /// How often each user is a parameter of [`HistoryQuery::select`].
    pub fn parameters(&self) -> usize {
        let each = match self.ids {
            UserIdType::Integer => 1,
            UserIdType::Text => 2,
        };
        each * self.tables.len()
    }

    /// The statement that reads the newest rows of the tables for `users` users: branch `2i` is the i-th user's searches,
    /// `2i + 1` the purchases.
    ///
    /// Categories come as the bytes of their UTF-8 text: a UNION of columns with different collations is an error.
    /// Dates are selected only as a number of days. This number is NULL for the invalid dates that some tables contain.
    pub fn select(&self, users: usize, length: u32) -> String {
        let mut statement = String::new();
        for user in 0..users {
            for (place, table) in &self.tables {
                let union = if statement.is_empty() {
                    ""
                } else {
                    " UNION ALL "
                };
                let branch = 2 * user + place;
                let Table {
                    name,
                    time,
                    category,
                    ..
                } = table;
                let condition = self.condition(table);
                write!(
                    statement,
                    "{union}(SELECT {branch}, CAST(CONVERT(`{category}` USING utf8mb4) AS BINARY), TO_DAYS(`{time}`) \
                     FROM `{name}` WHERE {condition} ORDER BY `{time}` DESC, `{category}` DESC LIMIT {length})"
                )
                .expect("a String takes any text");
            }
        }
        statement
    }

    /// Text ids are looked up in the index by the column's collation, under which different texts can be equal. The second
    /// comparison, of bytes, keeps the user's own rows only.
    fn condition(&self, table: &Table) -> String {
        let user = &table.user;
        let bytes = match self.ids {
            UserIdType::Integer => String::new(),
            UserIdType::Text => {
                format!(" AND CAST(CONVERT(`{user}` USING utf8mb4) AS BINARY) = CAST(? AS BINARY)")
            }
        };
        let success = table.success.as_ref().filter(|_| table.only_successful);
        let success = success.map_or(String::new(), |success| format!(" AND `{success}` = 1"));
        format!("`{user}` = ?{bytes}{success}")
    }

    /// Checks the types that the probe's row has.
    ///
    /// # Errors
    /// A column holds text, although user ids are integers: the server would compare floating-point numbers, so `7` would be
    /// equal to `7x`, and no index would be used.
    pub fn check_types(&self, row: &MySqlRow) -> Result<(), Error> {
        if self.ids == UserIdType::Text {
            return Ok(());
        }
        for (index, (_, table)) in self.tables.iter().enumerate() {
            let kind = row.column(2 * index).type_info().name();
            if !is_number(kind) {
                let text = format!(
                    "user ids are integers by tables.userId, but the column `{}` of `{}` is {kind}: expected `userId: Text`, or \
                     a column of integers",
                    table.user, table.name
                );
                return Err(Error {
                    reason: Reason::UserIdType,
                    scope: Scope::Statement,
                    source: text.into(),
                });
            }
        }
        Ok(())
    }
}

/// Selects two columns: the user's id, of which only the type is used, and a sum over all columns that are read.
fn probe(table: &Table) -> String {
    let Table {
        name,
        user,
        time,
        category,
        ..
    } = table;
    let success = table.success.as_ref().filter(|_| table.only_successful);
    let success = success.map_or(String::new(), |success| format!(" + COUNT(`{success}`)"));
    format!(
        "(SELECT `{user}` FROM `{name}` WHERE FALSE), \
         (SELECT COUNT(`{time}`) + COUNT(`{category}`){success} FROM `{name}` WHERE FALSE)"
    )
}

/// Whether a column of this type is compared with integers as a number.
fn is_number(kind: &str) -> bool {
    let kind = kind.trim_end_matches(" UNSIGNED");
    matches!(
        kind,
        "TINYINT"
            | "SMALLINT"
            | "MEDIUMINT"
            | "INT"
            | "BIGINT"
            | "BOOLEAN"
            | "BIT"
            | "YEAR"
            | "DECIMAL"
    )
}

#[cfg(test)]
mod tests {
    use super::HistoryQuery;
    use reckon_contract::Tuning;
    use reckon_contract::tables::Tables;

    fn mapped(yaml: &str) -> HistoryQuery {
        let tuning = Tuning::parse(&format!("tables: {yaml}")).unwrap().tuning;
        HistoryQuery::new(&tuning.tables)
    }

    #[test]
    fn each_table_is_read_in_a_separate_branch() {
        let query = HistoryQuery::new(&Tables::default());
        insta::assert_snapshot!(query.select(1, 100), @"(SELECT 0, CAST(CONVERT(`category` USING utf8mb4) AS BINARY), TO_DAYS(`searched_at`) FROM `searches` WHERE `id` = ? ORDER BY `searched_at` DESC, `category` DESC LIMIT 100) UNION ALL (SELECT 1, CAST(CONVERT(`product_category` USING utf8mb4) AS BINARY), TO_DAYS(`purchased_at`) FROM `purchase` WHERE `id` = ? ORDER BY `purchased_at` DESC, `product_category` DESC LIMIT 100)");
        assert_eq!(query.select(8, 100).matches("UNION ALL").count(), 15);
        insta::assert_snapshot!(query.probe, @"SELECT (SELECT `id` FROM `searches` WHERE FALSE), (SELECT COUNT(`searched_at`) + COUNT(`category`) FROM `searches` WHERE FALSE), (SELECT `id` FROM `purchase` WHERE FALSE), (SELECT COUNT(`purchased_at`) + COUNT(`product_category`) FROM `purchase` WHERE FALSE)");
    }

    #[test]
    fn a_mapped_table_is_read_by_its_names_and_text_ids_by_their_bytes() {
        let query = mapped(
            "{userId: Text, searches: {table: ''}, purchases: {table: order items, user: who, time: at, category: kind, \
             success: paid, onlySuccessful: true}}",
        );
        insta::assert_snapshot!(query.select(2, 5), @"(SELECT 1, CAST(CONVERT(`kind` USING utf8mb4) AS BINARY), TO_DAYS(`at`) FROM `order items` WHERE `who` = ? AND CAST(CONVERT(`who` USING utf8mb4) AS BINARY) = CAST(? AS BINARY) AND `paid` = 1 ORDER BY `at` DESC, `kind` DESC LIMIT 5) UNION ALL (SELECT 3, CAST(CONVERT(`kind` USING utf8mb4) AS BINARY), TO_DAYS(`at`) FROM `order items` WHERE `who` = ? AND CAST(CONVERT(`who` USING utf8mb4) AS BINARY) = CAST(? AS BINARY) AND `paid` = 1 ORDER BY `at` DESC, `kind` DESC LIMIT 5)");
        assert_eq!(query.parameters(), 2);
        insta::assert_snapshot!(query.probe, @"SELECT (SELECT `who` FROM `order items` WHERE FALSE), (SELECT COUNT(`at`) + COUNT(`kind`) + COUNT(`paid`) FROM `order items` WHERE FALSE)");
    }
}
