//! A user is erased everywhere, and the data do not return.

use super::fixture::{Fixture, POOL, answered_rows, at, counts, erase, purchase, search, try_send};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::{Flavour, RECKON};
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Maximum time until other processes have received an invalidation: one second, plus the delay of a busy machine.
const BOUND: Duration = Duration::from_secs(1 + 3);
/// The text that no answer and no cache may contain after the erasure.
const SECRET: &str = "category-of-the-erased-user";

fn secret(id: &str, user: i64) -> Value {
    let mut event = purchase(id, user);
    event["category"] = json!(SECRET);
    event
}

async fn rows_are_deleted_and_late_events_are_ignored(fixture: &Fixture) {
    let api = fixture.start().await;
    let client = api.client();
    let rows: Vec<String> = (0..25_000)
        .map(|number| {
            format!(
                "({}, 'q', '2026-01-01 10:00:00', 'books', 1)",
                7 + number % 2
            )
        })
        .collect();
    for rows in rows.chunks(5000) {
        fixture
            .execute(&format!("INSERT INTO searches VALUES {}", rows.join(", ")))
            .await;
    }
    assert_eq!(
        counts(&client, &json!([purchase("known", 7), search("other", 8)])).await,
        [2, 0, 0]
    );
    assert_eq!(answered_rows(&client, 7).await, (500, 1));
    let erased = erase(&client, 7).await.unwrap();
    let expected = json!({"user_id": 7, "searches": 12_500, "purchases": 1});
    assert_eq!((erased.status.as_u16(), erased.json()), (200, expected));
    assert_eq!(answered_rows(&client, 7).await, (0, 0));
    assert_eq!(answered_rows(&client, 8).await, (500, 0));

    // A retry of an event that was stored, one of an event that was not, and a new event.
    let before = "2026-01-01T10:00:00Z";
    let late = json!([
        purchase("known", 7),
        at(purchase("late", 7), before),
        at(search("late other", 8), before)
    ]);
    assert_eq!(counts(&client, &late).await, [1, 1, 1]);
    assert_eq!(counts(&client, &late).await, [0, 3, 0]);
    assert_eq!(answered_rows(&client, 7).await, (0, 0));
    assert_eq!(counts(&client, &search("new", 7)).await, [1, 0, 0]);
    assert_eq!(answered_rows(&client, 7).await, (1, 0));
    let again = erase(&client, 7).await.unwrap().json();
    assert_eq!(again, json!({"user_id": 7, "searches": 1, "purchases": 0}));
    let nobody = erase(&client, -1).await.unwrap().json();
    assert_eq!(
        nobody,
        json!({"user_id": -1, "searches": 0, "purchases": 0})
    );
    let invalid = client.send(Method::DELETE, "/users/x", "").await.unwrap();
    assert_eq!(invalid.status, 422);
}

#[tokio::test]
async fn a_user_is_erased_on_mariadb() {
    rows_are_deleted_and_late_events_are_ignored(&Fixture::on(Flavour::MariaDb).await).await;
}

#[tokio::test]
async fn a_user_is_erased_on_mysql9() {
    rows_are_deleted_and_late_events_are_ignored(&Fixture::on(Flavour::MySql9).await).await;
}

#[tokio::test]
async fn a_user_is_erased_in_a_file_with_all_bytes() {
    let fixture = Fixture::in_a_file().await;
    rows_are_deleted_and_late_events_are_ignored(&fixture).await;
    let api = fixture.start().await;
    assert_eq!(counts(&api.client(), &secret("secret", 9)).await, [1, 0, 0]);
    let contains = || {
        let files = std::fs::read_dir(fixture.directory.path()).unwrap();
        files
            .filter(|file| {
                let bytes = std::fs::read(file.as_ref().unwrap().path()).unwrap();
                bytes
                    .windows(SECRET.len())
                    .any(|part| part == SECRET.as_bytes())
            })
            .count()
    };
    assert!(contains() > 0);
    assert_eq!(erase(&api.client(), 9).await.unwrap().status, 200);
    drop(api);
    assert_eq!(contains(), 0);
}

/// Everything that Redis holds: keys and values.
async fn contents(redis: &RedisServer) -> String {
    let keys = redis
        .command(&["KEYS", "*"])
        .await
        .unwrap()
        .unwrap_or_default();
    let mut all = keys.clone();
    for key in keys.lines() {
        if let Ok(Some(value)) = redis.command(&["DUMP", key]).await {
            all.push_str(&value);
        }
        if let Ok(Some(value)) = redis.command(&["GET", key]).await {
            all.push_str(&value);
        }
    }
    all
}

async fn nothing_is_left_anywhere_while_others_read_and_write(flavour: Flavour) {
    let fixture = Fixture::on(flavour).await;
    let redis = RedisServer::running().await;
    fixture
        .server()
        .allow_connections(RECKON.name, 3 * POOL)
        .await;
    let mut apis = Vec::new();
    for _ in 0..3 {
        apis.push(fixture.start_sharing(&redis).await);
    }
    let erased: Vec<i64> = (1..=5).collect();
    let stopped = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for (place, api) in apis.iter().enumerate() {
        for writes in [true, false] {
            let (client, stopped) = (api.client(), Arc::clone(&stopped));
            tasks.spawn(async move {
                let mut number = 0;
                while !stopped.load(SeqCst) {
                    number += 1;
                    let user = fastrand::i64(1..=20);
                    if writes {
                        // Events of the past: they must not be stored after the erasure.
                        let event = at(
                            secret(&format!("{place}-{number}"), user),
                            "2026-01-01T10:00:00Z",
                        );
                        let answer = try_send(&client, &event).await.unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.body);
                    } else {
                        let answer = client.get(&format!("/recommend/{user}")).await;
                        assert_eq!(answer.status, 200, "{}", answer.body);
                    }
                }
                number
            });
        }
    }
    let of_erased = "SELECT COUNT(*) FROM purchase WHERE id BETWEEN 1 AND 5";
    eventually(super::fixture::TIMEOUT, async || {
        fixture.count(of_erased).await > 50
    })
    .await;
    for user in &erased {
        let by = &apis[usize::try_from(*user).unwrap() % 3];
        let answer = erase(&by.client(), *user).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        println!("{flavour:?}: {} in {:?}", answer.body, answer.elapsed);
        assert!(
            !by.client()
                .get(&format!("/recommend/{user}"))
                .await
                .body
                .contains(SECRET)
        );
    }
    for api in &apis {
        for user in &erased {
            eventually(BOUND, async || {
                answered_rows(&api.client(), *user).await == (0, 0)
            })
            .await;
        }
    }
    // Writers continue to send old events of these users.
    let written = fixture.count("SELECT COUNT(*) FROM purchase").await;
    eventually(super::fixture::TIMEOUT, async || {
        fixture.count("SELECT COUNT(*) FROM purchase").await > written + 100
    })
    .await;
    stopped.store(true, SeqCst);
    let requests: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(fixture.count(of_erased).await, 0);
    for user in &erased {
        for api in &apis {
            let answer = api.client().get(&format!("/recommend/{user}")).await;
            assert!(!answer.body.contains(SECRET), "{}", answer.body);
        }
    }
    // Apart from the others' entries, Redis has nothing of the user.
    for user in 6..=20 {
        assert_eq!(erase(&apis[0].client(), user).await.unwrap().status, 200);
    }
    eventually(BOUND, async || !contents(&redis).await.contains(SECRET)).await;
    println!("{flavour:?}: {requests} requests meanwhile");
}

on_each_flavour!(nothing_is_left_anywhere_while_others_read_and_write);
