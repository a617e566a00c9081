//! A Redis that is missing, slow, silent or broken: answers stay right and fast, and it is used again when it is back.

use super::{
    SOON, at, change, connected, error_reason, get, invalidate, metric, process, served,
    serves_new_value, unconnected,
};
use crate::harness::eventually::eventually;
use crate::harness::process::Signal;
use crate::harness::redis_server::RedisServer;
use crate::harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use crate::scripted::{Script, ScriptedStore};
use crate::service::Service;
use reckon_contract::Tuning;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Default deadline of one operation.
const DEADLINE: Duration = Duration::from_millis(50);
/// Delay of a request on a busy machine. It is less than any other wait; the shortest of these is a connection's 700
/// ms.
const NOISE: Duration = Duration::from_millis(450);
/// Maximum number of slow requests before Redis is not used any more.
const FEW: u64 = 5;
/// Requests in a row.
const REQUESTS: u64 = 40;
/// Maximum time from the return of Redis until it is used.
const RETURN: Duration = Duration::from_secs(2);

/// A user that was not requested before.
fn new_user() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(100);
    NEXT.fetch_add(1, SeqCst)
}

/// Requests new users one after the other. None waits longer than the deadline, and after a few requests there is no
/// wait.
pub async fn costs_little(what: &str, service: &Service, script: &Script) {
    let timeout = "reckon_shared_cache_operations_total{operation=\"read\",outcome=\"timeout\"}";
    let waits = || metric(service, timeout);
    let (mut seen, before) = (Vec::new(), waits());
    for _ in 0..REQUESTS {
        let truth = change(script);
        let began = Instant::now();
        let answer = get(service, new_user()).await;
        seen.push(began.elapsed());
        assert_eq!(served(&answer.body), truth);
        assert_eq!(answer.header("x-cache"), "MISS");
    }
    let (greatest, waited) = (*seen.iter().max().unwrap(), waits() - before);
    println!("{what}: {waited} of {REQUESTS} waited for Redis, {greatest:?} at most; {seen:?}");
    assert!(greatest < DEADLINE + NOISE, "{greatest:?}");
    // A heartbeat in between may try again. Waits are counted, not timed, because a busy machine is slow by itself.
    assert!(waited <= FEW + (REQUESTS - FEW) / 4, "{waited}");
}

pub async fn is_degraded(service: &Service, reason: &str) {
    eventually(SOON, async || match error_reason(service) {
        Some(seen) if seen == reason => Ok(()),
        seen => Err(format!("{seen:?}")),
    })
    .await;
    let health = service.get("/health").await;
    let body = health.json();
    assert_eq!(health.status, 200, "{}", health.body);
    assert_eq!(
        (&body["status"], &body["redis"], &body["redis_error"]),
        (&"degraded".into(), &"disconnected".into(), &reason.into())
    );
}

/// Checks that Redis is used again soon, by the processes that used it before.
pub async fn is_used_again(
    what: &str,
    services: [&Service; 2],
    redis: &RedisServer,
    script: &Script,
) {
    let began = Instant::now();
    eventually(RETURN, async || {
        error_reason(services[0]).is_none() && error_reason(services[1]).is_none()
    })
    .await;
    eventually(RETURN, async || {
        let user = new_user();
        get(services[0], user).await;
        let is_filled = async || !super::entries(redis, user).await.is_empty();
        let filled = tokio::time::timeout(DEADLINE * 4, eventually(SOON, is_filled)).await;
        filled.is_ok() && get(services[1], user).await.header("x-cache") == "HIT"
    })
    .await;
    println!("{what}: used again after {:?}", began.elapsed());
    assert!(began.elapsed() < RETURN);
    let health = services[0].get("/health").await;
    assert_eq!(health.json()["redis"], "connected", "{}", health.body);
    let truth = change(script);
    invalidate(services[1], "/1").await;
    serves_new_value(services[0], 1, truth).await;
}

/// Two processes with the default deadline; the first goes through the proxy.
async fn two(redis: &RedisServer) -> (TcpProxy, Service, Service, Arc<Script>) {
    let proxy = TcpProxy::to(redis.port()).await;
    let script = Arc::new(Script::default());
    let one = process(proxy.port(), &script, Tuning::default()).await;
    let other = process(redis.port(), &script, Tuning::default()).await;
    is_used_again("at first", [&one, &other], redis, &script).await;
    (proxy, one, other, script)
}

#[tokio::test]
async fn a_frozen_redis() {
    let redis = RedisServer::running().await;
    let (_proxy, one, other, script) = two(&redis).await;
    redis.process.freeze().await;
    costs_little("frozen", &one, &script).await;
    is_degraded(&one, "timeout").await;
    costs_little("frozen, given up", &one, &script).await;
    redis.process.thaw();
    is_used_again("thawed", [&one, &other], &redis, &script).await;
}

#[tokio::test]
async fn a_killed_redis_and_a_stopped_one() {
    let mut redis = RedisServer::running().await;
    let (_proxy, one, other, script) = two(&redis).await;
    redis.process.kill();
    costs_little("killed", &other, &script).await;
    is_degraded(&other, "unreachable").await;
    redis.start().await;
    is_used_again("started again", [&one, &other], &redis, &script).await;
    redis.process.signal(Signal::TERM);
    redis.process.exit(SOON).await;
    costs_little("stopped", &other, &script).await;
    is_degraded(&other, "unreachable").await;
    redis.start().await;
    is_used_again("started once more", [&one, &other], &redis, &script).await;
}

