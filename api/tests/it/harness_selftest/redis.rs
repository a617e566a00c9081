//! The Redis server of the tests.

use std::time::{Duration, Instant};

use crate::harness::process::Signal;
use crate::harness::redis_server::RedisServer;

#[tokio::test]
async fn redis_can_be_frozen_killed_and_restarted_empty_on_its_port() {
    let started = Instant::now();
    let mut redis = RedisServer::running().await;
    println!("redis: answers after {:?}", started.elapsed());
    redis.command(&["SET", "key", "a value"]).await.unwrap();
    let value = redis.command(&["GET", "key"]).await.unwrap();
    assert_eq!(value.as_deref(), Some("a value"));
    let port = redis.environment()[1].1.clone();
    assert_eq!(port, redis.port().to_string());

    redis.process.freeze().await;
    let frozen = redis.command(&["PING"]);
    let waited = tokio::time::timeout(Duration::from_millis(200), frozen).await;
    waited.unwrap_err();
    redis.process.thaw();
    let pong = redis.command(&["PING"]).await.unwrap();
    assert_eq!(pong.as_deref(), Some("PONG"));

    redis.restart().await;
    assert_eq!(redis.command(&["GET", "key"]).await.unwrap(), None);

    redis.process.signal(Signal::TERM);
    let exit = redis.process.exit(Duration::from_secs(10)).await;
    assert!(exit.status.success(), "{exit:?}");
    redis.command(&["PING"]).await.unwrap_err();
}

#[tokio::test]
async fn redis_can_be_started_later_and_with_arguments() {
    let mut redis = RedisServer::reserve(&[]);
    redis.command(&["PING"]).await.unwrap_err();
    redis.start().await;
    redis.command(&["PING"]).await.unwrap();

    let redis = RedisServer::running_with(&["--requirepass", "secret"]).await;
    let error = redis.command(&["PING"]).await.unwrap_err();
    assert!(error.to_string().starts_with("NOAUTH"), "{error}");
}

#[tokio::test]
async fn a_reply_of_many_items_has_a_line_for_each() {
    let redis = RedisServer::running().await;
    let length = redis.command(&["RPUSH", "list", "a", "b"]).await.unwrap();
    assert_eq!(length.as_deref(), Some("2"));
    let items = redis.command(&["LRANGE", "list", "0", "-1"]).await.unwrap();
    assert_eq!(items.as_deref(), Some("a\nb"));
}
