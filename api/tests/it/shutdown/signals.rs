//! SIGINT and SIGTERM, when the process is idle and when it is busy.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::generated_users::{DATABASE, assert_correct, assert_retry_later, database};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::process::{Exit, Signal};
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use crate::table_lock::TableLock;

const SOON: Duration = Duration::from_secs(15);
/// The meaning of "at once" on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A lock on the tables may last as long as the test needs, without a timeout.
const PATIENT: &str = "{store: {queryTimeoutMilliseconds: 20000}, \
    server: {requestTimeoutMilliseconds: 30000, drainSeconds: 100}}";

async fn start(server: &SqlServer, tuning: &str) -> (ApiProcess, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tuning.yaml");
    std::fs::write(&path, tuning).unwrap();
    let api = ApiCommand::new()
        .envs(server.environment(DATABASE))
        .env("RECKON_TUNING", &path)
        .classic()
        .spawn();
    api.ready().await;
    (api, directory)
}

async fn end(api: &mut ApiProcess, signal: Signal) -> Exit {
    api.process.signal(signal);
    api.process.exit(SOON).await
}

/// Waits until this many statements are running.
async fn busy(api: &ApiProcess, statements: f64) {
    eventually(SOON, async || {
        let figures = api.exposition().await;
        let busy = figures.sum("reckon_store_connections", Some(("state", "busy")));
        (busy >= statements).then_some(()).ok_or(busy)
    })
    .await;
}

async fn connect(api: &ApiProcess) -> TcpStream {
    TcpStream::connect(address(api)).await.unwrap()
}

/// Waits until no connection is taken any more.
async fn accepts_no_connections(api: &ApiProcess) {
    eventually(SOON, async || {
        TcpStream::connect(address(api)).await.is_err()
    })
    .await;
}

fn address(api: &ApiProcess) -> SocketAddr {
    api.url()["http://".len()..].parse().unwrap()
}

/// A request whose head never comes to its end.
async fn half_a_request(api: &ApiProcess) -> TcpStream {
    let mut stream = connect(api).await;
    stream
        .write_all(b"GET /recommend/1 HTTP/1.1\r\nHo")
        .await
        .unwrap();
    stream
}

