//! Single requests, each on a separate connection, and their statuses.

use crate::sockets::api;
use crate::sockets::raw::Raw;
use std::time::Duration;

const NO_USER: &str = "invalid user_id";

/// Asks; the status, the body, and whether the API goes on.
async fn send_request(
    api: &crate::harness::api_process::ApiProcess,
    request: &[u8],
) -> (u16, String) {
    let method = request.split(|byte| *byte == b' ').next().unwrap();
    let mut raw = Raw::connect(api).await;
    // The server may not read a rejected head to its end.
    raw.send_if_wanted(request).await.unwrap_or_default();
    let answer = raw.response_to(std::str::from_utf8(method).unwrap()).await;
    let (_, status) = answer.status.split_once(' ').unwrap();
    let status = status[..3].parse().unwrap();
    if !answer.body.is_empty() && status >= 400 {
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{answer:?}");
    }
    (status, answer.body)
}

/// Sends in pieces. In the pauses, an early response and a close could arrive before the rest is sent.
async fn send_slowly(raw: &mut Raw, bytes: &[u8]) {
    for piece in bytes.chunks(32 * 1024) {
        raw.send(piece).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_request_that_is_too_long_gets_its_response_after_it_is_sent() {
    let (api, _files) = api("").await;
    let filler = vec![b'x'; 2 << 20];
    let length = filler.len();
    for (head, status) in [
        // Its handler would read the body, but rejects the request before.
        (
            format!("POST /events HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
            "HTTP/1.1 403 Forbidden",
        ),
        // The body has no meaning.
        (
            format!("GET /recommend/2 HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
            "HTTP/1.1 200 OK",
        ),
        (
            format!(
                "GET /recommend/2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n"
            ),
            "HTTP/1.1 200 OK",
        ),
        (
            format!("POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"),
            "HTTP/1.1 413 Payload Too Large",
        ),
        (
            "GET /recommend/2 HTTP/1.1\r\nHost: x\r\nX-A: ".to_owned(),
            "HTTP/1.1 431 Request Header Fields Too Large",
        ),
    ] {
        let mut raw = Raw::connect(&api).await;
        raw.send(&head).await;
        send_slowly(&mut raw, &filler).await;
        assert_eq!(raw.response().await.status, status, "{head}");
        raw.ends().await;
    }
}

#[tokio::test]
async fn malicious_paths_and_queries_are_taken_literally() {
    let (api, _files) = api("").await;
    let long = "1,".repeat(5 * 1024);
    let mut wrong = Vec::new();
    for (target, status, says) in [
        ("/recommend/99999999999999999999", 422, NO_USER),
        ("/recommend/000000000000000000001", 422, NO_USER),
        (
            "/recommend/-9223372036854775808",
            200,
            "\"user_id\":-9223372036854775808",
        ),
        ("/recommend/-9223372036854775809", 422, NO_USER),
        ("/recommend/-0", 200, "\"user_id\":0"),
        ("/recommend/--1", 422, NO_USER),
        ("/recommend/-", 422, NO_USER),
        ("/recommend/%EF%BC%91", 422, NO_USER),
        ("/recommend/%20", 422, NO_USER),
        ("/recommend/1%20", 422, NO_USER),
        ("/recommend/1%0A", 422, NO_USER),
        ("/recommend/%00", 422, NO_USER),
        ("/recommend/1e3", 422, NO_USER),
        ("/recommend/0x1", 422, NO_USER),
        ("/recommend/1;--", 422, NO_USER),
        ("/recommend/1%27%20OR%20%271%27=%271", 422, NO_USER),
        ("/recommend/1%0D%0ASet-Cookie:%20a=b", 422, NO_USER),
        ("/recommend/%3Cscript%3E", 422, NO_USER),
        // Percent-encoded digits are digits (RFC 3986, section 2.3); doubly encoded ones are not.
        ("/recommend/%31", 200, "\"user_id\":1,"),
        ("/recommend/%2531", 422, NO_USER),
        ("/recommend/%", 422, NO_USER),
        ("/recommend/%zz", 422, NO_USER),
        ("/recommend/1%2F2", 422, NO_USER),
        ("/recommend/%2e%2e", 422, NO_USER),
        ("/recommend/..", 422, NO_USER),
        // Paths are compared byte by byte and never normalised, because a normalised path could be another route for
        // another program.
        ("/recommend/../health", 404, ""),
        ("/recommend/%2e%2e/health", 404, ""),
        ("/recommend%2F1", 404, ""),
        ("/recommend/1/", 404, ""),
        ("/recommend/", 404, ""),
        ("/recommend", 405, ""),
        ("//recommend/1", 404, ""),
        ("/recommend//1", 404, ""),
        ("/./recommend/1", 404, ""),
        ("/RECOMMEND/1", 404, ""),
        ("/Health", 404, ""),
        ("/health/", 404, ""),
        ("/%68ealth", 404, ""),
        ("/docs/../../etc/passwd", 404, ""),
        ("/docs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, ""),
        ("/docs/..%5c..%5cetc%5cpasswd", 404, ""),
        ("/invalidate-cache/ALL", 405, ""),
        ("/", 404, ""),
        ("/recommend/1?", 200, ""),
        ("/recommend/1?user_id=2", 200, "\"user_id\":1,"),
        ("/recommend/1?%00=%FF&&&=", 200, ""),
        ("/recommend/1#2", 200, "\"user_id\":1,"),
        ("/batch-recommend?user_ids=1&user_ids=1", 400, "only once"),
        ("/batch-recommend?user_ids=1&user%5Fids=2", 400, "only once"),
        ("/batch-recommend?user_ids[]=1", 422, "missing"),
        ("/batch-recommend?USER_IDS=1", 422, "missing"),
        ("/batch-recommend?user_ids", 400, ""),
        ("/batch-recommend?user_ids=%00", 400, ""),
        ("/batch-recommend?user_ids=1%002", 400, ""),
        ("/batch-recommend?user_ids=%FF", 400, ""),
        ("/batch-recommend?user_ids=1+,2", 400, ""),
        ("/batch-recommend?user_ids=1_0", 400, ""),
        ("/batch-recommend?user_ids=%D9%A3", 400, ""),
        ("/batch-recommend?user_ids=99999999999999999999", 400, ""),
        (
            "/batch-recommend?user_ids=1,-1,1",
            200,
            "\"total_requested\":3",
        ),
        ("/batch-recommend?user_ids=1;user_ids=2", 400, ""),
        (&format!("/batch-recommend?user_ids={long}1"), 414, "8192"),
        (&format!("/health?{long}"), 414, "8192"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let (got, body) = send_request(&api, request.as_bytes()).await;
        if got != status || !body.contains(says) {
            wrong.push(format!(
                "{target:.80}: {got} instead of {status} {says:?}: {body:.200}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.client().get("/recommend/1").await.status, 200);
}

#[tokio::test]
async fn malicious_heads_are_rejected_or_taken_literally() {
    let (api, _files) = api("").await;
    let head = |line: &str, more: &str| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").into_bytes()
    };
    let get = |more: &str| head("GET /recommend/1", more);
    let mut wrong = Vec::new();
    for (request, status) in [
        (head("OPTIONS /recommend/1", ""), 405),
        (head("OPTIONS *", ""), 404),
        (head("TRACE /recommend/1", "X-Secret: a\r\n"), 405),
        (head("CONNECT example.com:443", ""), 404),
        (head("CONNECT /recommend/1", ""), 405),
        (head("PUT /recommend/1", ""), 405),
        (head("PATCH /health", ""), 405),
        (head("DELETE /invalidate-cache/all", ""), 405),
        (head("GET /invalidate-cache/all", ""), 405),
        (head("HEAD /warm-cache?user_ids=1", ""), 405),
        (head("FROBNICATE /recommend/1", ""), 405),
        (head("get /recommend/1", ""), 405),
        (
            head("POST /recommend/1", "X-HTTP-Method-Override: GET\r\n"),
            405,
        ),
        (head("G@T /recommend/1", ""), 400),
        // Absolute targets must be accepted (RFC 9112, section 3.2.2); the host does not matter here.
        (head("GET http://example.com/recommend/1", ""), 200),
        (head("GET http://example.com", ""), 404),
        (head("GET file:///etc/passwd", ""), 400),
        (head("GET recommend/1", ""), 400),
        (head("GET *", ""), 404),
        (
            b"GET /recommend/1\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            400,
        ),
        (
            b"GET /recommend/\xd9\xa3 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            422,
        ),
        (b"GET /recommend/1 HTTP/1.1\nHost: x\n\n".to_vec(), 200),
        (
            b"GET /recommend/1\r\nX: y HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
            400,
        ),
        (b"GET /recommend/1\r\n\r\n".to_vec(), 400),
        (
            b"GET /recommend/1 HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n".to_vec(),
            400,
        ),
        (
            b"GET /recommend/1 HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n".to_vec(),
            400,
        ),
        (
            b"GET /recommend/1 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            400,
        ),
        (get("X: a\r\n b\r\n"), 400),
        (get("X : a\r\n"), 400),
        (get(": a\r\n"), 400),
        (get("no colon\r\n"), 400),
        (get("Content-Length: 5, 5\r\n"), 400),
        (get("Content-Length: +5\r\n"), 400),
        (get("Content-Length: 0x5\r\n"), 400),
        (get("Content-Length: 99999999999999999999\r\n"), 400),
        (get("Content-Length: 0\r\nContent-Length: 5\r\n"), 400),
        (get("Transfer-Encoding: gzip\r\n"), 400),
        (get("Transfer-Encoding: chunked, gzip\r\n"), 400),
        (
            get("X-Request-Id: a\tb\r\nX-Forwarded-For: ,,,\r\nForwarded: for=\"\r\n"),
            200,
        ),
        (
            get("Range: bytes=0-0\r\nAccept: image/png\r\nAccept-Encoding: br\r\n"),
            200,
        ),
        (
            get(
                "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
            ),
            200,
        ),
        (get("Expect: the-unexpected\r\n"), 200),
        (
            get("Authorization: Bearer\r\nAuthorization: Basic x\r\nCookie: a=b\r\n"),
            200,
        ),
    ] {
        let (got, body) = send_request(&api, &request).await;
        if got != status {
            let request = request.escape_ascii();
            wrong.push(format!("{request}: {got} instead of {status}: {body:.200}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.client().get("/recommend/1").await.status, 200);
}

#[tokio::test]
async fn two_body_lengths_smuggle_no_request() {
    let (api, _files) = api("").await;
    // If the body is read by its length, it hides a request. If it is read in chunks, that request is the next one (RFC
    // 9112, section 6.1).
    let hidden = "GET /stats HTTP/1.1\r\nHost: x\r\n\r\n";
    let body = format!("0\r\n\r\n{hidden}");
    for lengths in [
        format!(
            "Content-Length: {}\r\nTransfer-Encoding: chunked",
            body.len()
        ),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: {}",
            body.len()
        ),
    ] {
        let mut raw = Raw::connect(&api).await;
        raw.send(format!(
            "POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n{body}"
        ))
        .await;
        let rest = raw.ends_somehow().await;
        println!(
            "{lengths:?}: {rest:.60?}, {} answers",
            rest.matches("HTTP/1.1 ").count()
        );
        assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest}");
    }
    for chunk in ["5;", "-5", "0x5", "5 5", "fffffffffffffffff", "\u{665}"] {
        let mut raw = Raw::connect(&api).await;
        raw.send(format!(
            "POST /invalidate-cache/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\r\n12345\r\n0\r\n\r\n{hidden}"
        ))
        .await;
        let answer = raw.response().await;
        println!(
            "chunk of size {chunk:?}: {} {:?}",
            answer.status,
            answer.header("connection")
        );
        if chunk != "5;" {
            assert_eq!(answer.header("connection"), Some("close"), "{chunk}");
            raw.ends().await;
        }
    }
}

#[tokio::test]
async fn input_never_becomes_a_response_header() {
    let (api, _files) = api("").await;
    for request in [
        "GET /recommend/1%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /batch-recommend?user_ids=%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\nX-Request-Id: a%0d%0aSet-Cookie:%20a=b\r\n\r\n",
        "GET /docs?%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: x%0d%0aSet-Cookie:%20a=b\r\n\r\n",
        "TRACE /health HTTP/1.1\r\nHost: x\r\nSet-Cookie: a=b\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&api).await;
        raw.send(request).await;
        let answer = raw.response().await;
        assert_eq!(answer.header("set-cookie"), None, "{request}");
        let location = answer.header("location").unwrap_or_default();
        assert!(
            !location.to_lowercase().contains("cookie"),
            "{request}: {location}"
        );
    }
}
