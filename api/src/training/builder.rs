//! Collects rows, and samples users if there are too many rows.

use super::dataset::Dataset;
use super::entry::{Entry, MAX_NAMES, Table};
use super::forms::forms;
use foldhash::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Longest name of a category in bytes; a row with a longer one counts as a row without a category.
const MAX_NAME_BYTES: usize = 1024;

/// Collects the rows of all users, in any order: 16 bytes for each, and 8 more while it finishes.
///
/// If there are more rows than allowed, it keeps half of the users, chosen by a hash of the id, then a quarter, and so
/// on. So the same rows always give the same users, in any order of the rows.
pub struct Builder {
    max_rows: usize,
    /// A user is kept if the hash, shifted right by 64 minus this number of bits, is zero.
    halvings: u32,
    folds: bool,
    names: HashMap<Box<str>, u32>,
    rows: Vec<(i64, Entry)>,
}

impl Builder {
    /// An empty builder that keeps at most `max_rows` rows.
    #[must_use]
    pub fn new(max_rows: usize) -> Self {
        Self {
            max_rows,
            halvings: 0,
            folds: false,
            names: HashMap::default(),
            rows: Vec::new(),
        }
    }

    /// Whether categories that differ only in case, or in blanks at their ends, count as one.
    #[must_use]
    pub fn folding(mut self, folds: bool) -> Self {
        self.folds = folds;
        self
    }

    /// Adds a row of `purchase`. `time` is in seconds as MySQL's `TO_SECONDS` counts them; none if the date is invalid.
    pub fn purchase(&mut self, user: i64, time: Option<i64>, category: Option<&str>) {
        self.add(Table::Purchases, user, time, category);
    }

    /// Adds a row of `searches` in the same way.
    pub fn search(&mut self, user: i64, time: Option<i64>, category: Option<&str>) {
        self.add(Table::Searches, user, time, category);
    }

    fn add(&mut self, table: Table, user: i64, time: Option<i64>, category: Option<&str>) {
        if !is_kept(user, self.halvings) {
            return;
        }
        if self.rows.capacity() == 0 {
            // Unused pages cost nothing, but growing would need twice the memory for a moment.
            self.rows.reserve_exact(self.max_rows + 1);
        }
        let category = category.and_then(|name| self.number(name));
        self.rows.push((user, Entry::new(table, time, category)));
        while self.rows.len() > self.max_rows && self.halvings < u64::BITS {
            self.halvings += 1;
            let halvings = self.halvings;
            self.rows.retain(|(user, _)| is_kept(*user, halvings));
        }
    }

    /// The number of a category, by first appearance.
    fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(&number) = self.names.get(name) {
            return Some(number);
        }
        let is_valid = (1..=MAX_NAME_BYTES).contains(&name.len());
        if !is_valid || self.names.len() == MAX_NAMES {
            return None;
        }
        let number = u32::try_from(self.names.len()).ok()?;
        self.names.insert(name.into(), number);
        Some(number)
    }

    /// The rows by user, newest first as the statements of the stores read them.
    #[must_use]
    pub fn finish(self) -> Dataset {
        let mut rows = self.rows;
        let mut names: Vec<(Box<str>, u32)> = self.names.into_iter().collect();
        if self.folds {
            names = forms(&names, &rows);
        }
        names.sort_unstable();
        let mut by_name = vec![None; names.len()];
        let mut distinct: Vec<Box<str>> = Vec::with_capacity(names.len());
        for (name, old) in names {
            if distinct.last() != Some(&name) {
                distinct.push(name);
            }
            // A category that consists only of blanks counts as no category.
            let new = u32::try_from(distinct.len() - 1).ok();
            by_name[old as usize] =
                new.filter(|_| distinct.last().is_some_and(|name| !name.is_empty()));
        }
        for (_, entry) in &mut rows {
            let category = entry.category().and_then(|old| by_name[old as usize]);
            *entry = entry.with_category(category);
        }
        rows.sort_unstable_by(|left, right| left.0.cmp(&right.0).then(right.1.cmp(&left.1)));
        Dataset::new(distinct, &rows, (-f64::from(self.halvings)).exp2())
    }
}

/// Whether a user is in the sample after this many halvings.
fn is_kept(user: i64, halvings: u32) -> bool {
    xxh3_64(&user.to_le_bytes())
        .checked_shr(u64::BITS - halvings)
        .unwrap_or(0)
        == 0
}
