//! The questions that follow the new rows of a table, and their answers.

use crate::model::UserId;
use reckon_contract::tables::UserIdType;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// One of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The table with searches.
    Searches,
    /// The table with purchases.
    Purchases,
}

impl Followed {
    /// Both tables.
    pub const ALL: [Self; 2] = [Self::Searches, Self::Purchases];

    /// The name in metrics, messages and settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Searches => "searches",
            Self::Purchases => "purchases",
        }
    }
}

/// How the rows of a table can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By a column whose value grows with each new row.
    Sequence(Arc<str>),
    /// By the column with the time.
    Time,
    /// The rows cannot be followed, for this reason.
    None(String),
}

/// Numbers of rows, from the first to the last, both included.
pub type Span = (u64, u64);

/// One statement that only reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// How can the rows be followed?
    Order,
    /// The greatest number in `column`.
    Newest {
        /// The column that grows.
        column: Arc<str>,
    },
    /// The rows with numbers in `spans`, which are in order and do not overlap; the lowest numbers first.
    Numbers {
        /// The column that grows.
        column: Arc<str>,
        /// 1 to some hundreds.
        spans: Vec<Span>,
        /// Maximum number of rows.
        limit: u32,
    },
    /// The rows with a time from `since` and before `before`, in seconds since 1970; the newest first.
    Times {
        /// `None`: without a limit.
        since: Option<i64>,
        /// `None`: without a limit.
        before: Option<i64>,
        /// Maximum number of rows.
        limit: u32,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer to [`Question::Order`].
    Order(Order),
    /// The answer to [`Question::Newest`]; `None`: the table is empty.
    Newest(Option<u64>),
    /// The answer to [`Question::Numbers`].
    Numbers(Vec<Numbered>),
    /// The answer to [`Question::Times`].
    Times(Vec<Timed>),
}

/// A row of a table that is followed by a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Its number.
    pub number: u64,
    /// A hash of its time, user and category.
    pub key: u64,
    /// Its user; `None`: no request can name this user.
    pub user: Option<UserId>,
}

/// A row of a table that is followed by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// Its time in seconds since 1970; `None`: not a valid date.
    pub seconds: Option<i64>,
    /// A hash of its time, user and category.
    pub key: u64,
    /// Its user; `None`: no request can name this user.
    pub user: Option<UserId>,
}

/// The hash of a row's user and `rest`.
pub(crate) fn key(user: Option<&UserId>, rest: &[u8]) -> u64 {
    let id = user.map(ToString::to_string).unwrap_or_default();
    xxh3_64(&[rest, b"|", id.as_bytes()].concat())
}

/// The user of a row whose id the database converted to `text`; `None`: no request can name this user.
pub(crate) fn user_id(text: &str, ids: UserIdType) -> Option<UserId> {
    let text = match (ids, text.split_once('.')) {
        // A column of decimals is equal to integers too.
        (UserIdType::Integer, Some((integer, fraction)))
            if fraction.bytes().all(|digit| digit == b'0') =>
        {
            integer
        }
        _ => text,
    };
    UserId::parse(text, ids).ok()
}

#[cfg(test)]
mod tests {
    use super::user_id;
    use crate::model::UserId;
    use reckon_contract::tables::UserIdType;

    #[test]
    fn the_id_of_a_new_row_is_parsed_like_that_of_a_request() {
        let integer = |text| user_id(text, UserIdType::Integer);
        assert_eq!(integer("7"), Some(UserId::Integer(7)));
        assert_eq!(integer("7.00"), Some(UserId::Integer(7)));
        assert_eq!(integer("7.50"), None);
        let text = |id: &str| user_id(id, UserIdType::Text);
        assert_eq!(text("7.00"), Some(UserId::Text("7.00".into())));
        assert_eq!(text(&"x".repeat(65)), None);
    }
}
