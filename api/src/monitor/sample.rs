//! The sample from one answer of a process: gauges, counters and histograms, reduced to a fixed size while it is read.

use super::histogram::Histogram;
use super::line::Line;
use super::names;
use serde::Serialize;

/// Maximum characters of a version.
const VERSION_CHARACTERS: usize = 16;
/// Greater values are replaced by this one, so that sums and differences are exact and finite.
const MOST: f64 = 1e15;

/// The routes whose latency counts as that of recommendations.
const RECOMMEND_ROUTES: [&str; 2] = ["/recommend/{user_id}", "/batch-recommend"];

/// A figure that only increases while a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests answered, on every route.
    Requests,
    /// Requests answered with a status of 500 or more.
    ServerErrors,
    /// Look-ups in the memory cache that were hits.
    MemoryHits,
    /// All other look-ups in the memory cache.
    MemoryMisses,
    /// Look-ups in the shared cache that were hits.
    SharedHits,
    /// All other look-ups in the shared cache.
    SharedMisses,
    /// Recommendations past their time to live, returned because the store was down.
    Stale,
}

const COUNTERS: usize = 7;

/// The reasons for rejections, by their label. Any other reason counts as the last one.
pub const REASONS: [&str; 9] = [
    "no_key",
    "wrong_key",
    "no_keys_set",
    "not_direct",
    "rate_limit",
    "client_connections",
    "connections",
    "in_flight",
    "other",
];

/// The counters of one sample, or their increase between two.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    values: [f64; COUNTERS],
    /// In the order of [`REASONS`].
    pub rejections: [f64; REASONS.len()],
}

impl Counters {
    /// One counter.
    pub fn of(&self, counter: Counter) -> f64 {
        self.values[counter as usize]
    }

    fn add(&mut self, counter: Counter, value: f64) {
        self.values[counter as usize] += value;
    }

    fn all(&self) -> impl Iterator<Item = &f64> {
        self.values.iter().chain(&self.rejections)
    }

    /// Whether one counter is lower than before: the process restarted and counts from zero again.
    pub fn fell_since(&self, before: &Self) -> bool {
        self.all()
            .zip(before.all())
            .any(|(now, before)| now < before)
    }

    /// The increase since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut added = self.clone();
        let all = added.values.iter_mut().chain(&mut added.rejections);
        for (value, before) in all.zip(before.all()) {
            *value = (*value - before).max(0.0);
        }
        added
    }

    /// Adds the counters of another process.
    pub fn merge(&mut self, other: &Self) {
        let all = self.values.iter_mut().chain(&mut self.rejections);
        for (value, other) in all.zip(other.all()) {
            *value += other;
        }
    }
}

/// The histograms of one sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histograms {
    /// Requests for recommendations, single and in batches.
    pub recommend: Histogram,
    /// Statements of the store.
    pub store: Histogram,
    /// Operations of the shared cache.
    pub shared: Histogram,
}

/// The current gauges of a process, or of all of them together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Gauges {
    /// Requests in flight.
    pub in_flight: Option<f64>,
    /// Maximum requests in flight.
    pub in_flight_limit: Option<f64>,
    /// Connections of clients.
    pub clients: Option<f64>,
    /// Maximum connections of clients.
    pub clients_limit: Option<f64>,
    /// Connections to the database, those of the prober and of the events included.
    pub store_open: Option<f64>,
    /// Connections to the database that run a statement.
    pub store_busy: Option<f64>,
    /// Maximum connections of the process to the database.
    pub store_limit: Option<f64>,
    /// Entries of the memory cache.
    pub memory_entries: Option<f64>,
    /// Bytes of the memory cache.
    pub memory_bytes: Option<f64>,
    /// Maximum bytes of the memory cache.
    pub memory_limit_bytes: Option<f64>,
    /// Resident memory of the process, in bytes.
    pub resident_bytes: Option<f64>,
}

impl Gauges {
    /// Adds the gauges of another process.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        for (sum, value) in self.each().into_iter().zip(other.each()) {
            if let Some(value) = value {
                *sum.get_or_insert_default() += *value;
            }
        }
    }

    fn each(&mut self) -> [&mut Option<f64>; 11] {
        let Self {
            in_flight,
            in_flight_limit,
            clients,
            clients_limit,
            store_open,
            store_busy,
            store_limit,
            memory_entries,
            memory_bytes,
            memory_limit_bytes,
            resident_bytes,
        } = self;
        [
            in_flight,
            in_flight_limit,
            clients,
            clients_limit,
            store_open,
            store_busy,
            store_limit,
            memory_entries,
            memory_bytes,
            memory_limit_bytes,
            resident_bytes,
        ]
    }
}

