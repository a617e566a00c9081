//! Sharing of entries, their lifetime, and damaged entries.

use super::{
    SOON, change, entries, get, invalidate, keys, metric, process, served, shared, tuning, two,
};
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::service::Service;
use futures_util::future::join_all;
use reckon_contract::Tuning;
use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

async fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]).await.unwrap();
    let stats = stats.unwrap();
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

async fn milliseconds_left(redis: &RedisServer, user: u64) -> u64 {
    let key = entries(redis, user).await.remove(0);
    let left = redis.command(&["PTTL", &key]).await.unwrap();
    left.unwrap().parse().unwrap()
}

/// Shared entries become stale after a second and stay for another minute. In memory alone, they would stay for five
/// minutes.
fn short_lived() -> Tuning {
    let mut tuning = tuning();
    tuning.cache.shared.ttl_seconds = 1;
    tuning.cache.stale_seconds = 60;
    tuning
}

#[tokio::test]
async fn an_entry_loaded_by_one_process_is_a_hit_in_another() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    let loaded = get(&one, 1).await;
    shared(&redis, [1]).await;
    let found = get(&other, 1).await;
    assert_eq!(loaded.header("x-cache"), "MISS");
    assert_eq!(found.header("x-cache"), "HIT");
    assert_eq!(loaded.body, found.body);
    // Now the answer comes from memory, without Redis.
    let scripts = calls(&redis, "evalsha").await;
    assert_eq!(get(&other, 1).await.header("x-cache"), "HIT");
    assert_eq!(calls(&redis, "evalsha").await, scripts);
    assert_eq!(script.statements.load(SeqCst), 1);
    assert_eq!(metric(&one, "reckon_shared_cache_filled_entries"), 1);
}

#[tokio::test]
async fn look_ups_of_concurrent_requests_share_few_scripts() {
    const USERS: u64 = 100;
    let redis = RedisServer::running().await;
    let mut patient = tuning();
    patient.cache.shared.timeout_milliseconds = 5_000;
    let (one, other, script) = two(&redis, patient).await;
    for user in 1..=USERS {
        get(&one, user).await;
    }
    shared(&redis, 1..=USERS).await;
    let before = calls(&redis, "evalsha").await;
    redis.process.freeze().await;
    let thawed = async {
        // Every request has joined a load before Redis answers the first one.
        eventually(SOON, async || {
            metric(&other, "reckon_cache_lookups") >= USERS
        })
        .await;
        redis.process.thaw();
    };
    let answers = join_all((1..=USERS).map(|user| get(&other, user)));
    let (answers, ()) = tokio::join!(answers, thawed);
    for (user, answer) in (1..).zip(&answers) {
        assert_eq!(answer.header("x-cache"), "HIT");
        assert!(
            answer.body.starts_with(&format!("{{\"user_id\":{user},")),
            "{}",
            answer.body
        );
    }
    assert_eq!(script.statements.load(SeqCst), USERS);
    let scripts = calls(&redis, "evalsha").await - before;
    assert!(scripts <= 2 + USERS.div_ceil(64), "{scripts}");
}

#[tokio::test]
async fn a_batch_is_one_script_to_read_and_one_to_fill() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    get(&one, 1000).await;
    shared(&redis, [1000]).await;
    let users: Vec<String> = (1..=100).map(|user: u64| user.to_string()).collect();
    let path = format!("/batch-recommend?user_ids={}", users.join(","));

    redis.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    let loaded = one.get(&path).await.json();
    shared(&redis, 1..=100).await;
    assert_eq!(loaded["cache_misses"], 100);
    assert_eq!(calls(&redis, "evalsha").await, 2);

    redis.command(&["CONFIG", "RESETSTAT"]).await.unwrap();
    let statements = script.statements.load(SeqCst);
    let found = other.get(&path).await.json();
    assert_eq!(found["cache_hits"], 100);
    assert_eq!(found["results"], loaded["results"]);
    assert_eq!(calls(&redis, "evalsha").await, 1);
    assert_eq!(
        calls(&redis, "evalsha").await + calls(&redis, "eval").await,
        1
    );
    assert_eq!(script.statements.load(SeqCst), statements);
}

#[tokio::test]
async fn an_entry_expires_everywhere_at_once_and_is_loaded_again() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, short_lived()).await;
    let began = Instant::now();
    get(&one, 1).await;
    shared(&redis, [1]).await;
    let filled = Instant::now();
    assert_eq!(get(&other, 1).await.header("x-cache"), "HIT");
    let is_miss = async |service: &Service| get(service, 1).await.header("x-cache") == "MISS";
    // The process that looks first loads for both.
    eventually(Duration::from_secs(3), async || is_miss(&other).await).await;
    println!("aged after {:?} to {:?}", filled.elapsed(), began.elapsed());
    assert!(began.elapsed() > Duration::from_millis(890));
    assert!(filled.elapsed() < Duration::from_millis(1300));
    assert_eq!(script.statements.load(SeqCst), 2);
    // The memory entry of the process that loaded it does not last longer either.
    assert_eq!(get(&one, 1).await.header("x-cache"), "HIT");
    let answers = metric(&one, "reckon_recommendations_total{source=\"shared\"");
    assert_eq!(answers, 1);
}

