//! `reckon-api monitor` with real processes, and with hostile peers.

mod peer;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::port::Port;
use crate::harness::process::{Process, Signal};
use peer::{Conduct, Peer};

/// Time limit for two samples and a start on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum memory of the monitor: its own, and a few pieces of each answer.
const MAX_BYTES: usize = 64 * 1024 * 1024;

fn monitor(arguments: &[&str], peers: &[SocketAddr]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reckon-api"));
    command.env_clear().arg("monitor").args(arguments);
    command.args(["--interval", "700ms"]);
    command.args(peers.iter().map(|peer| format!("http://{peer}")));
    let mut process = Process::new(command);
    process.start();
    process
}

/// The report of `--once --json`.
async fn report(peers: &[SocketAddr]) -> Value {
    let mut monitor = monitor(&["--once", "--json"], peers);
    let exit = monitor.exit(TIMEOUT).await;
    let lines = monitor.logs();
    assert!(exit.status.success(), "{lines:?}");
    assert_eq!(lines.len(), 1, "{lines:?}");
    serde_json::from_str(&lines[0]).unwrap()
}

/// The newest line of `--json` that satisfies the condition.
async fn line(monitor: &Process, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(TIMEOUT, async || {
        let report: Value = serde_json::from_str(monitor.logs().last()?).unwrap();
        holds(&report).then_some(report)
    })
    .await
}

struct Demo {
    api: ApiProcess,
    _directory: tempfile::TempDir,
}

