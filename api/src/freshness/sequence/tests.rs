//! The follower against a simulated table: transactions take numbers in order, and commit in any order or not at all.

use super::{Ask, PAGE, Sequence};
use crate::freshness::found::Found;
use crate::model::UserId;
use crate::store::new_rows::{Numbered, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

fn user(id: i64) -> UserId {
    UserId::Integer(id)
}

/// A table whose rows each have a user of their own.
struct Table {
    rows: BTreeMap<u64, i64>,
    /// Rows of open transactions.
    open: Vec<Vec<(u64, i64)>>,
    next_number: u64,
    next_user: i64,
    increment: u64,
    random: fastrand::Rng,
}

impl Table {
    fn new(seed: u64, increment: u64) -> Self {
        Self {
            rows: BTreeMap::new(),
            open: Vec::new(),
            next_number: 1,
            next_user: 1,
            increment,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn take(&mut self, count: u64) -> Vec<(u64, i64)> {
        let rows = (0..count).map(|_| {
            let row = (self.next_number, self.next_user);
            self.next_number += self.increment;
            self.next_user += 1;
            row
        });
        rows.collect()
    }

    /// Begins, commits or rolls back a transaction. Returns the users of rows that it committed.
    fn step(&mut self) -> Vec<i64> {
        let choice = self.random.u8(0..10);
        if choice < 5 || self.open.is_empty() {
            let count = self.random.u64(1..4);
            let rows = self.take(count);
            self.open.push(rows);
            return Vec::new();
        }
        let index = self.random.usize(0..self.open.len());
        if choice == 9 {
            self.open.swap_remove(index);
            return Vec::new();
        }
        self.commit(index)
    }

    fn commit(&mut self, index: usize) -> Vec<i64> {
        let rows = self.open.swap_remove(index);
        self.rows.extend(rows.iter().copied());
        rows.into_iter().map(|(_, user)| user).collect()
    }

    fn read(&self, spans: &[Span]) -> Vec<Numbered> {
        assert!(
            spans.windows(2).all(|pair| pair[0].1 < pair[1].0),
            "{spans:?}"
        );
        let rows = spans
            .iter()
            .flat_map(|(first, last)| self.rows.range(first..=last));
        let rows = rows.take(PAGE as usize);
        rows.map(|(number, id)| Numbered {
            number: *number,
            key: id.cast_unsigned(),
            user: Some(user(*id)),
        })
        .collect()
    }

    fn newest(&self) -> Option<u64> {
        self.rows.last_key_value().map(|(number, _)| *number)
    }
}

/// Completes a poll; `between` runs before each statement.
fn poll(
    state: &mut Sequence,
    table: &mut Table,
    now: Duration,
    mut between: impl FnMut(&mut Table),
) -> Found {
    let mut poll = state.poll(now);
    let mut statements = 0;
    while let Some(ask) = poll.ask() {
        between(table);
        match ask {
            Ask::Newest => poll.newest(table.newest()),
            Ask::Rows(spans) => poll.rows(table.read(&spans)),
        }
        statements += 1;
        assert!(statements < 10_000, "the poll does not end");
    }
    poll.found
}

fn ids(found: &Found) -> BTreeSet<i64> {
    let ids = found.users().iter().map(|user| match user {
        UserId::Integer(id) => *id,
        other => panic!("{other}"),
    });
    ids.collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A follower of `table` after its first poll.
fn started(table: &mut Table) -> Sequence {
    let mut state = Sequence::unknown();
    assert!(poll(&mut state, table, seconds(0), |_| ()).is_all());
    state
}

#[test]
fn each_committed_row_is_reported_once_whatever_the_order_of_commits() {
    for seed in 0..250 {
        let mut table = Table::new(seed, 1 + seed % 3);
        for _ in 0..seed % 20 {
            table.step();
        }
        let mut state = started(&mut table);
        let mut due: BTreeSet<i64> = BTreeSet::new();
        for round in 1..30 {
            let steps = table.random.u8(0..20);
            for _ in 0..steps {
                due.extend(table.step());
            }
            let before = due.clone();
            let mut later = Vec::new();
            let found = poll(&mut state, &mut table, seconds(2 * round), |table| {
                later.extend(table.step());
            });
            assert!(!found.is_all());
            let found = ids(&found);
            due.extend(later);
            assert!(
                before.is_subset(&found),
                "seed {seed}: {before:?} in {found:?}"
            );
            assert!(found.is_subset(&due), "seed {seed}: {found:?} in {due:?}");
            due = &due - &found;
        }
    }
}

#[test]
fn a_follower_that_continues_from_its_text_misses_no_row() {
    for seed in 0..250 {
        let mut table = Table::new(seed, 1 + seed % 3);
        let mut state = started(&mut table);
        let mut due: BTreeSet<i64> = BTreeSet::new();
        let mut stored = state.text(seconds(0));
        let (mut found_since, mut all) = (BTreeSet::new(), BTreeSet::new());
        for round in 1..30 {
            for _ in 0..10 {
                let committed = table.step();
                due.extend(&committed);
                all.extend(committed);
            }
            if round % 7 == 0 {
                // Rows that were found after the text was stored are found again.
                state = Sequence::parse(&stored, seconds(2 * round)).unwrap();
                due.append(&mut found_since);
            }
            let found = ids(&poll(&mut state, &mut table, seconds(2 * round), |_| ()));
            assert!(due.is_subset(&found), "seed {seed}: {due:?} in {found:?}");
            assert!(found.is_subset(&all));
            due.clear();
            found_since.extend(found);
            if round % 3 == 0 {
                stored = state.text(seconds(2 * round));
                found_since.clear();
            }
        }
    }
}

#[test]
fn deleted_rows_change_nothing_even_if_their_numbers_are_used_again() {
    for seed in 0..250 {
        let mut table = Table::new(seed, 1);
        let rows = table.take(40);
        table.rows.extend(rows);
        let mut state = started(&mut table);
        let mut due: BTreeSet<i64> = BTreeSet::new();
        for round in 1..20 {
            for _ in 0..table.random.u8(0..8) {
                due.extend(table.step());
            }
            let found = poll(&mut state, &mut table, seconds(2 * round), |_| ());
            assert!(!found.is_all(), "seed {seed}");
            let found = ids(&found);
            // Rows that appeared in gaps above a deleted row may be found again.
            assert!(due.is_subset(&found), "seed {seed}: {due:?} in {found:?}");
            assert!(
                found
                    .iter()
                    .all(|user| table.rows.values().any(|id| id == user))
            );
            due.clear();
            // The newest rows are deleted, fewer than are remembered. An old server uses their numbers again.
            if round % 4 == 0 && table.open.is_empty() {
                for _ in 0..table.random.u8(0..5) {
                    table.rows.pop_last();
                }
                table.next_number = table.newest().unwrap() + 1;
            } else if round % 4 == 1 {
                let count = table.random.u8(0..5);
                for _ in 0..count {
                    table.rows.pop_last();
                }
            }
        }
    }
}

#[test]
fn a_table_that_was_emptied_or_replaced_is_followed_from_its_new_beginning() {
    for (keep, refill) in [(0, 0), (0, 5), (0, 300), (30, 0), (30, 500)] {
        let mut table = Table::new(1, 1);
        let rows = table.take(100);
        table.rows.extend(rows);
        let mut state = started(&mut table);
        table.rows.retain(|number, _| *number <= keep);
        table.next_number = keep + 1;
        let rows = table.take(refill);
        table.rows.extend(rows);
        assert!(poll(&mut state, &mut table, seconds(2), |_| ()).is_all());
        assert!(poll(&mut state, &mut table, seconds(4), |_| ()).is_empty());
        let rows = table.take(3);
        table.rows.extend(rows.iter().copied());
        let expected: BTreeSet<i64> = rows.iter().map(|(_, user)| *user).collect();
        assert_eq!(
            ids(&poll(&mut state, &mut table, seconds(6), |_| ())),
            expected
        );
    }
}

#[test]
fn a_poll_that_is_interrupted_loses_nothing() {
    for statements in 1..4 {
        let mut table = Table::new(1, 1);
        let rows = table.take(100);
        table.rows.extend(rows.iter().copied());
        let mut state = started(&mut table);
        table.rows.clear();
        let mut interrupted = state.poll(seconds(2));
        for _ in 0..statements {
            match interrupted.ask() {
                Some(Ask::Newest) => interrupted.newest(table.newest()),
                Some(Ask::Rows(spans)) => interrupted.rows(table.read(&spans)),
                None => {}
            }
        }
        let mut found = interrupted.found;
        found.merge(poll(&mut state, &mut table, seconds(4), |_| ()));
        assert!(found.is_all(), "after {statements} statements");
    }
}

#[test]
fn an_empty_table_is_followed_and_transactions_that_were_open_at_the_start_count() {
    let mut table = Table::new(1, 1);
    let mut state = started(&mut table);
    let (early, late) = (table.take(1), table.take(1));
    table.rows.extend(late.iter().copied());
    assert_eq!(
        ids(&poll(&mut state, &mut table, seconds(2), |_| ())),
        [2].into()
    );
    table.rows.extend(early.iter().copied());
    assert_eq!(
        ids(&poll(&mut state, &mut table, seconds(4), |_| ())),
        [1].into()
    );
    let open = table.take(1);
    let rows = table.take(5000);
    table.rows.extend(rows.iter().copied());
    let mut state = started(&mut table);
    table.rows.extend(open.iter().copied());
    assert_eq!(
        ids(&poll(&mut state, &mut table, seconds(2), |_| ())),
        [3].into()
    );
}

#[test]
fn many_new_rows_invalidate_everything_and_late_ones_among_them_are_found() {
    for count in [150_000, 3_000_000] {
        let mut table = Table::new(1, 1);
        let rows = table.take(10);
        table.rows.extend(rows);
        let mut state = started(&mut table);
        let rows = table.take(count - 50_000);
        table.rows.extend(rows);
        let open = table.take(1);
        let rows = table.take(50_000);
        table.rows.extend(rows);
        let found = poll(&mut state, &mut table, seconds(2), |_| ());
        assert!(found.is_all());
        assert!(poll(&mut state, &mut table, seconds(4), |_| ()).is_empty());
        table.rows.extend(open.iter().copied());
        assert_eq!(
            ids(&poll(&mut state, &mut table, seconds(6), |_| ())),
            [open[0].1].into()
        );
    }
}

#[test]
fn a_bulk_that_commits_late_is_found_in_its_gap() {
    let mut table = Table::new(1, 1);
    let mut state = started(&mut table);
    let bulk = table.take(25_000);
    let other = table.take(1);
    table.rows.extend(other.iter().copied());
    assert_eq!(
        ids(&poll(&mut state, &mut table, seconds(2), |_| ())).len(),
        1
    );
    table.rows.extend(bulk.iter().copied());
    assert_eq!(
        ids(&poll(&mut state, &mut table, seconds(400), |_| ())).len(),
        25_000
    );
    assert_eq!(state.gaps.len(), 1);
}

#[test]
fn a_gap_expires_after_an_hour_and_not_before() {
    for (wait, is_found) in [(3599, true), (3601, false)] {
        let mut table = Table::new(1, 1);
        let mut state = started(&mut table);
        let (early, late) = (table.take(1), table.take(1));
        table.rows.extend(late.iter().copied());
        poll(&mut state, &mut table, seconds(1), |_| ());
        table.rows.extend(early.iter().copied());
        let found = poll(&mut state, &mut table, seconds(1 + wait), |_| ());
        assert_eq!(!found.is_empty(), is_found);
    }
}
