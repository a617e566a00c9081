//! Simulated processes for tests.

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::fleet::{Fleet, Moment};
use super::history::History;
use super::reader::Reader;
use super::report::Report;
use super::sample::Sample;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Seconds between two samples.
pub const INTERVAL: u32 = 2;
/// When the processes started, as a Unix time.
pub const START: f64 = 1_800_000_000.0;

/// The activity of a process so far.
#[derive(Clone, Copy, Debug)]
pub struct Activity {
    pub requests: u32,
    pub errors: u32,
    pub store_up: bool,
    pub shared_connected: bool,
    pub start: f64,
}

impl Activity {
    pub fn of(requests: u32) -> Self {
        Self {
            requests,
            errors: 0,
            store_up: true,
            shared_connected: true,
            start: START,
        }
    }

    /// The metrics text that such a process exposes.
    pub fn text(self) -> String {
        let Self {
            requests, errors, ..
        } = self;
        let (hits, misses) = (requests * 3 / 4, requests / 4);
        let mut text = format!(
            r#"# HELP reckon_build Version of the program.
# TYPE reckon_build info
reckon_build_info{{version="0.1.0"}} 1
process_start_time_seconds {start}
process_resident_memory_bytes 25165824
reckon_http_requests_total{{route="/recommend/{{user_id}}",method="GET",code="200"}} {ok}
reckon_http_requests_total{{route="/recommend/{{user_id}}",method="GET",code="503"}} {errors}
reckon_http_rejections_total{{reason="rate_limit"}} {rejected}
reckon_http_requests_in_flight 3
reckon_http_requests_in_flight_limit 4096
reckon_http_connections 12
reckon_http_connections_limit 2048
reckon_cache_lookups_total{{tier="memory",result="hit"}} {hits}
reckon_cache_lookups_total{{tier="memory",result="miss"}} {misses}
reckon_cache_lookups_total{{tier="shared",result="hit"}} {shared}
reckon_cache_lookups_total{{tier="shared",result="stale"}} 0
reckon_cache_lookups_total{{tier="shared",result="miss"}} {shared}
reckon_recommendations_total{{source="stale"}} 0
reckon_memory_cache_entries 1500
reckon_memory_cache_bytes 1048576
reckon_memory_cache_limit_bytes 67108864
reckon_shared_cache_connected {connected}
reckon_store_up {up}
reckon_store_connections{{state="open"}} 6
reckon_store_connections{{state="busy"}} 2
reckon_store_connections{{state="prober"}} 1
reckon_store_connections{{state="quarantined"}} 0
reckon_store_connections_limit 10
"#,
            start = self.start,
            ok = requests - errors,
            rejected = requests / 100,
            shared = misses / 2,
            connected = u8::from(self.shared_connected),
            up = u8::from(self.store_up),
        );
        for (name, count) in [
            (
                r#"reckon_http_request_duration_seconds_bucket{route="/recommend/{user_id}","#,
                requests,
            ),
            (
                "reckon_store_statement_duration_seconds_bucket{",
                misses / 2,
            ),
            (
                "reckon_shared_cache_operation_duration_seconds_bucket{",
                misses,
            ),
        ] {
            for (le, part) in [
                ("0.0001", 50),
                ("0.001", 90),
                ("0.01", 98),
                ("0.1", 100),
                ("+Inf", 100),
            ] {
                let below = u64::from(count) * part / 100;
                let _ = writeln!(text, "{name}le=\"{le}\"}} {below}");
            }
        }
        text + "# EOF\n"
    }

    pub fn sample(self) -> Sample {
        read(&self.text()).unwrap()
    }
}

/// Parses a whole metrics text.
pub fn read(text: &str) -> Result<Sample, super::reader::Invalid> {
    let mut reader = Reader::default();
    reader.push(text.as_bytes())?;
    reader.finish()
}

/// Processes that are queried in rounds.
pub struct FleetFixture {
    pub fleet: Fleet,
    pub history: History,
    began: Instant,
    round: u32,
}

impl FleetFixture {
    /// The processes from 10.0.0.1 on.
    pub fn new(processes: u32) -> Self {
        let endpoint = |number| Endpoint::process(&format!("10.0.0.{number}:9464")).unwrap();
        Self {
            fleet: Fleet::new((1..=processes).map(endpoint).collect()),
            history: History::default(),
            began: Instant::now(),
            round: 0,
        }
    }

    /// A round in which each process answers as given, by its number from 0.
    pub fn round(&mut self, answer: impl Fn(u32) -> Result<Sample, Failure>) -> Report {
        let targets: Vec<_> = self.fleet.targets().cloned().collect();
        for (number, target) in (0..).zip(targets) {
            self.fleet.answered(&target, self.now().at, answer(number));
        }
        let report = self.report();
        self.history.push(&report);
        self.round += 1;
        report
    }

    pub fn report(&self) -> Report {
        self.fleet.report(self.now(), INTERVAL.into())
    }

    fn now(&self) -> Moment {
        let seconds = self.round * INTERVAL;
        Moment {
            at: self.began + Duration::from_secs(seconds.into()),
            unix_seconds: START + 3600.0 + f64::from(seconds),
        }
    }
}
