//! The metrics about the resources.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::Fixture;
use crate::operator::Operator;
use crate::spec;
use kube::api::DeleteParams;
use reckon_harness::eventually::eventually;
use reckon_harness::exposition::Exposition;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const OWN: &str = "reckon_recommendationservice_";

#[tokio::test]
async fn the_leaders_metrics_show_a_resource_for_as_long_as_it_exists() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "metrics").await;
    let leader = Operator::start(cluster, &fixture.namespace, "leader").await;
    eventually(SOON, async || leader.leads().await).await;
    let standby = Operator::start(cluster, &fixture.namespace, "standby").await;
    let _controllers = Controllers::play(&fixture);
    for name in ["shop", "blog"] {
        fixture.create(name, spec::minimal()).await;
        fixture
            .until_condition(name, "Progressing", "False", "UpToDate")
            .await;
    }

    let value = async |family: &str, label: Option<(&str, &str)>| {
        let of = [("namespace", fixture.namespace.as_str()), ("name", "shop")];
        let labels: Vec<_> = of.into_iter().chain(label).collect();
        let shown = metrics(&leader).await;
        shown.sum_of(&format!("{OWN}{family}"), &labels)
    };
    for (family, label, expected) in [
        // (60 - 3) / (2 + 2), rounded down, times the number of pods.
        ("budget_connections", None, 60.0),
        ("reserved_connections", None, 3.0),
        ("pool_connections", None, 14.0),
        ("worst_case_connections", None, 56.0),
        ("replicas", Some(("state", "desired")), 2.0),
        ("replicas", Some(("state", "ready")), 2.0),
        ("replicas", Some(("state", "updated")), 2.0),
        ("generation", None, 1.0),
        ("observed_generation", None, 1.0),
    ] {
        let is = value(family, label).await;
        assert!((is - expected).abs() < 0.5, "{family} {label:?}: {is}");
    }
    let shown = metrics(&leader).await;
    let condition = |type_, status| {
        let labels = [("name", "shop"), ("type", type_), ("status", status)];
        shown.sum_of(&format!("{OWN}condition"), &labels)
    };
    assert!((condition("Ready", "true") - 1.0).abs() < 0.5);
    assert!(condition("Ready", "false").abs() < 0.5);
    assert!((condition("Degraded", "false") - 1.0).abs() < 0.5);
    let created = [("kind", "Deployment"), ("verb", "apply")];
    assert!(shown.sum_of("reckon_operator_writes", &created) >= 2.0);
    assert!(shown.sum("controller_runtime_max_concurrent_reconciles", None) > 1.0);

    let of_standby = metrics(&standby).await;
    assert!(of_standby.names().all(|name| !name.starts_with(OWN)));
    assert!((of_standby.sum("reckon_operator_resources", None) - 2.0).abs() < 0.5);

    let services = fixture.services();
    services
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    eventually(SOON, async || {
        let text = leader.get("/metrics").await;
        !text.contains("name=\"shop\"")
    })
    .await;
    let left = metrics(&leader).await;
    assert!((left.sum("reckon_operator_resources", None) - 1.0).abs() < 0.5);
    assert!(
        (left.sum_of(&format!("{OWN}pool_connections"), &[("name", "blog")]) - 14.0).abs() < 0.5
    );
}

async fn metrics(operator: &Operator) -> Exposition {
    let answer = operator.get("/metrics").await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    Exposition::read(body)
}
