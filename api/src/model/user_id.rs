//! User ids: integers or text, as in the tables.

use reckon_contract::tables::UserIdType;
use serde::{Serialize, Serializer};
use std::{fmt, sync::Arc};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Maximum length of a text id in bytes.
pub const MAX_TEXT_BYTES: usize = 64;

/// A user id as in the tables. All ids of a process have the type that the tuning's `tables.userId` names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserId {
    /// An integer.
    Integer(i64),
    /// An integer above [`i64::MAX`], for columns that are `UNSIGNED`.
    Unsigned(u64),
    /// 1 to 64 bytes without control characters.
    Text(Arc<str>),
}

/// Why a string is not a user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserId {
    /// The string is not an id of the type `Integer`.
    #[error("expected a 64-bit integer")]
    Integer,
    /// The string is not an id of the type `Text`.
    #[error("expected 1 to 64 bytes of UTF-8 without control characters")]
    Text,
}

impl InvalidUserId {
    /// The error of a string that is no id of this type.
    #[must_use]
    pub fn of(kind: UserIdType) -> Self {
        match kind {
            UserIdType::Integer => Self::Integer,
            UserIdType::Text => Self::Text,
        }
    }
}

impl UserId {
    /// The user id that `text` stands for.
    ///
    /// Integers are `-?[0-9]{1,20}` within `i64` or `u64`, and leading zeros are dropped. Text is used unchanged: case,
    /// blanks and leading zeros distinguish users.
    ///
    /// # Errors
    /// `text` is not an id of this type.
    pub fn parse(text: &str, kind: UserIdType) -> Result<Self, InvalidUserId> {
        match kind {
            UserIdType::Integer => integer(text).ok_or(InvalidUserId::Integer),
            UserIdType::Text => {
                let is_valid = (1..=MAX_TEXT_BYTES).contains(&text.len())
                    && !text.chars().any(char::is_control);
                is_valid
                    .then(|| Self::Text(text.into()))
                    .ok_or(InvalidUserId::Text)
            }
        }
    }
}

fn integer(text: &str) -> Option<UserId> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !(1..=20).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let signed = text.parse().map(UserId::Integer);
    signed.or_else(|_| text.parse().map(UserId::Unsigned)).ok()
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(id) => id.fmt(formatter),
            Self::Unsigned(id) => id.fmt(formatter),
            Self::Text(id) => id.fmt(formatter),
        }
    }
}

/// A JSON number or string.
impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Integer(id) => serializer.serialize_i64(*id),
            Self::Unsigned(id) => serializer.serialize_u64(*id),
            Self::Text(id) => serializer.serialize_str(id),
        }
    }
}

/// The schema of user ids of this type in the OpenAPI description.
pub(crate) fn schema(kind: UserIdType) -> RefOr<Schema> {
    let object = ObjectBuilder::new().description(Some("A user id, as in the tables"));
    let object = match kind {
        UserIdType::Integer => object
            .schema_type(Type::Integer)
            .minimum(Some(utoipa::Number::Int(isize::MIN)))
            .maximum(Some(utoipa::Number::UInt(usize::MAX)))
            .examples([123]),
        UserIdType::Text => object
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(MAX_TEXT_BYTES))
            .pattern(Some(r"^[^\x00-\x1f\x7f-\x9f]+$"))
            .examples(["6f1c9a52-0c1e-4f9c-a7a6-0c8f7a1d2b3e"]),
    };
    object.into()
}

impl PartialSchema for UserId {
    fn schema() -> RefOr<Schema> {
        schema(UserIdType::default())
    }
}

impl ToSchema for UserId {}

#[cfg(test)]
mod tests {
    use super::{InvalidUserId, UserId};
    use reckon_contract::tables::UserIdType;

    #[test]
    fn integer_ids_are_ascii_integers_of_64_bits() {
        let parse = |text| UserId::parse(text, UserIdType::Integer);
        for (text, id) in [
            ("0", UserId::Integer(0)),
            ("-0", UserId::Integer(0)),
            ("007", UserId::Integer(7)),
            ("00000000000000000001", UserId::Integer(1)),
            ("-12", UserId::Integer(-12)),
            ("9223372036854775807", UserId::Integer(i64::MAX)),
            ("-9223372036854775808", UserId::Integer(i64::MIN)),
            ("9223372036854775808", UserId::Unsigned(1 << 63)),
            ("18446744073709551615", UserId::Unsigned(u64::MAX)),
        ] {
            assert_eq!(parse(text), Ok(id), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            " 1",
            "1 ",
            "1_0",
            "1.0",
            "a",
            "٣",
            "--1",
            "18446744073709551616",
            "-9223372036854775809",
            "000000000000000000001",
            "1\0",
        ] {
            assert_eq!(parse(text), Err(InvalidUserId::Integer), "{text:?}");
        }
    }

    #[test]
    fn text_ids_are_used_as_they_are() {
        let parse = |text| UserId::parse(text, UserIdType::Text);
        let longest = "é".repeat(32);
        let ids = [
            "7", "007", "a", "A", "a ", " a", "a@b.c", "x,y", "x/y", "-", "é", "e\u{301}", &longest,
        ];
        for text in ids {
            assert_eq!(parse(text).map(|id| id.to_string()).as_deref(), Ok(text));
        }
        let distinct: std::collections::BTreeSet<_> =
            ids.map(parse).into_iter().flatten().collect();
        assert_eq!(distinct.len(), ids.len());
        for text in [
            "",
            "a\n",
            "\0",
            "\u{7f}",
            "\u{85}",
            &"x".repeat(65),
            &"é".repeat(33),
        ] {
            assert_eq!(parse(text), Err(InvalidUserId::Text), "{text:?}");
        }
    }

    #[test]
    fn json_has_numbers_and_strings() {
        let json = |text, kind| serde_json::to_string(&UserId::parse(text, kind).unwrap()).unwrap();
        assert_eq!(json("007", UserIdType::Integer), "7");
        assert_eq!(
            json("18446744073709551615", UserIdType::Integer),
            "18446744073709551615"
        );
        assert_eq!(json("007", UserIdType::Text), "\"007\"");
        assert_eq!(json("\"", UserIdType::Text), r#""\"""#);
    }
}
