//! Requests, from the bytes of a connection to what handlers get: the real server's reader of heads, the real edge and the
//! real extractors, with handlers that return what they were given.
//!
//! Input: how the bytes arrive (1 byte), then the bytes that a client sends.

mod expected;
mod responses;

use axum::Router;
use axum::routing::{get, post};
use expected::Expected;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use reckon_api::fuzzing::{
    Client, Handler as _, IdType, PathUser, QueryUsers, Route, client_ip, http1,
};
use reckon_api::http::{Phase, access::Access, edge::Edge};
use reckon_api::metrics::Metrics;
use reckon_api::model::UserId;
use reckon_contract::{Cidr, Tuning, tables::UserIdType};
use responses::Answer;
use std::net::{IpAddr, Ipv4Addr};
use std::{cell::RefCell, convert::Infallible, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout};
use tokio::{sync::watch, task::yield_now};

/// Longest list of user ids.
const MOST: usize = 5;
/// By the runtime's clock, which is moved on when there is nothing else to do: an input takes no time.
const TIMEOUT: Duration = Duration::from_secs(10);

thread_local! {
    static SERVER: (Runtime, Arc<Edge>) = {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        (runtime.expect("a runtime"), Arc::new(edge()))
    };
}

/// A request that reached the edge.
#[derive(Clone, Debug, PartialEq)]
struct Received {
    method: Method,
    uri: String,
    status: StatusCode,
}

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((&arrival, sent)) = data.split_first() else {
        return;
    };
    let (seen, received) = talk(sent, sent.len().max(1));
    let answers = responses::read(&received, seen.iter().map(|seen| &seen.method));
    answers_fit(&seen, &answers);
    if arrival > 0 {
        let (in_pieces, _) = talk(sent, arrival.into());
        assert_eq!(in_pieces, seen, "it depends on how the bytes arrive");
    }
}

/// The edge with handlers that return what they were given.
fn edge() -> Edge {
    let one = async |PathUser(user): PathUser| user.to_string();
    let several = async |QueryUsers::<MOST>(users): QueryUsers<MOST>| {
        let texts: Vec<String> = users.iter().map(UserId::to_string).collect();
        texts.join(",")
    };
    let router = Router::new()
        .route("/recommend/{user_id}", get(one))
        .route("/batch-recommend", get(several))
        .route("/invalidate-cache", post(several))
        .with_state(IdType(UserIdType::Integer));
    let (_, phase) = watch::channel(Phase::Serving);
    Edge::new(router, Metrics::new(&Tuning::default()).http, 1000, phase)
}

/// Sends the bytes in pieces of so many; the requests that came of it, and what the client received.
fn talk(sent: &[u8], piece: usize) -> (Vec<Received>, Vec<u8>) {
    SERVER.with(|(runtime, edge)| runtime.block_on(converse(edge, sent, piece)))
}

async fn converse(edge: &Arc<Edge>, sent: &[u8], piece: usize) -> (Vec<Received>, Vec<u8>) {
    let (seen, mut received) = (RefCell::new(Vec::new()), Vec::new());
    let service = service_fn(|request: Request<Incoming>| async {
        let answered = answer(edge, request).await;
        seen.borrow_mut().push(answered.0);
        Ok::<_, Infallible>(answered.1)
    });
    let (ours, theirs) = duplex(1 << 16);
    let connection = http1().serve_connection(TokioIo::new(theirs), service);
    let (mut reader, mut writer) = split(ours);
    let write = async {
        for piece in sent.chunks(piece) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            yield_now().await;
        }
    };
    let all = async { tokio::join!(connection, write, reader.read_to_end(&mut received)) };
    timeout(TIMEOUT, all).await.ok();
    (seen.into_inner(), received)
}

