//! What the columns of a table can hold: pure.

use crate::store::{mysql::migrate::TEXT_LENGTH, table::Table};
use std::ops::RangeInclusive;

/// The columns that an import fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The user's id.
    Id,
    /// The search, or the product's name.
    Text,
    /// When.
    Time,
    /// The category.
    Category,
    /// Whether it succeeded.
    Success,
}

impl Column {
    /// All of them; the place in it is `column as usize`.
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

    /// The column that `table` knows by `name`, in any case.
    #[must_use]
    pub fn of(table: &Table, name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|column| column.name(table).eq_ignore_ascii_case(name))
    }

    /// Whether each row must have a value for it.
    #[must_use]
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Id | Self::Time)
    }
}

/// A column as the database describes it.
#[derive(Clone, Debug, Default)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// `bigint`, `varchar`, ..., in lower case.
    pub kind: String,
    /// Whether numbers have no sign.
    pub unsigned: bool,
    /// Whether it takes NULL.
    pub nullable: bool,
    /// Whether a row must give it a value.
    pub needs_value: bool,
    /// Characters of a text, at most.
    pub characters: Option<u64>,
    /// Bytes of a text, at most.
    pub bytes: Option<u64>,
    /// Character set of a text.
    pub character_set: Option<String>,
    /// Digits of a time's fraction.
    pub fraction: Option<u32>,
}

/// What the columns of a table can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Numbers of users.
    pub id: RangeInclusive<i64>,
    /// Digits of a time's fraction.
    pub fraction: u32,
    /// The text column, where there is one.
    pub text: Option<Text>,
    /// The category.
    pub category: Text,
    /// Whether `SUCCESS` takes NULL, where there is such a column.
    pub success: Option<bool>,
}

/// What a column of texts can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Length, at most.
    pub most: Option<Length>,
    /// Characters.
    pub alphabet: Alphabet,
    /// Whether it takes NULL; else an empty field becomes an empty text.
    pub nullable: bool,
}

/// A length in one of two units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Of UTF-8.
    Bytes(u64),
    /// Unicode code points.
    Characters(u64),
}

/// The characters that a text may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// All, or the server knows.
    #[default]
    Any,
    /// Those of at most three bytes in UTF-8.
    Utf8Mb3,
    /// What MySQL calls latin1, which is Windows-1252.
    Latin1,
    /// ASCII.
    Ascii,
}

/// Why a table cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It lacks what Reckon reads.
    #[error("the table {table} has no column {column}")]
    Lacks {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A column that the import knows nothing of must have a value.
    #[error(
        "the table {table} has a column {column} that takes no NULL and has no default: give it one, so that rows without it can be written"
    )]
    Demands {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
    },
}

impl Holds {
    /// A table made by us on a server.
    #[must_use]
    pub fn new_table() -> Self {
        let text = Text {
            most: Some(Length::Characters(TEXT_LENGTH.into())),
            nullable: true,
            ..Text::default()
        };
        Self {
            id: i64::MIN..=i64::MAX,
            fraction: 0,
            text: Some(text),
            category: text,
            success: Some(true),
        }
    }

    /// A table made by us in a SQLite file.
    #[must_use]
    pub fn new_file() -> Self {
        let text = Text {
            nullable: true,
            ..Text::default()
        };
        Self {
            fraction: 6,
            text: Some(text),
            category: text,
            ..Self::new_table()
        }
    }

