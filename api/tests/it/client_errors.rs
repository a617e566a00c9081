//! Every sentence that a client can get instead of an answer, in one snapshot, so that the words can be reviewed together.

use crate::scripted::ScriptedStore;
use crate::service::Service;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use http::Request;
use http_body_util::BodyExt as _;
use reckon_api::cache::shared::Unconfirmed;
use reckon_api::http::{Phase, Refusal, edge::Edge, problem::Problem};
use reckon_api::loader::LoadError;
use reckon_api::metrics::Metrics;
use reckon_api::rate_limit::Exceeded;
use reckon_api::recommend::Failure;
use reckon_api::store::Reason;
use reckon_contract::Tuning;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn every_error_that_a_client_sees() {
    let mut lines = invalid_requests().await;
    for refusal in refusals() {
        lines.push(line(refusal.label(), Problem::from(refusal).into_response()).await);
    }
    for failure in FAILURES {
        let name = format!("{failure:?}");
        lines.push(line(&name, Problem::from(failure).into_response()).await);
    }
    let unconfirmed = Problem::from(Unconfirmed).into_response();
    lines.push(line("Unconfirmed", unconfirmed).await);
    lines.push(line("requests in flight", at_the_edge(0, "/").await).await);
    lines.push(line("a panic", at_the_edge(1, "/panic").await).await);
    insta::assert_snapshot!(lines.join("\n"));
}

const FAILURES: [Failure; 5] = [
    Failure::Load(LoadError::Overloaded),
    Failure::Load(LoadError::TimedOut),
    Failure::Load(LoadError::Unavailable(Reason::Unreachable)),
    Failure::DeadlinePassed,
    Failure::Defect,
];

fn refusals() -> [Refusal; Refusal::LABELS.len()] {
    [
        Refusal::NoKey,
        Refusal::WrongKey,
        Refusal::NoKeysSet,
        Refusal::TooManyRequests(Exceeded {
            wait: Duration::from_millis(300),
            quota: 200,
            window_seconds: 2,
        }),
        Refusal::TooManyConnections,
        Refusal::NoRoom,
        Refusal::NotDirect("Origin"),
    ]
}

async fn invalid_requests() -> Vec<String> {
    let service = Service::over(ScriptedStore(Arc::default()), Tuning::default());
    let list = |count: usize| vec!["1"; count].join(",");
    let mut lines = Vec::new();
    for (name, method, path) in [
        ("/recommend/abc", "GET", "/recommend/abc".to_owned()),
        ("no list", "GET", "/batch-recommend".to_owned()),
        ("1,,2", "GET", "/batch-recommend?user_ids=1,,2".to_owned()),
        (
            "two lists",
            "GET",
            "/batch-recommend?user_ids=1&user_ids=2".to_owned(),
        ),
        (
            "101 users",
            "GET",
            format!("/batch-recommend?user_ids={}", list(101)),
        ),
        (
            "501 users",
            "POST",
            format!("/warm-cache?user_ids={}", list(501)),
        ),
        ("/nothing", "GET", "/nothing".to_owned()),
        ("POST /recommend/1", "POST", "/recommend/1".to_owned()),
        ("a long URL", "GET", format!("/{}", "x".repeat(9000))),
    ] {
        let answer = service.ask(method, &path).await;
        lines.push(told(name, answer.status, &answer.body));
    }
    lines
}

/// What the layer before the routes answers, with a route that panics.
async fn at_the_edge(most_in_flight: u32, path: &str) -> Response {
    async fn panics() {
        panic!("as a defect would");
    }
    let (_phase, phase) = watch::channel(Phase::Serving);
    let metrics = Arc::new(Metrics::new(&Tuning::default()));
    let router = Router::new().route("/panic", get(panics));
    let edge = Edge::new(router, metrics, most_in_flight, phase);
    let request = Request::get(path).body(()).unwrap();
    edge.answer(request, Ipv4Addr::LOCALHOST.into()).await
}

async fn line(name: &str, response: Response) -> String {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    told(name, status, std::str::from_utf8(&body).unwrap())
}

fn told(name: &str, status: u16, body: &str) -> String {
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status, "{body}");
    let detail = problem["detail"].as_str().unwrap();
    format!("{status} {name}: {detail}")
}
