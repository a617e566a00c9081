//! Watches that cannot be continued, since the server no longer has the later events: `410 Gone`, reason `Expired`.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::spec;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use reckon_harness::eventually::eventually;
use reckon_harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The watches of the operator in addition to children: resources, pods, Secrets, addresses.
const OTHERS: [&str; 4] = ["RecommendationService", "Pod", "Secret", "EndpointSlice"];

#[tokio::test]
async fn changes_during_expired_watches_are_reconciled() {
    // Without the cache, a watch is one of etcd, which ends when its events were removed.
    let cluster = Cluster::with("--watch-cache=false").await;
    let fixture = Fixture::new(&cluster, "expired").await;
    let proxy = TcpProxy::to(cluster.port()).await;
    let kubeconfig = cluster.kubeconfig_through(proxy.port()).await;
    let operator = Operator::start_with(&kubeconfig, &[&fixture.namespace], "one").await;
    let _controllers = Controllers::play(&fixture);
    for name in ["kept", "gone"] {
        fixture.create(name, spec::minimal()).await;
    }
    for name in ["kept", "gone"] {
        fixture
            .until_condition(name, "Progressing", "False", "UpToDate")
            .await;
    }
    assert_eq!(expired(&operator), BTreeSet::new());

    proxy.set_mode(Mode::Closed);
    fixture.create("new", spec::minimal()).await;
    fixture.delete(Kind::PodDisruptionBudget, "kept").await;
    fixture.delete(Kind::Service, "kept-metrics").await;
    let port = json!({"service": {"port": 8080}});
    fixture.change("kept", port).await;
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "mine"}}});
    fixture
        .children(Kind::NetworkPolicy)
        .patch("kept", &PatchParams::default(), &Patch::Merge(&label))
        .await
        .unwrap();
    fixture
        .services()
        .delete("gone", &DeleteParams::default())
        .await
        .unwrap();
    let now = fixture
        .services()
        .list(&ListParams::default())
        .await
        .unwrap();
    cluster.compact_before(&now.metadata.resource_version.unwrap());
    proxy.set_mode(PROMPT);

    let kinds: BTreeSet<&str> = Kind::ALL
        .map(Kind::name)
        .into_iter()
        .chain(OTHERS)
        .collect();
    eventually(SOON, async || {
        let seen = expired(&operator);
        let missing = kinds.iter().filter(|kind| !seen.contains(**kind));
        let missing: Vec<_> = missing.collect();
        missing
            .is_empty()
            .then_some(())
            .ok_or(format!("{missing:?}"))
    })
    .await;
    fixture
        .until(Kind::PodDisruptionBudget, "kept", |_| true)
        .await;
    fixture.until(Kind::Service, "kept-metrics", |_| true).await;
    fixture
        .until(Kind::Service, "kept", |service| {
            service.data["spec"]["ports"][0]["port"] == 8080
        })
        .await;
    fixture
        .until(Kind::NetworkPolicy, "kept", |policy| {
            policy.labels()["app.kubernetes.io/part-of"] == "reckon"
        })
        .await;
    fixture
        .until_condition("new", "Progressing", "False", "UpToDate")
        .await;
    // The list that told of this one told of the one that is gone; here nobody cleans up after it.
    fixture.delete(Kind::PodDisruptionBudget, "gone").await;
    fixture.create("after", spec::minimal()).await;
    fixture
        .until_condition("after", "Progressing", "False", "UpToDate")
        .await;
    let left = fixture.children(Kind::PodDisruptionBudget);
    assert!(left.get_opt("gone").await.unwrap().is_none());
    assert!(operator.process.is_running());
}

/// Kinds whose watch the API server has ended as expired, by the operator's log.
fn expired(operator: &Operator) -> BTreeSet<String> {
    let logs = operator.process.logs();
    let lines = logs
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let failures = lines.filter(|line| line["message"] == "watch failed, restarting it");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    failures
        .filter(|line| text(&line["error"]).ends_with(": Expired"))
        .map(|line| text(&line["kind"]))
        .collect()
}
