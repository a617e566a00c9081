//! Users and their histories.

pub(crate) mod user_id;

pub use user_id::{InvalidUserId, UserId};

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// A calendar day as MySQL's `TO_DAYS` counts them: 719528 is 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// 1970-01-01.
    pub const EPOCH: Self = Self(719_528);

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
    /// Positions of the rows without a category.
    skipped: Vec<u32>,
}

impl Categories {
    /// Counts a row; its category and day are kept unless the category is missing or empty. A row without a valid date has
    /// no day.
    pub fn push(&mut self, category: Option<&str>, day: Option<Day>) {
        if let Some(category) = category.filter(|category| !category.is_empty()) {
            self.text.push_str(category);
            self.ends.push(self.text.len());
            self.days.push(day);
        } else {
            self.skipped.push(self.rows);
        }
        self.rows += 1;
    }

    /// The first `length` rows, those without a category included.
    fn first(&self, length: u32) -> Self {
        let rows = self.rows.min(length);
        let skipped = &self.skipped[..self.skipped.partition_point(|position| *position < rows)];
        let kept = rows as usize - skipped.len();
        let ends = &self.ends[..kept];
        Self {
            rows,
            text: self.text[..ends.last().copied().unwrap_or(0)].to_owned(),
            ends: ends.to_vec(),
            days: self.days[..kept].to_vec(),
            skipped: skipped.to_vec(),
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

    /// The same rows with other categories. A row whose category becomes empty is counted and has none.
    #[must_use]
    pub fn map<'a>(&'a self, mut change: impl FnMut(&'a str) -> &'a str) -> Self {
        let mut changed = Self::default();
        let (mut kept, mut skipped) = (self.with_days(), self.skipped.iter().peekable());
        for position in 0..self.rows {
            let row = if skipped.next_if_eq(&&position).is_some() {
                None
            } else {
                kept.next()
            };
            let (category, day) = row.unzip();
            changed.push(category.map(&mut change), day.flatten());
        }
        changed
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
    /// The newest `length` rows of each table, if rows are in the order of the stores: newest first.
    #[must_use]
    pub fn newest(&self, length: u32) -> Cow<'_, Self> {
        if self.searches.rows.max(self.purchases.rows) <= length {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self {
            searches: self.searches.first(length),
            purchases: self.purchases.first(length),
        })
    }

    /// Whether the user has no row at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.searches.rows() + self.purchases.rows() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Categories, History};
    use std::borrow::Cow;

    #[test]
    fn rows_without_a_category_are_counted_and_not_kept() {
        let categories: Categories = [Some("books"), None, Some(""), Some("toys")]
            .into_iter()
            .collect();
        assert_eq!(categories.rows(), 4);
        assert_eq!(categories.iter().collect::<Vec<_>>(), ["books", "toys"]);
        assert_eq!(Categories::default().iter().count(), 0);
    }

    #[test]
    fn the_newest_rows_equal_those_that_a_store_reads() {
        let rows = [
            None,
            Some("books"),
            Some(""),
            Some("toys"),
            None,
            Some("tea"),
        ];
        let read = |length: usize| History {
            searches: rows[..length].iter().copied().collect(),
            purchases: rows[1..].iter().copied().take(length).collect(),
        };
        let all = read(6);
        for length in 0..6 {
            let newest = all.newest(u32::try_from(length).unwrap());
            assert_eq!(*newest, read(length), "{length}");
        }
        assert!(matches!(all.newest(6), Cow::Borrowed(_)));
        assert!(matches!(all.newest(1000), Cow::Borrowed(_)));
    }
}
