//! Resident memory of the pods, as their metrics report it.

use super::until;
use crate::subject::{PODS, Subject};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The memory of the API's pods (the greatest one), and of the operator.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Memory {
    pub api: Figures,
    pub operator: Figures,
}

/// The figures of one program, in bytes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Figures {
    pub start: u64,
    pub end: u64,
    pub greatest: u64,
    pub samples: u64,
}

impl Memory {
    /// Samples at intervals until a time.
    pub fn quiet(&mut self, subject: &Subject<'_>, due: Instant, every: Duration) {
        loop {
            self.sample(subject);
            if Instant::now() + every >= due {
                return until(due);
            }
            until(Instant::now() + every);
        }
    }

    fn sample(&mut self, subject: &Subject<'_>) {
        self.api.add(greatest(subject, &format!("-l {PODS}"), 9464));
        self.operator
            .add(greatest(subject, "-n reckon-system", 8080));
    }
}

impl Figures {
    fn add(&mut self, bytes: Option<u64>) {
        let Some(bytes) = bytes else { return };
        if self.samples == 0 {
            self.start = bytes;
        }
        self.end = bytes;
        self.greatest = self.greatest.max(bytes);
        self.samples += 1;
    }
}

/// The greatest memory of the pods that answer.
fn greatest(subject: &Subject<'_>, pods: &str, port: u16) -> Option<u64> {
    let get = format!("get pods {pods} -o jsonpath={{.items[*].status.podIP}}");
    let addresses = subject.cluster.try_kubectl(&get).ok()?;
    let of = |address: &str| {
        let url = format!("http://{address}:{port}/metrics");
        let text = subject
            .cluster
            .inside(&["curl", "-s", "-m", "3", &url], "")
            .ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("process_resident_memory_bytes "))?;
        line.parse().ok()
    };
    addresses.split_whitespace().filter_map(of).max()
}
