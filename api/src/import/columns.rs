//! The values that the columns of a table can hold: pure.

use super::time::Time;
use crate::store::{mysql::migrate::TEXT_LENGTH, table::Table};
use std::ops::RangeInclusive;

/// The minimum of a `TIMESTAMP`, in UTC.
const TIMESTAMP_FIRST: &str = "1970-01-01 00:00:01";
/// The maximum of a `TIMESTAMP` that every server supports.
const TIMESTAMP_LAST: &str = "2038-01-19 03:14:07";

/// The columns that an import fills.
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

/// A column as the database describes it.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties, as the database lists them"
)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// `bigint`, `varchar`, ..., in lower case; empty if the type does not limit values (SQLite).
    pub kind: String,
    /// Whether numbers are unsigned.
    pub unsigned: bool,
    /// Whether it accepts NULL.
    pub nullable: bool,
    /// Whether a row must have a value in it.
    pub needs_value: bool,
    /// Maximum characters of a string.
    pub characters: Option<u64>,
    /// Maximum bytes of a string.
    pub bytes: Option<u64>,
    /// Character set of a string.
    pub character_set: Option<String>,
    /// Fractional digits of a time.
    pub fraction: Option<u32>,
    /// Digits before the decimal point.
    pub digits: Option<u32>,
    /// Whether the database computes its values.
    pub generated: bool,
    /// Whether the database generates its values (auto-increment).
    pub auto_increment: bool,
}

/// The values that the columns of a table can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLimits {
    /// User ids.
    pub id: RangeInclusive<i64>,
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
    /// What may reject a row whose values are valid, and only the database can evaluate: unique keys, constraints, triggers.
    pub unchecked: Vec<String>,
}

/// The values that a time column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// From the year 1000 to 9999, with this many fractional digits.
    DateTime(u32),
    /// A point in time from 1970 to 2038, with this many fractional digits; sessions of an import read and write it in UTC.
    Timestamp(u32),
    /// Dates only.
    Date,
}

impl Times {
    /// The time as it is written: cut to the precision of the column.
    #[must_use]
    pub fn text(self, time: &Time) -> String {
        match self {
            Self::DateTime(digits) | Self::Timestamp(digits) => time.text(digits),
            Self::Date => time.date(),
        }
    }

    /// Whether [`Self::text`] cuts something off.
    #[must_use]
    pub fn cuts(self, time: &Time) -> bool {
        match self {
            Self::DateTime(digits) | Self::Timestamp(digits) => time.is_cut(digits),
            Self::Date => !time.is_midnight(),
        }
    }

    /// Checks that the time is in the column's range.
    ///
    /// # Errors
    /// The limit that the time exceeds.
    pub fn check(self, time: &Time) -> Result<(), String> {
        let held = TIMESTAMP_FIRST..=TIMESTAMP_LAST;
        match self {
            Self::Timestamp(_) if !held.contains(&time.text(0).as_str()) => Err(format!(
                "{TIMESTAMP_FIRST} to {TIMESTAMP_LAST} in UTC (the range of the table's column, a TIMESTAMP)"
            )),
            _ => Ok(()),
        }
    }
}

/// The values that a text column can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Maximum length.
    pub most: Option<Length>,
    /// Allowed characters.
    pub alphabet: Alphabet,
    /// Whether it accepts NULL; otherwise an empty field becomes an empty string.
    pub nullable: bool,
}

/// A length in one of two units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Bytes in UTF-8.
    Bytes(u64),
    /// Unicode code points.
    Characters(u64),
}

/// The characters that a string may contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// All characters, or only the server can decide.
    #[default]
    Any,
    /// Characters of at most three bytes in UTF-8.
    Utf8Mb3,
    /// The character set that MySQL calls latin1, which is Windows-1252.
    Latin1,
    /// ASCII.
    Ascii,
}