#[tokio::test]
async fn lifetimes_are_spread_and_short_for_users_without_rows() {
    let redis = RedisServer::running().await;
    let mut tuning = tuning();
    tuning.cache.stale_seconds = 0;
    let (one, _, script) = two(&redis, tuning).await;
    let path = "/batch-recommend?user_ids=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20";
    one.get(path).await;
    shared(&redis, 1..=20).await;
    let mut seconds = HashSet::new();
    for user in 1..=20 {
        let left = milliseconds_left(&redis, user).await;
        assert!((3_200_000..=3_960_000).contains(&left), "{left}");
        seconds.insert(left / 1000);
    }
    assert!(seconds.len() > 10, "{seconds:?}");

    script.empty.store(true, SeqCst);
    get(&one, 30).await;
    shared(&redis, [30]).await;
    let left = milliseconds_left(&redis, 30).await;
    assert!((50_000..=66_000).contains(&left), "{left}");
}

#[tokio::test]
async fn an_expired_entry_is_served_stale_while_the_store_fails_and_not_after_an_invalidation() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, short_lived()).await;
    get(&one, 1).await;
    shared(&redis, [1]).await;
    script.broken.store(true, SeqCst);
    let aged = async || get(&one, 1).await.header("x-cache") == "STALE";
    eventually(Duration::from_secs(3), aged).await;
    // The other process has nothing in memory, so its answer comes from Redis.
    assert_eq!(get(&other, 1).await.header("x-cache"), "STALE");
    change(&script);
    invalidate(&one, "/1").await;
    eventually(super::BOUND, async || {
        other.get("/recommend/1").await.status == 503
    })
    .await;
    assert_eq!(one.get("/recommend/1").await.status, 503);
    script.broken.store(false, SeqCst);
    assert_eq!(served(&get(&other, 1).await.body), 1);
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_a_miss_is_counted_and_is_replaced() {
    let redis = RedisServer::running().await;
    let (one, _, script) = two(&redis, tuning()).await;
    get(&one, 1).await;
    get(&one, 2).await;
    shared(&redis, [1, 2]).await;
    let (key, other_key) = (
        entries(&redis, 1).await.remove(0),
        entries(&redis, 2).await.remove(0),
    );
    let value = async |key: &str| redis.command(&["GET", key]).await.unwrap().unwrap();
    let good = value(&key).await;
    let flipped = |position: usize| {
        let mut bytes = good.clone().into_bytes();
        bytes[position] ^= 1;
        String::from_utf8(bytes).unwrap()
    };
    let mut damaged = vec![
        String::new(),
        "garbage".to_owned(),
        "x".repeat(500),
        good.replacen('1', "2", 1),
        value(&other_key).await,
        good.clone() + "x",
    ];
    // The epoch is at position 1. After a change of it, the entry belongs to another epoch.
    damaged.extend([0, 3, 18, 26, 30, 40, 60, good.len() - 1].map(flipped));
    damaged.extend([1, 17, 36, 53, 54, good.len() - 1].map(|length| good[..length].to_owned()));
    let mut counted = 0;
    // This is more than the stale time, so that bytes of the right form count as fresh inside Redis.
    let left = Tuning::default().cache.stale().as_millis() + 100_000;
    for (nth, bytes) in damaged.iter().enumerate() {
        redis
            .command(&["SET", &key, bytes, "PX", &left.to_string()])
            .await
            .unwrap();
        // First a process without entries in memory, then another one.
        let reader = process(redis.port(), &script, tuning()).await;
        let truth = change(&script);
        let answer = get(&reader, 1).await;
        assert_eq!(answer.header("x-cache"), "MISS", "{nth}: {bytes}");
        assert_eq!(served(&answer.body), truth);
        counted += metric(&reader, "reckon_shared_cache_unreadable_entries");
        eventually(super::SOON, async || value(&key).await != *bytes).await;
        eventually(super::SOON, async || !entries(&redis, 1).await.is_empty()).await;
        let next = process(redis.port(), &script, tuning()).await;
        let answer = get(&next, 1).await;
        assert_eq!(answer.header("x-cache"), "HIT", "{nth}: {bytes}");
        assert_eq!(served(&answer.body), truth);
    }
    assert_eq!(counted, damaged.len() as u64);
    // An entry without expiry is not ours either.
    redis.command(&["PERSIST", &key]).await.unwrap();
    let reader = process(redis.port(), &script, tuning()).await;
    assert_eq!(get(&reader, 1).await.header("x-cache"), "MISS");
    assert_eq!(
        keys(&redis, "*:l:1").await.len() + entries(&redis, 1).await.len(),
        1
    );
}

#[tokio::test]
async fn a_closed_service_leaves_no_connection() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    assert_eq!(super::subscribers(&redis).await, 2);
    one.recommender.close().await;
    eventually(super::SOON, async || super::subscribers(&redis).await == 1).await;
    let refused = one.send_request("POST", "/invalidate-cache/1").await;
    assert_eq!(refused.status, 503);
    let truth = change(&script);
    invalidate(&other, "/1").await;
    assert_eq!(served(&get(&other, 1).await.body), truth);
    drop(other);
    eventually(super::SOON, async || super::subscribers(&redis).await == 0).await;
}
