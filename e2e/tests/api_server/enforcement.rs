//! What enforces the budget, depending on the limit that the pods report.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::spec;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use reckon_contract::network::HTTP_PORT;
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The answer of the single pod at `/health`.
type Health = Arc<Mutex<Value>>;

#[tokio::test]
async fn the_server_enforces_the_budget_while_the_pods_report_a_limit_within_it() {
    let health = Health::default();
    let address = serve(&health);
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "enforcement").await;
    let mut operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let _endpoints = Endpoints::play(&fixture, address);
    let mut one = spec::minimal();
    one["replicas"] = json!(1);
    report(
        &health,
        &json!({"account": "00000000000000ff", "connections": 0}),
    );
    fixture.create("shop", one).await;

    // (60 - 3) / (1 + 2)
    until(&fixture, "Plan", 19, 1, "the account has no limit").await;
    report(
        &health,
        &json!({"account": "00000000000000ff", "connections": 50}),
    );
    // 50 - 3 - 1 x 2
    let server = "enforced by the server: account limit 50 <= budget 60";
    until(&fixture, "Server", 45, "25%", server).await;
    let tuning = tuning(&fixture).await;
    assert_eq!(tuning.min_pool_size, Some(2));
    assert_eq!(tuning.account_limit, Some(60));

    // Another operator continues without a report.
    operator.process.stop().await;
    *health.lock().unwrap() = json!({"database": "disconnected", "redis": "not_configured"});
    let _operator = Operator::start(cluster, &fixture.namespace, "two").await;
    fixture
        .change("shop", json!({"mysql": {"connectionBudget": 70}}))
        .await;
    until(&fixture, "Server", 45, "25%", "50 <= budget 70").await;
    // The person follows.
    report(
        &health,
        &json!({"account": "00000000000000ff", "connections": 70}),
    );
    until(&fixture, "Server", 65, "25%", "70 <= budget 70").await;
    // A budget below the limit.
    fixture
        .change("shop", json!({"mysql": {"connectionBudget": 60}}))
        .await;
    until(&fixture, "Plan", 19, 1, "limit of 70 exceeds the budget").await;
    report(
        &health,
        &json!({"account": "00000000000000ff", "connections": 60}),
    );
    until(&fixture, "Server", 55, "25%", "60 <= budget 60").await;

    let plan = json!({"mysql": {"budgetEnforcement": "Plan"}});
    fixture.change("shop", plan).await;
    until(
        &fixture,
        "Plan",
        19,
        1,
        "spec.mysql.budgetEnforcement is Plan",
    )
    .await;
}

/// Waits until status, message, tuning and strategy are those of a mode, and nothing changes any more.
async fn until(fixture: &Fixture, mode: &str, pool: u32, surge: impl Into<Value>, message: &str) {
    let surge = surge.into();
    eventually(4 * SOON, async || {
        let service = fixture.services().get("shop").await.unwrap();
        let deployment = fixture.children(Kind::Deployment).get_opt("shop").await.unwrap();
        let deployment = deployment.ok_or("no Deployment")?;
        let conditions = service.data["status"]["conditions"].as_array();
        let condition = |type_: &str| -> Value {
            let mut all = conditions.into_iter().flatten();
            let found = all.find(|condition| condition["type"] == type_);
            found.cloned().unwrap_or_default()
        };
        let is = json!({
            "mode": service.data["status"]["tuning"]["enforcement"],
            "pool": service.data["status"]["tuning"]["poolPerPod"],
            "progress": condition("Progressing")["reason"],
            "surge": deployment.data["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
            "pods": deployment.data["spec"]["template"]["metadata"]["annotations"]["reckon.dev/pool"],
        });
        let wanted = json!({
            "mode": mode, "pool": pool, "progress": "UpToDate", "surge": surge,
            "pods": pool.to_string(),
        });
        let said = condition("BudgetFeasible")["message"].to_string();
        (is == wanted && said.contains(message))
            .then_some(())
            .ok_or(format!("{is} {said} instead of {wanted}"))
    })
    .await;
}

/// The tuning that the Deployment's pods read.
async fn tuning(fixture: &Fixture) -> reckon_contract::tuning::Store {
    let deployment = fixture
        .children(Kind::Deployment)
        .get("shop")
        .await
        .unwrap();
    let annotations = &deployment.data["spec"]["template"]["metadata"]["annotations"];
    let name = annotations["reckon.dev/tuning"].as_str().unwrap();
    let config_map: DynamicObject = fixture.children(Kind::ConfigMap).get(name).await.unwrap();
    let yaml = config_map.data["data"]["tuning.yaml"].as_str().unwrap();
    reckon_contract::Tuning::parse(yaml).unwrap().tuning.store
}

fn report(health: &Health, limit: &Value) {
    *health.lock().unwrap() = json!({
        "database": "connected", "redis": "not_configured", "connection_limit": limit,
    });
}

/// Serves `/health` at the port of the API, at this machine's own address: an API server accepts no address of the loopback
/// interface for a pod.
fn serve(health: &Health) -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // No packet is sent.
    socket.connect("198.51.100.1:9").unwrap();
    let address = socket.local_addr().unwrap().ip();
    let listener = TcpListener::bind((address, HTTP_PORT)).unwrap();
    let health = Arc::clone(health);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|read| read > 0) {
                let body = health.lock().unwrap().to_string();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                // The operator may have stopped.
                stream.write_all((head + &body).as_bytes()).ok();
            }
        }
    });
    address
}

/// Gives every pod of the service this address, until it is dropped.
struct Endpoints(JoinHandle<()>);

impl Endpoints {
    fn play(fixture: &Fixture, address: IpAddr) -> Self {
        let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let slices: Api<EndpointSlice> =
            Api::namespaced(fixture.client.clone(), &fixture.namespace);
        Self(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(250));
            loop {
                ticks.tick().await;
                let of_api = ListParams::default().labels("app.kubernetes.io/component=api");
                let Ok(pods) = pods.list_metadata(&of_api).await else {
                    continue;
                };
                let endpoints = pods.iter().map(|pod| {
                    json!({"addresses": [address], "targetRef": {"kind": "Pod", "name": pod.name_any()}})
                });
                let slice = json!({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {"name": "shop", "labels": {
                        "kubernetes.io/service-name": "shop-metrics",
                        "reckon.dev/metrics": "true",
                        "app.kubernetes.io/instance": "shop",
                    }},
                    "addressType": "IPv4",
                    "endpoints": endpoints.collect::<Vec<_>>(),
                });
                let parameters = PatchParams::apply("kubelet").force();
                slices
                    .patch("shop", &parameters, &Patch::Apply(&slice))
                    .await
                    .ok();
            }
        }))
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.0.abort();
    }
}
