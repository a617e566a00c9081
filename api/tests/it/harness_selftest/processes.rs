//! Processes: their log, their signals, their end, and that none is left behind.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reckon_api::store::sqlite;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::process::Process;
use crate::harness::watchdog::Scratch;

const SOON: Duration = Duration::from_secs(10);

/// The API over an empty file, which is deleted with `directory`.
async fn spawn(directory: &Path) -> ApiProcess {
    let path = directory.join("empty.db");
    sqlite::create(&path).await.unwrap();
    ApiCommand::new().env("RECKON_DATA", path).spawn()
}

/// Whether a process exists. A process that has ended and was not waited for does not count.
fn exists(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn the_program_of_this_build_starts_with_arguments_and_ends_by_itself() {
    let mut api = ApiCommand::new().args(["--version"]).spawn();
    let exit = api.process.exit(SOON).await;
    assert!(exit.status.success(), "{exit:?}");
}

#[tokio::test]
async fn a_frozen_process_keeps_its_connections_and_answers_once_thawed() {
    let directory = tempfile::tempdir().unwrap();
    let api = spawn(directory.path()).await;
    api.live().await;
    let client = api.client();
    client.get("/recommend/1").await;
    let impatient = client.clone().with_timeout(Duration::from_millis(200));

    api.process.freeze().await;
    impatient
        .send(http::Method::GET, "/recommend/1", "")
        .await
        .unwrap_err();
    api.process.thaw();

    assert_eq!(client.get("/recommend/1").await.status, 200);
}

#[tokio::test]
async fn a_panicking_test_leaves_no_process_behind_not_even_a_frozen_one() {
    let (send_id, received_id) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let directory = tempfile::tempdir().unwrap();
        let api = spawn(directory.path()).await;
        api.live().await;
        api.process.freeze().await;
        send_id.send(api.process.id()).unwrap();
        panic!("this panic belongs to the test");
    });
    let id = received_id.await.unwrap();
    test.await.unwrap_err();
    assert!(!exists(id));
}

/// Set for the copy of the test program that is to be killed.
const TO_BE_KILLED: &str = "RECKON_TEST_TO_BE_KILLED";

#[tokio::test]
async fn a_killed_test_process_leaves_neither_process_nor_directory_behind() {
    if env::var_os(TO_BE_KILLED).is_some() {
        hold_a_process_and_a_directory().await;
    }
    let name = "harness_selftest::processes::a_killed_test_process_leaves_neither_process_nor_directory_behind";
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture"])
        .env(TO_BE_KILLED, "yes");
    let mut test = Process::new(command);
    test.start();
    let (held, scratch) = eventually(SOON, async || {
        let lines = test.logs();
        let line = lines.iter().find_map(|line| line.split_once("holds "))?.1;
        let (id, scratch) = line.split_once(' ')?;
        Some((id.parse::<u32>().ok()?, PathBuf::from(scratch)))
    })
    .await;
    assert!(exists(held) && scratch.exists());

    test.kill();

    eventually(SOON, async || !exists(held) && !scratch.exists()).await;
}

async fn hold_a_process_and_a_directory() {
    let scratch = Scratch::new(&env::temp_dir(), "reckon-held-");
    let mut command = Command::new("sleep");
    command.arg("600");
    let mut process = Process::new(command);
    process.start();
    println!("holds {} {}", process.id(), scratch.path().display());
    std::future::pending::<()>().await;
}

#[tokio::test]
#[should_panic(expected = "store connected in Some")]
async fn a_password_in_the_log_fails_the_test() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("empty.db");
    drop(reckon_api::store::sqlite::create(&data).await.unwrap());
    let api = ApiCommand::new()
        .env("RECKON_DATA", data)
        .env("DB_PASSWORD", "store connected")
        .spawn();
    api.ready().await;
    drop(api);
}
