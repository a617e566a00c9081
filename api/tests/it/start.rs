//! Starts with errors, each of which ends with one line that names the solution; and settings that must work.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use crate::generated_users::{DATABASE, assert_retry_later, database};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;
use crate::table_lock::TableLock;

const SOON: Duration = Duration::from_secs(20);

/// The one line that it ends with, and its status.
async fn error_line(command: ApiCommand) -> (Option<i32>, String) {
    let mut api = command.spawn();
    let exit = api.process.exit(SOON).await;
    let lines = api.process.logs();
    let [line] = &lines[..] else {
        panic!("not one line but {lines:#?}");
    };
    println!("{:?}: {line}", exit.status.code());
    (exit.status.code(), line.clone())
}

fn written(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// An API over an existing empty SQLite file.
async fn over_a_file(directory: &Path) -> ApiCommand {
    let path = directory.join("reckon.db");
    let session = reckon_api::store::sqlite::create(&path).await.unwrap();
    sqlx::Connection::close(session).await.unwrap();
    ApiCommand::new().env("RECKON_DATA", &path)
}

fn has_line(api: &ApiProcess, parts: &[&str]) -> bool {
    let lines = api.process.logs();
    lines
        .iter()
        .any(|line| parts.iter().all(|part| line.contains(part)))
}

#[tokio::test]
async fn an_invalid_tuning_file_is_rejected_with_file_field_value_and_range() {
    let directory = tempfile::tempdir().unwrap();
    for (name, text, parts) in [
        (
            "syntax",
            "store: {poolSize: 3",
            &[
                "not valid YAML: did not find expected",
                "at line 2 column 1",
            ][..],
        ),
        (
            "unknown",
            "store: {poolsize: 3}",
            &["store.poolsize is unknown: expected one of accountLimit, connectionMaxAgeSeconds,"],
        ),
        (
            "range",
            "store: {poolSize: 1}",
            &["store.poolSize is 1: expected an integer from 2 to 10000"],
        ),
        (
            "type",
            "server: {threads: many}",
            &["server.threads is \"many\": expected an integer from 1 to 256"],
        ),
        (
            "contradiction",
            "store: {queryTimeoutMilliseconds: 6000}",
            &[
                "store.queryTimeoutMilliseconds is 6000: expected at most server.requestTimeoutMilliseconds, which is 5000",
            ],
        ),
        (
            "repeated",
            "store: {poolSize: 3, poolSize: 4}",
            &["poolSize"],
        ),
        (
            "list",
            "[1, 2]",
            &["the file is [1,2]: expected a mapping of fields"],
        ),
        (
            "several",
            "{store: {poolSize: 1}, server: {drainSeconds: 101}}",
            &[
                "store.poolSize is 1",
                "server.drainSeconds is 101: expected an integer from 0 to 100",
            ],
        ),
    ] {
        let path = written(directory.path(), name, text);
        let command = over_a_file(directory.path())
            .await
            .env("RECKON_TUNING", &path);
        let (status, line) = error_line(command).await;
        assert_eq!(status, Some(1), "{line}");
        assert!(
            line.starts_with(&format!("error: invalid tuning file {}: ", path.display())),
            "{line}"
        );
        for part in parts {
            assert_eq!(line.matches(part).count(), 1, "{part:?} once in: {line}");
        }
    }
    let absent = directory.path().join("absent.yaml");
    let command = over_a_file(directory.path())
        .await
        .env("RECKON_TUNING", &absent);
    let (status, line) = error_line(command).await;
    assert_eq!(status, Some(1));
    assert_eq!(
        line,
        format!(
            "error: failed to read the tuning file {} (RECKON_TUNING): No such file or directory (os error 2)",
            absent.display()
        )
    );
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_its_variable() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = holder.local_addr().unwrap();
    for variable in ["RECKON_LISTEN", "RECKON_OPS_LISTEN"] {
        let command = over_a_file(directory.path())
            .await
            .env(variable, held.to_string());
        let (status, line) = error_line(command).await;
        assert_eq!(status, Some(1));
        assert_eq!(
            line,
            format!(
                "error: failed to listen on {held} ({variable}): Address already in use (os error 98)"
            )
        );
    }
    // The port that became free again is used.
    let api = over_a_file(directory.path())
        .await
        .env("RECKON_LISTEN", taken.to_string())
        .spawn();
    api.ready().await;
}

#[tokio::test]
async fn invalid_variables_are_named() {
    let directory = tempfile::tempdir().unwrap();
    for (name, value, right) in [
        (
            "RUST_LOG",
            "reckon=loud",
            "expected one of \"off\", \"error\"",
        ),
        ("DB_PORT", "abc", "expected a port from 1 to 65535"),
        ("DB_PORT", "70000", "expected a port from 1 to 65535"),
        ("REDIS_PORT", "0", "expected a port from 1 to 65535"),
        ("WORKERS", "0", "expected an integer from 1 to 256"),
        (
            "MAX_CONNECTIONS",
            "many",
            "expected an integer from 1 to 1000000",
        ),
        (
            "RECKON_LISTEN",
            "8000",
            "expected an address and a port like 127.0.0.1:8000",
        ),
        (
            "RECKON_OPS_LISTEN",
            "localhost",
            "expected an address and a port like 127.0.0.1:8000",
        ),
        (
            "DB_TLS",
            "yes",
            "[possible values: disabled, preferred, required, verify-ca, verify-full]",
        ),
        ("RECKON_AUTH", "none", "[possible values: on, off]"),
    ] {
        let command = over_a_file(directory.path()).await.env(name, value);
        let (status, line) = error_line(command).await;
        assert!([Some(1), Some(2)].contains(&status), "{line}");
        for part in [name, value, right] {
            assert!(line.contains(part), "{part} in: {line}");
        }
    }
}

#[tokio::test]
async fn without_data_the_error_names_the_remedy_and_demo_creates_data() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/reckon.db");
    let (status, line) = error_line(ApiCommand::new().env("RECKON_DATA", &path)).await;
    assert_eq!(status, Some(1));
    assert_eq!(
        line,
        format!(
            "error: there is no data at {}: set DB_HOST to use MySQL, --data to use another file, or --demo to make this one with demo data",
            path.display()
        )
    );
    assert!(!path.exists());

    let api = ApiCommand::new()
        .env("RECKON_DATA", &path)
        .args(["--demo"])
        .spawn();
    api.ready().await;
    let answer = api.client().get("/recommend/1").await;
    assert_eq!(answer.status, 200);
    assert_ne!(
        answer.json()["recommendations"]["recommended_categories"],
        serde_json::json!([])
    );
    assert!(path.exists());
}

