//! Requests of unusual form.

use std::fmt::Write as _;

use http::Method;

use super::api;
use super::raw::Raw;

const OK: &str = "HTTP/1.1 200 OK";
const GET: &str = "GET /recommend/1 HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn http_1_0_is_answered_and_its_connection_closed_unless_it_requests_keep_alive() {
    let (api, _files) = api("").await;
    let mut raw = Raw::connect(&api).await;
    raw.send("GET /recommend/1 HTTP/1.0\r\n\r\n").await;
    let answer = raw.response().await;
    assert_eq!(answer.status, "HTTP/1.0 200 OK");
    assert!(answer.body.starts_with(r#"{"user_id":1,"#), "{answer:?}");
    raw.ends().await;

    let mut raw = Raw::connect(&api).await;
    for user in 1..3 {
        raw.send(format!(
            "GET /recommend/{user} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
        ))
        .await;
        let answer = raw.response().await;
        assert_eq!(answer.status, "HTTP/1.0 200 OK");
        assert_eq!(answer.header("connection"), Some("keep-alive"));
        assert!(
            answer.body.starts_with(&format!(r#"{{"user_id":{user},"#)),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (api, _files) = api("").await;
    let mut raw = Raw::connect(&api).await;
    let mut requests = String::new();
    for user in 1..=50 {
        write!(
            requests,
            "GET /recommend/{user} HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        .unwrap();
    }
    write!(
        requests,
        "HEAD /recommend/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    raw.send(requests).await;
    for user in 1..=50 {
        let answer = raw.response().await;
        assert_eq!(answer.status, OK);
        assert!(
            answer.body.starts_with(&format!(r#"{{"user_id":{user},"#)),
            "{answer:?}"
        );
    }
    let last = raw.response_to("HEAD").await;
    assert_eq!(
        (last.status.as_str(), last.header("connection")),
        (OK, Some("close"))
    );
    raw.ends().await;
}

#[tokio::test]
async fn an_unused_body_leaves_the_connection_usable() {
    let (api, _files) = api("").await;
    let mut raw = Raw::connect(&api).await;
    for body in [
        "Content-Length: 11\r\n\r\n{\"a\":\"b\"}\r\n".to_owned(),
        format!(
            "Content-Length: 4000\r\n\r\n{}",
            "GET / HTTP/1.1\r\n\r\n--".repeat(200)
        ),
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ] {
        raw.send(format!(
            "POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\n{body}"
        ))
        .await;
        let answer = raw.response().await;
        assert_eq!(answer.status, OK, "{answer:?}");
        assert_eq!(answer.body, r#"{"message":"Cache invalidated for user 1"}"#);
        assert_eq!(answer.header("connection"), None, "{body}");
        raw.send(GET).await;
        assert_eq!(raw.response().await.status, OK, "after {body}");
    }
}

#[tokio::test]
async fn a_body_may_come_after_its_head() {
    let (api, _files) = api("").await;
    let mut raw = Raw::connect(&api).await;
    for _ in 0..3 {
        raw.send(
            "POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n",
        )
        .await;
        // The head has been read by the time another connection gets its answer.
        api.client().get("/stats").await;
        raw.send("hello").await;
        api.client().get("/stats").await;
        raw.send("world").await;
        let answer = raw.response().await;
        assert_eq!(
            (answer.status.as_str(), answer.header("connection")),
            (OK, None)
        );
        raw.send(GET).await;
        assert_eq!(raw.response().await.status, OK);
    }
}

#[tokio::test]
async fn an_unread_body_closes_the_connection_after_the_response() {
    let (api, _files) = api("").await;
    // A body that never arrives, and one without an end.
    for (length, piece) in [(10, 5), (64 << 20, 1 << 20)] {
        let mut raw = Raw::connect(&api).await;
        raw.send(format!(
            "POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
        // Bytes that the server does not read are lost, which is an error only for this client.
        raw.send_if_wanted(vec![b'a'; piece])
            .await
            .unwrap_or_default();
        let answer = raw.response().await;
        assert_eq!(
            (answer.status.as_str(), answer.header("connection")),
            (OK, Some("close"))
        );
        raw.ends().await;
    }
    assert_eq!(api.client().get("/recommend/1").await.status, 200);
}

#[tokio::test]
async fn an_expected_100_continue_is_sent() {
    let (api, _files) = api("").await;
    let mut raw = Raw::connect(&api).await;
    raw.send("POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(raw.response().await.status, "HTTP/1.1 100 Continue");
    raw.send("hello").await;
    assert_eq!(raw.response().await.status, OK);
    raw.send(GET).await;
    assert_eq!(raw.response().await.status, OK);
}

#[tokio::test]
async fn heads_that_are_too_big_are_rejected() {
    let (api, _files) = api("").await;
    let many = "X: y\r\n".repeat(200);
    let long = "a".repeat(100_000);
    for (what, request, status) in [
        (
            "one long header",
            format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"),
            "431 Request Header Fields Too Large",
        ),
        (
            "many headers",
            format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
            "431 Request Header Fields Too Large",
        ),
        (
            "a long path",
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", &long[..9000]),
            "414 URI Too Long",
        ),
    ] {
        let mut raw = Raw::connect(&api).await;
        raw.send(request).await;
        let answer = raw.response().await;
        assert_eq!(answer.status, format!("HTTP/1.1 {status}"), "{what}");
    }
    let mut raw = Raw::connect(&api).await;
    let fitting = format!(
        "GET /recommend/1 HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        &long[..16_000]
    );
    raw.send(fitting).await;
    assert_eq!(raw.response().await.status, OK);
}

#[tokio::test]
async fn input_that_is_not_http_is_rejected_without_effect_on_others() {
    let (api, _files) = api("").await;
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice();
    for garbage in [
        b"hello\r\n\r\n".as_slice(),
        hello,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA B: c\r\n\r\n",
        b"POST /stats HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&api).await;
        raw.send(garbage).await;
        let answer = raw.response().await;
        assert_eq!(
            answer.status,
            "HTTP/1.1 400 Bad Request",
            "{}",
            garbage.escape_ascii()
        );
        raw.ends().await;
    }
    // HTTP/2 without an upgrade is not supported. A client that disconnects in the middle affects no other client.
    let mut raw = Raw::connect(&api).await;
    raw.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    raw.ends_somehow().await;
    drop(raw);
    assert_eq!(api.client().get("/recommend/1").await.status, 200);
    assert!(api.process.is_running());
}

#[tokio::test]
async fn the_operations_port_answers_probes_and_scrapes_only() {
    let (api, _files) = api("").await;
    let ops = api.ops();
    for (path, body) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let answer = ops.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, body));
        let head = ops.send(Method::HEAD, path, "").await.unwrap();
        assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    }
    assert!(ops.get("/metrics").await.body.ends_with("# EOF\n"));
    for path in ["/", "/recommend/1", "/livez/", "/health"] {
        assert_eq!(ops.get(path).await.status, 404, "{path}");
    }
    for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
        let answer = ops.send(method, "/livez", "").await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, Some("GET, HEAD"))
        );
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(
            api.client().get(path).await.status,
            404,
            "{path} is not for everybody"
        );
    }
}
