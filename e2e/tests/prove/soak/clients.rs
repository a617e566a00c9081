//! The clients, which check every answer (`e2e/prove/soak/clients.py`).

use crate::subject::{NAME, Subject};
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};

/// Clients, each with one request at a time.
const CLIENTS: u32 = 12;
/// Seconds between two requests of a client.
const PAUSE: f64 = 0.1;

/// What the clients report.
#[derive(Debug, Deserialize)]
pub struct ClientReport {
    /// Number of requests by kind.
    pub requests: BTreeMap<String, u64>,
    /// Events that are acknowledged, and are in the answers at the end.
    pub events: u64,
    /// Answers by the header `X-Cache`.
    pub caches: BTreeMap<String, u64>,
    pub milliseconds: Latency,
    pub failures: Vec<Failure>,
}

/// Time from a request to its answer of any kind.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Latency {
    pub median: f64,
    pub p99: f64,
    pub greatest: f64,
}

/// A request without a correct answer.
#[derive(Debug, Deserialize)]
pub struct Failure {
    /// When it was sent and when it failed, in seconds since 1970.
    pub at: f64,
    pub until: f64,
    pub request: String,
    pub kind: Outcome,
    pub detail: String,
}

/// What was received instead of a correct answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// A 503 or 504 as documented.
    Unavailable,
    /// A connection that was broken or not accepted.
    Broken,
    /// No answer within 8 s.
    Timeout,
    /// An answer without an event that was acknowledged 2 to 11 s before. An instance that has lost Redis may give it.
    Old,
    /// Any other answer with 200.
    Wrong,
    /// Any other status.
    Undocumented,
}

/// Clients that run.
pub struct Soaking {
    child: Child,
    go: tempfile::NamedTempFile,
}

impl Soaking {
    /// Starts them.
    pub fn start(subject: &Subject<'_>, seed: u64) -> Self {
        let cluster = subject.cluster;
        let secret: Secret =
            serde_json::from_value(cluster.object("secret prove-api-keys")).unwrap();
        let keys = String::from_utf8(secret.data.unwrap()["api-keys"].0.clone()).unwrap();
        let go = tempfile::NamedTempFile::new_in(cluster.home()).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = root.join("prove/soak/clients.py");
        let child = cluster
            .command_inside(&[
                "python3",
                program.to_str().unwrap(),
                &cluster.address(NAME),
                &CLIENTS.to_string(),
                &PAUSE.to_string(),
                go.path().to_str().unwrap(),
                &seed.to_string(),
            ])
            .env("KEY", keys.lines().next().unwrap())
            // The oracle.
            .env("PYTHONPATH", root.join("complete_journey"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, go }
    }

    /// Ends them; what they report.
    pub fn stop(self) -> ClientReport {
        self.go.close().unwrap();
        let output = self.child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
