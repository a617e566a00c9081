//! The result of a soak, in a file from which `e2e/prove/render` creates a section of the document.

use super::clients::{Failure, Latency, Outcome};
use super::kills::{KillEvent, Kind};
use super::memory::Memory;
use crate::database::Flavour;
use crate::measure::tenths;
use crate::subject::Mode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;

/// The last soak of a mode and a server.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Soak {
    pub mode: Mode,
    pub flavour: Flavour,
    /// Version and kind of the server.
    pub server: String,
    pub commit: String,
    pub seed: u64,
    pub minutes: f64,
    /// The budget.
    pub bound: u32,
    pub greatest_connections: u32,
    pub greatest_pods: u32,
    /// Samples of the connections.
    pub samples: usize,
    pub load_average: (f64, f64),
    pub memory: Memory,
    /// Number of requests by kind.
    pub requests: BTreeMap<String, u64>,
    /// Events that were acknowledged; each is in the answers at the end, once.
    pub events: u64,
    /// Answers by `X-Cache`.
    pub caches: BTreeMap<String, u64>,
    pub milliseconds: Latency,
    pub kills: BTreeMap<Kind, Kills>,
    /// The first failures that no kill explains, and wrong answers.
    pub unexplained: Vec<String>,
    pub unexplained_failures: usize,
}

/// All kills of a kind together, and the failures that they explain.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Kills {
    pub number: u32,
    /// The longest time until the service had settled.
    pub seconds: f64,
    /// Requests answered with a documented 503 or 504.
    pub unavailable: u32,
    /// Broken connections, and requests without an answer.
    pub broken: u32,
    /// Answers that were older than promised with Redis.
    pub old: u32,
}

impl Soak {
    /// Counts the kills, and the failures that each explains.
    pub fn explain(&mut self, failures: &[Failure], happened: &[KillEvent]) {
        for one in happened {
            let kills = self.kills.entry(one.kind).or_default();
            kills.number += 1;
            kills.seconds = tenths(kills.seconds.max(one.seconds));
        }
        for failure in failures {
            self.attribute(failure, happened);
        }
    }

    /// The latest kill that explains a failure.
    fn attribute(&mut self, failure: &Failure, happened: &[KillEvent]) {
        let Some(cause) = happened.iter().rev().find(|one| one.explains(failure)) else {
            self.unexplained_failures += 1;
            if self.unexplained.len() < 20 {
                let during = happened.iter().rev().find(|one| one.at <= failure.until);
                let during =
                    during.map(|one| format!("{:.1} s after {:?}", failure.at - one.at, one.kind));
                self.unexplained.push(format!(
                    "{:?} {}: {} ({})",
                    failure.kind,
                    failure.request,
                    failure.detail,
                    during.unwrap_or_else(|| "before all".to_owned()),
                ));
            }
            return;
        };
        let kills = self.kills.entry(cause.kind).or_default();
        match failure.kind {
            Outcome::Unavailable => kills.unavailable += 1,
            Outcome::Broken | Outcome::Timeout => kills.broken += 1,
            Outcome::Old => kills.old += 1,
            Outcome::Wrong | Outcome::Undocumented => {}
        }
    }

    /// Promises that do not hold.
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.mode == Mode::Server && self.greatest_connections > self.bound {
            broken.push(format!(
                "{} connections, {} allowed",
                self.greatest_connections, self.bound
            ));
        }
        if self.unexplained_failures > 0 {
            broken.push(format!(
                "{} failures that nothing explains",
                self.unexplained_failures
            ));
            broken.extend(self.unexplained.iter().cloned());
        }
        for (name, memory) in [
            ("the API", &self.memory.api),
            ("the operator", &self.memory.operator),
        ] {
            if memory.end > 2 * memory.start {
                broken.push(format!(
                    "memory of {name}: {} bytes at first, {} at the end",
                    memory.start, memory.end
                ));
            }
        }
        broken
    }

    /// Writes it to the file; an earlier one of the same mode and server is replaced.
    pub fn keep(&self) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/prove/soak.json");
        let text = fs::read_to_string(path).unwrap_or_else(|_| "{}".to_owned());
        let mut all: BTreeMap<String, Self> = serde_json::from_str(&text).unwrap();
        all.insert(format!("{:?} {:?}", self.mode, self.flavour), self.clone());
        fs::write(path, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
}
