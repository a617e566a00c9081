//! The names of the tables and columns with searches and purchases in the database.

use crate::check::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pattern of names in schemas: no backtick, which quotes them in SQL, and no control character.
pub(crate) const NAME_PATTERN: &str = r"^[^`\x00-\x1f]*$";

/// Whether `name` matches [`NAME_PATTERN`].
pub(crate) fn is_name(name: &str) -> bool {
    !name.contains(|character| character == '`' || character < ' ')
}

/// The tables with searches and purchases. The defaults are the names that the service which Reckon replaces used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Tables {
    /// Type of user ids.
    pub user_id: UserIdType,
    /// The table or view with what users searched for.
    pub searches: TableNames,
    /// The table or view with what users bought.
    pub purchases: TableNames,
}

/// Type of user ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UserIdType {
    /// Integers of 64 bits. The columns must be of an integer type.
    #[default]
    Integer,
    /// Text of 1 to 64 bytes, compared byte by byte whatever the column's collation is.
    Text,
}

/// Names of a table or view and of its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TableNames {
    /// Name of the table or view. Default: `searches`, or for purchases `purchase`. Empty: there is no such table.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = NAME_PATTERN))]
    pub table: Option<String>,
    /// Name of the column with the user's id. Default: `id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = NAME_PATTERN))]
    pub user: Option<String>,
    /// Name of the column with the date and time. Default: `searched_at`, or for purchases `purchased_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = NAME_PATTERN))]
    pub time: Option<String>,
    /// Name of the column with the category. Default: `category`, or for purchases `product_category`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = NAME_PATTERN))]
    pub category: Option<String>,
    /// Name of the column with the search string or the product's name; only written. Default: `search` or `product_name` if
    /// `table` is not set, otherwise none. Empty: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = NAME_PATTERN))]
    pub text: Option<String>,
    /// Name of the column that is 1 for a successful search or purchase. Default: `SUCCESS` if `table` is not set, otherwise
    /// none. Empty: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = NAME_PATTERN))]
    pub success: Option<String>,
    /// Whether only rows whose `success` is 1 count. Default false.
    pub only_successful: bool,
    /// Name of an indexed column of non-negative integers whose value grows with each new row. `freshness` follows new rows by
    /// it. Default: the `AUTO_INCREMENT` column, if the table has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = NAME_PATTERN))]
    pub sequence: Option<String>,
}

/// One table with all its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// The user's id.
    pub user: String,
    /// When it happened.
    pub time: String,
    /// The category.
    pub category: String,
    /// The search string, or the product's name.
    pub text: Option<String>,
    /// 1 for a successful search or purchase.
    pub success: Option<String>,
    /// Whether only rows whose `success` is 1 count.
    pub only_successful: bool,
    /// An indexed column whose value grows with each new row.
    pub sequence: Option<String>,
}

impl Table {
    /// The table `searches` with its default names.
    #[must_use]
    pub fn searches() -> Self {
        Self {
            name: "searches".to_owned(),
            user: "id".to_owned(),
            time: "searched_at".to_owned(),
            category: "category".to_owned(),
            text: Some("search".to_owned()),
            success: Some("SUCCESS".to_owned()),
            only_successful: false,
            sequence: None,
        }
    }

    /// The table `purchase` with its default names.
    #[must_use]
    pub fn purchases() -> Self {
        Self {
            name: "purchase".to_owned(),
            time: "purchased_at".to_owned(),
            category: "product_category".to_owned(),
            text: Some("product_name".to_owned()),
            ..Self::searches()
        }
    }

    /// The columns that are read, in the order in which an index finds and sorts the rows of a user.
    #[must_use]
    pub fn read_columns(&self) -> Vec<&str> {
        let success = self.success.as_deref().filter(|_| self.only_successful);
        let columns = [
            Some(&*self.user),
            success,
            Some(&self.time),
            Some(&self.category),
        ];
        columns.into_iter().flatten().collect()
    }

