//! The user ids that a column can hold.

use super::text::{Text, checked};
use crate::model::UserId;
use reckon_contract::tables::UserIdType;
use std::ops::RangeInclusive;

/// The user ids that a column can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Integers of this range.
    Integers(RangeInclusive<i128>),
    /// Text.
    Text {
        /// The strings that the column can hold.
        text: Text,
        /// Whether it keeps blanks at the end of a string; a `CHAR` drops them.
        keeps_end: bool,
    },
}

impl Ids {
    /// The ids of a column that the import creates.
    #[must_use]
    pub fn new_column(kind: UserIdType) -> Self {
        match kind {
            UserIdType::Integer => Self::Integers(i64::MIN.into()..=i64::MAX.into()),
            // A valid id has at most as many bytes as the column has characters.
            UserIdType::Text => Self::Text {
                text: Text::default(),
                keeps_end: true,
            },
        }
    }

    /// The id that `text` stands for.
    ///
    /// # Errors
    /// The string is not such an id. The error is the expected form.
    pub fn parse(&self, text: &str) -> Result<UserId, String> {
        let kind = match self {
            Self::Integers(_) => UserIdType::Integer,
            Self::Text { .. } => UserIdType::Text,
        };
        let id = UserId::parse(text, kind)
            .map_err(|error| error.to_string().trim_start_matches("expected ").to_owned())?;
        match self {
            Self::Integers(range) => {
                let number = match id {
                    UserId::Integer(number) => i128::from(number),
                    UserId::Unsigned(number) => number.into(),
                    UserId::Text(_) => return Ok(id),
                };
                if !range.contains(&number) {
                    let (least, most) = (range.start(), range.end());
                    return Err(format!(
                        "{least} to {most} (the range of the table's column)"
                    ));
                }
            }
            Self::Text {
                text: limits,
                keeps_end,
            } => {
                checked(text, *limits)?;
                if !keeps_end && text.ends_with(' ') {
                    return Err(
                        "no blank at the end (the table's column is a CHAR, which drops it)"
                            .to_owned(),
                    );
                }
            }
        }
        Ok(id)
    }
}
