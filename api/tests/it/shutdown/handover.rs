//! A rollout as clients observe it: two processes behind a balancer are replaced one after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Method;

use super::steady_clients::SteadyClients;
use crate::generated_users::{DATABASE, assert_correct, database};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::balancer::Balancer;
use crate::harness::eventually::eventually;
use crate::harness::process::Signal;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use crate::outages::fixture::refused_connections;

const SOON: Duration = Duration::from_secs(10);
const DRAIN: Duration = Duration::from_secs(2);
const USERS: i64 = 500;
const CLIENTS: i64 = 50;
/// The default of `poolSize`.
const POOL: i64 = 10;
/// 50 clients, ten requests a second each.
const PERIOD: Duration = Duration::from_millis(100);

/// Another database account for each process, so that the server can tell their sessions apart.
async fn start(server: &SqlServer, account: &str, tuning: &std::path::Path) -> ApiProcess {
    if account != RECKON.name {
        server
            .execute(format!(
                "CREATE USER '{account}'@'%' IDENTIFIED BY '{}'; GRANT SELECT ON {DATABASE}.* TO '{account}'@'%'",
                RECKON.password
            ))
            .await;
    }
    server.allow_connections(account, POOL).await;
    let api = ApiCommand::new()
        .envs(server.environment(DATABASE))
        .env("DB_USER", account)
        .env("RECKON_TUNING", tuning)
        .classic()
        .spawn();
    api.ready().await;
    api
}

/// Ends `api` while it has connections of clients, and checks the promises about its last seconds.
async fn replace(api: &mut ApiProcess, account: &str, server: &SqlServer, balancer: &Balancer) {
    // It has clients, and has read the database for them.
    eventually(SOON, async || server.sessions(account).await.open > 1).await;
    let (direct, ops) = (api.client(), api.ops());
    let signalled = Instant::now();
    api.process.signal(Signal::TERM);

    let not_ready = eventually(SOON, async || {
        let answer = ops.get("/readyz").await;
        (answer.status == 503).then_some(answer.body)
    })
    .await;
    let not_ready_after = signalled.elapsed();
    assert_eq!(not_ready, "not ready: shutting down\n");
    let mut during_the_drain = 0;
    while signalled.elapsed() < DRAIN / 2 {
        let user = 1 + during_the_drain % 10;
        let answer = direct.get(&format!("/recommend/{user}")).await;
        assert_correct(user, &answer);
        assert_eq!(answer.header("connection"), Some("close"));
        during_the_drain += 1;
        if user == 1 {
            assert_eq!(ops.get("/readyz").await.status, 503);
            assert_eq!(ops.get("/livez").await.status, 200);
        }
    }
    assert!(during_the_drain > 0);
    eventually(SOON, async || balancer.ready() == 1).await;

    let gone = async {
        eventually(SOON, async || server.sessions(account).await.open == 0).await;
        signalled.elapsed()
    };
    let (connections_gone_after, exit) = tokio::join!(gone, api.process.exit(SOON));
    println!(
        "{account}: not ready {not_ready_after:?} after SIGTERM, {during_the_drain} direct answers during the drain, \
         database connections gone after {connections_gone_after:?}, ended after {:?}",
        signalled.elapsed()
    );
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    assert!(
        connections_gone_after >= DRAIN,
        "{connections_gone_after:?}"
    );
    assert!(
        connections_gone_after < DRAIN + Duration::from_secs(1),
        "{connections_gone_after:?}"
    );
    let refused = direct.send(Method::GET, "/recommend/1", "").await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_replacement_of_processes_fails_no_request() {
    let server = database(Flavour::MariaDb, 0..USERS).await;
    let directory = tempfile::tempdir().unwrap();
    let tuning = directory.path().join("tuning.yaml");
    let text = format!("server: {{drainSeconds: {}}}", DRAIN.as_secs());
    std::fs::write(&tuning, text).unwrap();
    let mut one = start(&server, RECKON.name, &tuning).await;
    let mut two = start(&server, "two", &tuning).await;
    let balancer = Balancer::start().await;
    balancer.add(one.backend());
    balancer.add(two.backend());
    eventually(SOON, async || balancer.ready() == 2).await;

    let address: SocketAddr = balancer.url()["http://".len()..].parse().unwrap();
    let began = Instant::now();
    let clients = SteadyClients::start(address, CLIENTS, PERIOD, USERS);
    eventually(SOON, async || balancer.connections() == [25, 25]).await;

    replace(&mut one, RECKON.name, &server, &balancer).await;
    one.process.start();
    one.ready().await;
    eventually(SOON, async || balancer.ready() == 2).await;
    // All clients use the second process now.
    replace(&mut two, "two", &server, &balancer).await;

    for api in [&one, &two] {
        if api.process.is_running() {
            let metrics = api.ops().get("/metrics").await.body;
            assert_eq!(refused_connections(&metrics), 0);
        }
    }
    let tally = clients.stop().await;
    let seconds = began.elapsed().as_secs_f64();
    let answers = u32::try_from(tally.answers.len()).unwrap();
    println!(
        "{answers} answers in {seconds:.1} s: {:.0} a second; {} connections, {} ended by the server's announcement, \
         slowest answer {:?}, {} failures",
        f64::from(answers) / seconds,
        tally.connections,
        tally.announced_ends,
        tally
            .answers
            .iter()
            .map(|(_, answer)| answer.elapsed)
            .max()
            .unwrap(),
        tally.failures.len(),
    );
    assert!(tally.failures.is_empty(), "{:?}", tally.failures);
    for (user, answer) in &tally.answers {
        assert_correct(*user, answer);
    }
    // All 50 clients had to leave at least the second process, and half of them also the first one.
    assert!(tally.announced_ends >= 75, "{}", tally.announced_ends);
}
