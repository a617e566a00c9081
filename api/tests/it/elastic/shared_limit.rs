//! Two and three processes share an account whose limit is less than the sum of their caps.

use std::time::{Duration, Instant};

use super::{BASE, all_answered, figure, full_load, open, spawn};
use crate::harness::eventually::eventually;
use crate::harness::process::Signal;
use crate::harness::sql_server::{Flavour, RECKON};
use crate::outages::tables::{pace, paced_server};

/// The limit of the account. One process alone cannot use all of it, so there is room for the base of another.
const LIMIT: i64 = 8;
const STORE: &str = "minPoolSize: 2, poolSize: 6, accountLimit: 8, queryTimeoutMilliseconds: 5000";
const SOON: Duration = Duration::from_secs(15);
/// Idle connections are closed after 30 s.
const IDLE: Duration = Duration::from_secs(30 + 15);

async fn no_request_fails_and_a_further_process_gets_its_base(flavour: Flavour) {
    let server = paced_server(flavour).await;
    server.allow_connections(RECKON.name, LIMIT).await;
    let sampler = server.sample_connections(RECKON.name).await;
    let ((first, _one), (mut second, _two)) = (spawn(&server, STORE), spawn(&server, STORE));
    for api in [&first, &second] {
        api.ready().await;
    }
    assert_eq!(open(&server).await, 2 * BASE);
    pace(&server, 0.003).await;

    let loads = [full_load(&first), full_load(&second)];
    eventually(SOON, async || open(&server).await == LIMIT).await;
    let refused = "reckon_store_connections_refused_total";
    eventually(SOON, async || {
        figure(&first, refused).await + figure(&second, refused).await > 0
    })
    .await;

    // All places are taken, and requests wait. Another process gets a place only when one of the processes ends.
    let (third, _three) = spawn(&server, STORE);
    third.live().await;
    eventually(SOON, async || figure(&third, refused).await >= 3).await;
    assert_eq!(third.ops().get("/readyz").await.status, 503);
    let [first_load, second_load] = loads;
    second.process.signal(Signal::TERM);
    let answered = all_answered(second_load).await;
    let began = Instant::now();
    third.ready().await;
    let ready = began.elapsed();
    second.process.exit(SOON).await;
    let third_load = full_load(&third);

    // A process that is started while all places are taken is ready once the others have been idle.
    eventually(SOON, async || open(&server).await == LIMIT).await;
    let (fourth, _four) = spawn(&server, STORE);
    fourth.live().await;
    eventually(SOON, async || figure(&fourth, refused).await >= 3).await;
    let answered = answered + all_answered(first_load).await + all_answered(third_load).await;
    let began = Instant::now();
    eventually(IDLE, async || {
        fourth.ops().get("/readyz").await.status == 200
    })
    .await;
    let idle = began.elapsed();
    eventually(IDLE, async || open(&server).await == 3 * BASE).await;

    let peak = sampler.peak();
    // MySQL lists a connection that it is about to refuse. Each process makes one attempt at a time.
    assert!(peak.looks > 0 && peak.open <= LIMIT + 4, "{peak:?}");
    assert!(peak.running <= LIMIT, "{peak:?}");
    for api in [&first, &third, &fourth] {
        let logs = api.process.logs().join("\n");
        let phases = logs
            .matches("the database refuses further connections")
            .count();
        let ended = logs.matches("accepts further connections again").count();
        assert!(ended <= phases && phases <= ended + 1, "{logs}");
        assert_eq!(logs.matches("\"ERROR\"").count(), 0, "{logs}");
    }
    println!(
        "{flavour:?}: {answered} requests, none failed; {peak:?}; refused {} times; ready {ready:?} after another ended, {idle:?} \
         after the load",
        figure(&first, refused).await,
    );
}

#[tokio::test]
async fn no_request_fails_and_a_further_process_gets_its_base_mariadb() {
    no_request_fails_and_a_further_process_gets_its_base(Flavour::MariaDb).await;
}

#[tokio::test]
async fn no_request_fails_and_a_further_process_gets_its_base_mysql9() {
    no_request_fails_and_a_further_process_gets_its_base(Flavour::MySql9).await;
}
