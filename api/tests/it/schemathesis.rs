//! The promises of the OpenAPI description, tested by a program that uses only the description: Schemathesis sends
//! requests that match it, and others that do not, and compares statuses, content types, headers and bodies with it.
//!
//! The first run on a machine fetches it from `PyPI` (`e2e/schemathesis`); later ones find it in the cache.

use crate::harness::api_process::ApiCommand;
use crate::harness::process::Process;
use crate::next_basket::{NEXT_BASKET, in_use, model, publish};
use reckon_api::store::sqlite;
use sqlx::{Connection, Executor};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Time limit, the first download included.
const TIMEOUT: Duration = Duration::from_mins(5);
const KEY: &str = "key-of-schemathesis-5Wq0";
/// The same requests each time. A finding of another seed gets its own test.
const SEED: &str = "1";
const ROWS: &str = "
    INSERT INTO searches VALUES (1, 'q', '2025-01-01 10:00:00', 'toys', 1), (1, 'q', '2025-01-02 10:00:00', 'toys', 1),
        (2, 'q', '2025-01-02 10:00:00', 'garden', 1);
    INSERT INTO purchase VALUES (1, 'p', '2025-01-01 10:00:00', 'books', 1), (3, 'p', '2025-01-01 10:00:00', 'books', 1);";

#[tokio::test]
async fn finds_no_failure_without_keys() {
    finds_no_failure(None, "").await;
}

#[tokio::test]
async fn finds_no_failure_with_keys_for_mutations() {
    finds_no_failure(Some(KEY), "").await;
}

#[tokio::test]
async fn finds_no_failure_with_keys_for_all_requests() {
    finds_no_failure(Some(KEY), "auth: {reads: true}").await;
}

/// Every check is on.
async fn finds_no_failure(key: Option<&str>, tuning: &str) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| -> PathBuf { directory.path().join(name) };
    let mut session = sqlite::create(&file("reckon.db")).await.unwrap();
    session.execute(sqlx::raw_sql(ROWS)).await.unwrap();
    publish(&mut session, &model()).await;
    session.close().await.unwrap();
    let tuning = format!("{tuning}\nevents: {{enabled: true}}\n{NEXT_BASKET}\n");
    std::fs::write(file("tuning.yaml"), tuning).unwrap();
    let mut api = ApiCommand::new()
        .env("RECKON_DATA", file("reckon.db"))
        .env("RECKON_TUNING", file("tuning.yaml"));
    if let Some(key) = key {
        std::fs::write(file("keys"), key).unwrap();
        api = api.env("RECKON_API_KEYS", file("keys"));
    }
    let api = api.spawn();
    api.ready().await;
    in_use(&api, &model()).await;

    // A list of too many ids may be too long for a URL as well, and an invalid body too long: 414 and 413 refuse them too.
    // A schema cannot express that the time of an event is not in the future.
    let settings = "[checks]\nnegative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 413, 414, 422]\n\
        [[operations]]\ninclude-path = \"/events\"\n\
        checks.positive_data_acceptance.expected-statuses = [200, 401, 403, 413, 422]\n";
    std::fs::write(file("schemathesis.toml"), settings).unwrap();
    let mut command = Command::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../e2e/schemathesis/run"
    ));
    command
        .current_dir(directory.path())
        .args(["run", &format!("{}/openapi.json", api.url())])
        .args(["--checks", "all", "--max-examples", "30", "--seed", SEED])
        .args(["--max-response-time", "5"]);
    if let Some(key) = key {
        command.args(["--header", &format!("Authorization: Bearer {key}")]);
    }
    let began = Instant::now();
    let mut schemathesis = Process::new(command);
    schemathesis.start();
    let exit = schemathesis.exit(TIMEOUT).await;
    let said = schemathesis.logs();
    let figures = said.iter().find(|line| line.contains(" generated, "));
    println!("{:?} in {:.1?}", figures, began.elapsed());
    assert!(exit.status.success(), "{}", said.join("\n"));
    assert!(
        said.iter().any(|line| line.trim() == "Tested: 13"),
        "{}",
        said.join("\n")
    );
}