    /// `None`: there is no such table.
    fn named(names: &TableNames, default: Self) -> Option<Self> {
        let is_default = names.table.is_none();
        let required = |name: &Option<String>, default| name.clone().unwrap_or(default);
        let optional = |name: &Option<String>, default: Option<String>| {
            let name = name.clone().or(default.filter(|_| is_default));
            name.filter(|name| !name.is_empty())
        };
        let name = required(&names.table, default.name);
        (!name.is_empty()).then(|| Self {
            name,
            user: required(&names.user, default.user),
            time: required(&names.time, default.time),
            category: required(&names.category, default.category),
            text: optional(&names.text, default.text),
            success: optional(&names.success, default.success),
            only_successful: names.only_successful,
            sequence: names.sequence.clone(),
        })
    }
}

impl Tables {
    /// The table with searches; `None` if there is none.
    #[must_use]
    pub fn searches(&self) -> Option<Table> {
        Table::named(&self.searches, Table::searches())
    }

    /// The table with purchases; `None` if there is none.
    #[must_use]
    pub fn purchases(&self) -> Option<Table> {
        Table::named(&self.purchases, Table::purchases())
    }

    /// The existing tables: searches, then purchases.
    #[must_use]
    pub fn existing(&self) -> Vec<Table> {
        let both = [self.searches(), self.purchases()];
        both.into_iter().flatten().collect()
    }

    /// Whether this is the mapping of the defaults, with the same type of ids.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn contradictions(&self) -> Vec<Problem> {
        let tables = [
            ("searches", self.searches()),
            ("purchases", self.purchases()),
        ];
        if tables.iter().all(|(_, table)| table.is_none()) {
            let sentence =
                "has no table: expected a name for tables.searches.table or tables.purchases.table";
            return vec![Problem::new("tables", sentence)];
        }
        let lacks = |table: &Table| table.only_successful && table.success.is_none();
        let lacking = tables
            .iter()
            .filter(|(_, table)| table.as_ref().is_some_and(lacks));
        lacking
            .map(|(field, _)| {
                let path = format!("tables.{field}.onlySuccessful");
                let sentence =
                    format!("is true: expected the name of a column in tables.{field}.success");
                Problem::new(&path, sentence)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Tables};
    use crate::Tuning;

    fn tables(yaml: &str) -> Result<Tables, String> {
        Tuning::parse_tables(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_mapping_the_names_are_those_of_the_original_service() {
        let tables = Tables::default();
        assert_eq!(tables.searches(), Some(Table::searches()));
        assert_eq!(tables.purchases(), Some(Table::purchases()));
        assert!(tables.is_default());
    }

    #[test]
    fn a_mapped_table_has_only_the_columns_that_it_names() {
        let tables = tables(
            "{userId: Text, searches: {table: ''}, purchases: {table: orders, user: customer, time: at, category: kind}}",
        )
        .unwrap();
        assert_eq!(tables.searches(), None);
        let orders = tables.purchases().unwrap();
        assert_eq!(
            [&orders.name, &orders.user, &orders.time, &orders.category],
            ["orders", "customer", "at", "kind"]
        );
        assert_eq!((orders.text, orders.success), (None, None));
    }

    #[test]
    fn a_column_of_the_original_tables_can_be_left_out() {
        let searches = tables("{searches: {success: ''}}").unwrap().searches();
        let expected = Table {
            success: None,
            ..Table::searches()
        };
        assert_eq!(searches, Some(expected));
    }

    #[test]
    fn invalid_names_are_rejected_with_the_field() {
        for (yaml, error) in [
            (
                "{purchases: {table: 'a`b'}}",
                "tables.purchases.table is \"a`b\": expected a name without backticks and control characters",
            ),
            (
                "{purchases: {user: ''}}",
                "tables.purchases.user is \"\": expected 1 to 64 characters",
            ),
            (
                "{searches: {table: ''}, purchases: {table: ''}}",
                "tables has no table: expected a name for tables.searches.table or tables.purchases.table",
            ),
            (
                "{purchases: {table: orders, onlySuccessful: true}}",
                "tables.purchases.onlySuccessful is true: expected the name of a column in tables.purchases.success",
            ),
            (
                "{userId: UUID}",
                "tables.userId is \"UUID\": expected one of Integer, Text",
            ),
        ] {
            assert_eq!(tables(yaml), Err(error.to_owned()), "{yaml}");
        }
        let long = tables(&format!("{{searches: {{time: {}}}}}", "é".repeat(65))).unwrap_err();
        assert!(long.ends_with("expected 1 to 64 characters"), "{long}");
    }
}