#[tokio::test]
async fn a_slow_redis() {
    let redis = RedisServer::running().await;
    let (proxy, one, other, script) = two(&redis).await;
    proxy.set_mode(Mode::Late(Duration::from_millis(200)));
    costs_little("slow", &one, &script).await;
    is_degraded(&one, "slow").await;
    costs_little("known to be slow", &one, &script).await;
    // Its messages are still received, and it confirms invalidations.
    let truth = change(&script);
    invalidate(&other, "/1").await;
    serves_new_value(&one, 1, truth).await;
    invalidate(&one, "/1").await;
    proxy.set_mode(PROMPT);
    is_used_again("quick again", [&one, &other], &redis, &script).await;
}

#[tokio::test]
async fn a_redis_behind_a_silent_network() {
    let redis = RedisServer::running().await;
    let (proxy, one, other, script) = two(&redis).await;
    proxy.set_mode(Mode::Silent);
    costs_little("silent", &one, &script).await;
    is_degraded(&one, "timeout").await;
    proxy.set_mode(PROMPT);
    is_used_again("speaks again", [&one, &other], &redis, &script).await;
    proxy.set_mode(Mode::Closed);
    costs_little("closed", &one, &script).await;
    eventually(SOON, async || error_reason(&one).is_some()).await;
    proxy.set_mode(PROMPT);
    is_used_again("open again", [&one, &other], &redis, &script).await;
}

#[tokio::test]
async fn a_silently_lost_connection_is_closed() {
    let redis = RedisServer::running().await;
    let (proxy, one, other, script) = two(&redis).await;
    get(&one, 1).await;
    proxy.lose_connections();
    let lost = Instant::now();
    let truth = change(&script);
    invalidate(&other, "/1").await;
    costs_little("lost", &one, &script).await;
    is_degraded(&one, "timeout").await;
    // The process did not receive the message, and clears its cache with the new connection.
    eventually(Duration::from_secs(4), async || {
        served(&get(&one, 1).await.body) >= truth
    })
    .await;
    println!("lost: right again after {:?}", lost.elapsed());
    connected(&one).await;
    is_used_again("connected anew", [&one, &other], &redis, &script).await;
}

#[tokio::test]
async fn a_redis_that_is_unreachable_at_the_start() {
    let mut redis = RedisServer::reserve(&[]);
    let script = Arc::new(Script::default());
    let [one, other] =
        [(); 2].map(|()| unconnected("shop", redis.port(), &script, Tuning::default()));
    costs_little("absent", &one, &script).await;
    is_degraded(&one, "unreachable").await;
    let refused = one.send_request("POST", "/invalidate-cache/1").await;
    assert_eq!(refused.status, 503, "{}", refused.body);
    redis.start().await;
    is_used_again("there", [&one, &other], &redis, &script).await;
}

#[tokio::test]
async fn a_redis_that_requires_another_password() {
    let redis = RedisServer::running_with(&["--requirepass", "right"]).await;
    let script = Arc::new(Script::default());
    for credentials in ["", ":wrong@", "nobody:right@"] {
        let url = format!(
            "redis://{credentials}127.0.0.1:{}/?protocol=resp3",
            redis.port()
        );
        let mut address = at(redis.port());
        address.client = redis::Client::open(url).unwrap();
        let store = ScriptedStore(Arc::clone(&script));
        let service = Service::sharing(Some((address, "shop")), store, Tuning::default());
        is_degraded(&service, "access denied").await;
        costs_little("no access", &service, &script).await;
    }
}

#[tokio::test]
async fn a_redis_that_allows_no_scripts() {
    let redis = RedisServer::running().await;
    let rights = ["ACL", "SETUSER", "default", "-evalsha"];
    redis.command(&rights).await.unwrap();
    let script = Arc::new(Script::default());
    let service = unconnected("shop", redis.port(), &script, Tuning::default());
    is_degraded(&service, "access denied").await;
    costs_little("no scripts", &service, &script).await;
    let rights = ["ACL", "SETUSER", "default", "+evalsha"];
    redis.command(&rights).await.unwrap();
    connected(&service).await;
}

#[tokio::test]
async fn a_redis_that_loses_everything_or_closes_connections_or_pauses() {
    let redis = RedisServer::running().await;
    let (_proxy, one, other, script) = two(&redis).await;
    let services = [&one, &other];
    redis.command(&["FLUSHALL"]).await.unwrap();
    is_used_again("flushed", services, &redis, &script).await;
    redis.command(&["SCRIPT", "FLUSH"]).await.unwrap();
    is_used_again("scripts flushed", services, &redis, &script).await;
    for kind in ["normal", "pubsub"] {
        redis
            .command(&["CLIENT", "KILL", "TYPE", kind])
            .await
            .unwrap();
        // The answer is right in every case.
        let truth = change(&script);
        assert_eq!(served(&get(&one, new_user()).await.body), truth);
        is_used_again("clients killed", services, &redis, &script).await;
    }
    for mode in ["WRITE", "ALL"] {
        redis
            .command(&["CLIENT", "PAUSE", "1500", mode])
            .await
            .unwrap();
        costs_little("paused", &one, &script).await;
        is_degraded(&one, "timeout").await;
        connected(&one).await;
        is_used_again("goes on", services, &redis, &script).await;
    }
}
