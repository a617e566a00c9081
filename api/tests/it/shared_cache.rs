//! The cache that processes share, on a real Redis: its effect, its guarantees, and its failure.

mod basics;
mod coherence;
mod counted;
mod lost_packets;
mod outages;
mod processes;
mod replication;
mod separation;
mod text_ids;

use crate::harness::eventually::eventually;
use crate::harness::own_network::LOSSY;
use crate::harness::redis_server::RedisServer;
use crate::invalidation::served;
use crate::scripted::{Script, ScriptedStore};
use crate::service::{Answer, Service};
use reckon_api::cache::shared::{Address, SharedCache};
use reckon_contract::Tuning;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Time limit for steps whose duration is not measured.
const SOON: Duration = Duration::from_secs(10);
/// How long an invalidation may take to be effective in other processes.
const BOUND: Duration = Duration::from_secs(1);

/// The address of Redis at this port of this machine.
fn at(port: u16) -> Address {
    at_address("127.0.0.1", port)
}

fn at_address(host: &str, port: u16) -> Address {
    let url = format!("redis://{host}:{port}/?protocol=resp3");
    Address {
        client: redis::Client::open(url).unwrap(),
        server: format!("{host}:{port}"),
    }
}

/// Redis at 127.0.0.1 and at the address whose packets can be lost.
async fn redis_on_two_addresses() -> RedisServer {
    RedisServer::running_with(&["--bind", "127.0.0.1", LOSSY]).await
}

/// A tuning with long timeouts for Redis, for a busy machine.
fn tuning() -> Tuning {
    let mut tuning = Tuning::default();
    tuning.cache.shared.timeout_milliseconds = 900;
    tuning
}

/// A process of the service `shop`, connected to Redis.
async fn process(port: u16, script: &Arc<Script>, tuning: Tuning) -> Service {
    process_of("shop", port, script, tuning).await
}

async fn process_of(name: &str, port: u16, script: &Arc<Script>, tuning: Tuning) -> Service {
    process_at(at(port), name, script, tuning).await
}

async fn process_at(address: Address, name: &str, script: &Arc<Script>, tuning: Tuning) -> Service {
    let store = ScriptedStore(Arc::clone(script));
    let service = Service::sharing(Some((address, name)), store, tuning);
    connected(&service).await;
    service
}

fn unconnected(name: &str, port: u16, script: &Arc<Script>, tuning: Tuning) -> Service {
    unconnected_at(at(port), name, script, tuning)
}

fn unconnected_at(address: Address, name: &str, script: &Arc<Script>, tuning: Tuning) -> Service {
    let store = ScriptedStore(Arc::clone(script));
    Service::sharing(Some((address, name)), store, tuning)
}

/// Two processes of one service over one store.
async fn two(redis: &RedisServer, tuning: Tuning) -> (Service, Service, Arc<Script>) {
    let script = Arc::new(Script::default());
    let one = process(redis.port(), &script, tuning.clone()).await;
    let other = process(redis.port(), &script, tuning).await;
    (one, other, script)
}

fn error_reason(service: &Service) -> Option<&'static str> {
    service
        .recommender
        .shared()
        .and_then(SharedCache::unavailable_reason)
}

async fn connected(service: &Service) {
    eventually(SOON, async || {
        error_reason(service).map_or(Ok(()), |reason| Err(reason.to_owned()))
    })
    .await;
}

/// The value of a metric, all labels together.
fn metric(service: &Service, name: &str) -> u64 {
    let text = service.metrics.text();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

async fn get(service: &Service, user: u64) -> Answer {
    let answer = service.get(&format!("/recommend/{user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer
}

/// Waits until the loaded entries of these users are in Redis.
async fn shared(redis: &RedisServer, users: impl IntoIterator<Item = u64>) {
    for user in users {
        eventually(SOON, async || !entries(redis, user).await.is_empty()).await;
    }
}

/// Keys of the entries of a user.
async fn entries(redis: &RedisServer, user: u64) -> Vec<String> {
    keys(redis, &format!("*:e:{user}")).await
}

async fn keys(redis: &RedisServer, pattern: &str) -> Vec<String> {
    let keys = redis.command(&["KEYS", pattern]).await.unwrap().unwrap();
    keys.lines().map(str::to_owned).collect()
}

async fn invalidate(service: &Service, whom: &str) {
    let answer = service
        .send_request("POST", &format!("/invalidate-cache{whom}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Changes the true number, and returns it.
fn change(script: &Script) -> u64 {
    script.truth.fetch_add(1, SeqCst) + 1
}

/// Answers of this process become `truth` within the bound, and stay.
async fn serves_new_value(service: &Service, user: u64, truth: u64) {
    eventually(BOUND, async || {
        served(&get(service, user).await.body) == truth
    })
    .await;
    for _ in 0..20 {
        assert_eq!(served(&get(service, user).await.body), truth);
    }
}

/// Connections that receive invalidations.
async fn subscribers(redis: &RedisServer) -> usize {
    let clients = redis.command(&["CLIENT", "LIST"]).await.unwrap().unwrap();
    clients
        .lines()
        .filter(|line| line.contains(" sub=1 "))
        .count()
}