/// Why a table cannot be imported into.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// It lacks a column that Reckon reads.
    #[error("the table {table} has no column {column}")]
    Lacks {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A column that the import does not fill requires a value.
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

impl TableLimits {
    /// A table created by us on a server.
    #[must_use]
    pub fn new_table() -> Self {
        let text = Text {
            most: Some(Length::Characters(TEXT_LENGTH.into())),
            nullable: true,
            ..Text::default()
        };
        Self {
            id: i64::MIN..=i64::MAX,
            times: Times::DateTime(0),
            text: Some(text),
            category: text,
            success: Some(true),
            demanded: Vec::new(),
            unwritable: Vec::new(),
            unchecked: Vec::new(),
        }
    }

    /// A table created by us in a SQLite file.
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
    pub fn from_columns(table: &Table, columns: &[ColumnInfo]) -> Result<Self, SchemaError> {
        let find = |column: Column| {
            let name = column.name(table);
            columns
                .iter()
                .find(|described| described.name.eq_ignore_ascii_case(name))
        };
        let needed = |column: Column| {
            find(column).ok_or(SchemaError::Lacks {
                table: table.name,
                column: column.name(table),
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
                table: table.name,
                column: other.name.clone(),
            });
        }
        let known = Column::ALL.into_iter();
        let known: Vec<_> = known.filter_map(|it| Some((it, find(it)?))).collect();
        let demanded = known.iter().filter(|(_, described)| described.needs_value);
        let unwritable = known
            .iter()
            .filter_map(|(column, described)| Some((*column, described.unwritable(*column)?)));
        let others = columns
            .iter()
            .filter(|it| it.generated && Column::of(table, &it.name).is_none())
            .map(|it| format!("the generated column {}", it.name));
        let texts = known.iter().filter_map(|(column, described)| {
            matches!(column, Column::Text | Column::Category)
                .then(|| described.uncertain())
                .flatten()
        });
        Ok(Self {
            // Its type cannot hold a user id: the column is unwritable.
            id: id.numbers().unwrap_or(i64::MIN..=i64::MAX),
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

impl ColumnInfo {
    /// Why values of a file cannot be written into it as `column`, if they cannot.
    fn unwritable(&self, column: Column) -> Option<String> {
        if self.generated {
            return Some("is computed by the database".to_owned());
        }
        let (limits, values) = match column {
            Column::Id => (self.numbers().is_some(), "user ids"),
            Column::Time => (self.times().is_some(), "dates and times"),
            Column::Success => (self.truths(), "0 and 1 as such"),
            Column::Text | Column::Category => (true, ""),
        };
        (!limits).then(|| {
            format!(
                "is of the type {}, which does not hold {values}",
                self.kind.to_ascii_uppercase()
            )
        })
    }

    fn numbers(&self) -> Option<RangeInclusive<i64>> {
        /// The maximum number with this many digits; with 19 digits some exceed `i64`.
        fn most(digits: u64) -> i64 {
            let digits = u32::try_from(digits).unwrap_or(u32::MAX);
            10_i64.checked_pow(digits).map_or(i64::MAX, |next| next - 1)
        }
        let signed = |most: i64| -most..=most;
        let range = match self.kind.as_str() {
            "tinyint" => self.integers(8),
            "smallint" => self.integers(16),
            "mediumint" => self.integers(24),
            "int" => self.integers(32),
            "" | "bigint" => i64::MIN..=i64::MAX,
            "decimal" => match u64::from(self.digits?) {
                19.. => i64::MIN..=i64::MAX,
                digits => signed(most(digits)),
            },
            // The integers that they represent exactly.
            "float" => signed(1 << 24),
            "double" => signed(1 << 53),
            "char" | "varchar" => match self.characters? {
                0 => return None,
                20.. => i64::MIN..=i64::MAX,
                characters => -most(characters - 1)..=most(characters),
            },
            kind if kind.ends_with("text") => i64::MIN..=i64::MAX,
            _ => return None,
        };
        let least = if self.unsigned { 0 } else { *range.start() };
        Some(least..=*range.end())
    }

    fn integers(&self, bits: u32) -> RangeInclusive<i64> {
        let half = 1_i64 << (bits - 1);
        let most = if self.unsigned { 2 * half } else { half } - 1;
        -half..=most
    }

    fn times(&self) -> Option<Times> {
        const SECONDS: u64 = "2025-12-31 23:59:59".len() as u64;
        let digits = self.fraction.unwrap_or(0);
        match self.kind.as_str() {
            "" => Some(Times::DateTime(6)),
            "datetime" => Some(Times::DateTime(digits)),
            "timestamp" => Some(Times::Timestamp(digits)),
            "date" => Some(Times::Date),
            "char" | "varchar" => {
                let room = self.characters?.checked_sub(SECONDS)?;
                let digits = room.saturating_sub(1).min(6);
                Some(Times::DateTime(digits.try_into().ok()?))
            }
            kind if kind.ends_with("text") => Some(Times::DateTime(6)),
            _ => None,
        }
    }

    /// Whether 0 and 1 are stored as such; an ENUM takes numbers for its members' positions.
    fn truths(&self) -> bool {
        match self.kind.as_str() {
            "" | "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "bit" | "float"
            | "double" => true,
            "decimal" => self.digits.is_some_and(|digits| digits > 0),
            "char" | "varchar" => self.characters.is_some_and(|characters| characters > 0),
            kind => kind.ends_with("text"),
        }
    }

    fn alphabet(&self) -> Option<Alphabet> {
        match self.character_set.as_deref() {
            Some("utf8" | "utf8mb3" | "ucs2") => Some(Alphabet::Utf8Mb3),
            Some("latin1") => Some(Alphabet::Latin1),
            Some("ascii") => Some(Alphabet::Ascii),
            None | Some("utf8mb4" | "utf16" | "utf16le" | "utf32") => Some(Alphabet::Any),
            Some(_) => None,
        }
    }

    /// What only the database can decide about its strings: the characters of its character set, the values of its type.
    fn uncertain(&self) -> Option<String> {
        let is_text = ["", "char", "varchar", "binary", "varbinary"].contains(&self.kind.as_str())
            || self.kind.ends_with("text")
            || self.kind.ends_with("blob");
        let (name, kind) = (&self.name, &self.kind);
        match (&self.character_set, self.alphabet()) {
            _ if !is_text => Some(format!("the column {name} of the type {kind}")),
            (Some(set), None) => Some(format!("the column {name} in the character set {set}")),
            _ => None,
        }
    }

    fn text(&self) -> Text {
        let set = self.character_set.as_deref();
        // The types TEXT and BLOB are limited in bytes of their character set.
        let most = match (self.kind.as_str(), set) {
            ("char" | "varchar", _) => self.characters.map(Length::Characters),
            ("binary" | "varbinary", _) => self.characters.map(Length::Bytes),
            (kind, Some("latin1" | "ascii")) if kind.ends_with("text") => {
                self.bytes.map(Length::Characters)
            }
            (kind, Some("ucs2")) if kind.ends_with("text") => {
                self.bytes.map(|bytes| Length::Characters(bytes / 2))
            }
            (kind, Some("utf16" | "utf16le" | "utf32")) if kind.ends_with("text") => {
                self.bytes.map(|bytes| Length::Characters(bytes / 4))
            }
            (kind, Some("utf8" | "utf8mb3" | "utf8mb4")) if kind.ends_with("text") => {
                self.bytes.map(Length::Bytes)
            }
            (kind, _) if kind.ends_with("blob") => {
                self.bytes.or(self.characters).map(Length::Bytes)
            }
            _ => None,
        };
        Text {
            most,
            alphabet: self.alphabet().unwrap_or_default(),
            nullable: self.nullable,
        }
    }
}

impl Alphabet {
    /// The first character of `text` that it does not contain.
    #[must_use]
    pub fn stranger(self, text: &str) -> Option<char> {
        if self == Self::Any || text.is_ascii() {
            return None;
        }
        text.chars().find(|&character| !self.has(character))
    }

    fn has(self, character: char) -> bool {
        // The characters of Windows-1252 in place of Latin-1's control characters.
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

    /// Its name in messages.
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
    use super::{Alphabet, Column, ColumnInfo, Length, SchemaError, TableLimits, Time, Times};
    use crate::store::table::SEARCHES;

    fn described(name: &str, kind: &str) -> ColumnInfo {
        ColumnInfo {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ..ColumnInfo::default()
        }
    }

    #[test]
    fn a_table_holds_what_its_columns_say() {
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
        let limits = TableLimits::from_columns(&SEARCHES, &columns).unwrap();
        assert_eq!(limits.id, i64::from(i32::MIN)..=i64::from(i32::MAX));
        assert_eq!(limits.times, Times::DateTime(3));
        assert_eq!(limits.category.most, Some(Length::Characters(20)));
        assert_eq!(limits.category.alphabet, Alphabet::Latin1);
        assert!(!limits.has(Column::Text) && !limits.has(Column::Success));
    }

    #[test]
    fn a_table_that_cannot_be_filled_is_refused() {
        let mut columns = vec![
            described("id", "bigint"),
            described("searched_at", "datetime"),
        ];
        let lacks = TableLimits::from_columns(&SEARCHES, &columns).unwrap_err();
        assert_eq!(
            lacks.to_string(),
            "the table searches has no column category"
        );
        columns.push(described("category", "text"));
        columns.push(ColumnInfo {
            needs_value: true,
            ..described("shop", "int")
        });
        let demands = TableLimits::from_columns(&SEARCHES, &columns).unwrap_err();
        assert!(
            matches!(demands, SchemaError::Demands { column, .. } if column == "shop"),
            "a column of somebody else's"
        );
    }

    #[test]
    fn numbers_have_the_range_of_their_type() {
        let unsigned = ColumnInfo {
            unsigned: true,
            ..described("id", "mediumint")
        };
        assert_eq!(unsigned.numbers(), Some(0..=16_777_215));
        let decimal = |digits| ColumnInfo {
            digits: Some(digits),
            ..described("id", "decimal")
        };
        let varchar = |characters| ColumnInfo {
            characters: Some(characters),
            ..described("id", "varchar")
        };
        let whole = i64::MIN..=i64::MAX;
        for (column, range) in [
            (described("id", "tinyint"), -128..=127),
            (described("id", "bigint"), whole.clone()),
            (decimal(3), -999..=999),
            (decimal(19), whole.clone()),
            (described("id", "double"), -(1 << 53)..=1 << 53),
            (varchar(3), -99..=999),
            (varchar(19), -999_999_999_999_999_999..=i64::MAX),
            (varchar(20), whole.clone()),
            (described("id", ""), whole),
        ] {
            assert_eq!(column.numbers(), Some(range), "{column:?}");
        }
        assert_eq!(described("id", "enum").numbers(), None);
    }

    #[test]
    fn times_have_the_range_of_their_type() {
        let of = |kind: &str, fraction, characters| {
            let column = ColumnInfo {
                characters,
                fraction,
                ..described("searched_at", kind)
            };
            column.times()
        };
        assert_eq!(of("timestamp", Some(3), None), Some(Times::Timestamp(3)));
        assert_eq!(of("varchar", None, Some(18)), None);
        assert_eq!(of("varchar", None, Some(19)), Some(Times::DateTime(0)));
        assert_eq!(of("varchar", None, Some(22)), Some(Times::DateTime(2)));
        assert_eq!(of("longtext", None, None), Some(Times::DateTime(6)));
        assert_eq!(of("year", None, None), None);
        assert_eq!(of("time", Some(0), None), None);

        let time = |text: &str| Time::parse(text).unwrap();
        for (text, held) in [
            ("1970-01-01 00:00:00.9", false),
            ("1970-01-01 00:00:01", true),
            ("2038-01-19 03:14:07.999999", true),
            ("2038-01-19 03:14:08", false),
            ("2038-01-19T04:14:07+01:00", true),
        ] {
            let time = time(text);
            assert_eq!(Times::Timestamp(6).check(&time).is_ok(), held, "{text}");
            assert_eq!(Times::DateTime(6).check(&time), Ok(()), "{text}");
        }
        let noon = time("2025-01-01 12:00:00");
        assert_eq!(Times::Date.text(&noon), "2025-01-01");
        assert!(Times::Date.cuts(&noon) && !Times::Date.cuts(&time("2025-01-01 00:00:00")));
    }

    #[test]
    fn texts_have_the_length_and_the_characters_of_their_type() {
        let of = |kind: &str, set: Option<&str>| ColumnInfo {
            characters: Some(255),
            bytes: Some(255),
            character_set: set.map(str::to_owned),
            ..described("category", kind)
        };
        for (kind, set, most) in [
            ("varchar", Some("utf8mb4"), Some(Length::Characters(255))),
            ("varbinary", None, Some(Length::Bytes(255))),
            ("blob", None, Some(Length::Bytes(255))),
            ("tinytext", Some("utf8mb4"), Some(Length::Bytes(255))),
            ("tinytext", Some("latin1"), Some(Length::Characters(255))),
            ("tinytext", Some("ucs2"), Some(Length::Characters(127))),
            ("tinytext", Some("utf32"), Some(Length::Characters(63))),
        ] {
            let column = of(kind, set);
            assert_eq!(column.text().most, most, "{kind} {set:?}");
            assert_eq!(column.uncertain(), None, "{kind} {set:?}");
        }
        for (kind, set, what) in [
            (
                "varchar",
                Some("cp1250"),
                "the column category in the character set cp1250",
            ),
            (
                "enum",
                Some("utf8mb4"),
                "the column category of the type enum",
            ),
            ("json", None, "the column category of the type json"),
        ] {
            assert_eq!(of(kind, set).uncertain().as_deref(), Some(what));
        }
    }

    #[test]
    fn a_column_that_takes_no_value_or_needs_one_is_known() {
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
        let limits = TableLimits::from_columns(&SEARCHES, &columns).unwrap();
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

    #[test]
    fn alphabets_know_their_characters() {
        assert_eq!(Alphabet::Latin1.stranger("Bücher für 5 €"), None);
        assert_eq!(Alphabet::Latin1.stranger("książka"), Some('ą'));
        assert_eq!(Alphabet::Utf8Mb3.stranger("książka 🎁"), Some('🎁'));
        assert_eq!(Alphabet::Ascii.stranger("Bücher"), Some('ü'));
        assert_eq!(Alphabet::Any.stranger("🎁"), None);
    }
}