async fn demo() -> Demo {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("reckon.db");
    let api = ApiCommand::new().args(["--demo"]).env("RECKON_DATA", data);
    let api = api.spawn();
    api.ready().await;
    Demo {
        api,
        _directory: directory,
    }
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn same(found: &Value, expected: &Value) {
    let (found, expected) = (number(found), number(expected));
    assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
}

#[tokio::test]
async fn the_report_agrees_with_the_figures_of_the_process() {
    let Demo { api, _directory } = demo().await;
    let ops = api.backend().ops;
    let client = api.client();
    let load = client.send_load(2, |worker, nth| {
        format!("/recommend/{}", 1 + (worker * 7 + nth) % 50)
    });
    let busy = report(&[ops]).await;
    let answers = load.stop().await;
    assert!(answers.iter().all(Result::is_ok));

    let recent = &busy["total"]["recent"];
    assert!(number(&recent["requests"]) > 0.0, "{recent}");
    assert!(number(&recent["requests_per_second"]) > 0.0, "{recent}");
    same(&recent["success_ratio"], &1.0.into());
    assert!(
        number(&recent["recommend"]["p99_seconds"]) > 0.0,
        "{recent}"
    );
    assert_eq!(busy["processes"][0]["state"], "up");

    let quiet = report(&[ops]).await;
    let stats = client.get("/stats").await.json();
    let total = &quiet["total"];
    let since_start = &total["since_start"];
    same(&since_start["requests"], &answers.len().into());
    same(
        &since_start["memory_hit_ratio"],
        &stats["memory_cache"]["hit_ratio"],
    );
    same(
        &total["now"]["memory_limit_bytes"],
        &stats["memory_cache"]["limit_bytes"],
    );
    let connections = &stats["store_connections"];
    same(&total["now"]["store_limit"], &connections["limit"]);
    let open = number(&connections["in_use"]) + number(&connections["idle"]);
    same(&total["now"]["store_open"], &open.into());
    same(&total["recent"]["requests_per_second"], &0.into());
    assert!(total["recent"]["success_ratio"].is_null(), "{total}");
    let process = &quiet["processes"][0];
    assert_eq!(process["address"], ops.to_string());
    assert_eq!(process["version"], stats["version"]);
    assert_eq!(process["store_up"], true);
    assert_eq!(process["shared_cache"], "none");
}

#[tokio::test]
async fn a_killed_process_is_shown_without_its_figures() {
    let Demo {
        mut api,
        _directory,
    } = demo().await;
    let ops = api.backend().ops;
    let monitor = monitor(&["--json"], &[ops]);
    line(&monitor, |it| it["total"]["answering"] == 1).await;
    api.process.kill();
    let report = line(&monitor, |it| it["total"]["answering"] == 0).await;
    let process = &report["processes"][0];
    assert_eq!(process["state"], "unreachable");
    assert_eq!(process["error"], "connection refused");
    assert!(process["last_answer_seconds_ago"].is_number(), "{process}");
    for unknown in [
        &process["recent"],
        &process["since_start"],
        &process["store_up"],
        &process["now"]["store_open"],
        &report["total"]["recent"],
        &report["total"]["now"]["store_open"],
    ] {
        assert!(unknown.is_null(), "{report}");
    }
}

#[tokio::test]
async fn hostile_peers_cost_neither_memory_nor_the_figures_of_others() {
    let Demo { api, _directory } = demo().await;
    let peers: Vec<_> = Conduct::ALL.into_iter().map(Peer::start).collect();
    let nobody = Port::take();
    let mut addresses: Vec<_> = peers.iter().map(Peer::address).collect();
    addresses.extend([nobody.address(), api.backend().ops]);
    let mut monitor = monitor(&["--json"], &addresses);
    // So many rounds that memory which is kept from each round would be noticed.
    eventually(TIMEOUT, async || monitor.logs().len() >= 6).await;
    let peak = monitor.peak_resident_bytes();
    let report = line(&monitor, |_| true).await;

    assert!(peak < MAX_BYTES, "{peak} bytes");
    let processes = report["processes"].as_array().unwrap();
    let (others, hostile) = (&processes[peers.len()..], &processes[..peers.len()]);
    for (process, conduct) in hostile.iter().zip(Conduct::ALL) {
        assert_eq!(process["state"], "unreachable", "{conduct:?}: {process}");
        let error = process["error"].as_str().unwrap();
        assert!(conduct.errors().contains(&error), "{conduct:?}: {error}");
    }
    assert_eq!(others[0]["error"], "connection refused");
    assert_eq!(others[1]["state"], "up");
    assert!(others[1]["recent"]["requests_per_second"].is_number());
    for (peer, conduct) in peers.iter().zip(Conduct::ALL) {
        assert_eq!(peer.most_at_once(), 1, "{conduct:?}");
    }
    monitor.signal(Signal::TERM);
    monitor.exit(TIMEOUT).await;
}

#[tokio::test]
async fn a_name_is_resolved_and_each_of_its_addresses_is_a_process() {
    let Demo { api, _directory } = demo().await;
    let ops = api.backend().ops;
    let name = format!("localhost:{}", ops.port());
    let mut monitor = monitor(&["--once", "--json", "--dns", &name], &[]);
    let exit = monitor.exit(TIMEOUT).await;
    let lines = monitor.logs();
    assert!(exit.status.success(), "{lines:?}");
    let report: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(report["processes"][0]["address"], ops.to_string());
    assert_eq!(report["processes"][0]["state"], "up");
}

#[tokio::test]
async fn if_no_process_answers_the_report_shows_it_and_the_command_fails() {
    let nobody = Port::take();
    let mut monitor = monitor(&["--once"], &[nobody.address()]);
    let exit = monitor.exit(TIMEOUT).await;
    let lines = monitor.logs();
    assert_eq!(exit.status.code(), Some(1), "{lines:?}");
    for expected in ["1 process: 1 unreachable", "error: no process answered"] {
        assert!(lines.iter().any(|line| line == expected), "{lines:?}");
    }
}

#[tokio::test]
async fn invalid_arguments_are_rejected_in_one_line() {
    for (arguments, expected) in [
        (&["--interval", "0"][..], "expected a time from 500ms to 1h"),
        (&["https://a"], "expected http://HOST[:PORT]"),
        (&["--dns", "127.0.0.1:1"], "expected NAME:PORT"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reckon-api"));
        let output = command.env_clear().arg("monitor").args(arguments).output();
        let output = output.unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
