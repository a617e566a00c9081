//! Runs one scenario, and measures.

use super::database::Database;
use super::recorder::{Recorder, Recording};
use super::results::{Measurement, place};
use super::scenarios::Scenario;
use super::service::Kind;
use super::subject::{Mode, Subject};
use reckon_e2e::load::ClientReport;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Load before and after the scenario.
const QUIET: Duration = Duration::from_secs(5);

/// The variant of a scenario.
#[derive(Clone, Debug)]
pub struct Variant {
    pub mode: Mode,
    pub state: String,
    /// Whether the account has the bound as its limit in planned mode too, so that even a short excess is detected.
    pub limited: bool,
}

impl Variant {
    fn limit(&self, scenario: &Scenario) -> u32 {
        let budget = scenario.service.budget;
        match self.mode {
            Mode::Server => budget,
            Mode::Plan if self.limited && scenario.planned => budget,
            Mode::Plan | Mode::Kubernetes => 0,
        }
    }
}

/// Creates a service, runs the scenario with it, and deletes it.
pub fn measure(database: Database<'_>, scenario: &Scenario, variant: &Variant) -> Measurement {
    let mut measurement = blank(database, scenario, variant);
    let done = catch_unwind(AssertUnwindSafe(|| {
        Subject::delete(database.cluster, &database);
        database.make_account(measurement.limit);
        let subject = Subject::create(database, variant.mode, scenario.service);
        if scenario.service.kind == Kind::Provisioned {
            measurement.limit = database.limit_of(subject.processes.account());
        }
        eprintln!("        {:>4.0} s  settled", subject.seconds());
        run(&subject, scenario, &mut measurement);
    }));
    if let Err(panic) = done {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text
            .or(panic.downcast_ref::<&str>().copied())
            .unwrap_or("panicked");
        measurement.error = Some(text.chars().take(300).collect());
    }
    Subject::delete(database.cluster, &database);
    measurement
}

fn run(subject: &Subject<'_>, scenario: &Scenario, measurement: &mut Measurement) {
    let refused = subject.database.refused();
    let load = subject.load(measurement.clients, scenario.rate);
    let origin = subject.seconds();
    let recorder = Recorder::start(&subject.database, subject.processes.clone());
    let before = load_average();
    sleep(QUIET);
    let began = recorder.seconds();
    (scenario.run)(subject);
    measurement.seconds = tenths(recorder.seconds() - began);
    sleep(QUIET);
    measurement.load_average = (before.min(load_average()), before.max(load_average()));
    let marks = subject.marks().into_iter();
    measurement.marks = marks
        .map(|(at, what)| (tenths(at - origin), what))
        .collect();
    record(measurement, &recorder.stop(), load.stop());
    measurement.refused = subject.database.refused().saturating_sub(refused);
    let max_pods = subject.tuning()["maxPods"].as_u64();
    measurement.max_pods = max_pods.and_then(|pods| u32::try_from(pods).ok());
}

fn record(measurement: &mut Measurement, recording: &Recording, told: ClientReport) {
    measurement.greatest_connections = recording.peak_connections();
    measurement.greatest_pods = recording.peak_pods();
    measurement.samples = recording.samples();
    measurement.longest_gap_milliseconds = recording.longest_gap();
    measurement.series = recording.series();
    measurement.answered = told.answered;
    measurement.failed = told.failed;
    measurement.failures = told.examples;
}

fn blank(database: Database<'_>, scenario: &Scenario, variant: &Variant) -> Measurement {
    Measurement {
        scenario: scenario.name.to_owned(),
        number: place(scenario.name),
        what: scenario.what.to_owned(),
        mode: variant.mode,
        flavour: database.flavour,
        state: variant.state.clone(),
        server: database.version(),
        commit: commit(),
        replicas: scenario.service.pods.least(),
        clients: scenario.clients,
        bound: if variant.mode == Mode::Kubernetes {
            0
        } else {
            scenario.bound
        },
        limit: variant.limit(scenario),
        promised: match variant.mode {
            Mode::Plan => scenario.planned,
            Mode::Server => true,
            Mode::Kubernetes => false,
        },
        greatest_connections: 0,
        greatest_pods: 0,
        max_pods: None,
        refused: 0,
        answered: 0,
        failed: 0,
        failures: Vec::new(),
        seconds: 0.0,
        load_average: (0.0, 0.0),
        samples: 0,
        longest_gap_milliseconds: 0,
        error: None,
        series: super::recorder::Series::default(),
        marks: Vec::new(),
    }
}

/// The machine's load average over a minute.
pub fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// Rounds to tenths of a second.
pub fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

/// The commit of the programs.
pub fn commit() -> String {
    let output = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
