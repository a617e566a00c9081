//! Processes whose pools grow and shrink, under a limit of the server (`MAX_USER_CONNECTIONS`) that is less than the sum of their
//! caps.

mod changed_limit;
mod shared_limit;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::Load;
use crate::harness::sql_server::{RECKON, SqlServer};
use tempfile::TempDir;

/// Connections that are always open: for probes, and one for requests.
const BASE: i64 = 2;

/// A process whose answers are not cached, so that each request needs the database. Does not wait until it is ready.
fn spawn(server: &SqlServer, store: &str) -> (ApiProcess, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let tuning = directory.path().join("tuning.yaml");
    let text = format!(
        "store: {{{store}}}\ncache: {{memory: {{maxBytes: 0}}, staleSeconds: 0}}\nserver: {{drainSeconds: 3}}"
    );
    std::fs::write(&tuning, text).unwrap();
    let api = ApiCommand::new()
        .envs(server.environment("reckon"))
        .env("RECKON_TUNING", &tuning)
        .spawn();
    (api, directory)
}

/// Clients that need every connection that the process can have.
fn full_load(api: &ApiProcess) -> Load {
    api.client().send_load(40, |worker, nth| {
        format!("/recommend/{}", 1 + (worker * 7 + nth * 40) % 400)
    })
}

/// Every request was answered; returns their number.
async fn all_answered(load: Load) -> usize {
    let answers = load.stop().await;
    for answer in &answers {
        let answer = answer.as_ref().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    answers.len()
}

async fn open(server: &SqlServer) -> i64 {
    server.sessions(RECKON.name).await.open
}

/// A figure of `/metrics`.
async fn figure(api: &ApiProcess, name: &str) -> i64 {
    let metrics = api.ops().get("/metrics").await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}"))
        .parse()
        .unwrap()
}
