//! The columns that an import fills.

use crate::store::table::Table;

/// A column that an import fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The user's id.
    Id,
    /// The search, or the product's name.
    Text,
    /// The time of the event.
    Time,
    /// The category.
    Category,
    /// Whether it succeeded.
    Success,
}

impl Column {
    /// All columns; the index of a column is `column as usize`.
    pub const ALL: [Self; 5] = [
        Self::Id,
        Self::Text,
        Self::Time,
        Self::Category,
        Self::Success,
    ];

    /// Its name in `table`.
    #[must_use]
    pub fn name(self, table: &Table) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => table.text,
            Self::Time => table.time,
            Self::Category => table.category,
            Self::Success => "SUCCESS",
        }
    }

    /// The column of `table` with this name, in any case.
    #[must_use]
    pub fn of(table: &Table, name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|column| column.name(table).eq_ignore_ascii_case(name))
    }

    /// Whether each row must have a value in it.
    #[must_use]
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Id | Self::Time)
    }
}
