//! Policies that the product does not have, to compare with.

use crate::model::{Day, History};
use crate::training::{Dataset, newer, older};
use foldhash::HashMap;
use std::cmp::Reverse;
use std::hash::Hash;

/// Number of days in which users are counted.
const RECENT_DAYS: i32 = 30;

/// The user's categories by their number of purchases; equal ones by name.
pub(super) fn by_rows(history: &History) -> Vec<&str> {
    by_count(history.purchases.iter())
}

/// All categories of the 30 days before `until` by their number of users; equal ones by name.
pub(super) fn by_users(data: &Dataset, until: Day) -> Vec<&str> {
    let from = Day(until.0 - RECENT_DAYS);
    let bought = data.all().flat_map(|user| {
        let rows = newer(older(user.purchases, until), from);
        let mut categories: Vec<u32> = rows.iter().filter_map(|row| row.category()).collect();
        categories.sort_unstable();
        categories.dedup();
        categories
    });
    // The numbers of categories are in the order of their names.
    let numbers = by_count(bought).into_iter();
    numbers
        .map(|number| &*data.names()[number as usize])
        .collect()
}

fn by_count<T: Copy + Eq + Hash + Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut counts: HashMap<T, u32> = HashMap::default();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    let mut ranked: Vec<(T, u32)> = counts.into_iter().collect();
    ranked.sort_unstable_by_key(|&(item, count)| (Reverse(count), item));
    ranked.into_iter().map(|(item, _)| item).collect()
}
