//! The rows of all users, by user.

use super::entry::{Entry, Table};
use crate::model::{Categories, Day, History};

/// The rows of all users (or of a sample of them), by user, newest first.
#[derive(Debug)]
pub struct Dataset {
    /// Names of categories, sorted: a category's number is its position.
    names: Vec<Box<str>>,
    /// Ids, each with the start of its rows. The last element is the end of all rows.
    starts: Vec<(i64, usize)>,
    entries: Vec<Entry>,
    sampled_share: f64,
}

impl Dataset {
    /// `rows` are sorted by user, and each user's rows newest first.
    pub(super) fn new(names: Vec<Box<str>>, rows: &[(i64, Entry)], sampled_share: f64) -> Self {
        let mut starts: Vec<(i64, usize)> = Vec::new();
        for (start, (user, _)) in rows.iter().enumerate() {
            if starts.last().is_none_or(|(last, _)| last != user) {
                starts.push((*user, start));
            }
        }
        starts.push((i64::MAX, rows.len()));
        Self {
            names,
            starts,
            entries: rows.iter().map(|(_, entry)| *entry).collect(),
            sampled_share,
        }
    }

    /// Number of users with a row.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.len() as u64
    }

    /// Number of rows of both tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The newest day of any row; none if no row has a valid date.
    #[must_use]
    pub fn newest_day(&self) -> Option<Day> {
        self.entries.iter().filter_map(|entry| entry.day()).max()
    }

    /// The oldest day of any row; none if no row has a valid date.
    #[must_use]
    pub fn oldest_day(&self) -> Option<Day> {
        self.entries.iter().filter_map(|entry| entry.day()).min()
    }

    /// Part of the users that is kept: 1 if all are, 0.5 after one halving.
    #[must_use]
    pub fn sampled_share(&self) -> f64 {
        self.sampled_share
    }

    /// The names of the categories; a category's number is its position.
    #[must_use]
    pub fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Number of users, as the length of a list.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The rows of the user at `position` of the list that is sorted by id.
    pub(crate) fn user(&self, position: usize) -> UserRows<'_> {
        let (_, start) = self.starts[position];
        let rows = &self.entries[start..self.starts[position + 1].1];
        let searches = rows.partition_point(|row| row.table() == Table::Searches);
        UserRows {
            searches: &rows[..searches],
            purchases: &rows[searches..],
        }
    }

    /// The ids of the users.
    #[cfg(test)]
    pub(crate) fn ids(&self) -> impl Iterator<Item = i64> {
        self.starts[..self.len()].iter().map(|(id, _)| *id)
    }

    /// The rows of all users, by id.
    pub(crate) fn all(&self) -> impl Iterator<Item = UserRows<'_>> {
        (0..self.len()).map(|position| self.user(position))
    }

    /// The position of the user with this id.
    pub(crate) fn find(&self, id: i64) -> Option<usize> {
        let users = &self.starts[..self.len()];
        users.binary_search_by_key(&id, |(user, _)| *user).ok()
    }

    /// The newest `length` rows of each table before a day, as the stores read them.
    pub(crate) fn history(&self, rows: UserRows<'_>, before: Day, length: usize) -> History {
        let categories = |rows: &[Entry]| {
            let rows = rows.iter().take(length);
            rows.map(|row| (self.name(*row), row.day()))
                .collect::<Categories>()
        };
        History {
            searches: categories(older(rows.searches, before)),
            purchases: categories(older(rows.purchases, before)),
        }
    }

    /// The category of a row.
    pub(crate) fn name(&self, row: Entry) -> Option<&str> {
        row.category()
            .map(|category| &*self.names[category as usize])
    }
}

/// The rows of one user, newest first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UserRows<'a> {
    /// Rows of `searches`.
    pub(crate) searches: &'a [Entry],
    /// Rows of `purchase`.
    pub(crate) purchases: &'a [Entry],
}

/// The rows before a day. Rows without a valid date count as older than any day.
pub(crate) fn older(rows: &[Entry], before: Day) -> &[Entry] {
    &rows[rows.partition_point(|row| row.day() >= Some(before))..]
}

/// The rows of the days from `from` on.
pub(crate) fn newer(rows: &[Entry], from: Day) -> &[Entry] {
    &rows[..rows.partition_point(|row| row.day() >= Some(from))]
}

/// The rows of each day, newest first. Rows without a valid date are the last day.
pub(crate) fn by_day(rows: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    rows.chunk_by(|left, right| left.day() == right.day())
}
