//! Users and their histories.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A user id as in the tables: any 64-bit integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Why a string is not a user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a signed 64-bit integer")]
pub struct InvalidUserId;

impl FromStr for UserId {
    type Err = InvalidUserId;

    /// Accepts `-?[0-9]{1,19}` within 64 bits; leading zeros are dropped.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !(1..=19).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidUserId);
        }
        text.parse().map(Self).map_err(|_| InvalidUserId)
    }
}

/// A calendar day as MySQL's `TO_DAYS` counts them: 719528 is 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// The number of days from `earlier` to this one; zero when `earlier` is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> u32 {
        u32::try_from(i64::from(self.0) - i64::from(earlier.0)).unwrap_or(0)
    }
}

/// The categories of the newest rows of one table, in one allocation each for strings, bounds and days.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Categories {
    rows: u32,
    text: String,
    ends: Vec<usize>,
    days: Vec<Option<Day>>,
}

impl Categories {
    /// Counts a row; its category and day are kept unless the category is missing or empty. A row without a valid date has
    /// no day.
    pub fn push(&mut self, category: Option<&str>, day: Option<Day>) {
        self.rows += 1;
        if let Some(category) = category.filter(|category| !category.is_empty()) {
            self.text.push_str(category);
            self.ends.push(self.text.len());
            self.days.push(day);
        }
    }

    /// Rows read, those without a category included.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The categories that are neither missing nor empty, in the order of their rows.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.text[start..end])
    }

    /// The same with the rows' days.
    pub fn with_days(&self) -> impl Iterator<Item = (&str, Option<Day>)> {
        self.iter().zip(self.days.iter().copied())
    }
}

/// Rows without days.
impl<'a> FromIterator<Option<&'a str>> for Categories {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(rows: I) -> Self {
        rows.into_iter().map(|category| (category, None)).collect()
    }
}

impl<'a> FromIterator<(Option<&'a str>, Option<Day>)> for Categories {
    fn from_iter<I: IntoIterator<Item = (Option<&'a str>, Option<Day>)>>(rows: I) -> Self {
        let mut categories = Self::default();
        for (category, day) in rows {
            categories.push(category, day);
        }
        categories
    }
}

/// The newest rows of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// From `searches.category`.
    pub searches: Categories,
    /// From `purchase.product_category`.
    pub purchases: Categories,
}

impl History {
    /// Whether the user has no row at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.searches.rows() + self.purchases.rows() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Categories, UserId};

    #[test]
    fn user_ids_are_ascii_integers_of_64_bits() {
        for (text, id) in [
            ("0", 0),
            ("-0", 0),
            ("007", 7),
            ("-12", -12),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(text.parse(), Ok(UserId(id)), "{text}");
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
            "9223372036854775808",
            "00000000000000000001",
            "1\0",
        ] {
            assert!(text.parse::<UserId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn rows_without_a_category_are_counted_and_not_kept() {
        let categories: Categories = [Some("books"), None, Some(""), Some("toys")]
            .into_iter()
            .collect();
        assert_eq!(categories.rows(), 4);
        assert_eq!(categories.iter().collect::<Vec<_>>(), ["books", "toys"]);
        assert_eq!(Categories::default().iter().count(), 0);
    }
}
