//! One row, packed into eight bytes that sort as the statements of the stores do.

use crate::model::Day;

const SECONDS_PER_DAY: i64 = 86_400;
/// 9999-12-31, the last date of MySQL and SQLite.
const LAST_DAY: i64 = 3_652_424;
const CATEGORY_BITS: u32 = 20;
const SECOND_BITS: u32 = 17;
const DAY_BITS: u32 = 22;
const CATEGORY_MASK: u64 = (1 << CATEGORY_BITS) - 1;
/// Maximum number of distinct categories; zero means "no category".
pub(super) const MAX_NAMES: usize = (1 << CATEGORY_BITS) - 1;

/// The table of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Purchases,
    Searches,
}

/// A row without its user: table, day, second of the day, category. A greater entry is a newer row of a table. Of rows
/// of the same second, the one with the greater category is greater, and rows without a category come last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry(u64);

impl Entry {
    /// `time` is in seconds since the beginning of the year 0. Outside the years 1 to 9999, it is not a valid date.
    pub(super) fn new(table: Table, time: Option<i64>, category: Option<u32>) -> Self {
        let valid = time.filter(|time| (1..=LAST_DAY).contains(&time.div_euclid(SECONDS_PER_DAY)));
        let time = valid.map_or(0, |time| {
            let day = time.div_euclid(SECONDS_PER_DAY).unsigned_abs();
            let second = time.rem_euclid(SECONDS_PER_DAY).unsigned_abs();
            day << SECOND_BITS | second
        });
        let table = u64::from(table == Table::Searches) << (DAY_BITS + SECOND_BITS);
        Self((table | time) << CATEGORY_BITS).with_category(category)
    }

    pub(super) fn with_category(self, category: Option<u32>) -> Self {
        let category = category.map_or(0, |category| u64::from(category) + 1);
        Self(self.0 & !CATEGORY_MASK | category & CATEGORY_MASK)
    }

    pub(super) fn table(self) -> Table {
        if self.0 >> (CATEGORY_BITS + SECOND_BITS + DAY_BITS) == 0 {
            Table::Purchases
        } else {
            Table::Searches
        }
    }

    /// The day; none for a row without a valid date.
    #[must_use]
    pub fn day(self) -> Option<Day> {
        let day = self.0 >> (CATEGORY_BITS + SECOND_BITS) & ((1 << DAY_BITS) - 1);
        let day = i32::try_from(day).ok().filter(|day| *day > 0);
        day.map(Day)
    }

    /// The number of the category; none for a row without one.
    #[must_use]
    pub fn category(self) -> Option<u32> {
        u32::try_from(self.0 & CATEGORY_MASK).ok()?.checked_sub(1)
    }
}
