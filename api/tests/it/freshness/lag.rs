//! Measures how long it takes until rows appear in the answers of three processes, and the cost for the database.
//!
//! `cargo test --release --test it -- --ignored freshness::lag --nocapture` prints the figures of docs/freshness.md.

use super::fixture::{Fixture, SOON, TABLES, search};
use crate::harness::client::Client;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use sqlx::{AssertSqlSafe, Executor as _, Row as _, raw_sql};
use std::time::{Duration, Instant};
use tokio::time::interval;

/// How long rows are inserted.
const RUN: Duration = Duration::from_secs(30);
/// Statements that insert rows, a second at most.
const INSERTS: u64 = 50;
/// Rows are watched at most this often.
const WATCHED: Duration = Duration::from_millis(250);
/// The first user whose answer is watched.
const FIRST: i64 = 1_000_000;

struct Load {
    statements: f64,
    rows: f64,
    processor: f64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for minutes, by hand"]
async fn new_rows_are_served_within_the_time_between_two_polls() {
    for rate in [1, 100, 1000] {
        let off = measure(rate, 0).await;
        let on = measure(rate, 2).await;
        println!(
            "{rate} rows/s: {:+.0} statements/s, {:+.0} rows read/s, {:.1} % of a processor instead of {:.1} %",
            on.statements - off.statements,
            on.rows - off.rows,
            100.0 * on.processor,
            100.0 * off.processor
        );
    }
}

async fn measure(rate: u64, poll_seconds: u32) -> Load {
    let redis = RedisServer::running().await;
    let tuning = format!("freshness: {{pollSeconds: {poll_seconds}}}");
    let fixture = Fixture::start(Flavour::MariaDb, TABLES, &tuning, Some(&redis), 3).await;
    let (mut watching, mut user) = (Vec::new(), FIRST);
    let mut session = fixture.server.admin().await;
    session.execute("USE reckon").await.unwrap();
    let (mut looked, began) = (Instant::now(), Instant::now());
    let before = figures(&fixture).await;
    let pause = Duration::from_secs(1) / u32::try_from(rate.min(INSERTS)).unwrap();
    let mut ticks = interval(pause);
    while began.elapsed() < RUN {
        ticks.tick().await;
        // Not in step with the polls.
        tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
        let mut users: Vec<i64> = (0..rate.div_ceil(INSERTS))
            .map(|_| fastrand::i64(0..100_000))
            .collect();
        let watched = poll_seconds > 0 && looked.elapsed() >= WATCHED.min(RUN / 60);
        if watched {
            looked = Instant::now();
            user += 1;
            for client in fixture.clients() {
                client.get(&format!("/recommend/{user}")).await;
            }
            users[0] = user;
        }
        session
            .execute(raw_sql(AssertSqlSafe(search(&users))))
            .await
            .unwrap();
        let committed = Instant::now();
        if watched {
            for client in fixture.clients() {
                watching.push(tokio::spawn(lag(client, user, committed)));
            }
        }
    }
    let after = figures(&fixture).await;
    let seconds = began.elapsed().as_secs_f64();
    let mut lags = Vec::new();
    for lag in watching {
        lags.push(lag.await.unwrap());
    }
    lags.sort_unstable();
    if let Some(greatest) = lags.last() {
        println!(
            "{rate} rows/s: {} rows watched, median {:.2} s, 99 % {:.2} s, greatest {:.2} s",
            lags.len() / 3,
            lags[lags.len() / 2].as_secs_f64(),
            lags[lags.len() * 99 / 100].as_secs_f64(),
            greatest.as_secs_f64()
        );
    }
    Load {
        statements: (after.0 - before.0) / seconds,
        rows: (after.1 - before.1) / seconds,
        processor: (after.2 - before.2) / seconds,
    }
}

async fn lag(client: Client, user: i64, committed: Instant) -> Duration {
    eventually(SOON, async || {
        let answer = client.get(&format!("/recommend/{user}")).await;
        answer.json()["metadata"]["search_count"] == 1
    })
    .await;
    committed.elapsed()
}

/// Statements, rows read, and seconds of processor time of the server.
async fn figures(fixture: &Fixture) -> (f64, f64, f64) {
    let mut session = fixture.server.admin().await;
    let rows = session
        .fetch_all("SHOW GLOBAL STATUS WHERE Variable_name = 'Questions' OR Variable_name LIKE 'Handler_read%'")
        .await
        .unwrap();
    let (mut statements, mut read) = (0.0, 0.0);
    for row in rows {
        let name: String = row.get(0);
        let value: f64 = row.get::<String, _>(1).parse().unwrap();
        if name == "Questions" {
            statements = value;
        } else {
            read += value;
        }
    }
    let id = fixture.server.process.id();
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    (statements, read, ticks / 100.0)
}
