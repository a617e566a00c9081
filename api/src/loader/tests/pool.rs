//! The places of the pool; no connection and no clock.

use crate::loader::pool::{Attempt, Begin, Place, Pool, Role, Seat};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn pool(base: u32, most: u32) -> Arc<Pool> {
    Arc::new(Pool::new(base, most, Arc::new(Notify::new())))
}

fn begin(pool: &Arc<Pool>, waiting: usize, now: Instant) -> Option<Attempt> {
    match pool.begin(waiting, now) {
        Begin::Now(attempt) => Some(attempt),
        Begin::Later(_) | Begin::Wait => None,
    }
}

fn open(pool: &Arc<Pool>) -> Place {
    begin(pool, 9, Instant::now()).unwrap().opened().0
}

#[test]
fn an_open_an_opening_a_closing_and_a_replaced_connection_each_take_a_place() {
    let now = Instant::now();
    let full = |most| {
        let pool = pool(1, most);
        let held = (
            open(&pool),
            pool.quarantine(),
            pool.spare().unwrap(),
            begin(&pool, 9, now).unwrap(),
        );
        (pool, held)
    };
    let (pool, (place, closing, spare, attempt)) = full(4);
    let has_room = || begin(&pool, 9, now).is_some();
    assert!(!has_room());
    assert!(pool.spare().is_none());
    drop(closing);
    assert!(has_room());
    let again = pool.quarantine();
    assert!(!has_room());
    drop(spare);
    assert!(has_room());
    let spare = pool.spare().unwrap();
    assert!(!has_room());
    drop(attempt);
    assert!(has_room());
    let attempt = begin(&pool, 9, now).unwrap();
    assert!(!has_room());
    // The server may count a lost connection.
    let lost = place.lost();
    assert!(!has_room());
    drop(lost);
    assert!(has_room());
    drop((again, spare, attempt));
}

#[test]
fn connections_beyond_the_base_are_only_opened_for_requests_that_no_other_attempt_will_serve() {
    let (pool, now) = (pool(2, 4), Instant::now());
    let first = open(&pool);
    let base = begin(&pool, 0, now).unwrap();
    assert!(base.is_base());
    assert!(begin(&pool, 0, now).is_none());
    assert!(begin(&pool, 1, now).is_none());
    let beyond = begin(&pool, 2, now).unwrap();
    assert!(!beyond.is_base());
    drop((first, base, beyond));
}

#[test]
fn after_a_failure_one_attempt_at_a_time_begins_when_its_pause_is_over() {
    for base in [0, 3] {
        let (pool, now) = (pool(base, 3), Instant::now());
        begin(&pool, 9, now).unwrap().failed(false, now, SECOND);
        let early = pool.begin(9, now + SECOND / 2);
        assert!(matches!(early, Begin::Later(at) if at == now + SECOND));
        let attempt = begin(&pool, 9, now + SECOND).unwrap();
        assert_eq!(attempt.failures(), 1);
        assert!(begin(&pool, 9, now + SECOND).is_none());
        drop(attempt.opened());
        let (one, other) = (begin(&pool, 9, now), begin(&pool, 9, now));
        assert!(one.is_some() && other.is_some());
    }
}

#[test]
fn a_connection_beyond_the_base_gives_way_to_one_that_the_server_refuses() {
    let pool = pool(1, 3);
    let _base = open(&pool);
    pool.seat(Role::Prober, Seat::Refused);
    assert!(!pool.must_give_way());
    pool.seat(Role::Prober, Seat::Settled);
    let _beyond = open(&pool);
    assert!(!pool.must_give_way() && !pool.has_surplus());
    for role in [Role::Prober, Role::Writer] {
        pool.seat(role, Seat::Refused);
        assert!(pool.must_give_way() && pool.has_surplus());
        assert!(begin(&pool, 9, Instant::now()).is_none());
        pool.seat(role, Seat::Settled);
        assert!(!pool.must_give_way());
    }
    pool.permit(false);
    assert!(pool.must_give_way());
}

#[test]
fn the_base_is_complete_with_its_connections_and_without_a_missing_seat() {
    let pool = pool(2, 3);
    let complete = pool.complete();
    let is_complete = || *complete.borrow();
    let first = open(&pool);
    assert!(!is_complete());
    let second = open(&pool);
    assert!(is_complete());
    for (role, seat, expected) in [
        (Role::Prober, Seat::Refused, false),
        (Role::Prober, Seat::Awaited, true),
        (Role::Prober, Seat::Settled, true),
        (Role::Writer, Seat::Refused, false),
        (Role::Writer, Seat::Awaited, false),
        (Role::Writer, Seat::Settled, true),
    ] {
        pool.seat(role, seat);
        assert_eq!(is_complete(), expected, "{role:?} {seat:?}");
    }
    drop(first);
    assert!(!is_complete());
    drop(second);
}

#[test]
fn the_first_refusal_of_a_connection_beyond_the_base_is_told_until_one_is_opened() {
    let (pool, now) = (pool(1, 3), Instant::now());
    let refused = |waiting, at| begin(&pool, waiting, at).unwrap().failed(true, at, SECOND);
    assert!(!refused(0, now));
    let base = begin(&pool, 0, now + SECOND).unwrap();
    let (base, since) = base.opened();
    assert_eq!(since, None);
    assert!(!begin(&pool, 1, now).unwrap().failed(false, now, SECOND));
    let first = now + SECOND;
    assert!(refused(1, first));
    assert!(!refused(1, first + SECOND));
    let (beyond, since) = begin(&pool, 1, first + 2 * SECOND).unwrap().opened();
    assert_eq!(since, Some(first));
    drop((base, beyond));
}

#[test]
fn only_a_change_of_the_completeness_is_reported() {
    let pool = pool(1, 2);
    let mut complete = pool.complete();
    pool.seat(Role::Prober, Seat::Settled);
    assert!(!complete.has_changed().unwrap());
    let first = open(&pool);
    assert!(complete.has_changed().unwrap());
    assert!(*complete.borrow_and_update());
    let second = open(&pool);
    assert!(!complete.has_changed().unwrap());
    drop((first, second));
    assert!(complete.has_changed().unwrap());
    assert!(!*complete.borrow_and_update());
}
