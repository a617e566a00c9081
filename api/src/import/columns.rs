//! The values that the columns of a table can hold: pure.

mod column;
mod ids;
mod info;
mod text;
mod times;

pub use column::Column;
pub use ids::Ids;
pub use info::ColumnInfo;
pub use text::{Alphabet, Length, Text, checked};
pub use times::Times;

use crate::store::mysql::migrate::TEXT_LENGTH;
use reckon_contract::tables::{Table, UserIdType};

/// The values that the columns of a table can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// User ids.
    pub id: Ids,
    /// Times.
    pub times: Times,
    /// The text column, if there is one.
    pub text: Option<Text>,
    /// The category.
    pub category: Text,
    /// Whether `SUCCESS` accepts NULL, if there is such a column.
    pub success: Option<bool>,
    /// Columns that do not accept NULL and have no default: a file must have them.
    pub demanded: Vec<Column>,
    /// Columns that cannot be written from a file, and why: a file must not have them.
    pub unwritable: Vec<(Column, String)>,
    /// The rules that only the database can evaluate, and that may reject a row with valid values: unique keys,
    /// constraints, triggers.
    pub unchecked: Vec<String>,
}

/// Why a table cannot be imported into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It lacks a column that Reckon reads.
    #[error("the table {table} has no column {column}")]
    Lacks {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A column that the import does not fill requires a value.
    #[error(
        "the table {table} has a column {column} that takes no NULL and has no default: give it one, so that rows without it can be written"
    )]
    Demands {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl TableLimits {
    /// A table created by us on a server, with integer ids.
    #[must_use]
    pub fn new_table() -> Self {
        let text = Text {
            most: Some(Length::Characters(TEXT_LENGTH.into())),
            nullable: true,
            ..Text::default()
        };
        Self {
            id: Ids::new_column(UserIdType::Integer),
            times: Times::DateTime(0),
            text: Some(text),
            category: text,
            success: Some(true),
            demanded: Vec::new(),
            unwritable: Vec::new(),
            unchecked: Vec::new(),
        }
    }

    /// A table created by us in a SQLite file, with integer ids.
    #[must_use]
    pub fn new_file() -> Self {
        let text = Text {
            nullable: true,
            ..Text::default()
        };
        Self {
            times: Times::DateTime(6),
            text: Some(text),
            category: text,
            ..Self::new_table()
        }
    }

    /// An existing table.
    ///
    /// # Errors
    /// It lacks a column that Reckon reads, or requires a value in a column that the import does not fill.
    pub fn from_columns(
        table: &Table,
        ids: UserIdType,
        columns: &[ColumnInfo],
    ) -> Result<Self, SchemaError> {
        let find = |column: Column| {
            let name = column.name(table)?;
            columns
                .iter()
                .find(|described| described.name.eq_ignore_ascii_case(name))
        };
        let needed = |column: Column| {
            find(column).ok_or(SchemaError::Lacks {
                table: table.name.clone(),
                column: column.shown(table),
            })
        };
        let (id, time, category) = (
            needed(Column::Id)?,
            needed(Column::Time)?,
            needed(Column::Category)?,
        );
        if let Some(other) = columns
            .iter()
            .find(|column| column.needs_value && Column::of(table, &column.name).is_none())
        {
            return Err(SchemaError::Demands {
                table: table.name.clone(),
                column: other.name.clone(),
            });
        }
        let known = Column::ALL.into_iter();
        let known: Vec<_> = known.filter_map(|it| Some((it, find(it)?))).collect();
        let demanded = known.iter().filter(|(_, described)| described.needs_value);
        let unwritable = known
            .iter()
            .filter_map(|(column, described)| Some((*column, described.unwritable(*column, ids)?)));
        let others = columns
            .iter()
            .filter(|it| it.generated && Column::of(table, &it.name).is_none())
            .map(|it| format!("the generated column {}", it.name));
        let texts = known.iter().filter_map(|(column, described)| {
            let is_text = match column {
                Column::Text | Column::Category => true,
                Column::Id => ids == UserIdType::Text,
                Column::Time | Column::Success => false,
            };
            is_text.then(|| described.uncertain()).flatten()
        });
        Ok(Self {
            // Its type cannot hold a user id: the column is unwritable.
            id: id.ids(ids).unwrap_or(Ids::new_column(ids)),
            times: time.times().unwrap_or(Times::DateTime(6)),
            text: find(Column::Text).map(ColumnInfo::text),
            category: category.text(),
            success: find(Column::Success).map(|column| column.nullable),
            demanded: demanded.map(|(column, _)| *column).collect(),
            unwritable: unwritable.collect(),
            unchecked: others.chain(texts).collect(),
        })
    }

    /// Whether the table has the column.
    #[must_use]
    pub fn has(&self, column: Column) -> bool {
        match column {
            Column::Text => self.text.is_some(),
            Column::Success => self.success.is_some(),
            Column::Id | Column::Time | Column::Category => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alphabet, Column, ColumnInfo, Ids, Length, SchemaError, TableLimits, Times};
    use reckon_contract::tables::{Table, UserIdType};

    fn described(name: &str, kind: &str) -> ColumnInfo {
        ColumnInfo {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ..ColumnInfo::default()
        }
    }

    fn limits_of(columns: &[ColumnInfo]) -> Result<TableLimits, SchemaError> {
        TableLimits::from_columns(&Table::searches(), UserIdType::Integer, columns)
    }

    #[test]
    fn the_limits_of_a_table_are_those_of_its_columns() {
        let category = ColumnInfo {
            characters: Some(20),
            character_set: Some("latin1".to_owned()),
            ..described("Category", "varchar")
        };
        let time = ColumnInfo {
            fraction: Some(3),
            ..described("searched_at", "datetime")
        };
        let columns = [described("ID", "int"), time, category];
        let limits = limits_of(&columns).unwrap();
        assert_eq!(limits.id, Ids::Integers(i32::MIN.into()..=i32::MAX.into()));
        assert_eq!(limits.times, Times::DateTime(3));
        assert_eq!(limits.category.most, Some(Length::Characters(20)));
        assert_eq!(limits.category.alphabet, Alphabet::Latin1);
        assert!(!limits.has(Column::Text) && !limits.has(Column::Success));
    }

    #[test]
    fn a_table_that_cannot_be_filled_is_rejected() {
        let mut columns = vec![
            described("id", "bigint"),
            described("searched_at", "datetime"),
        ];
        let lacks = limits_of(&columns).unwrap_err();
        assert_eq!(
            lacks.to_string(),
            "the table searches has no column category"
        );
        columns.push(described("category", "text"));
        columns.push(ColumnInfo {
            needs_value: true,
            ..described("shop", "int")
        });
        let demands = limits_of(&columns).unwrap_err();
        assert!(
            matches!(demands, SchemaError::Demands { column, .. } if column == "shop"),
            "a column that the import does not fill"
        );
    }

    #[test]
    fn generated_and_required_columns_are_listed() {
        let generated = ColumnInfo {
            generated: true,
            ..described("searched_at", "datetime")
        };
        let needed = ColumnInfo {
            needs_value: true,
            ..described("category", "varchar")
        };
        let columns = [
            described("id", "bigint"),
            generated,
            needed,
            described("success", "enum"),
        ];
        let limits = limits_of(&columns).unwrap();
        assert_eq!(limits.demanded, [Column::Category]);
        let reasons: Vec<_> = limits
            .unwritable
            .iter()
            .map(|(column, why)| (*column, why.as_str()))
            .collect();
        assert_eq!(
            reasons,
            [
                (Column::Time, "is computed by the database"),
                (
                    Column::Success,
                    "is of the type ENUM, which does not hold 0 and 1 as such"
                )
            ]
        );
        assert_eq!(limits.unchecked, [""; 0]);
    }
}
