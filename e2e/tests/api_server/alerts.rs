//! Alerts that need the operator's metrics: a real Prometheus fires each when its fault is caused, and it ends after the
//! remedy. `tests/it/alerts` of the API causes the others.

use crate::cluster::Cluster;
use crate::fixture::{Fixture, SOON};
use crate::http_proxy::{HttpProxy, Mode};
use crate::operator::Operator;
use crate::spec;
use kube::api::ListParams;
use reckon_contract::env;
use reckon_harness::client::Client;
use reckon_harness::eventually::eventually;
use reckon_harness::port::Port;
use reckon_harness::process::Process;
use reckon_harness::prometheus::fault::{Fault, Watched};
use reckon_harness::prometheus::{OPERATOR, Prometheus};
use reckon_harness::sql_server::{Flavour, SqlServer};
use reckon_operator::controller::desired::config_map::FILE;
use reckon_operator::controller::kind::Kind;
use serde_json::json;
use std::path::Path;
use std::process::Command;

const ABOVE_BUDGET: Fault = Fault {
    what: "a pod with the labels of a service, started by hand",
    service: "shop",
    fires: &["ReckonConnectionsAboveBudget"],
    also: &["ReckonTargetDown"],
};
const STUCK: Fault = Fault {
    what: "a leader whose list of ConfigMaps is not answered",
    service: OPERATOR,
    fires: &["ReckonOperatorStuck"],
    also: &[],
};
/// Two pods of two connections each, with one more pod in a rollout, and 3 reserved ones.
const BUDGET: u32 = 11;
/// Requests at once that use all connections of a pod.
const REQUESTS: u32 = 300;

#[tokio::test]
async fn a_pod_started_by_hand_that_exceeds_the_budget_fires_until_it_ends() {
    let server = Flavour::MariaDb.start().await;
    server.execute("CREATE DATABASE IF NOT EXISTS reckon").await;
    let mut migration = process(&server, &["migrate"], &[]);
    migration.start();
    assert!(migration.exit(SOON).await.status.success());
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "alerts-budget").await;
    let operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let mut spec = spec::minimal();
    spec["mysql"]["external"]["host"] = json!("127.0.0.1");
    spec["mysql"]["external"]["port"] = json!(server.port());
    spec["mysql"]["connectionBudget"] = json!(BUDGET);
    fixture.create("shop", spec).await;
    fixture.until(Kind::Deployment, "shop", |_| true).await;
    let directory = tempfile::tempdir().unwrap();
    let tuning = directory.path().join("tuning.yaml");
    std::fs::write(&tuning, tuning_of(&fixture).await).unwrap();

    let prometheus = Prometheus::of_operator(operator.address()).await;
    let mut pods = Vec::new();
    for name in ["shop-0", "shop-1"] {
        let pod = Pod::start(&server, Some(&tuning)).await;
        pod.scraped(&prometheus, &fixture, name).await;
        pods.push(pod);
    }
    let watched = Watched::without_alerts(&prometheus, ABOVE_BUDGET).await;
    // `kubectl run` without the ConfigMap: it has the pool of the default.
    let mut by_hand = Pod::start(&server, None).await;
    by_hand.scraped(&prometheus, &fixture, "by-hand").await;
    watched.fires().await;
    let said = prometheus.annotations().await;
    assert!(
        said.iter().any(|it| {
            let description = it["description"].as_str().unwrap_or_default();
            description.starts_with("14 connections are open; the budget is 11.")
        }),
        "{said:?}"
    );
    by_hand.process.kill();
    prometheus.leave_pod("by-hand");
    watched.ends().await;
}

/// The tuning that the operator writes for the pods of a service.
async fn tuning_of(fixture: &Fixture) -> String {
    let maps = fixture.children(Kind::ConfigMap);
    let [map] = maps
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .try_into()
        .unwrap();
    map.data["data"][FILE].as_str().unwrap().to_owned()
}

/// The API's program.
fn process(server: &SqlServer, arguments: &[&str], variables: &[(&str, String)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_api-under-test"));
    command
        .args(arguments)
        .env_clear()
        .envs(server.environment("reckon"))
        .envs(variables.iter().cloned());
    Process::new(command)
}

/// A process of the API in the place of a pod.
struct Pod {
    process: Process,
    ops: Port,
    _serve: Port,
}

impl Pod {
    /// Starts one, and waits until it is ready. Without a tuning file, it has the defaults.
    async fn start(server: &SqlServer, tuning: Option<&Path>) -> Self {
        let (serve, ops) = (Port::take(), Port::take());
        let mut variables = vec![
            (env::LISTEN, serve.address().to_string()),
            (env::OPS_LISTEN, ops.address().to_string()),
        ];
        variables.extend(tuning.map(|file| (env::TUNING, file.display().to_string())));
        let mut process = process(server, &["serve"], &variables);
        process.start();
        let client = Client::without_keep_alive(format!("http://{}", ops.address()));
        eventually(SOON, async || {
            let answer = client.send(http::Method::GET, "/readyz", "").await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        // It opens its connections when requests need them.
        let paths = (0..REQUESTS).map(|user| format!("/recommend/{user}"));
        let client = Client::new(format!("http://{}", serve.address()));
        client.get_concurrently(paths).await;
        Self {
            process,
            ops,
            _serve: serve,
        }
    }

    /// Has it scraped as the chart's `PodMonitor` does.
    async fn scraped(&self, prometheus: &Prometheus, fixture: &Fixture, name: &str) {
        prometheus
            .scrape_pod(&fixture.namespace, "shop", name, self.ops.address())
            .await;
    }
}

#[tokio::test]
async fn a_leader_that_cannot_list_fires_until_its_list_is_answered() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "alerts-stuck").await;
    let proxy = HttpProxy::to(cluster).await;
    let mut operator =
        Operator::start_with(&proxy.kubeconfig(), &[&fixture.namespace], "one").await;
    fixture.create("shop", spec::minimal()).await;
    fixture.until(Kind::Deployment, "shop", |_| true).await;

    operator.process.kill();
    proxy.set_mode(Mode::Holding("configmaps"));
    operator.process.start();
    // It has not scraped the process before, so that only this start counts.
    let prometheus = Prometheus::of_operator(operator.address()).await;
    let watched = Watched::without_alerts(&prometheus, STUCK).await;
    watched.fires().await;
    assert!(operator.leads().await);
    let ready = operator.get("/readyz").await;
    assert!(ready.contains("503"), "{ready}");
    proxy.set_mode(Mode::Well);
    operator.ready().await;
    watched.ends().await;
}