/// The content of one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The program's version; letters, digits, `.`, `+` and `-` only.
    pub version: Option<String>,
    /// When the process started, as a Unix time in seconds.
    pub start_time: Option<f64>,
    /// Whether the store answered the last probe.
    pub store_up: Option<bool>,
    /// Whether there is a connection to the shared cache; `None` without a shared cache.
    pub shared_connected: Option<bool>,
    /// The current gauges.
    pub gauges: Gauges,
    /// Counted since the start.
    pub counters: Counters,
    /// Counted since the start.
    pub histograms: Histograms,
}

impl Sample {
    /// Whether the text came from a process of Reckon's API.
    pub fn is_reckon(&self) -> bool {
        self.version.is_some() && self.store_up.is_some()
    }

    /// Adds one line; irrelevant lines are ignored.
    pub fn add(&mut self, line: &Line<'_>) {
        let value = bounded(line.value);
        if !self.add_gauge(line, value) && !self.add_counter(line, value) {
            self.add_bucket(line, value);
        }
    }

    fn add_gauge(&mut self, line: &Line<'_>, value: f64) -> bool {
        let gauges = &mut self.gauges;
        let is_set = value > 0.5;
        let gauge = match line.name {
            names::STORE_UP => {
                self.store_up = Some(is_set);
                return true;
            }
            names::SHARED_CONNECTED => {
                self.shared_connected = Some(is_set);
                return true;
            }
            names::STORE_CONNECTIONS => {
                match line.label("state") {
                    "open" | "prober" | "writer" => {
                        *gauges.store_open.get_or_insert_default() += value;
                    }
                    "busy" => gauges.store_busy = Some(value),
                    _ => {}
                }
                return true;
            }
            names::BUILD => {
                self.version = Some(version(line.label("version")));
                return true;
            }
            names::START_TIME => &mut self.start_time,
            names::RESIDENT_BYTES => &mut gauges.resident_bytes,
            names::IN_FLIGHT => &mut gauges.in_flight,
            names::IN_FLIGHT_LIMIT => &mut gauges.in_flight_limit,
            names::CLIENTS => &mut gauges.clients,
            names::CLIENTS_LIMIT => &mut gauges.clients_limit,
            names::STORE_LIMIT => &mut gauges.store_limit,
            names::MEMORY_ENTRIES => &mut gauges.memory_entries,
            names::MEMORY_BYTES => &mut gauges.memory_bytes,
            names::MEMORY_LIMIT_BYTES => &mut gauges.memory_limit_bytes,
            _ => return false,
        };
        *gauge = Some(value);
        true
    }

    fn add_counter(&mut self, line: &Line<'_>, value: f64) -> bool {
        let counters = &mut self.counters;
        match line.name {
            names::REQUESTS => {
                counters.add(Counter::Requests, value);
                if line.label("code").starts_with('5') {
                    counters.add(Counter::ServerErrors, value);
                }
            }
            names::LOOKUPS => {
                let is_hit = line.label("result") == "hit";
                match line.label("tier") {
                    "memory" if is_hit => counters.add(Counter::MemoryHits, value),
                    "memory" => counters.add(Counter::MemoryMisses, value),
                    "shared" if is_hit => counters.add(Counter::SharedHits, value),
                    "shared" => counters.add(Counter::SharedMisses, value),
                    _ => {}
                }
            }
            names::RECOMMENDATIONS if line.label("source") == "stale" => {
                counters.add(Counter::Stale, value);
            }
            names::REJECTIONS => counters.rejections[reason(line.label("reason"))] += value,
            _ => return false,
        }
        true
    }

    fn add_bucket(&mut self, line: &Line<'_>, value: f64) {
        let histograms = &mut self.histograms;
        let histogram = match line.name.strip_suffix("_bucket") {
            Some(names::REQUEST_SECONDS) if RECOMMEND_ROUTES.contains(&line.label("route")) => {
                &mut histograms.recommend
            }
            Some(names::STATEMENT_SECONDS) => &mut histograms.store,
            Some(names::SHARED_SECONDS) => &mut histograms.shared,
            _ => return,
        };
        histogram.add(line.label("le"), value);
    }
}

fn reason(label: &str) -> usize {
    let known = REASONS.iter().position(|known| *known == label);
    known.unwrap_or(REASONS.len() - 1)
}

fn bounded(value: f64) -> f64 {
    if value.is_nan() {
        0.0
    } else {
        value.clamp(0.0, MOST)
    }
}

fn version(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || ".+-".contains(*c);
    text.chars()
        .filter(is_plain)
        .take(VERSION_CHARACTERS)
        .collect()
}
