//! The access log: a failed request can be found by its request id, overload does not fill the log, and no client writes a line.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::port::Port;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ID: &str = "request-of-somebody-7Jq2";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SOON: Duration = Duration::from_secs(10);

/// An API whose database address has no listener, so that every recommendation fails.
async fn start(nobody: &Port, access_log: Option<&str>) -> ApiProcess {
    let directory = tempfile::tempdir().unwrap();
    let tuning = directory.path().join("tuning.yaml");
    let mode = access_log.map(|mode| format!("server: {{accessLog: {mode}}}"));
    std::fs::write(&tuning, mode.unwrap_or_default()).unwrap();
    let api = ApiCommand::new()
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", nobody.number().to_string())
        .env("RECKON_TUNING", tuning)
        .spawn();
    api.live().await;
    api
}

/// The lines of the access log.
fn lines(api: &ApiProcess) -> Vec<Value> {
    let logs = api.process.logs().into_iter();
    logs.map(|line| serde_json::from_str::<Value>(&line).expect(&line))
        .filter(|line| line["message"] == "request")
        .collect()
}

/// Waits for the line of the request with this id.
async fn line(api: &ApiProcess, id: &str) -> Value {
    let of = || lines(api).into_iter().find(|line| line["request_id"] == id);
    eventually(SOON, async || of().is_some()).await;
    of().unwrap()
}

#[tokio::test]
async fn a_503_is_found_in_the_log_by_its_request_id_and_many_are_a_few_lines() {
    let nobody = Port::take();
    let api = start(&nobody, None).await;
    let client = api
        .client()
        .with_header("x-request-id", ID)
        .with_header("traceparent", &format!("00-{TRACE_ID}-00f067aa0ba902b7-01"));
    let answer = client.get("/recommend/471147114711").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-request-id"), Some(ID));
    assert_eq!(answer.header("traceparent"), None);
    let line = line(&api, ID).await;
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["route"], "/recommend/{user_id}");
    assert_eq!(line["status"], 503);
    assert_eq!(line["trace_id"], TRACE_ID);
    assert_eq!(line["cause"], "database unavailable: unreachable");
    assert!(line["duration_ms"].as_f64().unwrap() >= 0.0);
    assert!(!line.to_string().contains("471147114711"), "{line}");
    for number in 0..2000 {
        let answer = api.client().get(&format!("/recommend/{number}")).await;
        assert_eq!(answer.status, 503);
    }
    api.client().get("/recommend/x").await;
    let lines = lines(&api);
    println!("{} lines for 2002 requests", lines.len());
    assert!((20..200).contains(&lines.len()), "{}", lines.len());
    assert!(lines.iter().all(|line| line["status"] == 503));
}

#[tokio::test]
async fn with_all_every_request_has_a_line_and_with_none_no_request_has_one() {
    let nobody = Port::take();
    let (all, none) = (
        start(&nobody, Some("All")).await,
        start(&nobody, Some("None")).await,
    );
    for api in [&all, &none] {
        for number in 0..100 {
            api.client().get(&format!("/recommend/{number}")).await;
        }
        let client = api.client().with_header("x-request-id", ID);
        client.get("/recommend/471147114711x").await;
    }
    let last = line(&all, ID).await;
    assert_eq!(
        (&last["status"], &last["level"]),
        (&422.into(), &"INFO".into())
    );
    assert_eq!(last["cause"], Value::Null);
    assert_eq!(lines(&all).len(), 101);
    assert!(!all.process.logs().concat().contains("471147114711"));
    assert_eq!(lines(&none).len(), 0);
}

#[tokio::test]
async fn the_line_of_a_recommendation_has_its_source() {
    let directory = tempfile::tempdir().unwrap();
    let tuning = directory.path().join("tuning.yaml");
    std::fs::write(&tuning, "server: {accessLog: All}").unwrap();
    let api = ApiCommand::new()
        .env("RECKON_DATA", directory.path().join("reckon.db"))
        .env("RECKON_TUNING", tuning)
        .args(["serve", "--demo"])
        .spawn();
    api.ready().await;
    for (id, source) in [("first", "store"), ("second", "memory")] {
        let client = api.client().with_header("x-request-id", id);
        client.get("/recommend/1").await;
        assert_eq!(line(&api, id).await["source"], source);
    }
}

#[tokio::test]
async fn no_header_can_inject_a_line() {
    let nobody = Port::take();
    let api = start(&nobody, Some("All")).await;
    let forged = r#"{"message":"request","status":200,"request_id":"forged"}"#;
    let long = "a".repeat(8 * 1024);
    let mut sent = 0;
    for header in ["x-request-id", "traceparent"] {
        for value in [
            format!("x\u{1b}[2K{forged}"),
            format!("x\tforged {forged}"),
            format!("\"}}{forged}"),
            "x\u{85}forged\u{2028}".to_owned(),
            long.clone(),
        ] {
            answered(&api, header, &value);
            sent += 1;
        }
    }
    let client = api.client().with_header("x-request-id", ID);
    client.get("/recommend/1").await;
    line(&api, ID).await;
    // Every line of the log is a separate document; `lines` reads all of them.
    let lines = lines(&api);
    for line in &lines {
        let id = line["request_id"].as_str().unwrap();
        assert!(id == ID || (id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        assert_eq!(line["trace_id"], Value::Null, "{line}");
    }
    let written = api.process.logs().concat();
    assert!(!written.contains("forged") && !written.contains(&long));
    // A header that hyper itself rejects never becomes a request.
    assert!((2..=sent + 1).contains(&lines.len()), "{}", lines.len());
}

/// Sends bytes that a client library would not send, and waits until the server has answered and closed.
fn answered(api: &ApiProcess, header: &str, value: &str) {
    let mut stream = TcpStream::connect(api.url().trim_start_matches("http://")).unwrap();
    let request = format!(
        "GET /recommend/1 HTTP/1.1\r\nhost: reckon\r\nconnection: close\r\n{header}: {value}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 "));
}
