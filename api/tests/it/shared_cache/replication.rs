//! A Redis that loses writes, restores an older state, is full, or was replaced.

use super::{
    SOON, change, connected, entries, get, invalidate, process, served, serves_new_value, shared,
    tuning, two, unconnected,
};
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::tcp_proxy::TcpProxy;
use crate::scripted::Script;
use crate::service::Service;
use std::sync::Arc;

/// Makes `replica` follow `master`, and waits until it has everything.
async fn replicate_from(replica: &RedisServer, master: &RedisServer) {
    let port = master.port().to_string();
    replica
        .command(&["REPLICAOF", "127.0.0.1", &port])
        .await
        .unwrap();
    eventually(SOON, async || {
        let info = replica.command(&["INFO", "replication"]).await?;
        let is_up = info.is_some_and(|info| info.contains("master_link_status:up"));
        anyhow::ensure!(is_up, "not up yet");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}

/// Waits until these processes have reconnected to the restarted server.
async fn reconnected(services: &[&Service]) {
    for service in services {
        eventually(SOON, async || {
            service
                .send_request("POST", "/invalidate-cache/1000")
                .await
                .status
                == 200
        })
        .await;
    }
}

/// A server that sends a replica everything without waiting for more replicas.
async fn redis() -> RedisServer {
    RedisServer::running_with(&["--repl-diskless-sync-delay", "0"]).await
}

#[tokio::test]
async fn entries_restored_from_an_old_snapshot_are_never_served() {
    let mut redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    get(&one, 1).await;
    get(&one, 2).await;
    shared(&redis, [1, 2]).await;
    redis.command(&["SAVE"]).await.unwrap();
    let truth = change(&script);
    invalidate(&one, "/1").await;
    invalidate(&one, "/all").await;
    serves_new_value(&other, 1, truth).await;
    redis.process.kill();
    redis.start().await;
    // All old data are restored.
    assert_eq!(entries(&redis, 1).await.len(), 1);
    let third = process(redis.port(), &script, tuning()).await;
    for _ in 0..50 {
        for service in [&one, &other, &third] {
            for user in [1, 2] {
                assert_eq!(served(&get(service, user).await.body), truth);
            }
        }
    }
    reconnected(&[&one, &other]).await;
    let truth = change(&script);
    invalidate(&other, "/1").await;
    assert_eq!(served(&get(&other, 1).await.body), truth);
    serves_new_value(&one, 1, truth).await;
    serves_new_value(&third, 1, truth).await;
}

#[tokio::test]
async fn a_replica_that_becomes_the_master_has_no_valid_entry() {
    let (mut master, replica) = (redis().await, redis().await);
    let proxy = TcpProxy::to(master.port()).await;
    let script = Arc::new(Script::default());
    replicate_from(&replica, &master).await;
    let one = process(proxy.port(), &script, tuning()).await;
    let other = process(proxy.port(), &script, tuning()).await;
    get(&one, 1).await;
    shared(&replica, [1]).await;
    // A write that the replica does not receive any more.
    replica
        .command(&["REPLICAOF", "127.0.0.1", "1"])
        .await
        .unwrap();
    let truth = change(&script);
    invalidate(&one, "/1").await;
    serves_new_value(&other, 1, truth).await;
    master.process.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    proxy.turn_to(replica.port());
    assert_eq!(entries(&replica, 1).await.len(), 1);
    let old = entries(&replica, 1).await;
    reconnected(&[&one, &other]).await;
    let third = process(proxy.port(), &script, tuning()).await;
    for service in [&third, &one, &other] {
        assert_eq!(served(&get(service, 1).await.body), truth);
    }
    eventually(SOON, async || entries(&replica, 1).await.len() == 2).await;
    assert!(entries(&replica, 1).await.contains(&old[0]));
    let truth = change(&script);
    invalidate(&one, "/1").await;
    serves_new_value(&other, 1, truth).await;
    serves_new_value(&third, 1, truth).await;
}

#[tokio::test]
async fn a_replica_attached_to_a_running_master_leaves_all_processes_coherent() {
    let (master, replica) = (redis().await, redis().await);
    let (one, other, script) = two(&master, tuning()).await;
    get(&one, 1).await;
    shared(&master, [1]).await;
    // From now on the master has another replication id; those who connect later know no other.
    replicate_from(&replica, &master).await;
    let third = process(master.port(), &script, tuning()).await;
    get(&third, 1).await;
    eventually(SOON, async || entries(&master, 1).await.len() == 2).await;
    for (nth, by) in [&one, &third, &other].into_iter().enumerate() {
        let truth = change(&script);
        invalidate(by, "/1").await;
        assert_eq!(served(&get(by, 1).await.body), truth);
        for service in [&one, &other, &third] {
            serves_new_value(service, 1, truth).await;
        }
        let later = process(master.port(), &script, tuning()).await;
        assert_eq!(served(&get(&later, 1).await.body), truth, "{nth}");
    }
}

#[tokio::test]
async fn a_replica_is_rejected_as_a_shared_cache() {
    let (master, replica) = (redis().await, redis().await);
    replicate_from(&replica, &master).await;
    let script = Arc::new(Script::default());
    let service = unconnected("shop", replica.port(), &script, tuning());
    eventually(SOON, async || {
        super::error_reason(&service) == Some("read-only")
    })
    .await;
    assert_eq!(get(&service, 1).await.header("x-cache"), "MISS");
    let refused = service.send_request("POST", "/invalidate-cache/1").await;
    assert_eq!(refused.status, 503);
    replica.command(&["REPLICAOF", "NO", "ONE"]).await.unwrap();
    connected(&service).await;
    invalidate(&service, "/1").await;
}

/// Fills a server with what belongs to nobody until it has no room, or has thrown something away.
async fn fill_memory(redis: &RedisServer, round: u32) {
    let text = "x".repeat(20_000);
    for nth in 0..400 {
        let key = format!("stuffing:{round}:{nth}");
        if redis.command(&["SET", &key, &text]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_full_redis_without_eviction_serves_its_entries_and_acknowledges_invalidations() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    for user in 1..=3 {
        get(&one, user).await;
    }
    shared(&redis, 1..=3).await;
    for setting in [["maxmemory", "4mb"], ["maxmemory-policy", "noeviction"]] {
        redis
            .command(&["CONFIG", "SET", setting[0], setting[1]])
            .await
            .unwrap();
    }
    fill_memory(&redis, 0).await;
    fill_memory(&redis, 1).await;
    let error = redis
        .command(&["SET", "stuffing", &"x".repeat(20_000)])
        .await
        .unwrap_err();
    assert!(error.to_string().starts_with("OOM"), "{error}");

    assert_eq!(get(&other, 1).await.header("x-cache"), "HIT");
    assert_eq!(get(&other, 9).await.header("x-cache"), "MISS");
    let third = process(redis.port(), &script, tuning()).await;
    assert_eq!(get(&third, 2).await.header("x-cache"), "HIT");
    for whom in ["/1", "?user_ids=1,2", "/all"] {
        let truth = change(&script);
        invalidate(&one, whom).await;
        assert_eq!(served(&get(&one, 1).await.body), truth);
        serves_new_value(&other, 1, truth).await;
        serves_new_value(&third, 1, truth).await;
        let later = process(redis.port(), &script, tuning()).await;
        assert_eq!(served(&get(&later, 1).await.body), truth);
    }
    // Without an epoch, nothing is read or written until there is free memory.
    redis
        .command(&["CONFIG", "SET", "maxmemory", "0"])
        .await
        .unwrap();
    get(&one, 5).await;
    shared(&redis, [5]).await;
    assert_eq!(get(&other, 5).await.header("x-cache"), "HIT");
}

#[tokio::test]
async fn a_redis_that_evicts_costs_hits_and_never_gives_an_older_answer() {
    for policy in ["allkeys-lru", "allkeys-random"] {
        let redis =
            RedisServer::running_with(&["--maxmemory", "4mb", "--maxmemory-policy", policy]).await;
        let (one, other, script) = two(&redis, tuning()).await;
        let mut longer = tuning();
        longer.recommendation.history_length = Some(7);
        let variant = process(redis.port(), &script, longer).await;
        let mut found = 0;
        for round in 0..12 {
            for user in 1..=10 {
                for service in [&one, &other, &variant] {
                    get(service, user).await;
                }
            }
            fill_memory(&redis, round).await;
            let truth = change(&script);
            let (by, whom) = match round % 3 {
                0 => (&one, "?user_ids=1,2,3,4,5,6,7,8,9,10"),
                1 => (&variant, "?user_ids=1,2,3,4,5,6,7,8,9,10"),
                _ => (&other, "/all"),
            };
            invalidate(by, whom).await;
            for service in [&one, &other, &variant] {
                serves_new_value(service, 1, truth).await;
                for user in 2..=10 {
                    assert_eq!(
                        served(&get(service, user).await.body),
                        truth,
                        "{policy} {round}"
                    );
                }
            }
            found = super::metric(&other, "reckon_recommendations_total{source=\"shared\"");
        }
        let stats = redis.command(&["INFO", "stats"]).await.unwrap().unwrap();
        let evicted = stats
            .lines()
            .find_map(|line| line.strip_prefix("evicted_keys:"));
        println!("{policy}: {} evicted, {found} found", evicted.unwrap());
        assert!(evicted.unwrap().parse::<u64>().unwrap() > 100);
        assert!(found > 0);
    }
}
