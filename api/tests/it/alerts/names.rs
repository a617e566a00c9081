//! Every metric that an alert or a dashboard names exists.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dashboards;
use super::faults::demo;
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::port::Port;
use crate::harness::prometheus::rules::rules;
use crate::harness::redis_server::RedisServer;
use crate::harness::watchdog::Scratch;

/// The prefixes of our metrics.
const PREFIXES: [&str; 6] = [
    "reckon_",
    "reckon:",
    "process_",
    "controller_runtime_",
    "workqueue_",
    "leader_election_",
];
/// Suffixes that the text format adds to a family's name.
const SUFFIXES: [&str; 5] = ["_total", "_bucket", "_sum", "_count", "_info"];
/// The documentation of the metrics. A test of the operator compares its table with what the operator exposes.
const DOCUMENTATION: &str = include_str!("../../../../docs/metrics.md");

/// The families that an expression names, without those that another program has.
fn families(expression: &str) -> BTreeSet<String> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == ':';
    let words = expression.split(|sign| !is_part(sign));
    words
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .map(|word| {
            let short = SUFFIXES.iter().find_map(|suffix| word.strip_suffix(suffix));
            short.unwrap_or(word).to_owned()
        })
        .collect()
}

/// The families of the API: of a process with a database and Redis, and of a process without a reachable database. Some
/// exist only after the first event that they count.
async fn of_the_api() -> BTreeSet<String> {
    let directory = Scratch::new(&std::env::temp_dir(), "reckon-names-");
    let redis = RedisServer::running().await;
    let tuning = directory.path().join("tuning.yaml");
    let experiment =
        "recommendation: {algorithm: Classic, experiment: {algorithm: NextBasket, percent: 50}}";
    std::fs::write(&tuning, experiment).unwrap();
    let well = ApiCommand::new()
        .envs(redis.environment())
        .env("RECKON_TUNING", &tuning)
        .env("RECKON_DATA", demo(directory.path()).await);
    let well = well.spawn();
    well.ready().await;
    let nobody = Port::take();
    let unwell = ApiCommand::new()
        .env("DB_HOST", "127.0.0.1")
        .env("DB_PORT", nobody.number().to_string())
        .env("DB_USER", "nobody")
        .env("DB_NAME", "nothing");
    let unwell = unwell.spawn();
    unwell.live().await;
    let counted = async || {
        let found = exposed(&well).await;
        let failed = exposed(&unwell).await;
        let begun = found.contains("reckon_shared_cache_operations")
            && failed.contains("reckon_store_errors");
        begun.then(|| found.union(&failed).cloned().collect())
    };
    for api in [&well, &unwell] {
        api.client().get("/recommend/1").await;
    }
    eventually(Duration::from_secs(20), counted).await
}

fn of_the_operator() -> BTreeSet<String> {
    let (_, table) = DOCUMENTATION
        .split_once("<!-- generated: operator -->")
        .expect("the operator's table");
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`'))
        .flat_map(|(name, _)| families(name))
        .collect()
}

async fn exposed(api: &ApiProcess) -> BTreeSet<String> {
    let text = api.ops().get("/metrics").await.body;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split_once(' '))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[tokio::test]
async fn every_metric_in_alerts_and_dashboards_exists() {
    let mut known = of_the_api().await;
    known.extend(of_the_operator());
    known.extend(rules().records().map(|record| record.name.clone()));
    let rules = rules();
    let alerts = rules.alerts().map(|alert| alert.expr.clone());
    let records = rules.records().map(|record| record.expr.clone());
    let panels = dashboards::panels()
        .into_iter()
        .map(|panel| panel.expression);
    let expressions: Vec<String> = alerts.chain(records).chain(panels).collect();
    let named: BTreeSet<String> = expressions.iter().flat_map(|it| families(it)).collect();
    let absent: Vec<_> = named.difference(&known).collect();
    assert!(absent.is_empty(), "nobody exposes {absent:?}");
    assert!(named.len() > 40, "only {} metrics were found", named.len());
}

#[test]
fn families_are_found_in_expressions() {
    let found = families(
        "sum by (le) (rate(reckon_a_seconds_bucket{x=~\"reckon-api\"}[5m])) / up + reckon:b:ratio_rate5m",
    );
    let expected = ["reckon:b:ratio_rate5m", "reckon_a_seconds"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}