/// Threads that run the runtime's tasks.
fn workers(api: &ApiProcess) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", api.process.id())).unwrap();
    tasks
        .map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap_or_default())
        .filter(|name| name.starts_with("tokio-rt-worker"))
        .count()
}

#[tokio::test]
async fn the_originals_workers_and_max_connections_apply_without_a_tuning_file() {
    let server = database(Flavour::MariaDb, 0..100).await;
    let command = || {
        ApiCommand::new()
            .envs(server.environment(DATABASE))
            .envs([("WORKERS", "3"), ("MAX_CONNECTIONS", "2")])
    };
    let limit = async |api: &ApiProcess| {
        api.exposition()
            .await
            .sum("reckon_http_requests_in_flight_limit", None)
    };
    let in_flight = async |api: &ApiProcess| {
        api.exposition()
            .await
            .sum("reckon_http_requests_in_flight", None)
    };

    let api = command().spawn();
    api.ready().await;
    eventually(SOON, async || workers(&api) == 3).await;
    assert!((limit(&api).await - 2.0).abs() < 0.5);
    let lock = TableLock::of(&server).await;
    let client = api.client();
    let two = tokio::spawn(async move {
        client
            .get_concurrently((1..3).map(|user| format!("/recommend/{user}")))
            .await
    });
    eventually(SOON, async || in_flight(&api).await > 1.5).await;
    assert_retry_later(&api.client().get("/recommend/3").await);
    lock.release().await;
    two.await.unwrap();
    assert_eq!(api.client().get("/recommend/3").await.status, 200);

    let directory = tempfile::tempdir().unwrap();
    let tuning = written(
        directory.path(),
        "tuning.yaml",
        "server: {threads: 1, maxRequestsInFlight: 7}",
    );
    let api = command().env("RECKON_TUNING", &tuning).spawn();
    api.ready().await;
    eventually(SOON, async || workers(&api) == 1).await;
    assert!((limit(&api).await - 7.0).abs() < 0.5);
    for variable in ["WORKERS", "MAX_CONNECTIONS"] {
        let warning = [
            "WARN",
            "ignored, since there is a tuning file",
            variable,
            &tuning.display().to_string(),
        ];
        eventually(SOON, async || has_line(&api, &warning)).await;
    }
}

