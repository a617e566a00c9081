//! Follows a table by a column that grows with each new row (pure).
//!
//! The state is the next number that has not been seen, and the gaps below it. A transaction that took a number can
//! commit after transactions with greater ones, so each gap is read again until its row appears or an hour has passed.

mod position;
#[cfg(test)]
mod tests;

use super::found::Found;
use super::gaps::{Gaps, KEPT_FOR, SPANS_PER_STATEMENT};
use crate::store::new_rows::{Numbered, Span};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Maximum number of rows of an answer.
pub const PAGE: u32 = 10_000;
/// At a start, this many numbers below the greatest one are read, because transactions that are still open may have
/// taken some of these numbers.
pub const LOOK_BACK: u64 = 100_000;
/// After this many full answers, the follower compares its position with the greatest number.
const PAGES_BEFORE_JUMP: u32 = 10;
/// If more numbers than this are left, everything is invalidated, and the follower starts at the greatest number.
const JUMP: u64 = 1_000_000;
/// Number of remembered rows. They show whether new rows were deleted, or the table was replaced.
const REMEMBERED: usize = 16;

/// What to read next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The greatest number.
    Newest,
    /// The rows in these spans, at most [`PAGE`].
    Rows(Vec<Span>),
}

/// The state: which rows of a table have been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// All seen numbers are below this one.
    next: u64,
    gaps: Gaps,
    /// Number and key of the last rows, in order.
    recent: VecDeque<(u64, u64)>,
    /// Nothing has been seen yet.
    is_unknown: bool,
}

/// One poll: [`Poll::ask`], then [`Poll::newest`] or [`Poll::rows`], until `ask` returns `None`.
pub struct Poll<'a> {
    state: &'a mut Sequence,
    now: Duration,
    stage: Stage,
    pages: u32,
    /// The result so far. It counts even if the poll is not completed.
    pub found: Found,
}

enum Stage {
    /// Everything is unknown: start at the greatest number.
    Start,
    /// Rows above the last one.
    New,
    /// Whether too many rows are left to read them all.
    Distance,
    /// Gaps, in statements of at most [`SPANS_PER_STATEMENT`] spans.
    Gaps(Vec<Span>),
}

impl Sequence {
    /// The state before the first poll of a table.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            is_unknown: true,
            ..Self::default()
        }
    }

    /// Begins a poll at `now`, a time since any fixed moment.
    pub fn poll(&mut self, now: Duration) -> Poll<'_> {
        self.gaps.expire(now);
        let stage = if self.is_unknown {
            Stage::Start
        } else {
            Stage::New
        };
        Poll {
            state: self,
            now,
            stage,
            pages: 0,
            found: Found::default(),
        }
    }

    /// Whether the table has been read once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.is_unknown
    }

    /// Starts shortly below the greatest number.
    fn restart(&mut self, newest: Option<u64>) {
        let next = newest.map_or(0, |newest| newest.saturating_sub(LOOK_BACK));
        *self = Self {
            next,
            ..Self::default()
        };
    }

    /// Whether one of the remembered rows is still there. If the newest of these rows are missing, they were deleted,
    /// and their numbers may be used again. So these numbers count as unseen.
    fn continues(&mut self, rows: &[Numbered]) -> bool {
        let keys: HashMap<u64, u64> = rows
            .iter()
            .take_while(|row| row.number < self.next)
            .map(|row| (row.number, row.key))
            .collect();
        let before = self.recent.len();
        let replaced = self.recent.iter().find(|(number, key)| {
            let now = keys.get(number);
            now.is_some_and(|now| now != key)
        });
        let replaced = replaced.map_or(u64::MAX, |(number, _)| *number);
        let last = self.recent.back().map(|(number, _)| *number);
        self.recent
            .retain(|(number, _)| *number < replaced && keys.contains_key(number));
        let left = self.recent.back().map(|(number, _)| *number);
        if let Some(left) = left.filter(|left| Some(*left) < last) {
            self.next = left + 1;
            self.gaps.truncate(self.next);
        }
        // This stays set if the poll is interrupted before the next answer.
        self.is_unknown = before > 0 && left.is_none();
        !self.is_unknown
    }

    /// Takes a row at or above `next`. Returns how many gaps were dropped.
    fn see(&mut self, row: &Numbered, now: Duration) -> u64 {
        let dropped = if row.number > self.next {
            self.gaps.add((self.next, row.number - 1), now + KEPT_FOR)
        } else {
            0
        };
        self.next = row.number.saturating_add(1);
        self.recent.push_back((row.number, row.key));
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
        dropped
    }
}

impl Poll<'_> {
    /// What to read next; `None`: the poll is complete.
    #[must_use]
    pub fn ask(&self) -> Option<Ask> {
        match &self.stage {
            Stage::Start | Stage::Distance => Some(Ask::Newest),
            Stage::New => Some(Ask::Rows(vec![(self.from(), u64::MAX)])),
            Stage::Gaps(spans) if spans.is_empty() => None,
            Stage::Gaps(spans) => {
                let count = spans.len().min(SPANS_PER_STATEMENT);
                Some(Ask::Rows(spans[..count].to_vec()))
            }
        }
    }

    /// The number from which to read. The last seen rows are read again: if they are missing, rows were deleted or the
    /// table was replaced.
    fn from(&self) -> u64 {
        let first = self.state.recent.front();
        first.map_or(self.state.next, |(number, _)| *number)
    }

    /// The answer to [`Ask::Newest`].
    pub fn newest(&mut self, newest: Option<u64>) {
        let is_far = |next: u64| newest.is_some_and(|newest| newest.saturating_sub(next) > JUMP);
        match self.stage {
            Stage::Distance if !is_far(self.state.next) => {}
            _ => {
                self.state.restart(newest);
                self.found.add_all();
            }
        }
        self.stage = Stage::New;
    }

    /// The answer to [`Ask::Rows`].
    pub fn rows(&mut self, rows: Vec<Numbered>) {
        match std::mem::replace(&mut self.stage, Stage::New) {
            Stage::New => self.new_rows(rows),
            Stage::Gaps(spans) => self.rows_of_gaps(rows, spans),
            stage => self.stage = stage,
        }
    }

    fn new_rows(&mut self, rows: Vec<Numbered>) {
        let is_full = rows.len() >= PAGE as usize;
        if !self.state.continues(&rows) {
            self.stage = Stage::Start;
            return;
        }
        for row in rows {
            if row.number >= self.state.next {
                self.found.dropped_gaps += self.state.see(&row, self.now);
                self.found.add(row.user);
            }
        }
        self.pages += u32::from(is_full);
        self.stage = match is_full {
            false => Stage::Gaps(self.state.gaps.due(self.now)),
            true if self.pages.is_multiple_of(PAGES_BEFORE_JUMP) => Stage::Distance,
            true => Stage::New,
        };
    }

    fn rows_of_gaps(&mut self, rows: Vec<Numbered>, mut spans: Vec<Span>) {
        let asked = spans.len().min(SPANS_PER_STATEMENT);
        // If an answer is full, rows after its last one may be missing.
        let full = rows.last().filter(|_| rows.len() >= PAGE as usize);
        match full.map(|row| row.number) {
            None => _ = spans.drain(..asked),
            Some(last) => {
                spans.retain(|span| span.1 > last);
                if let Some(first) = spans.first_mut() {
                    first.0 = first.0.max(last + 1);
                }
            }
        }
        for row in rows {
            if self.state.gaps.remove(row.number) {
                self.found.add(row.user);
            }
        }
        self.stage = Stage::Gaps(spans);
    }
}
