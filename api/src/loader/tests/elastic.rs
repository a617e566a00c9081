//! A pool of connections that grows with the load and shrinks again.

use super::{
    Answer, AnswerAfter, Failure, Kind, Server, is_up, known, load, ms, start_with, unavailable,
};
use crate::loader::pool::{Role, Seat};
use crate::loader::{Loader, LoaderMetrics};
use crate::store::{AccountLimit, Reason, Scope};
use futures_util::future::join_all;
use reckon_contract::tuning;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Connections that are always open: for probes, and one for requests.
const BASE: usize = 2;
/// Maximum number of connections.
const CAP: usize = 6;

/// One statement takes this long.
const STATEMENT: Duration = ms(100);

fn sizes() -> tuning::Store {
    tuning::Store {
        pool_size: u32::try_from(CAP).unwrap(),
        min_pool_size: u32::try_from(BASE).ok(),
        connection_max_age_seconds: 86_400,
        ..tuning::Store::default()
    }
}

async fn complete(server: &Arc<Server>, tuning: &tuning::Store) -> (Loader, Arc<LoaderMetrics>) {
    let (loader, metrics) = start_with(server, tuning);
    is_up(&loader).await;
    let mut is_complete = loader.base_is_complete();
    is_complete.wait_for(|complete| *complete).await.unwrap();
    (loader, metrics)
}

fn open(server: &Server) -> usize {
    server.sessions.lock().unwrap().1
}

/// Refused attempts that count as errors of the store.
fn refused_as_errors(metrics: &LoaderMetrics) -> u64 {
    metrics.store_errors[Reason::TooManyConnections as usize].get()
}

/// From now on, statements take some time, and the server refuses connections beyond `room`.
fn allow(server: &Arc<Server>, room: usize) {
    let sessions = Arc::clone(server);
    server.follow_rule(move |call| match call.kind {
        Kind::Connect if open(&sessions) >= room => {
            Failure(Reason::TooManyConnections, Scope::Session)
        }
        Kind::Read => AnswerAfter(STATEMENT),
        _ => Answer,
    });
}

