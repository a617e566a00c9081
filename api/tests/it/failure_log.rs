//! An answer 503 can be found in the log by its request id, and overload does not fill the log.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::port::Port;
use std::time::Duration;

const ID: &str = "request-of-somebody-7Jq2";
const SOON: Duration = Duration::from_secs(10);

/// With a database that nothing listens for.
async fn start(nobody: &Port) -> ApiProcess {
    let api = ApiCommand::new()
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", nobody.number().to_string())
        .spawn();
    api.live().await;
    api
}

fn lines(api: &ApiProcess) -> Vec<String> {
    let logs = api.process.logs().into_iter();
    logs.filter(|line| line.contains("answered 503 or 504"))
        .collect()
}

#[tokio::test]
async fn a_503_is_found_in_the_log_by_its_request_id_and_many_are_a_few_lines() {
    let nobody = Port::take();
    let api = start(&nobody).await;
    let client = api.client().with_header("x-request-id", ID);
    let answer = client.get("/recommend/1").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("x-request-id"), Some(ID));
    eventually(SOON, async || {
        let lines = lines(&api);
        lines
            .iter()
            .any(|line| line.contains(ID) && line.contains("/recommend/{user_id}"))
    })
    .await;
    for number in 0..2000 {
        let answer = api.client().get(&format!("/recommend/{number}")).await;
        assert_eq!(answer.status, 503);
    }
    let lines = lines(&api).len();
    println!("{lines} lines for 2001 answers");
    assert!((20..200).contains(&lines), "{lines}");
}
