//! Faults caused for real: the alerts about the API fire, and end after the remedy.
//!
//! All services share one Prometheus, and each has its own fault at the same time.

use std::any::Any;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::time::interval;

use super::dashboards;
use super::traffic::Traffic;
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::hostile_server::{HostileServer, Hostility};
use crate::harness::prometheus::Prometheus;
use crate::harness::prometheus::fault::{Fault, Watched};
use crate::harness::prometheus::rules::rules;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use crate::harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use crate::harness::watchdog::Scratch;
use crate::outages::fixture::fill;

const FROZEN: Fault = Fault {
    what: "a database that is frozen",
    service: "frozen",
    fires: &[
        "ReckonStoreUnreachable",
        "ReckonErrorBudgetBurn",
        "ReckonStaleAnswers",
    ],
    also: &["ReckonLatencyBudgetBurn", "ReckonConnectionsSaturated"],
};
const REFUSED: Fault = Fault {
    what: "a password that is changed",
    service: "refused",
    fires: &[
        "ReckonStoreRefused",
        "ReckonStoreUnreachable",
        "ReckonErrorBudgetBurn",
        "ReckonStaleAnswers",
    ],
    also: &["ReckonLatencyBudgetBurn"],
};
const SLOW: Fault = Fault {
    what: "a database that is far away, and more misses than its connections can serve",
    service: "slow",
    fires: &["ReckonConnectionsSaturated", "ReckonLatencyBudgetBurn"],
    also: &["ReckonErrorBudgetBurn", "ReckonStaleAnswers"],
};
const QUEUE: Fault = Fault {
    what: "a queue for the database that is full",
    service: "queue",
    fires: &["ReckonLoadShedding", "ReckonErrorBudgetBurn"],
    also: &[
        "ReckonLatencyBudgetBurn",
        "ReckonConnectionsSaturated",
        "ReckonStaleAnswers",
    ],
};
const IN_FLIGHT: Fault = Fault {
    what: "more requests in flight than allowed",
    service: "in-flight",
    fires: &["ReckonLoadShedding", "ReckonErrorBudgetBurn"],
    also: &["ReckonLatencyBudgetBurn"],
};
const REDIS_GONE: Fault = Fault {
    what: "a Redis that is gone",
    service: "redis-gone",
    fires: &["ReckonSharedCacheDown"],
    also: &[],
};
const REDIS_LATE: Fault = Fault {
    what: "a Redis that answers late",
    service: "redis-late",
    fires: &["ReckonInvalidationLag"],
    also: &["ReckonSharedCacheDown"],
};
const DOWN: Fault = Fault {
    what: "an instance that is gone",
    service: "down",
    fires: &["ReckonTargetDown"],
    also: &[],
};
const RESTARTING: Fault = Fault {
    what: "an instance that starts again and again",
    service: "down",
    fires: &["ReckonRestarting"],
    also: &["ReckonTargetDown"],
};
const HOSTILE: Fault = Fault {
    what: "a server that answers with invalid packets at the database's address",
    service: "hostile",
    fires: &["ReckonTaskPanics", "ReckonStoreUnreachable"],
    also: &[
        "ReckonErrorBudgetBurn",
        "ReckonStaleAnswers",
        "ReckonLatencyBudgetBurn",
        "ReckonConnectionsSaturated",
    ],
};
const FAULTS: [Fault; 10] = [
    FROZEN, REFUSED, SLOW, QUEUE, IN_FLIGHT, REDIS_GONE, REDIS_LATE, DOWN, RESTARTING, HOSTILE,
];
/// Alerts about the API that no fault here causes, for these reasons.
const NOT_CAUSED: [(&str, &str); 4] = [
    ("ReckonBudgetInfeasible", "it is the operator's condition"),
    (
        "ReckonFreshnessStalled",
        "it needs the setting freshness; tests/it/freshness causes failed polls, and promtool tests the rule",
    ),
    (
        "ReckonConnectionsAboveBudget",
        "it needs an operator's metrics: e2e/tests/api_server/alerts.rs causes it",
    ),
    (
        "ReckonApiAbsent",
        "it is about all services, so that it has no label: see the end of the run",
    ),
];

/// Something that must exist as long as the run.
type Alive = Box<dyn Any + Send>;

