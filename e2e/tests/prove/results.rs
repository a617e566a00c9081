//! The measured results, in a file that several runs fill.

use super::database::Flavour;
use super::recorder::Series;
use super::scenarios::ALL;
use super::subject::Mode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;

/// One scenario, once.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Measurement {
    pub scenario: String,
    /// Its place in the document.
    pub number: usize,
    /// What happens.
    pub what: String,
    pub mode: Mode,
    pub flavour: Flavour,
    /// The program's state: that of the document, or an earlier one that stays for comparison.
    pub state: String,
    /// Version and kind of the server.
    pub server: String,
    /// Commit of the programs.
    pub commit: String,
    /// Number of pods at first.
    pub replicas: u32,
    /// Clients, each with one request at a time.
    pub clients: u32,
    /// The greatest budget during the scenario; 0: it has none.
    pub bound: u32,
    /// `MAX_USER_CONNECTIONS` of the account at first; 0: none.
    pub limit: u32,
    /// Whether the mode promises to stay within the bound.
    pub promised: bool,
    pub greatest_connections: u32,
    pub greatest_pods: u32,
    /// `status.tuning.maxPods`.
    pub max_pods: Option<u32>,
    /// Connections that the server refused because of the limit.
    pub refused: u64,
    pub answered: u32,
    pub failed: u32,
    /// The first failed requests.
    pub failures: Vec<String>,
    /// From the first change until the service has settled.
    pub seconds: f64,
    /// The least and the greatest of the machine's load average over a minute.
    pub load_average: (f64, f64),
    pub samples: usize,
    pub longest_gap_milliseconds: u64,
    /// Why there is no measurement.
    pub error: Option<String>,
    pub series: Series,
    /// What happened when, in seconds.
    pub marks: Vec<(f64, String)>,
}

impl Measurement {
    /// The promise of the mode that does not hold, or the reason why nothing is known.
    pub fn broken(&self) -> Option<String> {
        let Self {
            scenario,
            mode,
            flavour,
            greatest_connections,
            bound,
            refused,
            ..
        } = self;
        let what = match &self.error {
            Some(error) => error.clone(),
            None if !self.promised => return None,
            None if greatest_connections > bound => {
                format!("{greatest_connections} connections, {bound} allowed")
            }
            None if *mode == Mode::Plan && *refused > 0 => format!("{refused} connections refused"),
            None => return None,
        };
        Some(format!("{scenario}, {mode:?}, {flavour:?}: {what}"))
    }

    fn key(&self) -> String {
        let Self {
            scenario,
            mode,
            flavour,
            state,
            ..
        } = self;
        format!("{scenario} {mode:?} {flavour:?} {state}")
    }
}

/// A scenario's place in the document; one that no longer exists comes last.
pub fn place(scenario: &str) -> usize {
    let place = ALL.iter().position(|one| one.name == scenario);
    place.unwrap_or(ALL.len())
}

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/prove/results.json"))
}

/// Adds a measurement to the file; an earlier one of the same is replaced. Several processes may do so.
pub fn keep(measurement: Measurement) {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(path()).unwrap();
    file.lock().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let mut all: BTreeMap<String, Measurement> = match text.as_str() {
        "" => BTreeMap::new(),
        text => serde_json::from_str(text).unwrap(),
    };
    all.insert(measurement.key(), measurement);
    for one in all.values_mut() {
        one.number = place(&one.scenario);
    }
    // One line each, so that differences are readable.
    let lines = all.iter().map(|(key, value)| {
        let [key, value] =
            [serde_json::to_string(key), serde_json::to_string(value)].map(Result::unwrap);
        format!("{key}: {value}")
    });
    let text = format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"));
    file.rewind().unwrap();
    file.set_len(0).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
