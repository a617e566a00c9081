//! Follows a table by time (pure): reads the rows of a window before the newest time, and tracks which of them were
//! seen before.
//!
//! The window begins `overlap` before the newest time, so a row is found even if, at its commit, its time is up to
//! `overlap` older than the newest time. Rows with equal times at the edge of the window are in it too. The newest time
//! is that of the tenth newest row that is not in the future. So a few rows of a clock that is ahead do not move the
//! window past other rows.

#[cfg(test)]
mod tests;

use super::found::Found;
use crate::store::new_rows::Timed;
use std::collections::HashMap;
use std::time::Duration;

/// Maximum number of rows of an answer. If the window has more, each poll with new rows invalidates everything.
pub const WINDOW_ROWS: u32 = 100_000;
/// The time of the tenth newest row counts as the newest time.
const RANK: usize = 10;
/// Rows that are further in the future are not ranked. Columns may hold local time, which is up to 14 hours ahead of UTC.
const FUTURE_SECONDS: i64 = 14 * 3600;

/// What to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The oldest time to read, in seconds since 1970; `None`: any.
    pub since: Option<i64>,
    /// Only rows before this time.
    pub before: Option<i64>,
    /// Maximum number of rows, the newest ones.
    pub limit: u32,
}

/// The state: which rows of a table have been seen.
#[derive(Clone, Debug)]
pub struct TimeWindow {
    overlap: i64,
    /// `None`: nothing has been seen yet.
    newest: Option<i64>,
    is_filled: bool,
    /// The rows of the window: for each key, the number of rows and their time.
    seen: HashMap<u64, (u32, i64)>,
}

impl TimeWindow {
    /// The state before the first poll of a table.
    #[must_use]
    pub fn new(overlap: Duration) -> Self {
        Self {
            overlap: overlap.as_secs().cast_signed(),
            newest: None,
            is_filled: false,
            seen: HashMap::new(),
        }
    }

    /// What to read at `now`, in seconds since 1970.
    #[must_use]
    pub fn ask(&self, now: i64) -> Ask {
        match self.newest {
            // Reads only the times. The rows are then read from the beginning of the window.
            None => Ask {
                since: None,
                before: Some(now + FUTURE_SECONDS),
                limit: u32::try_from(RANK).unwrap_or(u32::MAX),
            },
            Some(newest) => Ask {
                since: (newest > i64::MIN).then(|| newest.saturating_sub(self.overlap)),
                before: None,
                limit: WINDOW_ROWS,
            },
        }
    }

    /// Whether the window has been read once.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.is_filled
    }

    /// The newest time that has been seen.
    #[must_use]
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Continues from the time that an earlier process had reached: rows of the window are found again.
    #[must_use]
    pub fn from_newest(overlap: Duration, newest: i64) -> Self {
        Self {
            newest: Some(newest),
            is_filled: true,
            ..Self::new(overlap)
        }
    }

    /// Takes the answer to [`TimeWindow::ask`]. Returns the new rows, and whether to ask again at once.
    pub fn take(&mut self, rows: Vec<Timed>, now: i64, found: &mut Found) -> bool {
        let newest = ranked(&rows, now);
        if self.newest.is_none() {
            // The table is empty, so any later row is new.
            self.newest = Some(newest.unwrap_or(i64::MIN));
            return true;
        }
        let is_full = rows.len() >= WINDOW_ROWS as usize;
        if !self.is_filled {
            found.add_all();
            self.is_filled = true;
        }
        let mut seen: HashMap<u64, (u32, i64)> = HashMap::with_capacity(rows.len());
        let mut is_any_new = false;
        for row in rows {
            let time = row.seconds.unwrap_or(i64::MIN);
            let count = &mut seen.entry(row.key).or_insert((0, time)).0;
            *count += 1;
            if self
                .seen
                .get(&row.key)
                .is_none_or(|(known, _)| known < count)
            {
                found.add(row.user);
                is_any_new = true;
            }
        }
        if is_full && is_any_new {
            // Rows that were not read may be new too.
            found.add_all();
        }
        if newest > self.newest {
            self.newest = newest;
        }
        let edge = self.newest.unwrap_or(i64::MIN).saturating_sub(self.overlap);
        seen.retain(|_, (_, time)| *time >= edge);
        self.seen = seen;
        false
    }
}

/// The time of the tenth newest row that is not in the future.
fn ranked(rows: &[Timed], now: i64) -> Option<i64> {
    let mut newest: Vec<i64> = rows.iter().filter_map(|row| row.seconds).collect();
    newest.retain(|time| *time <= now + FUTURE_SECONDS);
    newest.sort_unstable_by(|one, other| other.cmp(one));
    newest.get(RANK - 1).or(newest.last()).copied()
}