async fn run(command: ApiCommand, subcommand: &str) -> (Option<i32>, Vec<String>) {
    let mut api = command.args([subcommand]).spawn();
    let exit = api.process.exit(Duration::from_secs(30)).await;
    println!(
        "{subcommand}: {:?} after {:?}: {:?}",
        exit.status.code(),
        exit.after,
        api.process.logs()
    );
    (exit.status.code(), api.process.logs())
}

#[tokio::test]
async fn subcommands_take_the_database_from_the_environment() {
    let server = Flavour::MariaDb.start().await;
    let command = || {
        ApiCommand::new()
            .envs(server.environment(DATABASE))
            .env("WORKERS", "2")
    };
    for _ in 0..2 {
        assert_eq!(run(command(), "migrate").await.0, Some(0));
    }
    assert_eq!(run(command(), "demo").await.0, Some(0));
    let (status, lines) = run(command(), "demo").await;
    assert_eq!(status, Some(1));
    let error =
        "error: the table searches has rows already: demo data is only written into empty tables";
    assert!(lines.iter().any(|line| line == error), "{lines:?}");
    let api = command().spawn();
    api.ready().await;
    let answer = api.client().get("/recommend/1").await;
    assert_ne!(
        answer.json()["recommendations"]["recommended_categories"],
        serde_json::json!([])
    );

    // The same with SQLite, and with the explicit command `serve`.
    let directory = tempfile::tempdir().unwrap();
    let command = || ApiCommand::new().env("RECKON_DATA", directory.path().join("reckon.db"));
    for subcommand in ["migrate", "demo"] {
        assert_eq!(run(command(), subcommand).await.0, Some(0));
    }
    let over_sqlite = command().args(["serve"]).spawn();
    over_sqlite.ready().await;
    assert_eq!(
        over_sqlite.client().get("/recommend/1").await.body,
        answer.body
    );
}

#[tokio::test]
async fn empty_variables_count_as_absent() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("empty.db");
    reckon_api::store::sqlite::create(&data).await.unwrap();
    let names = [
        "DB_HOST",
        "DB_PORT",
        "DB_TLS",
        "WORKERS",
        "MAX_CONNECTIONS",
        "RECKON_TUNING",
        "RUST_LOG",
    ];
    let api = ApiCommand::new()
        .envs(names.map(|name| (name, "")))
        .env("RECKON_DATA", data)
        .spawn();
    api.ready().await;
    assert_eq!(api.client().get("/recommend/1").await.status, 200);
}

#[test]
fn the_description_of_the_api_can_be_written_to_a_closed_pipe() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut openapi = std::process::Command::new(env!("CARGO_BIN_EXE_reckon-api"));
    let output = openapi.arg("openapi").stdout(writer).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
