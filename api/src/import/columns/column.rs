//! The columns that an import fills.

use reckon_contract::tables::Table;

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

    /// Its name in `table`; `None` if the table has no such column.
    #[must_use]
    pub fn name(self, table: &Table) -> Option<&str> {
        match self {
            Self::Id => Some(&table.user),
            Self::Text => table.text.as_deref(),
            Self::Time => Some(&table.time),
            Self::Category => Some(&table.category),
            Self::Success => table.success.as_deref(),
        }
    }

    /// Its name in `table` for messages.
    pub(in crate::import) fn shown(self, table: &Table) -> String {
        self.name(table).unwrap_or_default().to_owned()
    }

    /// The column of `table` with this name, in any case.
    #[must_use]
    pub fn of(table: &Table, name: &str) -> Option<Self> {
        let is = |column: &Self| {
            let own = column.name(table);
            own.is_some_and(|own| own.eq_ignore_ascii_case(name))
        };
        Self::ALL.into_iter().find(is)
    }

    /// Whether each row must have a value in it.
    #[must_use]
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Id | Self::Time)
    }
}
