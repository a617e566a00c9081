//! How long a connection may take, and last.

use std::time::{Duration, Instant};

use super::api;
use super::raw::Raw;
use crate::harness::api_process::ApiProcess;

const GET: &str = "GET /recommend/1 HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn a_client_with_an_incomplete_head_is_disconnected_after_ten_seconds() {
    let (api, _files) = api("").await;
    let (silent, trickling, later) = tokio::join!(
        after(&api, "", false),
        after(&api, "GET /recommend/1 HTTP/1.1\r\nX: ", false),
        after(&api, "GET /recommend/1 HTTP/1.1\r\nX: ", true),
    );
    println!(
        "cut off: silent after {silent:?}, trickling {trickling:?}, on a used connection {later:?}"
    );
    for time in [silent, trickling, later] {
        assert!((9.9..12.0).contains(&time.as_secs_f64()), "{time:?}");
    }
    assert_eq!(api.client().get("/recommend/1").await.status, 200);
}

/// Sends the beginning of a head, then a byte now and then. Returns the time until the server closes the connection.
async fn after(api: &ApiProcess, head: &str, on_a_used_connection: bool) -> Duration {
    let mut raw = Raw::connect(api).await;
    if on_a_used_connection {
        raw.send(GET).await;
        assert_eq!(raw.response().await.status, "HTTP/1.1 200 OK");
    }
    let began = Instant::now();
    raw.send(head).await;
    let trickle = !head.is_empty();
    loop {
        let ended = tokio::time::timeout(Duration::from_millis(200), raw.ends()).await;
        if ended.is_ok() {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(15), "never cut off");
        if trickle && raw.send_if_wanted("a").await.is_err() {
            return began.elapsed();
        }
    }
}

#[tokio::test]
async fn an_old_connection_is_closed_with_an_answer_and_loses_none() {
    let (api, _files) = api("server: {connectionMaxAgeSeconds: 1}").await;
    let mut ages = Vec::new();
    let mut answers = 0;
    for _ in 0..3 {
        let mut raw = Raw::connect(&api).await;
        let opened = Instant::now();
        loop {
            raw.send(GET).await;
            let answer = raw.response().await;
            assert_eq!(answer.status, "HTTP/1.1 200 OK");
            answers += 1;
            if answer.header("connection") == Some("close") {
                break;
            }
            assert!(opened.elapsed() < Duration::from_secs(5), "never closed");
        }
        ages.push(opened.elapsed());
        raw.ends().await;
    }
    println!("connections closed at the age of {ages:?}, {answers} answers");
    for age in ages {
        // A second, plus or minus 10 %, and one further answer.
        assert!((0.89..2.0).contains(&age.as_secs_f64()), "{age:?}");
    }
}
