//! The program itself: two processes over MariaDB and Redis, with and without TLS, and their logs.

use super::{BOUND, SOON, keys, subscribers};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::port::Port;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::harness::watchdog::Scratch;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A password that must never appear in any output.
const PASSWORD: &str = "hunter2/@:";
const ENCODED_PASSWORD: &str = "hunter2%2F%40%3A";
/// All that a user of ours needs.
const PERMISSIONS: &str = "~{reckon:* &{reckon:* +hello +info +get +set +del +pttl +hget +hset +hsetnx +hkeys +publish +subscribe \
    +evalsha +script|load";

/// A tuning with long timeouts for Redis, like [`super::tuning`], because a failed look-up gives no lease.
fn patient(directory: &Scratch) -> PathBuf {
    let path = directory.path().join("tuning.yaml");
    std::fs::write(&path, "cache: {shared: {timeoutMilliseconds: 900}}").unwrap();
    path
}

async fn database() -> SqlServer {
    let db = Flavour::MariaDb.start().await;
    OriginalTables::default().create(&db, "reckon").await;
    let histories: Vec<History> = (1..=50)
        .map(|user| History::newest_first(user, &["books", "books"], &["toys"]))
        .collect();
    insert(&db, "reckon", &histories).await;
    db
}

async fn health(api: &ApiProcess) -> serde_json::Value {
    api.client().get("/health").await.json()
}

async fn is_connected(api: &ApiProcess) {
    eventually(SOON, async || {
        let health = health(api).await;
        (health["redis"] == "connected").then_some(()).ok_or(health)
    })
    .await;
}

async fn is_disconnected(api: &ApiProcess, reason: &str) {
    eventually(SOON, async || {
        let health = health(api).await;
        (health["redis_error"] == reason)
            .then_some(())
            .ok_or(health)
    })
    .await;
    assert_eq!(health(api).await["status"], "degraded");
    assert_eq!(api.client().get("/health").await.status, 200);
}

/// Lines of the log about the shared cache.
fn said(api: &ApiProcess) -> Vec<String> {
    let lines = api.process.logs().into_iter();
    lines.filter(|line| line.contains("shared cache")).collect()
}

