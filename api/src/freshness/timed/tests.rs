//! The follower against simulated tables: equal times, clocks that differ, late commits, wrong times.

use super::{Ask, TimeWindow};
use crate::freshness::found::Found;
use crate::model::UserId;
use crate::store::new_rows::Timed;
use std::collections::BTreeSet;
use std::time::Duration;

const OVERLAP: i64 = 60;
const START: i64 = 1_700_000_000;

/// Rows as (time, user).
#[derive(Default)]
struct Table(Vec<(i64, i64)>);

impl Table {
    fn read(&self, ask: Ask) -> Vec<Timed> {
        let mut rows = self.0.clone();
        rows.retain(|(time, _)| {
            ask.since.is_none_or(|since| *time >= since)
                && ask.before.is_none_or(|before| *time < before)
        });
        rows.sort_unstable_by(|one, other| other.cmp(one));
        rows.truncate(ask.limit as usize);
        let timed = |(time, user): (i64, i64)| Timed {
            seconds: Some(time),
            key: xxhash_rust::xxh3::xxh3_64(format!("{time} {user}").as_bytes()),
            user: Some(UserId::Integer(user)),
        };
        rows.into_iter().map(timed).collect()
    }
}

fn poll(window: &mut TimeWindow, table: &Table, now: i64) -> Found {
    let mut found = Found::default();
    while window.take(table.read(window.ask(now)), now, &mut found) {}
    found
}

fn ids(found: &Found) -> BTreeSet<i64> {
    assert!(!found.is_all());
    let ids = found.users().iter().map(|user| match user {
        UserId::Integer(id) => *id,
        other => panic!("{other}"),
    });
    ids.collect()
}

fn window() -> TimeWindow {
    TimeWindow::new(Duration::from_secs(OVERLAP.cast_unsigned()))
}

#[test]
fn each_row_is_reported_once_if_clocks_and_commits_differ_by_less_than_the_overlap() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut table = Table::default();
        // Rows of wrong clocks, fewer than the rank.
        for _ in 0..random.u8(0..9) {
            table.0.push((START + random.i64(0..4_000_000_000), 0));
        }
        for _ in 0..random.u8(0..40) {
            table.0.push((START - random.i64(0..100), 0));
        }
        let mut window = window();
        assert!(poll(&mut window, &table, START).is_all());
        let mut open: Vec<(i64, i64, i64)> = Vec::new();
        let (mut user, mut now) = (1, START);
        for _ in 0..100 {
            now += random.i64(1..5);
            for _ in 0..random.u8(0..6) {
                // Its clock differs by up to 20 s, and it commits up to 35 s later.
                let time = now + random.i64(-10..=10);
                open.push((now + random.i64(0..35), time, user));
                user += 1;
            }
            let (done, still): (Vec<_>, Vec<_>) =
                open.into_iter().partition(|(commit, ..)| *commit <= now);
            open = still;
            table
                .0
                .extend(done.iter().map(|(_, time, user)| (*time, *user)));
            let expected: BTreeSet<i64> = done.iter().map(|(.., user)| *user).collect();
            assert_eq!(
                ids(&poll(&mut window, &table, now)),
                expected,
                "seed {seed}"
            );
        }
    }
}

#[test]
fn an_equal_row_counts_again_and_a_quiet_table_keeps_its_window() {
    let mut table = Table::default();
    let mut window = window();
    assert!(poll(&mut window, &table, START).is_all());
    for round in 0..5 {
        table.0.push((START, 7));
        let now = START + 3600 * round;
        assert_eq!(ids(&poll(&mut window, &table, now)), [7].into());
        assert!(poll(&mut window, &table, now).is_empty());
    }
    assert_eq!(window.seen.len(), 1);
}

#[test]
fn a_follower_that_continues_restores_its_window() {
    let mut table = Table((0..100).map(|user| (START + user, user)).collect());
    let mut window = window();
    poll(&mut window, &table, START + 100);
    let newest = window.newest().unwrap();
    table.0.push((START + 50, 777));
    let mut next = TimeWindow::from_newest(Duration::from_mins(1), newest);
    let found = ids(&poll(&mut next, &table, START + 102));
    assert!(found.contains(&777) && found.contains(&99) && !found.contains(&5));
}

#[test]
fn more_rows_than_are_kept_invalidate_everything_while_there_are_new_ones() {
    let mut table = Table((0..150_000).map(|user| (START, user)).collect());
    let mut window = window();
    poll(&mut window, &table, START);
    assert!(poll(&mut window, &table, START).is_empty());
    table.0.push((START + 1, 1));
    assert!(poll(&mut window, &table, START + 1).is_all());
    assert!(poll(&mut window, &table, START + 1).is_empty());
}
