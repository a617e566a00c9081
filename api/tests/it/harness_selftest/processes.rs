//! Processes: their log, their signals, their end, and that none is left behind.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::stand_in::{DRAIN, spawn};
use crate::harness::api_process::ApiCommand;
use crate::harness::eventually::eventually;
use crate::harness::process::{Process, Signal};
use crate::harness::watchdog::Scratch;

const SOON: Duration = Duration::from_secs(10);

/// Whether a process is there, one that has ended and waits to be noticed not counted.
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
async fn a_process_is_live_then_ready_and_ends_when_told_to() {
    let mut api = spawn("one");
    api.live().await;
    api.ready().await;
    assert_eq!(api.client().get("/x").await.json()["name"], "one");
    eventually(SOON, async || {
        api.process.logs().iter().any(|line| line == "one serves")
    })
    .await;

    let exit = api.process.stop().await;

    assert_eq!(exit.status.code(), Some(7));
    assert!(exit.after >= DRAIN, "{exit:?}");
    assert!(api.process.logs().iter().any(|line| line == "one drains"));
    assert!(!api.process.is_running());
}

#[tokio::test]
async fn a_signal_that_a_process_does_not_handle_ends_it() {
    let mut api = spawn("one");
    api.live().await;
    api.process.signal(Signal::INT);
    let exit = api.process.exit(SOON).await;
    assert_eq!(exit.status.code(), None);
}

#[tokio::test]
async fn a_frozen_process_keeps_its_connections_and_answers_once_thawed() {
    let api = spawn("one");
    api.live().await;
    let client = api.client();
    client.get("/x").await;
    let impatient = client.clone().with_timeout(Duration::from_millis(200));

    api.process.freeze().await;
    impatient
        .send(http::Method::GET, "/x", "")
        .await
        .unwrap_err();
    api.process.thaw();

    assert_eq!(client.get("/x").await.status, 200);
}

#[tokio::test]
async fn a_panicking_test_leaves_no_process_behind_not_even_a_frozen_one() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let api = spawn("one");
        api.live().await;
        api.process.freeze().await;
        tell.send(api.process.id()).unwrap();
        panic!("this panic belongs to the test");
    });
    let id = told.await.unwrap();
    test.await.unwrap_err();
    assert!(!exists(id));
}

#[tokio::test]
async fn a_killed_test_process_leaves_neither_process_nor_directory_behind() {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "harness_selftest::processes::hold_a_process"])
        .args(["--ignored", "--nocapture"])
        .env("HOLD", "yes");
    let mut test = Process::new(command);
    test.start();
    let (held, scratch) = eventually(SOON, async || {
        let lines = test.logs();
        let line = lines.iter().find_map(|line| line.strip_prefix("holds "))?;
        let (id, scratch) = line.split_once(' ')?;
        Some((id.parse::<u32>().ok()?, PathBuf::from(scratch)))
    })
    .await;
    assert!(exists(held) && scratch.exists());

    test.kill();

    eventually(SOON, async || !exists(held) && !scratch.exists()).await;
}

#[tokio::test]
#[ignore = "not a test: the test process that is killed by the one above"]
async fn hold_a_process() {
    if env::var("HOLD").is_err() {
        return;
    }
    let scratch = Scratch::new(&env::temp_dir(), "reckon-held-");
    let mut command = Command::new("sleep");
    command.arg("600");
    let mut process = Process::new(command);
    process.start();
    println!("holds {} {}", process.id(), scratch.path().display());
    std::future::pending::<()>().await;
}
