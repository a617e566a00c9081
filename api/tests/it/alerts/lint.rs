//! `promtool` has no objection to the API's metrics.

use std::fmt::Write as _;
use std::fs::File;
use std::process::Command;

use super::faults::demo;
use crate::harness::api_process::ApiCommand;
use crate::harness::installed::program;
use crate::harness::watchdog::Scratch;

/// The older text format, which `promtool` reads. In it, the names of counters and infos include their suffixes.
fn older(open_metrics: &str) -> String {
    let mut suffix = String::new();
    let mut text = String::new();
    let mut help = None;
    for line in open_metrics.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (ending, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            ending.clone_into(&mut suffix);
            let (_, help) = help.take().unwrap();
            writeln!(
                text,
                "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"
            )
            .unwrap();
        } else if !line.starts_with("# UNIT ") {
            writeln!(text, "{line}").unwrap();
        }
    }
    text
}

#[tokio::test]
async fn promtool_accepts_the_metrics() {
    let directory = Scratch::new(&std::env::temp_dir(), "reckon-lint-");
    let api = ApiCommand::new()
        .env("RECKON_DATA", demo(directory.path()).await)
        .spawn();
    api.ready().await;
    api.client().get("/recommend/1").await;
    let text = older(&api.ops().get("/metrics").await.body);
    assert!(
        text.contains("# TYPE reckon_http_requests_total counter"),
        "{text}"
    );
    let file = directory.path().join("metrics");
    std::fs::write(&file, text).unwrap();
    let output = Command::new(program("promtool", "prometheus"))
        .args(["check", "metrics"])
        .stdin(File::open(&file).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
