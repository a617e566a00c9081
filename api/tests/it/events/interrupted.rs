//! A database that is frozen, and connections that break while a transaction is committed.

use super::fixture::{Fixture, POOL, answered_rows, counts, is_available, purchase, search, send};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON};
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The request's deadline, plus the delay of a busy machine.
const IN_TIME: Duration = Duration::from_secs(5 + 4);

async fn a_frozen_database_is_a_503_in_time_and_nothing_is_stored_twice(flavour: Flavour) {
    let fixture = Fixture::on(flavour).await;
    fixture.server().allow_connections(RECKON.name, POOL).await;
    let api = fixture.start().await;
    let client = api.client();
    assert_eq!(counts(&client, &search("a", 7)).await, [1, 0, 0]);
    for round in 0..2 {
        fixture.server().process.freeze().await;
        let requests = (0..20).map(|number| {
            let client = client.clone();
            async move { send(&client, &purchase(&format!("{round}-{number}"), 7)).await }
        });
        for answer in futures_util::future::join_all(requests).await {
            assert_eq!(answer.status, 503, "{}", answer.body);
            assert!(answer.elapsed < IN_TIME, "{:?}", answer.elapsed);
            assert!(answer.header("retry-after").is_some());
        }
        fixture.server().process.thaw();
        is_available(&api).await;
        let again: Vec<_> = (0..20)
            .map(|number| purchase(&format!("{round}-{number}"), 7))
            .collect();
        let [accepted, duplicates, ignored] = counts(&client, &json!(again)).await;
        println!("{flavour:?}: {accepted} were not stored, {duplicates} were");
        assert_eq!((accepted + duplicates, ignored), (20, 0));
        assert_eq!(answered_rows(&client, 7).await, (1, 20 * (round + 1)));
    }
    assert_eq!(fixture.rows().await, (1, 40));
    let figures = api.exposition().await;
    let refused = figures.sum(
        "reckon_store_errors",
        Some(("reason", "too many connections")),
    );
    assert!(refused.abs() < 0.1, "{refused}");
}

/// Forwards bytes between clients and a server until the first COMMIT. The COMMIT is forwarded or dropped, and then the
/// connection is closed.
async fn lose_a_commit(listener: TcpListener, port: u16, is_passed_on: bool) {
    let (lost, mut is_lost) = tokio::sync::watch::channel(false);
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        let lost = lost.clone();
        if *is_lost.borrow_and_update() {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                tokio::io::copy_bidirectional(&mut client, &mut server)
                    .await
                    .ok();
            });
            continue;
        }
        tokio::spawn(async move {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (mut asked, mut answered) = (vec![0; 64 << 10], vec![0; 64 << 10]);
            loop {
                tokio::select! {
                    read = client.read(&mut asked) => {
                        let Ok(length @ 1..) = read else { break };
                        let is_commit = asked[..length].ends_with(b"\x03COMMIT");
                        if is_commit && !lost.send_replace(true) {
                            if is_passed_on {
                                server.write_all(&asked[..length]).await.unwrap();
                                assert!(server.read(&mut answered).await.unwrap() > 0);
                            }
                            return;
                        }
                        if server.write_all(&asked[..length]).await.is_err() { break }
                    }
                    read = server.read(&mut answered) => {
                        let Ok(length @ 1..) = read else { break };
                        if client.write_all(&answered[..length]).await.is_err() { break }
                    }
                }
            }
        });
    }
}

async fn a_lost_commit_is_reported_as_unknown_and_repeated_safely(flavour: Flavour) {
    for is_stored in [true, false] {
        let fixture = Fixture::on(flavour).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = tokio::spawn(lose_a_commit(listener, fixture.server().port(), is_stored));
        let api = fixture
            .command(super::fixture::TUNING)
            .env("DB_PORT", port.to_string())
            .env("DB_TLS", "disabled")
            .spawn();
        is_available(&api).await;
        let client = api.client();
        assert_eq!(answered_rows(&client, 7).await, (0, 0));
        let batch = json!([search("a", 7), purchase("b", 7)]);
        let answer = send(&client, &batch).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert!(
            answer.body.contains("may or may not be stored"),
            "{}",
            answer.body
        );
        // Users whose events may be stored are invalidated too.
        let expected = u64::from(is_stored);
        eventually(super::fixture::TIMEOUT, async || {
            let seen = client.get("/recommend/7").await;
            seen.status == 200 && seen.json()["metadata"]["search_count"] == expected
        })
        .await;
        is_available(&api).await;
        let expected = if is_stored { [0, 2, 0] } else { [2, 0, 0] };
        assert_eq!(counts(&client, &batch).await, expected);
        assert_eq!(answered_rows(&client, 7).await, (1, 1));
        assert_eq!(fixture.rows().await, (1, 1));
        proxy.abort();
    }
}

async fn a_lock_of_another_session_is_waited_for_and_then_a_503(flavour: Flavour) {
    let fixture = Fixture::on(flavour).await;
    let api = fixture.start().await;
    let mut other = fixture.server().admin().await;
    for statement in [
        "START TRANSACTION",
        "SELECT * FROM reckon.reckon_events FOR UPDATE",
    ] {
        sqlx::raw_sql(statement).execute(&mut other).await.unwrap();
    }
    let answer = send(&api.client(), &search("a", 7)).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.elapsed < IN_TIME, "{:?}", answer.elapsed);
    assert_eq!(answered_rows(&api.client(), 7).await, (0, 0));
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    is_available(&api).await;
    let [accepted, duplicates, _] = counts(&api.client(), &search("a", 7)).await;
    assert_eq!(accepted + duplicates, 1);
    assert_eq!(fixture.rows().await, (1, 0));
}

on_each_flavour!(
    a_frozen_database_is_a_503_in_time_and_nothing_is_stored_twice,
    a_lost_commit_is_reported_as_unknown_and_repeated_safely,
    a_lock_of_another_session_is_waited_for_and_then_a_503,
);