/// More users at once than one statement reads: all of them are answered.
async fn load_many_users(loader: &Loader) {
    let results = load(loader, 0..40).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// Runs this many clients for `time`; each loads one user after the other. They begin at different moments, so that few
/// users share a statement.
async fn clients(loader: &Loader, clients: i64, time: Duration) {
    let one = async |client: i64| {
        let began = tokio::time::Instant::now();
        sleep(ms(37 * client.unsigned_abs())).await;
        while began.elapsed() < time {
            assert_eq!(load(loader, [client]).await, [Ok(())]);
        }
    };
    join_all((0..clients).map(one)).await;
}

#[tokio::test(start_paused = true)]
async fn connections_are_opened_while_users_wait_and_closed_after_30_seconds_without_work() {
    let server = Server::new();
    allow(&server, CAP);
    let (loader, metrics) = complete(&server, &sizes()).await;
    assert_eq!(open(&server), BASE);
    load_many_users(&loader).await;
    assert_eq!(open(&server), CAP);
    sleep(ms(29_000)).await;
    assert_eq!(open(&server), CAP);
    sleep(ms(2_000)).await;
    assert_eq!(open(&server), BASE);
    load_many_users(&loader).await;
    assert_eq!((open(&server), *server.peak.lock().unwrap()), (CAP, CAP));
    assert_eq!(metrics.refused.get(), 0);
}

/// Clients that take turns on all connections would keep all of them open.
#[tokio::test(start_paused = true)]
async fn a_load_that_needs_two_connections_keeps_two() {
    let server = Server::new();
    allow(&server, CAP);
    let (loader, _) = complete(&server, &sizes()).await;
    load_many_users(&loader).await;
    assert_eq!(open(&server), CAP);
    clients(&loader, 2, ms(40_000)).await;
    assert_eq!(open(&server), 1 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_beyond_the_base_is_no_outage() {
    let server = Server::new();
    allow(&server, 3);
    let (loader, metrics) = complete(&server, &sizes()).await;
    let begin = server.started.elapsed();
    clients(&loader, 16, ms(60_000)).await;
    assert_eq!(known(&loader), Ok(()));
    assert_eq!((open(&server), *server.peak.lock().unwrap()), (3, 3));
    let attempts = server.calls(Kind::Connect).len() - 3;
    assert_eq!(metrics.refused.get(), attempts as u64);
    assert_eq!(refused_as_errors(&metrics), 0);
    // Full jitter, up to 5 s.
    assert!((12..60).contains(&attempts), "{attempts}");
    let gaps = server.gaps(Kind::Connect, begin);
    assert!(gaps.iter().all(|gap| *gap <= ms(5_100)), "{gaps:?}");
    allow(&server, CAP);
    clients(&loader, 40, ms(20_000)).await;
    assert_eq!(open(&server), CAP);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_base_are_closed_for_a_refused_one_of_the_base() {
    let server = Server::new();
    allow(&server, CAP);
    let (loader, _) = complete(&server, &sizes()).await;
    load_many_users(&loader).await;
    let pool = loader.pool.as_ref().unwrap();
    pool.seat(Role::Writer, Seat::Refused);
    sleep(ms(1)).await;
    assert_eq!(open(&server), BASE);
    load_many_users(&loader).await;
    assert_eq!(open(&server), BASE);
    pool.seat(Role::Writer, Seat::Settled);
    load_many_users(&loader).await;
    assert_eq!(open(&server), CAP);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_base_are_closed_for_a_refused_one_of_the_prober() {
    let server = Server::new();
    allow(&server, CAP);
    let (loader, metrics) = complete(&server, &sizes()).await;
    load_many_users(&loader).await;
    // The prober loses its connection, and another client takes its place at the server.
    let sessions = Arc::clone(&server);
    server.follow_rule(move |call| match (call.kind, call.session) {
        (Kind::Ping, 0) => Failure(Reason::Unreachable, Scope::Session),
        (Kind::Connect, _) if open(&sessions) >= CAP - 1 => {
            Failure(Reason::TooManyConnections, Scope::Session)
        }
        (Kind::Read, _) => AnswerAfter(STATEMENT),
        _ => Answer,
    });
    sleep(ms(8_000)).await;
    assert_eq!(known(&loader), Ok(()));
    assert_eq!((metrics.prober_open.get(), metrics.refused.get()), (1, 1));
    load_many_users(&loader).await;
    assert_eq!(open(&server), CAP - 1);
}

#[tokio::test(start_paused = true)]
async fn the_connection_for_events_has_precedence_over_those_beyond_the_base() {
    let server = Server::new();
    allow(&server, CAP);
    let (loader, metrics) = complete(&server, &sizes()).await;
    load_many_users(&loader).await;
    let (seat, pool) = (loader.writer_seat(), loader.pool.as_ref().unwrap());
    for (reason, gives_way, refused) in [
        (Reason::TooManyConnections, true, 1),
        (Reason::Unreachable, false, 1),
    ] {
        seat.failed(reason);
        assert_eq!(
            (pool.must_give_way(), metrics.refused.get()),
            (gives_way, refused)
        );
        sleep(ms(1_000)).await;
    }
    assert!(seat.spare().is_some());
    load_many_users(&loader).await;
    assert!(seat.spare().is_none());
    seat.failed(Reason::TooManyConnections);
    drop(seat.opened(None));
    assert!(!pool.must_give_way());
}

#[tokio::test(start_paused = true)]
async fn a_base_that_the_server_refuses_is_complete_soon_after_there_is_room() {
    for room in [0, 1] {
        let server = Server::new();
        allow(&server, room);
        let (loader, metrics) = start_with(&server, &sizes());
        sleep(ms(10_000)).await;
        let mut is_complete = loader.base_is_complete();
        assert!(!*is_complete.borrow());
        let attempts = server.calls(Kind::Connect).len() - room;
        assert!((8..=14).contains(&attempts), "{attempts}");
        assert_eq!(metrics.refused.get(), attempts as u64);
        assert_eq!(refused_as_errors(&metrics), attempts as u64);
        let refused = unavailable(Reason::TooManyConnections);
        assert_eq!(load(&loader, [1]).await, [refused]);
        allow(&server, BASE);
        let room = server.started.elapsed();
        is_complete.wait_for(|complete| *complete).await.unwrap();
        let waited = server.started.elapsed().saturating_sub(room);
        assert!(waited <= ms(1_300), "{waited:?}");
        load_many_users(&loader).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_prober_waits_for_a_second_after_a_refusal_and_less_after_another_failure() {
    for (reason, pauses) in [
        (Reason::TooManyConnections, ms(800)..=ms(1_200)),
        (Reason::Unreachable, ms(200)..=ms(400)),
    ] {
        let server = Server::new();
        server.follow_rule(move |call| match call.kind {
            Kind::Connect => Failure(reason, Scope::Session),
            _ => Answer,
        });
        let (_loader, _) = start_with(&server, &sizes());
        sleep(ms(5_000)).await;
        let gaps = server.gaps(Kind::Connect, ms(1));
        let first = &gaps[..2];
        assert!(first.iter().all(|gap| pauses.contains(gap)), "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_process_drains_only_the_base_stays() {
    let server = Server::new();
    allow(&server, CAP);
    let (loader, _) = complete(&server, &sizes()).await;
    load_many_users(&loader).await;
    loader.drain();
    sleep(ms(1)).await;
    assert_eq!(open(&server), BASE);
    load_many_users(&loader).await;
    assert_eq!(open(&server), BASE);
    loader.close().await;
    assert_eq!(open(&server), 0);
}

fn report(server: &Server, connections: u32) {
    let limit = AccountLimit {
        account: 7,
        connections,
    };
    *server.limit.lock().unwrap() = Some(limit);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_base_need_a_limit_within_the_settings() {
    let server = Server::new();
    allow(&server, CAP);
    report(&server, 0);
    let tuning = tuning::Store {
        account_limit: Some(64),
        min_account_limit: Some(10),
        ..sizes()
    };
    let (loader, metrics) = complete(&server, &tuning).await;
    load_many_users(&loader).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (BASE, 0));
    loader.close().await;

    report(&server, 64);
    let (loader, metrics) = complete(&server, &tuning).await;
    load_many_users(&loader).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (CAP, 64));
    let limit = loader.connection_limit().unwrap();
    assert_eq!(limit.account.as_deref(), Some("0000000000000007"));
    // The prober reports the new limit, which is valid for all sessions of the account.
    report(&server, 65);
    sleep(ms(6_000)).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (BASE, 65));
    report(&server, 63);
    sleep(ms(6_000)).await;
    load_many_users(&loader).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (CAP, 63));
    report(&server, 9);
    sleep(ms(6_000)).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (BASE, 9));
    report(&server, 10);
    sleep(ms(6_000)).await;
    load_many_users(&loader).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (CAP, 10));
    report(&server, 0);
    sleep(ms(6_000)).await;
    assert_eq!((open(&server), metrics.account_limit.get()), (BASE, 0));
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_of_the_base_is_kept_until_the_server_accepts_its_replacement() {
    let server = Server::new();
    allow(&server, BASE);
    let tuning = tuning::Store {
        connection_max_age_seconds: 100,
        ..sizes()
    };
    let (loader, metrics) = complete(&server, &tuning).await;
    sleep(ms(600_000)).await;
    assert_eq!(
        (open(&server), server.sessions.lock().unwrap().0),
        (BASE, BASE)
    );
    // For each connection, about one attempt a minute after 100 s.
    let refused = server.calls(Kind::Connect).len() - BASE;
    assert!((14..=20).contains(&refused), "{refused}");
    assert_eq!(metrics.refused.get(), refused as u64);
    assert_eq!(
        (known(&loader), load(&loader, [1]).await),
        (Ok(()), vec![Ok(())])
    );
    allow(&server, BASE + 1);
    sleep(ms(200_000)).await;
    let (opened, open) = *server.sessions.lock().unwrap();
    assert_eq!((open, *server.peak.lock().unwrap()), (BASE, BASE + 1));
    assert!(opened >= 2 * BASE, "{opened}");
}

#[tokio::test(start_paused = true)]
async fn the_process_never_has_more_connections_than_its_cap_while_they_break() {
    let server = Server::new();
    let tuning = tuning::Store {
        connection_max_age_seconds: 20,
        ..sizes()
    };
    allow(&server, CAP);
    let (loader, _) = complete(&server, &tuning).await;
    fastrand::seed(7);
    server.follow_rule(|call| match call.kind {
        Kind::Read if fastrand::u8(0..8) == 0 => Failure(Reason::Unreachable, Scope::Abandoned),
        Kind::Read | Kind::Ping if fastrand::u8(0..8) == 0 => {
            Failure(Reason::Unreachable, Scope::Session)
        }
        Kind::Read => AnswerAfter(ms(fastrand::u64(0..200))),
        Kind::Connect => AnswerAfter(ms(fastrand::u64(0..50))),
        _ => Answer,
    });
    for round in 0..200 {
        load(&loader, 0..fastrand::i64(1..40)).await;
        sleep(ms(fastrand::u64(0..8_000))).await;
        assert!(*server.peak.lock().unwrap() <= CAP, "round {round}");
    }
    allow(&server, CAP);
    sleep(ms(10_000)).await;
    load_many_users(&loader).await;
    sleep(ms(60_000)).await;
    assert_eq!(open(&server), BASE);
}
