//! Every error message that a client can receive, in one snapshot, so that they can be reviewed together.

use super::parameters::{IdType, PathUser, QueryUsers};
use super::{edge::Edge, phase::Phase, problem::Problem, rejection::Rejection};
use crate::cache::shared::Unconfirmed;
use crate::loader::LoadError;
use crate::metrics::Metrics;
use crate::rate_limit::Exceeded;
use crate::recommend::Failure;
use crate::store::Reason;
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use http::Request;
use http_body_util::BodyExt as _;
use reckon_contract::Tuning;
use reckon_contract::tables::UserIdType;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::sync::watch;

#[tokio::test]
async fn all_error_responses() {
    let mut lines = Vec::new();
    for (name, path) in invalid_requests() {
        lines.push(line(name, at_the_edge(1, &path).await).await);
    }
    for rejection in rejections() {
        lines.push(line(rejection.label(), Problem::from(rejection).into_response()).await);
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

fn rejections() -> [Rejection; Rejection::LABELS.len()] {
    [
        Rejection::NoKey,
        Rejection::WrongKey,
        Rejection::NoKeysSet,
        Rejection::TooManyRequests(Exceeded {
            wait: Duration::from_millis(300),
            quota: 200,
            window_seconds: 2,
        }),
        Rejection::TooManyConnections,
        Rejection::ConnectionLimitReached,
        Rejection::NotDirect("Origin"),
        Rejection::InFlightLimitReached,
    ]
}

fn invalid_requests() -> [(&'static str, String); 9] {
    let list = |count: usize| vec!["1"; count].join(",");
    [
        ("/user/abc", "/user/abc".to_owned()),
        ("no list", "/100-users".to_owned()),
        ("1,,2", "/100-users?user_ids=1,,2".to_owned()),
        ("two lists", "/100-users?user_ids=1&user_ids=2".to_owned()),
        ("101 users", format!("/100-users?user_ids={}", list(101))),
        ("501 users", format!("/500-users?user_ids={}", list(501))),
        ("/nothing", "/nothing".to_owned()),
        ("GET of a POST", "/post".to_owned()),
        ("a long URL", format!("/{}", "x".repeat(9000))),
    ]
}

/// The error responses of the layer before the routes, and of the parameter parsers.
async fn at_the_edge(most_in_flight: u32, path: &str) -> Response {
    async fn one(_: PathUser) {}
    async fn several<const MOST: usize>(_: QueryUsers<MOST>) {}
    async fn panics() {
        panic!("as a defect would");
    }
    let router = Router::new()
        .route("/user/{user_id}", get(one))
        .route("/100-users", get(several::<100>))
        .route("/500-users", get(several::<500>))
        .route("/post", axum::routing::post(|| async {}))
        .route("/panic", get(panics))
        .with_state(IdType(UserIdType::Integer));
    let (_phase, phase) = watch::channel(Phase::Serving);
    let metrics = Metrics::new(&Tuning::default()).http;
    let edge = Edge::new(router, metrics, most_in_flight, phase);
    let request = Request::get(path).body(()).unwrap();
    edge.answer(request, Ipv4Addr::LOCALHOST.into()).await
}

async fn line(name: &str, response: Response) -> String {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["status"], status, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    format!("{status} {name}: {detail}")
}
