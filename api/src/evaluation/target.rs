//! A user's purchases as sets of categories.

use crate::model::Day;
use crate::training::{Dataset, Entry, UserRows, newer, older};
use foldhash::HashSet;

/// Number of days whose purchases are to be predicted.
pub const TARGET_DAYS: i32 = 14;

/// The newest cut-off whose days are complete: 14 days before the end of the newest day of any row.
#[must_use]
pub fn newest_cut_off(data: &Dataset) -> Option<Day> {
    Some(Day(data.newest_day()?.0 + 1 - TARGET_DAYS))
}

/// The categories that a user bought on the days from `from` to before `until`.
pub(super) fn bought<'a>(
    data: &'a Dataset,
    rows: UserRows<'a>,
    from: Day,
    until: Day,
) -> HashSet<&'a str> {
    categories(data, newer(older(rows.purchases, until), from))
}

/// The categories of some rows.
pub(super) fn categories<'a>(data: &'a Dataset, rows: &'a [Entry]) -> HashSet<&'a str> {
    rows.iter().filter_map(|row| data.name(*row)).collect()
}
