//! Clients that keep connections open: idle ones, and clients that send half a request.

use crate::harness::api_process::ApiProcess;
use crate::harness::eventually::eventually;
use crate::sockets::api;
use crate::sockets::raw::Raw;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

const IDLE: usize = 5_000;
const HALF_SENT: usize = 4_000;
/// All places are taken after 0.4 s. Then the first connection has kept the API waiting for so long that it may be
/// closed.
const HUNDRED_PER: Duration = Duration::from_millis(20);
const GET: &str = "GET /recommend/2 HTTP/1.1\r\nHost: x\r\n\r\n";
/// Files of the tests that run at the same time.
const OTHER_FILES: u64 = 2_000;

/// Raises the soft limit of open files, which the API inherits, for this many connections.
fn allow_files() {
    // The tests of this module may run at the same time.
    let wanted = (IDLE + HALF_SENT) as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|most| most >= wanted) {
        return;
    }
    assert!(
        limit.maximum.is_none_or(|most| most >= wanted),
        "{wanted} open files are needed: raise the hard limit (`ulimit -Hn`), which is {:?}",
        limit.maximum
    );
    let current = Some(wanted);
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}

async fn connections(api: &ApiProcess) -> usize {
    metric(api, "reckon_http_connections").await
}

async fn metric(api: &ApiProcess, name: &str) -> usize {
    let metrics = api.ops().get("/metrics").await.body;
    let value = metrics.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.strip_prefix(' ')
    });
    value.unwrap().parse().unwrap()
}

/// Asks once on a connection of its own: the line with the status, and how long it took. A connection that is closed without
/// a response has none.
async fn send_request(api: &ApiProcess) -> (String, Duration) {
    let began = Instant::now();
    let mut raw = Raw::connect(api).await;
    raw.send_if_wanted("GET /recommend/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap_or_default();
    let response = raw.ends_somehow().await;
    let status = response.lines().next().unwrap_or_default().to_owned();
    (status, began.elapsed())
}

/// Opens connections that send an incomplete head of this many bytes, while a good client sends requests now and then.
/// Returns the maximum growth of the process's memory, the maximum wait of the good client, and how often it was
/// refused.
async fn half_sent(bytes: usize) -> (usize, Duration, usize) {
    let (api, _files) = api("").await;
    let mut kept = Raw::connect(&api).await;
    kept.send(GET).await;
    assert_eq!(kept.response().await.status, "HTTP/1.1 200 OK");
    let head = format!(
        "GET /stats HTTP/1.1\r\nHost: x\r\nX-A: {}",
        "a".repeat(bytes)
    );
    let before = api.process.resident_bytes();
    let (mut grown, mut slowest, mut refused) = (0, Duration::ZERO, 0);
    let mut half_sent = Vec::with_capacity(HALF_SENT);
    let mut ticks = tokio::time::interval(HUNDRED_PER);
    // After a pause of the machine, a burst would take all places with connections that are too young to be closed.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1..=HALF_SENT {
        let mut raw = Raw::connect(&api).await;
        raw.send_if_wanted(&head).await.unwrap_or_default();
        half_sent.push(raw);
        if number % 100 == 0 {
            let (status, took) = send_request(&api).await;
            slowest = slowest.max(took);
            refused += usize::from(status != "HTTP/1.1 200 OK");
            grown = grown.max(api.process.resident_bytes().saturating_sub(before));
            ticks.tick().await;
        }
    }
    // These connections stay for 10 s, without effect on others.
    for _ in 0..50 {
        let (status, took) = send_request(&api).await;
        assert_eq!(status, "HTTP/1.1 200 OK");
        slowest = slowest.max(took);
    }
    // Half a head is closed before an idle connection is.
    kept.send(GET).await;
    assert_eq!(kept.response().await.status, "HTTP/1.1 200 OK");
    grown = grown.max(api.process.resident_bytes().saturating_sub(before));
    println!(
        "{HALF_SENT} half-sent requests of {bytes} bytes: {} connections are open and {} were closed to make room",
        connections(&api).await,
        metric(&api, "reckon_http_connections_evicted_total").await,
    );
    (grown, slowest, refused)
}

#[tokio::test]
async fn four_thousand_incomplete_requests_take_64_mb_at_most_and_block_no_client() {
    allow_files();
    // A head that fits into the buffer, and one that does not.
    for bytes in [16_000, 30_000] {
        let (grown, slowest, refused) = half_sent(bytes).await;
        println!(
            "{HALF_SENT} half-sent requests of {bytes} bytes: {} kB of memory; a good client waited {slowest:.1?} at most and \
             was refused {refused} times of 90",
            grown / 1000
        );
        assert!(grown <= 64_000_000, "{grown} bytes");
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        assert!(refused <= 9, "{refused}");
    }
}

