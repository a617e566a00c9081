//! A column as the database describes it, and the values that it can hold.

use super::column::Column;
use super::ids::Ids;
use super::text::{Alphabet, Length, Text};
use super::times::Times;
use reckon_contract::tables::UserIdType;
use std::ops::RangeInclusive;

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
    /// The declared type, if SQLite turns strings that look like numbers into numbers in such a column; otherwise empty.
    pub affinity: String,
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

impl ColumnInfo {
    /// Why values of a file cannot be written into this column as `column`; `None`: they can.
    pub(super) fn unwritable(&self, column: Column, ids: UserIdType) -> Option<String> {
        if self.generated {
            return Some("is computed by the database".to_owned());
        }
        let (limits, values) = match column {
            Column::Id if ids == UserIdType::Text => (self.ids(ids).is_some(), "text ids as such"),
            Column::Id => (self.numbers().is_some(), "user ids"),
            Column::Time => (self.times().is_some(), "dates and times"),
            Column::Success => (self.truths(), "0 and 1 as such"),
            Column::Text | Column::Category => (true, ""),
        };
        (!limits).then(|| {
            format!(
                "is of the type {}, which does not hold {values}",
                self.kind_name().to_ascii_uppercase()
            )
        })
    }

    fn kind_name(&self) -> &str {
        if self.kind.is_empty() {
            &self.affinity
        } else {
            &self.kind
        }
    }

    /// The user ids that the column can hold; `None`: it can hold none.
    pub(super) fn ids(&self, kind: UserIdType) -> Option<Ids> {
        match kind {
            UserIdType::Integer => self.numbers().map(Ids::Integers),
            UserIdType::Text => self.keeps_text().then(|| Ids::Text {
                text: self.text(),
                keeps_end: self.kind != "char",
            }),
        }
    }

    /// Whether a string is stored unchanged. A `BINARY` adds zeros. SQLite turns strings that look like numbers into
    /// numbers, unless the type has the affinity TEXT or BLOB.
    fn keeps_text(&self) -> bool {
        match self.kind.as_str() {
            "" => self.affinity.is_empty(),
            "char" | "varchar" | "varbinary" => true,
            kind => kind.ends_with("text") || kind.ends_with("blob"),
        }
    }

    /// The integers that the column can hold; `None`: it can hold none.
    pub(super) fn numbers(&self) -> Option<RangeInclusive<i128>> {
        /// The maximum number with this many digits.
        fn most(digits: u64) -> i128 {
            let digits = u32::try_from(digits).unwrap_or(u32::MAX);
            let most = 10_i128
                .checked_pow(digits)
                .map_or(i128::MAX, |next| next - 1);
            most.min(u64::MAX.into())
        }
        let signed = |most: i128| -(most.min(1 << 63))..=most;
        let range = match self.kind.as_str() {
            "tinyint" => self.integers(8),
            "smallint" => self.integers(16),
            "mediumint" => self.integers(24),
            "int" => self.integers(32),
            "" | "bigint" => self.integers(64),
            "decimal" => signed(most(self.digits?.into())),
            // The integers that floating-point numbers represent exactly.
            "float" => signed(1 << 24),
            "double" => signed(1 << 53),
            "char" | "varchar" => match self.characters? {
                0 => return None,
                characters => *signed(most(characters - 1)).start()..=most(characters),
            },
            kind if kind.ends_with("text") => signed(u64::MAX.into()),
            _ => return None,
        };
        let least = if self.unsigned { 0 } else { *range.start() };
        Some(least..=*range.end())
    }

    fn integers(&self, bits: u32) -> RangeInclusive<i128> {
        let half = 1_i128 << (bits - 1);
        let most = if self.unsigned { 2 * half } else { half } - 1;
        -half..=most
    }

    /// The times that the column can hold; `None`: it can hold none.
    pub(super) fn times(&self) -> Option<Times> {
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

    /// Whether 0 and 1 are stored unchanged. An ENUM interprets numbers as the positions of its members.
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

    /// The rule for strings that only the database can check: the characters of the column's character set, or the
    /// values of its type.
    pub(super) fn uncertain(&self) -> Option<String> {
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

    /// The strings that it can hold.
    pub(super) fn text(&self) -> Text {
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

#[cfg(test)]
mod tests {
    use super::{Column, ColumnInfo, Length, Times};
    use reckon_contract::tables::UserIdType;

    fn described(name: &str, kind: &str) -> ColumnInfo {
        ColumnInfo {
            name: name.to_owned(),
            kind: kind.to_owned(),
            ..ColumnInfo::default()
        }
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
        let (least, most) = (i128::from(i64::MIN), i128::from(u64::MAX));
        let whole = least..=i64::MAX.into();
        for (column, range) in [
            (described("id", "tinyint"), -128..=127),
            (described("id", "bigint"), whole.clone()),
            (decimal(3), -999..=999),
            (decimal(19), least..=9_999_999_999_999_999_999),
            (decimal(20), least..=most),
            (described("id", "double"), -(1 << 53)..=1 << 53),
            (varchar(3), -99..=999),
            (
                varchar(19),
                -999_999_999_999_999_999..=9_999_999_999_999_999_999,
            ),
            (varchar(20), least..=most),
            (described("id", ""), whole),
        ] {
            assert_eq!(column.numbers(), Some(range), "{column:?}");
        }
        assert_eq!(described("id", "enum").numbers(), None);
        let unsigned = ColumnInfo {
            unsigned: true,
            ..described("id", "bigint")
        };
        assert_eq!(unsigned.numbers(), Some(0..=most));
    }

    #[test]
    fn text_ids_go_into_columns_that_keep_every_byte() {
        let is_kept = |column: &ColumnInfo| column.ids(UserIdType::Text).is_some();
        for kind in ["char", "varchar", "varbinary", "tinytext", "blob", ""] {
            assert!(is_kept(&described("id", kind)), "{kind}");
        }
        for kind in ["binary", "bigint", "decimal", "uuid", "enum", "json"] {
            assert!(!is_kept(&described("id", kind)), "{kind}");
        }
        let number = ColumnInfo {
            affinity: "INTEGER".to_owned(),
            ..described("id", "")
        };
        assert_eq!(
            number.unwritable(Column::Id, UserIdType::Text).as_deref(),
            Some("is of the type INTEGER, which does not hold text ids as such")
        );
        assert_eq!(number.unwritable(Column::Id, UserIdType::Integer), None);
        let fixed = ColumnInfo {
            characters: Some(3),
            ..described("id", "char")
        };
        let ids = fixed.ids(UserIdType::Text).unwrap();
        let parsed = ["ab", "ab ", "abcd", "é€ "].map(|id| ids.parse(id).map(|id| id.to_string()));
        let blank = "no blank at the end (the table's column is a CHAR, which drops it)";
        let long = "at most 3 characters (the length of the table's column), got 4";
        assert_eq!(
            parsed,
            [
                Ok("ab".to_owned()),
                Err(blank.to_owned()),
                Err(long.to_owned()),
                Err(blank.to_owned())
            ]
        );
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
}
