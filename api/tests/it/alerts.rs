//! Alerts, runbooks and dashboards: each alert has its runbook, all metric names exist, and a real Prometheus fires
//! each alert when its fault is caused.

mod dashboards;
mod faults;
mod lint;
mod names;
mod traffic;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use reckon_harness::generated::{compare, row};

use crate::harness::installed::program;
use crate::harness::prometheus::rules::{Alert, rules};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A path from the root of the sources.
fn path(below_the_root: &str) -> std::path::PathBuf {
    Path::new(ROOT).join(below_the_root)
}

#[test]
fn each_alert_has_a_runbook_and_each_runbook_an_alert() {
    let alerts: BTreeSet<String> = rules().alerts().map(|alert| alert.name.clone()).collect();
    let runbooks: BTreeSet<String> = std::fs::read_dir(path("docs/runbooks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(alerts, runbooks);
    for alert in rules().alerts() {
        let expected = format!("docs/runbooks/{}.md", alert.name);
        assert_eq!(alert.annotations["runbook_url"], expected);
        let page = std::fs::read_to_string(path(&expected)).unwrap();
        for part in [
            "**Meaning.**",
            "**What users see.**",
            "## Diagnosis",
            "## Remedy",
            "## It is over when",
        ] {
            assert!(page.contains(part), "{expected} has no {part}");
        }
    }
}

#[test]
fn each_alert_has_a_severity_a_summary_and_a_description() {
    for alert in rules().alerts() {
        let severity = alert.labels["severity"].as_str();
        assert!(["critical", "warning"].contains(&severity), "{severity}");
        for annotation in ["summary", "description"] {
            assert!(!alert.annotations[annotation].is_empty(), "{}", alert.name);
        }
    }
}

#[test]
fn the_monitoring_page_lists_every_alert() {
    let mut table =
        row(&["alert", "severity", "for", "meaning"]) + &row(&["---", "---", "---", "---"]);
    for alert in rules().alerts() {
        table += &alert_row(alert);
    }
    compare(path("docs/monitoring.md"), "alerts", &table);
}

fn alert_row(alert: &Alert) -> String {
    let page = format!("[{0}](runbooks/{0}.md)", alert.name);
    let window = alert.labels.get("window");
    let page = window.map_or(page.clone(), |window| format!("{page}, {window}"));
    let runbook = std::fs::read_to_string(path(&alert.annotations["runbook_url"])).unwrap();
    let meaning = runbook
        .lines()
        .find_map(|line| line.strip_prefix("**Meaning.** "));
    let (first, _) = meaning
        .unwrap()
        .split_once(". ")
        .unwrap_or((meaning.unwrap(), ""));
    let first = format!("{}.", first.trim_end_matches('.'));
    row(&[
        &page,
        &alert.labels["severity"],
        alert.wait.as_deref().unwrap_or("at once"),
        &first,
    ])
}

/// `promtool` runs e2e/monitoring/alerts.test.yaml: each alert fires on its series, not on healthy ones, and ends.
#[test]
fn each_alert_fires_on_its_series_and_on_no_others() {
    let tests = std::fs::read_to_string(path("e2e/monitoring/alerts.test.yaml")).unwrap();
    for alert in rules().alerts() {
        let fires = format!("ALERTS{{alertname=\"{}\",alertstate=\"firing\"", alert.name);
        assert!(tests.contains(&fires), "no test has {} fire", alert.name);
    }
    for arguments in [
        ["check", "rules", "charts/reckon/monitoring/alerts.yaml"],
        ["test", "rules", "e2e/monitoring/alerts.test.yaml"],
    ] {
        let output = Command::new(program("promtool", "prometheus"))
            .args(arguments)
            .current_dir(ROOT)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
}