async fn answer(
    edge: &Arc<Edge>,
    request: Request<Incoming>,
) -> (Received, axum::response::Response) {
    let (head, body) = request.into_parts();
    client_is_never_impersonated(&head.headers);
    direct_is_direct(&head);
    let request = Request::from_parts(head.clone(), body);
    let client = Client::new(
        Ipv4Addr::LOCALHOST.into(),
        Instant::now() + Duration::from_hours(1),
    );
    let response = Arc::clone(edge).handle(request, client).await;
    let status = response.status();
    if let Some(expected) = Expected::of(&head, MOST) {
        assert_eq!(status, expected.status(), "{head:?}");
    }
    let id = response
        .headers()
        .get("x-request-id")
        .map(HeaderValue::as_bytes);
    id_is_plain(id.unwrap_or_default(), head.headers.get("x-request-id"));
    let seen = Received {
        method: head.method,
        uri: head.uri.to_string(),
        status,
    };
    (seen, response)
}

/// The client's own id comes back if it is a plain word of at most 128 characters, else a new one.
fn id_is_plain(id: &[u8], sent: Option<&HeaderValue>) {
    let is_plain = |id: &[u8]| {
        id.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
            && (1..129).contains(&id.len())
    };
    assert!(is_plain(id));
    match sent
        .map(HeaderValue::as_bytes)
        .filter(|sent| is_plain(sent))
    {
        Some(sent) => assert_eq!(id, sent),
        None => assert!(id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit)),
    }
}

/// Whatever a client sends, it is not taken for another one.
fn client_is_never_impersonated(headers: &HeaderMap) {
    let trusted: [Cidr; 1] = ["10.0.0.0/8".parse().expect("a block")];
    let (proxy, client) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([198, 51, 100, 7]));
    assert_eq!(client_ip(client, headers, &trusted), Some(client));
    assert_eq!(
        client_ip(proxy, headers, &trusted).is_none(),
        !headers.contains_key("x-forwarded-for")
    );
    let mut forwarded = headers.clone();
    forwarded.append(
        "x-forwarded-for",
        HeaderValue::from_static("198.51.100.7, 10.9.9.9"),
    );
    assert_eq!(client_ip(proxy, &forwarded, &trusted), Some(client));
}

/// Without keys, only a request that names a loopback address and no proxy may change something.
fn direct_is_direct(head: &Parts) {
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (Method::POST, head.uri.clone());
    *request.headers_mut() = head.headers.clone();
    if Access::Local.check(Route::Warm, &request).is_err() {
        return;
    }
    let of_proxy = |name: &str| {
        name.starts_with("x-forwarded-") || ["forwarded", "via", "x-real-ip"].contains(&name)
    };
    assert!(
        !head.headers.keys().any(|name| of_proxy(name.as_str())),
        "{head:?}"
    );
    let hosts = head
        .headers
        .get_all("host")
        .iter()
        .map(|host| host.to_str().expect("a host is ASCII"));
    for host in hosts.chain(head.uri.authority().map(http::uri::Authority::as_str)) {
        assert!(expected::is_loopback(host), "{head:?}");
    }
}

/// Each request has one well-formed answer; what never became one has another at most.
fn answers_fit(seen: &[Received], answers: &[Answer]) {
    assert!(
        answers.len() == seen.len() || answers.len() == seen.len() + 1,
        "{seen:?}, {answers:?}"
    );
    for (seen, answer) in seen.iter().zip(answers) {
        assert_eq!(answer.status, seen.status.as_u16());
        assert!(
            [200, 400, 404, 405, 414, 422].contains(&answer.status),
            "{seen:?}"
        );
        if answer.status == 200 || seen.method == Method::HEAD {
            continue;
        }
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
        let problem: serde_json::Value =
            serde_json::from_slice(&answer.body).expect("a problem is JSON");
        assert_eq!(problem["status"], answer.status);
        for error in problem["errors"].as_array().into_iter().flatten() {
            assert!(
                error["value"]
                    .as_str()
                    .is_none_or(|value| value.chars().count() <= 64)
            );
        }
    }
    for (seen, answer) in seen
        .iter()
        .zip(answers)
        .filter(|(_, answer)| answer.status == 200)
    {
        if seen.method != Method::HEAD {
            let expected = Expected::of_uri(&seen.uri.parse().expect("an URI"), MOST);
            assert_eq!(
                expected,
                Some(Expected::Ids(
                    String::from_utf8_lossy(&answer.body).into_owned()
                ))
            );
        }
    }
    if let Some(last) = answers.get(seen.len()) {
        assert!([400, 414, 431].contains(&last.status), "{last:?}");
    }
}
