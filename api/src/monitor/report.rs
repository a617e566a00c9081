//! The state of all processes at one moment: the document of `--json`, and the data that text and screen show.

use super::figures::Figures;
use super::sample::Gauges;
use serde::Serialize;

/// The state at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The moment, as a Unix time in seconds.
    pub unix_seconds: f64,
    /// Time between two samples of a process, in seconds.
    pub interval_seconds: f64,
    /// All processes that answer, together.
    pub total: Total,
    /// Each process.
    pub processes: Vec<Process>,
    /// Further messages to the user.
    pub notices: Vec<String>,
}

/// The state of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It did not answer the last request.
    Unreachable,
    /// Its store is down.
    StoreDown,
    /// It has lost its connection to the shared cache.
    Degraded,
    /// It has restarted since the previous sample.
    Restarted,
    /// The first request is in flight.
    Waiting,
    /// It works normally.
    Up,
}

impl State {
    /// Every state, the worst first.
    pub const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::StoreDown,
        Self::Degraded,
        Self::Restarted,
        Self::Waiting,
        Self::Up,
    ];

    /// Its name for display; at most 11 characters.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::StoreDown => "store down",
            Self::Degraded => "degraded",
            Self::Restarted => "restarted",
            Self::Waiting => "waiting",
            Self::Up => "up",
        }
    }
}

/// The state of the shared cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedCache {
    /// The process has none.
    None,
    /// The process is connected to it.
    Connected,
    /// The process has one and is not connected.
    Disconnected,
}

/// One process. Everything but the first four fields is `null` unless it answered the last request.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// Host and port.
    pub address: String,
    /// Its state.
    pub state: State,
    /// Why it is unreachable.
    pub error: Option<String>,
    /// Seconds since its last answer, if it is unreachable now and answered before.
    pub last_answer_seconds_ago: Option<f64>,
    /// Its version.
    pub version: Option<String>,
    /// Seconds since its start.
    pub uptime_seconds: Option<f64>,
    /// Whether its store is up.
    pub store_up: Option<bool>,
    /// Its connection to the shared cache.
    pub shared_cache: Option<SharedCache>,
    /// Its current gauges.
    pub now: Gauges,
    /// Between the last two samples.
    pub recent: Option<Figures>,
    /// Since its start.
    pub since_start: Option<Figures>,
}

impl Process {
    /// A process that has not answered yet.
    pub fn new(name: &str) -> Self {
        Self {
            address: name.to_owned(),
            state: State::Waiting,
            error: None,
            last_answer_seconds_ago: None,
            version: None,
            uptime_seconds: None,
            store_up: None,
            shared_cache: None,
            now: Gauges::default(),
            recent: None,
            since_start: None,
        }
    }
}

/// All processes that answered the last request, together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Total {
    /// Processes in each state, in the order of [`State::ALL`].
    #[serde(skip)]
    states: [usize; 6],
    /// Processes that answered the last request.
    pub answering: usize,
    /// All processes.
    pub processes: usize,
    /// Their current gauges.
    pub now: Gauges,
    /// Open connections to the database divided by the sum of the limits of all processes.
    pub database_budget_ratio: Option<f64>,
    /// The figures between the last two samples of each process.
    pub recent: Option<Figures>,
    /// The figures since the start of each process.
    pub since_start: Option<Figures>,
}

impl Total {
    /// Counts a process.
    pub fn count(&mut self, state: State) {
        self.processes += 1;
        self.states[state as usize] += 1;
        if !matches!(state, State::Unreachable | State::Waiting) {
            self.answering += 1;
        }
    }

    /// Number of processes in each state, without empty states, the worst first.
    pub fn states(&self) -> impl Iterator<Item = (State, usize)> {
        let all = State::ALL.into_iter().zip(self.states);
        all.filter(|(_, count)| *count > 0)
    }
}