#[test]
fn every_alert_about_the_api_is_caused_by_a_fault() {
    let caused = FAULTS.iter().flat_map(|fault| fault.fires.iter().copied());
    let caused: BTreeSet<&str> = caused.chain(NOT_CAUSED.map(|(name, _)| name)).collect();
    let rules = rules();
    let groups = [
        "reckon-objectives",
        "reckon-database",
        "reckon-cache",
        "reckon-processes",
    ];
    let alerts = rules.alerts_of(&groups);
    let alerts: BTreeSet<&str> = alerts.map(|alert| alert.name.as_str()).collect();
    assert_eq!(alerts, caused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_makes_its_alerts_fire_and_its_remedy_ends_them() {
    let prometheus = Prometheus::start().await;
    let at = &prometheus;
    let alive: [Alive; 9] = tokio::join!(
        frozen(at),
        refused(at),
        slow(at),
        queue(at),
        in_flight(at),
        redis_gone(at),
        redis_late(at),
        down_and_restarting(at),
        hostile(at),
    )
    .into();
    every_panel_has_data(at).await;
    absent(at).await;
    drop(alive);
}

/// Starts a service with small limits, and scrapes it. Without its own database, it has a SQLite file.
async fn service(
    prometheus: &Prometheus,
    name: &str,
    directory: &Scratch,
    tuning: &str,
    database: Option<Vec<(&'static str, String)>>,
) -> ApiProcess {
    let tuning_file = directory.path().join("tuning.yaml");
    std::fs::write(&tuning_file, tuning).unwrap();
    let api = ApiCommand::new().env("RECKON_TUNING", &tuning_file);
    let api = match database {
        Some(database) => api.envs(database),
        None => api.env("RECKON_DATA", demo(directory.path()).await),
    };
    watched(prometheus, name, api).await
}

async fn watched(prometheus: &Prometheus, name: &str, api: ApiCommand) -> ApiProcess {
    let api = api.spawn();
    api.ready().await;
    prometheus.scrape(name, api.backend().ops).await;
    api
}

/// An empty SQLite file: no user has rows.
pub async fn demo(directory: &Path) -> std::path::PathBuf {
    use sqlx::Connection as _;
    let data = directory.join("reckon.db");
    reckon_api::store::sqlite::create(&data)
        .await
        .unwrap()
        .close()
        .await
        .unwrap();
    data
}

fn scratch() -> Scratch {
    Scratch::new(&std::env::temp_dir(), "reckon-alerts-")
}

async fn database() -> SqlServer {
    let server = Flavour::MariaDb.start().await;
    fill(&server, "reckon").await;
    server
}

/// Has the answers for those kept whom [`any_user_path`] asks for again and again.
async fn fill_cache(api: &ApiProcess) {
    for user in CACHED {
        let answer = api.client().get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

/// Users that are asked for again and again.
const CACHED: std::ops::RangeInclusive<i64> = 1..=20;

/// One in two is somebody that was asked for before, the other one is a miss.
fn any_user_path() -> String {
    if fastrand::bool() {
        format!("/recommend/{}", fastrand::i64(CACHED))
    } else {
        new_user_path()
    }
}

fn new_user_path() -> String {
    format!("/recommend/{}", fastrand::i64(1_000..=i64::MAX))
}

const STEADY: Duration = Duration::from_millis(25);
/// Answers expire within a second.
const AGING: &str = "{store: {poolSize: 4}, cache: {memory: {ttlSeconds: 1}}}";

/// A service over MariaDB with full caches and steady requests, while nothing fires yet.
async fn over_a_database(prometheus: &Prometheus, fault: Fault) -> (Watched<'_>, SqlServer, Alive) {
    let (server, directory) = (database().await, scratch());
    let store = Some(server.environment("reckon"));
    let api = service(prometheus, fault.service, &directory, AGING, store).await;
    let traffic = Traffic::to(api.client(), 1, STEADY, any_user_path);
    fill_cache(&api).await;
    let watched = Watched::without_alerts(prometheus, fault).await;
    (watched, server, Box::new((traffic, api, directory)))
}

async fn frozen(prometheus: &Prometheus) -> Alive {
    let (fault, server, alive) = over_a_database(prometheus, FROZEN).await;
    server.process.freeze().await;
    fault.fires().await;
    server.process.thaw();
    fault.ends().await;
    Box::new((alive, server))
}

async fn refused(prometheus: &Prometheus) -> Alive {
    let (fault, server, alive) = over_a_database(prometheus, REFUSED).await;
    let change = async |password: &str| {
        let sql = format!(
            "ALTER USER '{}'@'%' IDENTIFIED BY '{password}'",
            RECKON.name
        );
        server.execute(sql).await;
    };
    change("another-password").await;
    server.execute(format!("KILL USER '{}'", RECKON.name)).await;
    fault.fires().await;
    change(RECKON.password).await;
    fault.ends().await;
    Box::new((alive, server))
}

/// An API over a database whose latency a proxy can increase.
async fn over_a_proxy(
    prometheus: &Prometheus,
    name: &str,
    tuning: &str,
) -> (ApiProcess, TcpProxy, Alive) {
    let (server, directory) = (database().await, scratch());
    let proxy = TcpProxy::to(server.port()).await;
    let mut environment = server.environment("reckon");
    environment.push(("DB_PORT", proxy.port().to_string()));
    let api = service(prometheus, name, &directory, tuning, Some(environment)).await;
    (api, proxy, Box::new((server, directory)))
}

async fn slow(prometheus: &Prometheus) -> Alive {
    let (api, proxy, server) = over_a_proxy(prometheus, "slow", "{store: {poolSize: 2}}").await;
    let usual = Traffic::to(api.client(), 1, STEADY, any_user_path);
    let fault = Watched::without_alerts(prometheus, SLOW).await;
    proxy.set_mode(Mode::Late(Duration::from_millis(300)));
    let more = Traffic::to(api.client(), 2, STEADY, new_user_path);
    fault.fires().await;
    proxy.set_mode(PROMPT);
    drop(more);
    fault.ends().await;
    Box::new((usual, api, proxy, server))
}

async fn queue(prometheus: &Prometheus) -> Alive {
    let (api, proxy, server) = over_a_proxy(
        prometheus,
        "queue",
        "{store: {poolSize: 2, queueLength: 4}}",
    )
    .await;
    let usual = Traffic::to(api.client(), 1, STEADY, any_user_path);
    let fault = Watched::without_alerts(prometheus, QUEUE).await;
    proxy.set_mode(Mode::Late(Duration::from_millis(400)));
    let more = Traffic::to(api.client(), 3, STEADY, new_user_path);
    fault.fires().await;
    proxy.set_mode(PROMPT);
    drop(more);
    fault.ends().await;
    Box::new((usual, api, proxy, server))
}

async fn in_flight(prometheus: &Prometheus) -> Alive {
    let directory = scratch();
    let api = service(
        prometheus,
        "in-flight",
        &directory,
        "{server: {maxRequestsInFlight: 1}}",
        None,
    )
    .await;
    let fault = Watched::without_alerts(prometheus, IN_FLIGHT).await;
    let crowd = Traffic::to(api.client(), 8, STEADY, new_user_path);
    fault.fires().await;
    drop(crowd);
    fault.ends().await;
    Box::new((api, directory))
}

async fn redis_gone(prometheus: &Prometheus) -> Alive {
    let (mut redis, directory) = (RedisServer::running().await, scratch());
    let api = ApiCommand::new()
        .envs(redis.environment())
        .env("RECKON_DATA", demo(directory.path()).await);
    let api = watched(prometheus, "redis-gone", api).await;
    let traffic = Traffic::to(api.client(), 1, STEADY, any_user_path);
    let fault = Watched::without_alerts(prometheus, REDIS_GONE).await;
    redis.process.kill();
    fault.fires().await;
    redis.start().await;
    fault.ends().await;
    Box::new((traffic, api, redis, directory))
}

async fn redis_late(prometheus: &Prometheus) -> Alive {
    let (redis, directory) = (RedisServer::running().await, scratch());
    let api = ApiCommand::new()
        .envs(redis.environment())
        .env("RECKON_DATA", demo(directory.path()).await);
    let api = watched(prometheus, "redis-late", api).await;
    let fault = Watched::without_alerts(prometheus, REDIS_LATE).await;
    // Heartbeats are answered 1.6 s late, below the 2 s after which the connection is given up.
    let stutter = async {
        let mut clock = interval(Duration::from_millis(1_700));
        loop {
            clock.tick().await;
            redis.process.thaw();
            redis.command(&["PING"]).await.ok();
            redis.process.freeze().await;
        }
    };
    tokio::select! {
        () = fault.fires() => {}
        () = stutter => {}
    }
    redis.process.thaw();
    fault.ends().await;
    Box::new((api, redis, directory))
}

async fn down_and_restarting(prometheus: &Prometheus) -> Alive {
    let directory = scratch();
    let mut api = service(prometheus, "down", &directory, "{}", None).await;
    let fault = Watched::without_alerts(prometheus, DOWN).await;
    api.process.kill();
    fault.fires().await;
    api.process.start();
    fault.ends().await;

    let fault = Watched::without_alerts(prometheus, RESTARTING).await;
    let is_up = "up{service=\"down\"} == 1";
    let started = "process_start_time_seconds{service=\"down\"}";
    for _ in 0..3 {
        let before = prometheus.query(started).await.first().unwrap().value;
        api.process.kill();
        api.process.start();
        eventually(Duration::from_secs(20), async || {
            let now = prometheus.query(&format!("{started} and {is_up}")).await;
            now.first().is_some_and(|now| now.value > before)
        })
        .await;
    }
    fault.fires().await;
    fault.ends().await;
    Box::new((api, directory))
}

async fn hostile(prometheus: &Prometheus) -> Alive {
    let (fault, mut server, alive) = over_a_database(prometheus, HOSTILE).await;
    server.process.kill();
    let impostor = HostileServer::start(server.port(), Hostility::TruncatedLogin);
    fault.fires().await;
    drop(impostor);
    server.start().await;
    fault.ends().await;
    Box::new((alive, server))
}

/// Panels that need not have data here, and why.
const NO_DATA: [(&str, &str); 15] = [
    ("Budget: connections in use", "the operator's"),
    ("Pods that are not ready", "the operator's"),
    ("Services without a ready pod", "the operator's"),
    ("Conditions that are wrong", "the operator's"),
    (
        "Connections against the budget",
        "the operator's, except for the open ones",
    ),
    (
        "Connections refused by the server",
        "the account has no limit",
    ),
    ("Replicas", "the operator's"),
    ("Alerts that fire", "none does any more"),
    ("Recommended: NDCG@10", "that of a trained model"),
    ("Explore: NDCG@5", "that of a trained model"),
    ("Hit rate", "that of a trained model"),
    ("Coverage", "that of a trained model"),
    ("Age of the cut-off", "that of a trained model"),
    ("Experiment: answers by group", "there is no experiment"),
    ("Age of the last poll for new rows", "no table is followed"),
];

async fn every_panel_has_data(prometheus: &Prometheus) {
    // The operator's queries have no data here, but are valid.
    for panel in dashboards::panels() {
        prometheus.query(&panel.expression).await;
    }
    let mut empty = BTreeSet::new();
    let panels = dashboards::of_the_service();
    for panel in &panels {
        if prometheus.query(&panel.expression).await.is_empty() {
            empty.insert(panel.title.as_str());
        }
    }
    println!(
        "{} queries of the dashboard, no data: {empty:?}",
        panels.len()
    );
    let expected = |title: &&str| NO_DATA.iter().any(|(known, _)| known == title);
    let unexpected: Vec<_> = empty.iter().filter(|title| !expected(title)).collect();
    assert!(unexpected.is_empty(), "no data for {unexpected:?}");
}

/// If no instance is left to scrape, the alert for this fires. It ends when there is one.
async fn absent(prometheus: &Prometheus) {
    let services: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.service).collect();
    let firing = "ALERTS{alertname=\"ReckonApiAbsent\",alertstate=\"firing\"}";
    let patience = Duration::from_mins(1);
    for service in services {
        prometheus.leave(service);
    }
    eventually(patience, async || {
        !prometheus.query(firing).await.is_empty()
    })
    .await;
    let said = prometheus.annotations().await;
    assert!(
        said.iter()
            .any(|it| it["summary"] == "Prometheus has no instance of the API to scrape"),
        "{said:?}"
    );
    let directory = scratch();
    let api = service(prometheus, "again", &directory, "{}", None).await;
    eventually(patience, async || prometheus.query(firing).await.is_empty()).await;
    drop(api);
}