#[tokio::test]
async fn ctrl_c_ends_the_process_at_once_despite_open_connections() {
    let server = database(Flavour::MariaDb, 0..100).await;
    let (mut api, _tuning) = start(&server, "").await;
    let client = api.client();
    for answer in client
        .get_concurrently((0..50).map(|user| format!("/recommend/{user}")))
        .await
    {
        assert_eq!(answer.unwrap().status, 200);
    }
    // A connection that has sent no request.
    let mut silent = connect(&api).await;
    eventually(SOON, async || {
        let figures = api.exposition().await;
        let open = figures.sum("reckon_http_connections", None);
        (open > 10.0).then_some(()).ok_or(open)
    })
    .await;

    let exit = end(&mut api, Signal::INT).await;

    println!("SIGINT with idle connections: ended after {:?}", exit.after);
    assert_eq!(exit.status.code(), Some(0), "{:?}", api.process.logs());
    assert!(exit.after < AT_ONCE, "{exit:?}");
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0, "closed politely");
    eventually(AT_ONCE, async || {
        server.sessions(RECKON.name).await.open == 0
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_waits_for_a_slow_answer() {
    let server = database(Flavour::MariaDb, 0..100).await;
    let (mut api, _tuning) = start(&server, PATIENT).await;
    let lock = TableLock::of(&server).await;
    let client = api.client();
    let slow = tokio::spawn(async move { client.get("/recommend/7").await });
    busy(&api, 1.0).await;

    api.process.signal(Signal::INT);
    accepts_no_connections(&api).await;
    assert!(!slow.is_finished());
    lock.release().await;

    assert_correct(7, &slow.await.unwrap());
    let exit = api.process.exit(SOON).await;
    assert_eq!(exit.status.code(), Some(0), "{:?}", api.process.logs());
    assert!(exit.after < AT_ONCE, "{exit:?}");
}

#[tokio::test]
async fn ctrl_c_rejects_a_request_that_cannot_be_answered_and_ends_within_the_deadline() {
    let server = database(Flavour::MariaDb, 0..100).await;
    let (mut api, _tuning) = start(&server, "").await;
    let _lock = TableLock::of(&server).await;
    let client = api.client();
    let slow = tokio::spawn(async move { client.get("/recommend/7").await });
    busy(&api, 1.0).await;

    let exit = end(&mut api, Signal::INT).await;

    let answer = slow.await.unwrap();
    assert_retry_later(&answer);
    println!(
        "SIGINT with locked tables: refused after {:?}, ended after {:?}",
        answer.elapsed, exit.after
    );
    assert_eq!(exit.status.code(), Some(0), "{:?}", api.process.logs());
    assert!(exit.after < Duration::from_secs(5), "{exit:?}");
}

#[tokio::test]
async fn a_second_ctrl_c_waits_for_no_request() {
    let server = database(Flavour::MariaDb, 0..100).await;
    let (mut api, _tuning) = start(&server, PATIENT).await;
    let _lock = TableLock::of(&server).await;
    let client = api.client();
    let slow = tokio::spawn(async move { client.send(Method::GET, "/recommend/7", "").await });
    busy(&api, 1.0).await;

    api.process.signal(Signal::INT);
    accepts_no_connections(&api).await;
    assert!(api.process.is_running());
    let exit = end(&mut api, Signal::INT).await;

    println!("second SIGINT: ended after {:?}", exit.after);
    assert_eq!(exit.status.code(), Some(130), "{:?}", api.process.logs());
    assert!(exit.after < AT_ONCE, "{exit:?}");
    assert!(slow.await.unwrap().is_err());
}

#[tokio::test]
async fn ctrl_c_cuts_a_drain_short_and_a_repeated_sigterm_does_not() {
    let server = database(Flavour::MariaDb, 0..100).await;
    let (mut api, _tuning) = start(&server, PATIENT).await;
    let (client, ops) = (api.client(), api.ops());

    for _ in 0..2 {
        api.process.signal(Signal::TERM);
        eventually(SOON, async || ops.get("/readyz").await.status == 503).await;
    }
    let lock = TableLock::of(&server).await;
    let asking = client.clone();
    let slow = tokio::spawn(async move { asking.get("/recommend/7").await });
    busy(&api, 1.0).await;
    api.process.signal(Signal::INT);
    accepts_no_connections(&api).await;
    lock.release().await;

    assert_correct(7, &slow.await.unwrap());
    let exit = api.process.exit(SOON).await;
    println!(
        "SIGTERM, SIGTERM, SIGINT: ended {:?} after the last answer",
        exit.after
    );
    assert_eq!(exit.status.code(), Some(0), "{:?}", api.process.logs());
    assert!(exit.after < AT_ONCE, "{exit:?}");
}

#[tokio::test]
async fn sigterm_while_the_database_is_frozen_ends_the_process_in_time() {
    let server = database(Flavour::MariaDb, 0..1000).await;
    let tuning = "{server: {drainSeconds: 1, requestTimeoutMilliseconds: 3000}}";
    let (mut api, _tuning) = start(&server, tuning).await;
    let client = api.client();
    for answer in client
        .get_concurrently((0..50).map(|user| format!("/recommend/{user}")))
        .await
    {
        assert_eq!(answer.unwrap().status, 200);
    }
    server.process.freeze().await;
    // Everything that can be in progress: cold requests, warming, and a request that never ends.
    let users: Vec<_> = (100..600).map(|user| user.to_string()).collect();
    let warm = client
        .post(&format!("/warm-cache?user_ids={}", users.join(",")))
        .await;
    assert_eq!(warm.status, 200, "{}", warm.body);
    let asking = client.clone();
    let slow = tokio::spawn(async move {
        asking
            .get_concurrently((600..650).map(|user| format!("/recommend/{user}")))
            .await
    });
    let mut half = half_a_request(&api).await;
    busy(&api, 9.0).await;

    let exit = end(&mut api, Signal::TERM).await;

    println!(
        "SIGTERM with a frozen database: ended after {:?}",
        exit.after
    );
    assert_eq!(exit.status.code(), Some(0), "{:?}", api.process.logs());
    assert!(exit.after >= Duration::from_secs(1), "{exit:?}");
    // Drain, deadline and two seconds.
    assert!(exit.after < Duration::from_secs(1 + 3 + 2), "{exit:?}");
    for answer in slow.await.unwrap() {
        assert_retry_later(&answer.unwrap());
    }
    // Closed or reset, but not left open.
    half.read(&mut [0]).await.unwrap_or_default();
}

#[tokio::test]
async fn sigterm_while_slow_rows_are_warmed_ends_the_process_in_time() {
    let server = database(Flavour::MariaDb, 0..1000).await;
    // Each row takes a while; a probe reads none.
    server
        .execute(format!(
            "USE {DATABASE}; RENAME TABLE searches TO all_searches; \
             CREATE VIEW searches AS SELECT * FROM all_searches WHERE SLEEP(0.02) = 0"
        ))
        .await;
    let tuning = "{server: {drainSeconds: 0, requestTimeoutMilliseconds: 2000}}";
    let (mut api, _tuning) = start(&server, tuning).await;
    let users: Vec<_> = (1..500).map(|user| user.to_string()).collect();
    for _ in 0..10 {
        let warm = api
            .client()
            .post(&format!("/warm-cache?user_ids={}", users.join(",")))
            .await;
        assert_eq!(warm.status, 200, "{}", warm.body);
    }
    busy(&api, 9.0).await;
    let _half = half_a_request(&api).await;
    let signalled = Instant::now();

    let exit = end(&mut api, Signal::TERM).await;

    println!(
        "SIGTERM with warming under way: ended after {:?}",
        signalled.elapsed()
    );
    assert_eq!(exit.status.code(), Some(0), "{:?}", api.process.logs());
    // No drain, the deadline and two seconds.
    assert!(exit.after < Duration::from_secs(2 + 2), "{exit:?}");
}
