//! Clients that connect, ask once and stay.

use crate::harness::api_process::ApiProcess;
use crate::harness::eventually::eventually;
use crate::sockets::api;
use crate::sockets::raw::Raw;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};

const IDLE: usize = 5_000;
/// Files of the tests that run at the same time.
const OTHER_FILES: u64 = 2_000;

/// The soft limit of open files, which the API inherits, for as many as stay.
fn allow_files() {
    let wanted = IDLE as u64 + OTHER_FILES;
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
    let metrics = api.ops().get("/metrics").await.body;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("reckon_http_connections "));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn five_thousand_idle_connections_are_in_nobodys_way() {
    allow_files();
    let (api, _files) = api("").await;
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
