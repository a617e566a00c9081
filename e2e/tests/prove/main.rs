//! Measures what the documentation promises about the connection budget: `make prove`.
//!
//! A service on a whole cluster, under load, in one scenario after the other, while the database server's own figures are
//! sampled. The results go to `e2e/prove/results.json`, of which `e2e/prove/render` makes the document.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and says where"
)]

mod actions;
mod database;
mod measure;
mod processes;
mod recorder;
mod results;
mod scenarios;
mod service;
mod soak;
mod subject;

use clap::Parser;
use database::{Database, Flavour};
use measure::{Variant, measure};
use reckon_e2e::cluster::Cluster;
use scenarios::{ALL, Scenario};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use subject::Mode;

/// Measures the connection budget on a cluster.
#[derive(Debug, Parser)]
struct Arguments {
    /// Scenarios; none means all.
    scenarios: Vec<String>,
    /// What keeps the connections within the budget.
    #[arg(long, value_delimiter = ',', default_value = "Plan,Server,Kubernetes")]
    mode: Vec<Mode>,
    /// Kinds of the database server.
    #[arg(long, value_delimiter = ',', default_value = "MariaDB,MySQL")]
    server: Vec<Flavour>,
    /// Name of the programs' state in the results. Results of another state stay.
    #[arg(long, default_value = "now")]
    state: String,
    /// In planned mode the account has no limit, so that more connections than the bound are counted, and not refused.
    #[arg(long)]
    without_limit: bool,
    /// Keeps the cluster in this directory, and uses the one that is there.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Instead of the scenarios: mixed load for so many minutes, and a kill every 30 seconds. Of the modes and servers, the first.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// The order of the kills. The same seed, the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Lists the scenarios.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let chosen = chosen(&arguments.scenarios);
    if arguments.list {
        for scenario in chosen {
            println!("{}", scenario.name);
        }
        return ExitCode::SUCCESS;
    }
    let mut cluster = arguments
        .keep
        .as_deref()
        .map_or_else(Cluster::up, Cluster::kept_in);
    // So that the looks do not compete with what is measured.
    cluster.poll = Duration::from_secs(1);
    cluster.add_node();
    let broken = match arguments.soak {
        Some(minutes) => run_soak(&cluster, &arguments, minutes),
        None => run(&cluster, &arguments, &chosen),
    };
    if arguments.keep.is_none() {
        cluster.down();
    }
    for text in &broken {
        eprintln!("NOT KEPT: {text}");
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}

fn chosen(names: &[String]) -> Vec<&'static Scenario> {
    for name in names {
        assert!(
            ALL.iter().any(|scenario| scenario.name == name),
            "no scenario {name:?} (see --list)"
        );
    }
    let all = ALL.iter();
    all.filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name))
        .collect()
}

/// Measures; what was promised and is not so.
fn run(cluster: &Cluster, arguments: &Arguments, chosen: &[&Scenario]) -> Vec<String> {
    let mut broken = Vec::new();
    for flavour in &arguments.server {
        let database = Database::up(cluster, *flavour);
        for mode in &arguments.mode {
            let variant = Variant {
                mode: *mode,
                state: arguments.state.clone(),
                limited: !arguments.without_limit,
            };
            // A plain Deployment is for comparison: one server is enough.
            let wanted = |scenario: &&&Scenario| {
                *mode != Mode::Kubernetes || scenario.plain && *flavour == arguments.server[0]
            };
            for scenario in chosen.iter().filter(wanted) {
                eprintln!("{} {mode:?} {flavour:?}", scenario.name);
                let began = Instant::now();
                let measurement = measure(database, scenario, &variant);
                report(&measurement, began);
                broken.extend(measurement.broken());
                results::keep(measurement);
            }
        }
    }
    broken
}

fn run_soak(cluster: &Cluster, arguments: &Arguments, minutes: u64) -> Vec<String> {
    let database = Database::up(cluster, arguments.server[0]);
    let plan = soak::Plan {
        mode: arguments.mode[0],
        duration: Duration::from_mins(minutes),
        seed: arguments.seed,
    };
    let soak = soak::soak(database, plan);
    eprintln!("{soak:#?}");
    soak.keep();
    soak.broken()
}

fn report(measured: &results::Measurement, began: Instant) {
    eprintln!(
        "        {} of {} connections, {} pods of {:?}, {} refused, {} answered, {} failed, {} s (in all {} s), load {:?}, {} samples, gap {} ms{}",
        measured.greatest_connections,
        measured.bound,
        measured.greatest_pods,
        measured.max_pods,
        measured.refused,
        measured.answered,
        measured.failed,
        measured.seconds,
        began.elapsed().as_secs(),
        measured.load_average,
        measured.samples,
        measured.longest_gap_milliseconds,
        measured
            .error
            .as_ref()
            .map(|error| format!(", ERROR: {error}"))
            .unwrap_or_default(),
    );
    for failure in &measured.failures {
        eprintln!("        {failure}");
    }
}