async fn exposes_no_password(api: &ApiProcess) {
    let mut texts = vec![api.process.logs().join("\n")];
    texts.push(api.ops().get("/metrics").await.body);
    for path in ["/health", "/stats", "/recommend/1", "/openapi.json"] {
        texts.push(api.client().get(path).await.body);
    }
    texts.push(api.client().post("/invalidate-cache/1").await.body);
    for text in texts {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn two_processes_share_entries_and_receive_each_others_invalidations() {
    let (db, redis) = tokio::join!(database(), RedisServer::running());
    let scratch = Scratch::new(&env::temp_dir(), "reckon-two-");
    let start = || {
        let command = ApiCommand::new().envs(db.environment("reckon"));
        let command = command.env("RECKON_TUNING", patient(&scratch));
        command.envs(redis.environment()).spawn()
    };
    let (mut one, mut other) = (start(), start());
    for api in [&one, &other] {
        api.ready().await;
        is_connected(api).await;
    }
    let loaded = one.client().get("/recommend/1").await;
    assert_eq!(loaded.header("x-cache"), Some("MISS"));
    super::shared(&redis, [1]).await;
    let found = other.client().get("/recommend/1").await;
    assert_eq!(found.header("x-cache"), Some("HIT"), "{found:?}");
    assert_eq!(found.body, loaded.body);
    let (ours, theirs) = (one.client(), other.client());
    let mut greatest = Duration::ZERO;
    for round in 1..=50 {
        let more = vec!["games"; 2 * round];
        insert(&db, "reckon", &[History::newest_first(1, &more, &[])]).await;
        let (by, to) = if round % 2 == 0 {
            (&ours, &theirs)
        } else {
            (&theirs, &ours)
        };
        let path = ["/invalidate-cache/1", "/invalidate-cache/all"][round / 2 % 2];
        assert_eq!(by.post(path).await.status, 200);
        let confirmed = Instant::now();
        let truth = by.get("/recommend/1").await;
        assert_ne!(truth.body, loaded.body);
        eventually(BOUND, async || {
            to.get("/recommend/1").await.body == truth.body
        })
        .await;
        greatest = greatest.max(confirmed.elapsed());
        let count = truth.json()["metadata"]["search_count"].as_u64().unwrap();
        assert_eq!(count, (2 + round * (round + 1)).min(500) as u64);
    }
    println!("heard by the other, and asked, within {greatest:?}");
    let stats = other.client().get("/stats").await.json();
    assert!(
        stats["shared_cache"]["hits"].as_u64().unwrap() > 0,
        "{stats}"
    );
    let users = [&one, &other].map(|api| api.process.logs().len());
    assert!(
        users.iter().all(|lines| *lines < 10),
        "{:?}",
        one.process.logs()
    );
    // Connections of this process are closed with it, and those of the other process stay.
    assert_eq!(subscribers(&redis).await, 2);
    assert!(one.process.stop().await.status.success());
    assert_eq!(subscribers(&redis).await, 1);
    assert!(other.process.stop().await.status.success());
    assert_eq!(subscribers(&redis).await, 0);
}

/// Creates an authority, and its certificate for this machine.
fn certificates(directory: &Path, name: &str) {
    let file = |what: &str| {
        directory
            .join(format!("{name}{what}"))
            .display()
            .to_string()
    };
    let request = |extra: &[&str]| {
        let made = Command::new("openssl")
            .args(
                "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
                    .split(' '),
            )
            .args(extra)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    };
    let (ca, ca_key) = (file("-ca.crt"), file("-ca.key"));
    request(&["-subj", "/CN=authority", "-out", &ca, "-keyout", &ca_key]);
    let extensions = [
        "subjectAltName=IP:127.0.0.1",
        "basicConstraints=critical,CA:FALSE",
    ];
    let (certificate, key) = (file(".crt"), file(".key"));
    request(&[
        "-subj",
        "/CN=redis",
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-out",
        &certificate,
        "-keyout",
        &key,
        "-addext",
        extensions[0],
        "-addext",
        extensions[1],
    ]);
}

/// The certificate names the address and not the host.
async fn checks_the_name_by_default(db: &SqlServer, port: &str, file: &impl Fn(&str) -> String) {
    let with = |mode: &str, ca: &str| {
        ApiCommand::new()
            .envs(db.environment("reckon"))
            .env("REDIS_HOST", "localhost")
            .env("REDIS_PORT", port)
            .env("REDIS_USER", "reckon")
            .env("REDIS_PASSWORD", PASSWORD)
            .env("REDIS_TLS", mode)
            .env("REDIS_TLS_CA", file(ca))
            .spawn()
    };
    let any_name = with("verify-ca", "redis-ca.crt");
    let another_name = with("verify-full", "redis-ca.crt");
    let another_authority = with("verify-ca", "foreign-ca.crt");
    for api in [&any_name, &another_name, &another_authority] {
        api.ready().await;
    }
    is_connected(&any_name).await;
    is_disconnected(&another_name, "TLS").await;
    is_disconnected(&another_authority, "TLS").await;
}

#[tokio::test]
async fn a_cache_over_tls_with_few_privileges_works_and_exposes_no_password() {
    let scratch = Scratch::new(&env::temp_dir(), "reckon-tls-");
    certificates(scratch.path(), "redis");
    certificates(scratch.path(), "foreign");
    let file = |name: &str| scratch.path().join(name).display().to_string();
    let port = Port::take();
    let (number, certificate, key, ca) = (
        port.number().to_string(),
        file("redis.crt"),
        file("redis.key"),
        file("redis-ca.crt"),
    );
    let password = format!(">{PASSWORD}");
    let mut arguments = vec![
        "--tls-port",
        &number,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
    ];
    arguments.extend(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]);
    arguments.extend(["--user", "reckon", "on", &password]);
    arguments.extend(PERMISSIONS.split(' '));
    let (db, mut redis) = tokio::join!(database(), RedisServer::running_with(&arguments));
    let start = |user: &str, password: &str, ca: &str| {
        let url = format!("rediss://{user}:{password}@127.0.0.1:{number}");
        let command = ApiCommand::new()
            .envs(db.environment("reckon"))
            .env("REDIS_URL", url)
            .env("RECKON_TUNING", patient(&scratch));
        command.env("REDIS_TLS_CA", file(ca)).spawn()
    };
    let (one, other) = (
        start("reckon", ENCODED_PASSWORD, "redis-ca.crt"),
        start("reckon", ENCODED_PASSWORD, "redis-ca.crt"),
    );
    let wrong_ca = start("reckon", ENCODED_PASSWORD, "foreign-ca.crt");
    let wrong_password = start("reckon", "hunter23", "redis-ca.crt");
    checks_the_name_by_default(&db, &number, &file).await;
    for api in [&one, &other, &wrong_ca, &wrong_password] {
        api.ready().await;
    }
    is_connected(&one).await;
    is_connected(&other).await;
    for user in 1..=20 {
        let path = format!("/recommend/{user}");
        one.client().get(&path).await;
        super::shared(&redis, [user]).await;
        assert_eq!(
            other.client().get(&path).await.header("x-cache"),
            Some("HIT")
        );
    }
    for path in ["/1", "?user_ids=1,2", "/all"] {
        let answer = other
            .client()
            .post(&format!("/invalidate-cache{path}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let missed = async || one.client().get("/recommend/3").await.header("x-cache") == Some("MISS");
    eventually(BOUND, missed).await;
    // Only the allowed keys are written.
    let foreign = keys(&redis, "*").await;
    assert!(
        foreign.iter().all(|key| key.starts_with("{reckon:")),
        "{foreign:?}"
    );

    is_disconnected(&wrong_ca, "TLS").await;
    is_disconnected(&wrong_password, "access denied").await;
    for _ in 0..3 {
        redis.process.kill();
        is_disconnected(&one, "unreachable").await;
        redis.start().await;
        is_connected(&one).await;
    }
    // `/health` may report it a moment before the log.
    eventually(BOUND, async || said(&one).len() >= 7).await;
    let lines = said(&one);
    println!("{}", lines.join("\n"));
    // It may have reconnected while Redis was loading; three outages are three beginnings and three ends.
    assert!((7..=10).contains(&lines.len()), "{lines:#?}");
    for api in [&wrong_ca, &wrong_password] {
        let answer = api.client().get("/recommend/1").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-cache").is_some()),
            (200, true)
        );
        println!("{}", said(api).join("\n"));
        assert!((1..=7).contains(&said(api).len()), "{:#?}", said(api));
    }
    for api in [&one, &other, &wrong_ca, &wrong_password] {
        exposes_no_password(api).await;
    }
}

#[tokio::test]
async fn invalid_redis_settings_fail_the_start_with_one_line_without_a_password() {
    let scratch = Scratch::new(&env::temp_dir(), "reckon-settings-");
    certificates(scratch.path(), "redis");
    let ca = scratch.path().join("redis-ca.crt").display().to_string();
    let nonsense = scratch.path().join("redis.key").display().to_string();
    let cases: [(&str, &[(&str, &str)]); 7] = [
        ("REDIS_URL", &[("REDIS_URL", "hunter2")]),
        ("REDIS_URL", &[("REDIS_URL", "http://u:hunter2@127.0.0.1")]),
        (
            "REDIS_URL",
            &[("REDIS_URL", "redis://u:hunter2@127.0.0.1:port")],
        ),
        (
            "REDIS_TLS to verify-ca",
            &[("REDIS_URL", "rediss://u:hunter2@127.0.0.1/#insecure")],
        ),
        (
            "REDIS_TLS_CA",
            &[
                ("REDIS_URL", "rediss://u:hunter2@127.0.0.1"),
                ("REDIS_TLS_CA", "/none/hunter"),
            ],
        ),
        (
            "expected REDIS_URL to begin with rediss://",
            &[
                ("REDIS_URL", "redis://u:hunter2@127.0.0.1"),
                ("REDIS_TLS_CA", &ca),
            ],
        ),
        (
            "REDIS_TLS_CA",
            &[
                ("REDIS_URL", "rediss://u:hunter2@127.0.0.1"),
                ("REDIS_TLS_CA", &nonsense),
            ],
        ),
    ];
    for (names, variables) in cases {
        let mut api = ApiCommand::new()
            .envs(variables.iter().copied())
            .args(["--data", "/nowhere/at/all.db"])
            .spawn();
        let exit = api.process.exit(SOON).await;
        let logs = api.process.logs();
        println!("{logs:?}");
        assert_eq!(exit.status.code(), Some(1), "{logs:?}");
        assert_eq!(logs.len(), 1, "{logs:?}");
        assert!(
            logs[0].starts_with("error: ") && logs[0].contains(names),
            "{logs:?}"
        );
        assert!(!logs[0].contains("hunter2"), "{logs:?}");
    }
}