    /// A table that is there.
    ///
    /// # Errors
    /// It lacks a column that Reckon reads, or needs one that the import knows nothing of.
    pub fn described(table: &Table, columns: &[Described]) -> Result<Self, Unfit> {
        let find = |column: Column| {
            let name = column.name(table);
            columns
                .iter()
                .find(|described| described.name.eq_ignore_ascii_case(name))
        };
        let needed = |column: Column| {
            find(column).ok_or(Unfit::Lacks {
                table: table.name,
                column: column.name(table),
            })
        };
        if let Some(stranger) = columns
            .iter()
            .find(|column| column.needs_value && Column::of(table, &column.name).is_none())
        {
            return Err(Unfit::Demands {
                table: table.name,
                column: stranger.name.clone(),
            });
        }
        Ok(Self {
            id: needed(Column::Id)?.numbers(),
            fraction: needed(Column::Time)?.fraction.unwrap_or(6),
            text: find(Column::Text).map(Described::text),
            category: needed(Column::Category)?.text(),
            success: find(Column::Success).map(|column| column.nullable),
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

impl Described {
    fn numbers(&self) -> RangeInclusive<i64> {
        let bits = match self.kind.as_str() {
            "tinyint" => 8,
            "smallint" => 16,
            "mediumint" => 24,
            "int" => 32,
            _ if self.unsigned => return 0..=i64::MAX,
            _ => return i64::MIN..=i64::MAX,
        };
        if self.unsigned {
            0..=(1 << bits) - 1
        } else {
            -(1 << (bits - 1))..=(1 << (bits - 1)) - 1
        }
    }

    fn text(&self) -> Text {
        let alphabet = match self.character_set.as_deref() {
            Some("utf8" | "utf8mb3" | "ucs2") => Alphabet::Utf8Mb3,
            Some("latin1") => Alphabet::Latin1,
            Some("ascii") => Alphabet::Ascii,
            _ => Alphabet::Any,
        };
        // The types TEXT are limited in bytes; what is said of their characters is a bound only.
        let most = if self.kind.ends_with("text") {
            self.bytes.map(Length::Bytes)
        } else {
            self.characters.map(Length::Characters)
        };
        Text {
            most,
            alphabet,
            nullable: self.nullable,
        }
    }
}

impl Alphabet {
    /// The first character of `text` that is not in it.
    #[must_use]
    pub fn stranger(self, text: &str) -> Option<char> {
        if self == Self::Any || text.is_ascii() {
            return None;
        }
        text.chars().find(|&character| !self.has(character))
    }

    fn has(self, character: char) -> bool {
        // What Windows-1252 has where Latin-1 has control characters.
        const WINDOWS: &str = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";
        match self {
            Self::Any => true,
            Self::Utf8Mb3 => character.len_utf8() <= 3,
            Self::Latin1 => {
                character.is_ascii()
                    || ('\u{a0}'..='\u{ff}').contains(&character)
                    || WINDOWS.contains(character)
            }
            Self::Ascii => character.is_ascii(),
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Utf8Mb3 => "utf8mb3",
            Self::Latin1 => "latin1",
            Self::Ascii => "ascii",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Alphabet, Column, Described, Holds, Length, Unfit};
    use crate::store::table::SEARCHES;

    fn described(name: &str, kind: &str) -> Described {
        Described {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ..Described::default()
        }
    }

    #[test]
    fn a_table_holds_what_its_columns_say() {
        let category = Described {
            characters: Some(20),
            character_set: Some("latin1".to_owned()),
            ..described("Category", "varchar")
        };
        let time = Described {
            fraction: Some(3),
            ..described("searched_at", "datetime")
        };
        let columns = [described("ID", "int"), time, category];
        let holds = Holds::described(&SEARCHES, &columns).unwrap();
        assert_eq!(holds.id, i64::from(i32::MIN)..=i64::from(i32::MAX));
        assert_eq!(holds.fraction, 3);
        assert_eq!(holds.category.most, Some(Length::Characters(20)));
        assert_eq!(holds.category.alphabet, Alphabet::Latin1);
        assert!(!holds.has(Column::Text) && !holds.has(Column::Success));
    }

    #[test]
    fn a_table_that_cannot_be_filled_is_refused() {
        let mut columns = vec![
            described("id", "bigint"),
            described("searched_at", "datetime"),
        ];
        let lacks = Holds::described(&SEARCHES, &columns).unwrap_err();
        assert_eq!(
            lacks.to_string(),
            "the table searches has no column category"
        );
        columns.push(described("category", "text"));
        columns.push(Described {
            needs_value: true,
            ..described("shop", "int")
        });
        let demands = Holds::described(&SEARCHES, &columns).unwrap_err();
        assert!(
            matches!(demands, Unfit::Demands { column, .. } if column == "shop"),
            "a column of somebody else's"
        );
    }

    #[test]
    fn numbers_have_the_range_of_their_type() {
        let unsigned = Described {
            unsigned: true,
            ..described("id", "mediumint")
        };
        assert_eq!(unsigned.numbers(), 0..=16_777_215);
        assert_eq!(described("id", "tinyint").numbers(), -128..=127);
        assert_eq!(described("id", "bigint").numbers(), i64::MIN..=i64::MAX);
    }

    #[test]
    fn alphabets_know_their_characters() {
        assert_eq!(Alphabet::Latin1.stranger("Bücher für 5 €"), None);
        assert_eq!(Alphabet::Latin1.stranger("książka"), Some('ą'));
        assert_eq!(Alphabet::Utf8Mb3.stranger("książka 🎁"), Some('🎁'));
        assert_eq!(Alphabet::Ascii.stranger("Bücher"), Some('ü'));
        assert_eq!(Alphabet::Any.stranger("🎁"), None);
    }
}
