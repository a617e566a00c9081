//! The client and the balancer.

use std::time::{Duration, Instant};

use http::Method;

use super::stand_in::spawn;
use crate::harness::balancer::Balancer;
use crate::harness::client::Client;
use crate::harness::eventually::eventually;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn an_answer_has_status_headers_body_and_time() {
    let api = spawn("one");
    api.live().await;
    let client = api.client().with_header("x-any", "thing");

    let answer = client.post("/a?b=c").await;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-name"), Some("one"));
    assert_eq!(answer.header("x-none"), None);
    assert_eq!(answer.json()["method"], "POST");
    assert!(answer.elapsed > Duration::ZERO && answer.elapsed < SOON);
}

#[tokio::test]
async fn requests_at_once_are_answered_in_the_order_asked() {
    let api = spawn("one");
    api.live().await;
    let answers = api
        .client()
        .get_at_once((0..300).map(|n| format!("/{n}")))
        .await;
    assert_eq!(answers.len(), 300);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap().json()["path"], format!("/{n}"));
    }
}

#[tokio::test]
async fn the_balancer_takes_turns_by_connection_and_leaves_open_ones_alone() {
    let (mut one, two) = (spawn("one"), spawn("two"));
    one.live().await;
    two.live().await;
    let balancer = Balancer::start().await;
    balancer.add(one.backend());
    balancer.add(two.backend());
    eventually(SOON, async || balancer.ready() == 2).await;

    let each = Client::without_keep_alive(balancer.url());
    for _ in 0..10 {
        each.get("/").await;
    }
    assert_eq!(balancer.connections(), [5, 5]);

    // A connection to each; the one to "one" lives on while "one" drains.
    let kept = Client::new(balancer.url());
    let name = kept.get("/").await.json()["name"].clone();
    assert_eq!(kept.get("/").await.json()["name"], name);
    assert_eq!(balancer.connections(), [6, 5]);
    assert_eq!(name, "one");
    one.process.signal(crate::harness::process::Signal::TERM);
    eventually(SOON, async || balancer.ready() == 1).await;
    assert_eq!(kept.get("/").await.json()["name"], "one");
    for _ in 0..4 {
        assert_eq!(each.get("/").await.json()["name"], "two");
    }

    one.process.exit(SOON).await;
    balancer.remove(two.backend());
    each.send(Method::GET, "/", "").await.unwrap_err();
}

#[tokio::test]
async fn load_goes_on_until_stopped_and_hides_no_failure() {
    let mut api = spawn("one");
    api.live().await;
    let load = api
        .client()
        .keep_asking(4, |worker, nth| format!("/{worker}/{nth}"));
    let other = api.client();
    let started = Instant::now();
    eventually(SOON, async || {
        other.get("/").await;
        started.elapsed() > Duration::from_millis(100)
    })
    .await;
    api.process.kill();
    let answers = load.stop().await;
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() > 10);
}

#[tokio::test]
#[should_panic(expected = "last seen: 3 is not 4")]
async fn a_condition_that_never_holds_panics_with_what_was_seen() {
    eventually(Duration::from_millis(50), async || {
        Err::<(), _>("3 is not 4")
    })
    .await;
}

#[tokio::test]
async fn a_condition_gives_its_value() {
    assert_eq!(eventually(SOON, async || Some(4)).await, 4);
}