#[tokio::test]
async fn a_client_in_a_flood_is_rejected_with_retry_after_and_served_later() {
    allow_files();
    let (api, _files) = api("server: {maxConnections: 16}").await;
    let mut half_sent = Vec::new();
    let mut refused = 0;
    for number in 1..=600 {
        let mut raw = Raw::connect(&api).await;
        raw.send_if_wanted("GET /stats HT")
            .await
            .unwrap_or_default();
        half_sent.push(raw);
        if number % 20 == 0 {
            // It is answered, although more than may be refused at once send no request.
            let (status, _) = send_request(&api).await;
            refused += usize::from(status == "HTTP/1.1 503 Service Unavailable");
        }
    }
    assert!(refused > 0);
    eventually(Duration::from_secs(1), async || {
        send_request(&api).await.0 == "HTTP/1.1 200 OK"
    })
    .await;
}

#[tokio::test]
async fn a_new_connection_replaces_an_idle_one_and_none_with_a_request_in_flight() {
    let (api, _files) = api("server: {maxConnections: 16}").await;
    let mut open = Vec::new();
    for _ in 0..16 {
        let mut raw = Raw::connect(&api).await;
        // This request is in progress for a second, because its body does not arrive.
        raw.send(
            "POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n",
        )
        .await;
        open.push(raw);
    }
    eventually(Duration::from_secs(10), async || {
        connections(&api).await == 16
    })
    .await;
    let mut newcomer = Raw::connect(&api).await;
    newcomer.send(GET).await;
    let refused = newcomer.response().await;
    assert_eq!(refused.status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(refused.header("retry-after"), Some("1"));
    insta::assert_snapshot!(refused.body, @r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many connections are open; retry later"}"#);
    newcomer.ends().await;
    assert_eq!(
        metric(&api, "reckon_http_rejections_total{reason=\"connections\"}").await,
        1
    );
    assert_eq!(
        metric(&api, "reckon_http_connections_evicted_total").await,
        0
    );
    for raw in &mut open {
        let answer = raw.response().await;
        assert_eq!(answer.status, "HTTP/1.1 200 OK");
    }
    drop(open);

    // Idle connections: each new one replaces one of them, and there are never more than 16.
    let mut idle = Vec::new();
    while metric(&api, "reckon_http_connections_evicted_total").await < 8 {
        let mut raw = Raw::connect(&api).await;
        raw.send_if_wanted(GET).await.unwrap_or_default();
        let status = raw.response().await.status;
        assert!(
            ["HTTP/1.1 200 OK", "HTTP/1.1 503 Service Unavailable"].contains(&status.as_str()),
            "{status}"
        );
        assert!(connections(&api).await <= 16);
        idle.push(raw);
    }
}

#[tokio::test]
async fn five_thousand_idle_connections_block_no_client() {
    allow_files();
    let (api, _files) = api("server: {maxConnections: 6000}").await;
    Raw::connect(&api).await;
    eventually(Duration::from_secs(10), async || {
        connections(&api).await == 0
    })
    .await;
    let before = api.process.resident_bytes();
    let began = Instant::now();
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let mut raw = Raw::connect(&api).await;
        raw.send("GET /recommend/1 HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert_eq!(raw.response().await.status, "HTTP/1.1 200 OK");
        idle.push(raw);
    }
    let connected = began.elapsed();
    assert_eq!(connections(&api).await, IDLE);
    let each = api.process.resident_bytes().saturating_sub(before) / IDLE;

    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        let mut raw = Raw::connect(&api).await;
        raw.send("GET /recommend/2 HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert_eq!(raw.response().await.status, "HTTP/1.1 200 OK");
        slowest = slowest.max(asked.elapsed());
    }
    drop(idle);
    let left = Instant::now();
    eventually(Duration::from_secs(20), async || {
        connections(&api).await == 0
    })
    .await;
    println!(
        "{IDLE} idle connections in {connected:.1?}, {each} bytes each; the slowest of 50 requests on new ones took \
         {slowest:.1?}; all gone after {:.1?}, {} bytes more than before",
        left.elapsed(),
        api.process.resident_bytes().saturating_sub(before)
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // hyper's buffer is 8 KiB.
    assert!(each < 32 * 1024, "{each} bytes");
}

#[tokio::test]
async fn probes_are_answered_while_idle_clients_occupy_the_operations_port() {
    let (api, _files) = api("").await;
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(Raw::to(api.backend().ops).await);
    }
    // None of the first connections is closed for inactivity within this time.
    eventually(Duration::from_secs(5), async || {
        let answer = api.ops().send(http::Method::GET, "/readyz", "").await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(api.ops().get("/livez").await.status, 200);
    }
}
