//! The load test (`e2e/load`), with few users for a short time. The first run on a machine installs Locust.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::process::Process;
use std::process::Command;
use std::time::Duration;

/// Time limit, the installation included.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Whether the load test succeeded, and what it printed.
async fn load(api: &ApiProcess, seconds: u32) -> (bool, String) {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/load/run"));
    command
        .arg(api.url())
        .args(["--users", "100", "--spawn-rate", "100"])
        .args(["--run-time", &format!("{seconds}s")]);
    let mut locust = Process::new(command);
    locust.start();
    let exit = locust.exit(TIMEOUT).await;
    (exit.status.success(), locust.logs().join("\n"))
}

fn api(tuning: &str) -> (ApiProcess, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::write(file("tuning.yaml"), tuning).unwrap();
    std::fs::write(file("keys"), "a-key-that-the-load-test-does-not-have").unwrap();
    let mut command = ApiCommand::new()
        .args(["serve", "--demo"])
        .env("RECKON_DATA", file("demo.db"))
        .env("RECKON_TUNING", file("tuning.yaml"));
    if !tuning.is_empty() {
        command = command.env("RECKON_API_KEYS", file("keys"));
    }
    (command.spawn(), directory)
}

#[tokio::test]
async fn every_kind_of_request_succeeds() {
    let (api, _files) = api("");
    api.ready().await;
    let (succeeded, printed) = load(&api, 8).await;
    assert!(succeeded, "{printed}");
    for name in [
        "/recommend/{user_id}",
        "/batch-recommend (5 users)",
        "/batch-recommend (20 users)",
        "/health",
        "/warm-cache (10 users)",
        "/invalidate-cache/{user_id}",
    ] {
        assert!(printed.contains(name), "no request to {name}: {printed}");
    }
}

#[tokio::test]
async fn one_failed_request_fails_the_test() {
    let (api, _files) = api("auth: {reads: true}");
    api.ready().await;
    let (succeeded, printed) = load(&api, 3).await;
    assert!(!succeeded, "{printed}");
    assert!(printed.contains("401"), "{printed}");
}
