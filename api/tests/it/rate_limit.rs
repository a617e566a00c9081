//! Rate limits of one client: through the real router, and with the real program and clients that measure time.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::Client;
use crate::harness::eventually::eventually;
use crate::scripted::ScriptedStore;
use crate::service::{Answer, Service};
use http::{Method, Request};
use reckon_api::store::sqlite;
use reckon_contract::Tuning;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{interval_at, timeout};

const TIMEOUT: Duration = Duration::from_secs(10);

fn service(rate_limit: &str) -> Service {
    let tuning = Tuning::parse(&format!("rateLimit: {rate_limit}")).unwrap();
    Service::over(ScriptedStore(Arc::default()), tuning.tuning)
}

async fn send_request(service: &Service, peer: &str, forwarded: &str) -> Answer {
    let mut request = Request::get("/recommend/1");
    if !forwarded.is_empty() {
        request = request.header("x-forwarded-for", forwarded);
    }
    let peer: IpAddr = peer.parse().unwrap();
    service.send_from(peer, request.body(()).unwrap()).await
}

#[tokio::test]
async fn one_request_too_many_gets_429_with_retry_after() {
    let service = service("{requestsPerSecond: 1, burst: 3}");
    for _ in 0..3 {
        assert_eq!(send_request(&service, "192.0.2.1", "").await.status, 200);
    }
    let refused = send_request(&service, "192.0.2.1", "").await;
    assert_eq!(refused.status, 429);
    insta::assert_snapshot!(refused.body, @r#"{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"rate limit exceeded (3 requests per 3 s); retry in 1 s"}"#);
    insta::assert_snapshot!(
        ["content-type", "retry-after", "ratelimit", "ratelimit-policy"]
            .map(|name| format!("{name}: {}", refused.header(name)))
            .join("\n"),
        @r#"
    content-type: application/problem+json
    retry-after: 1
    ratelimit: "requests";r=0;t=1
    ratelimit-policy: "requests";q=3;w=3
    "#
    );
    assert_eq!(send_request(&service, "192.0.2.2", "").await.status, 200);
}

#[tokio::test]
async fn clients_are_distinguished_by_address_by_64_bit_prefix_and_behind_trusted_proxies() {
    let service = service("{requestsPerSecond: 1, burst: 1, trustedProxies: [10.0.0.0/8]}");
    for (peer, forwarded, status) in [
        ("2001:db8::1", "", 200),
        ("2001:db8::2", "", 429),
        ("2001:db8:0:1::2", "", 200),
        ("192.0.2.1", "198.51.100.1", 200),
        ("192.0.2.1", "198.51.100.2", 429),
        ("10.0.0.1", "198.51.100.1", 200),
        ("10.0.0.2", "198.51.100.1", 429),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.9", 429),
        ("10.0.0.1", "198.51.100.2", 200),
    ] {
        let answer = send_request(&service, peer, forwarded).await;
        assert_eq!(answer.status, status, "{peer} {forwarded}");
    }
}

#[tokio::test]
async fn a_byte_beyond_ascii_changes_nothing_and_a_proxys_own_requests_are_not_counted() {
    let service = service("{requestsPerSecond: 1, burst: 2, trustedProxies: [127.0.0.0/8]}");
    let status_of = async |forwarded: &[u8]| {
        let request = Request::get("/recommend/1").header("x-forwarded-for", forwarded);
        service.send(request.body(()).unwrap()).await.status
    };
    let mut statuses = Vec::new();
    for forwarded in [
        &b"9.9.9.9"[..],
        b"\xff, 9.9.9.9",
        b"\x80,9.9.9.9",
        b"9.9.9.9",
    ] {
        statuses.push(status_of(forwarded).await);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    // This is not the proxy's own request: the header exists, but names no client.
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(status_of(b"\xff").await);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    for _ in 0..50 {
        assert_eq!(service.get("/health").await.status, 200);
    }
}

async fn start(directory: &Path, rate_limit: &str) -> ApiProcess {
    let data = directory.join("empty.db");
    drop(sqlite::create(&data).await.unwrap());
    let tuning = directory.join("tuning.yaml");
    std::fs::write(&tuning, format!("rateLimit: {rate_limit}")).unwrap();
    let api = ApiCommand::new()
        .env("RECKON_DATA", data)
        .env("RECKON_TUNING", tuning)
        .spawn();
    api.ready().await;
    api
}

/// The results of a steady client.
struct Paced {
    through: u32,
    /// Until the last request was sent.
    sending: Duration,
    /// Until the last answer was there.
    answering: Duration,
}

/// Sends at a steady rate for a while. Requests that a busy machine delayed are sent at once.
async fn paced(client: &Client, a_second: u32, seconds: u64) -> Paced {
    let began = tokio::time::Instant::now();
    let mut ticks = interval_at(began, Duration::from_secs(1) / a_second);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..u64::from(a_second) * seconds {
        ticks.tick().await;
        let client = client.clone();
        asked.spawn(async move { client.get("/recommend/1").await.status.as_u16() });
    }
    let sending = began.elapsed();
    let statuses = asked.join_all().await;
    assert!(statuses.iter().all(|status| matches!(status, 200 | 429)));
    let through = statuses.iter().filter(|status| **status == 200).count();
    Paced {
        through: u32::try_from(through).unwrap(),
        sending,
        answering: began.elapsed(),
    }
}

#[tokio::test]
async fn of_150_requests_a_second_100_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path(), "{requestsPerSecond: 100}").await;
    let paced = paced(&api.client(), 150, 6).await;
    // A burst is as much as a second by default; the client has used it up after two.
    let beyond_burst = f64::from(paced.through - 100);
    let a_second = beyond_burst / paced.sending.as_secs_f64();
    println!(
        "{} of 900 in {:?}: {a_second:.2} a second beyond the burst of 100",
        paced.through, paced.sending
    );
    assert!(a_second >= 98.0, "{a_second}");
    assert!(beyond_burst / paced.answering.as_secs_f64() <= 102.0);
    let metrics = api.ops().get("/metrics").await.body;
    let refused = metrics
        .lines()
        .find_map(|line| line.strip_prefix(r#"reckon_http_rejections_total{reason="rate_limit"} "#))
        .unwrap();
    assert_eq!(refused.parse(), Ok(900 - paced.through));
}

#[tokio::test]
async fn the_operations_port_is_never_limited() {
    let directory = tempfile::tempdir().unwrap();
    let limits = "{requestsPerSecond: 1, burst: 1, connectionsPerClient: 1}";
    let api = start(directory.path(), limits).await;
    let client = api.client();
    let answers = [
        client.get("/recommend/1").await,
        client.get("/recommend/1").await,
    ];
    assert_eq!(answers.map(|answer| answer.status.as_u16()), [200, 429]);
    for _ in 0..50 {
        assert_eq!(api.ops().get("/readyz").await.status, 200);
    }
}

/// A connection that sends a request on demand.
struct Connection(TcpStream);

impl Connection {
    async fn to(api: &ApiProcess) -> Self {
        Self(TcpStream::connect(api.backend().serve).await.unwrap())
    }

    /// The head of the answer.
    async fn send_request(&mut self) -> String {
        let request = b"GET /health HTTP/1.1\r\nhost: reckon\r\n\r\n";
        self.0.write_all(request).await.unwrap();
        let mut head = vec![0; 4096];
        let length = timeout(TIMEOUT, self.0.read(&mut head)).await;
        head.truncate(length.unwrap().unwrap());
        String::from_utf8(head).unwrap()
    }

    /// Whether the server closes the connection.
    async fn closes(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(TIMEOUT, self.0.read_to_end(&mut rest)).await;
        read.is_ok()
    }
}

#[tokio::test]
async fn a_connection_beyond_the_limit_of_its_client_gets_429_and_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let api = start(directory.path(), "{connectionsPerClient: 2}").await;
    let (mut first, mut second) = (Connection::to(&api).await, Connection::to(&api).await);
    assert!(first.send_request().await.starts_with("HTTP/1.1 200"));
    assert!(second.send_request().await.starts_with("HTTP/1.1 200"));
    let mut third = Connection::to(&api).await;
    let refused = third.send_request().await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    for header in [
        "connection: close",
        "retry-after: 1",
        "content-type: application/problem+json",
    ] {
        assert!(refused.contains(header), "{header} in {refused}");
    }
    assert!(third.closes().await);
    assert!(first.send_request().await.starts_with("HTTP/1.1 200"));
    // Who does not even ask is cut off soon, and 400 of them keep nobody else out.
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(Connection::to(&api).await);
    }
    let began = Instant::now();
    for connection in &mut silent {
        assert!(connection.closes().await);
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(first.send_request().await.starts_with("HTTP/1.1 200"));
    drop(second);
    eventually(TIMEOUT, async || {
        Connection::to(&api)
            .await
            .send_request()
            .await
            .starts_with("HTTP/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_counted_and_its_clients_are() {
    let directory = tempfile::tempdir().unwrap();
    let limits =
        "{connectionsPerClient: 1, requestsPerSecond: 1, burst: 2, trustedProxies: [127.0.0.0/8]}";
    let api = start(directory.path(), limits).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(Connection::to(&api).await);
    }
    for client in ["198.51.100.1", "198.51.100.2"] {
        let forwarded = api.client().with_header("x-forwarded-for", client);
        let mut statuses = Vec::new();
        for _ in 0..3 {
            let answer = forwarded.send(Method::GET, "/recommend/1", "").await;
            statuses.push(answer.unwrap().status.as_u16());
        }
        assert_eq!(statuses, [200, 200, 429], "{client}");
    }
}
