//! The rights of the operator: a resource that uses every feature needs all of them, and no request lacks a right.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::jobs::Jobs;
use crate::operator::Operator;
use crate::provisioning::{admin, provisioned};
use crate::role;
use crate::training::collect;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use reckon_harness::sql_server::Flavour;
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// More time than a plan waits before it removes an autoscaler.
const TIMEOUT: Duration = Duration::from_mins(3);
/// The Jobs that create tables.
const MIGRATION: &str = "app.kubernetes.io/component=migrate";
/// Rights of the roles that this test does not use. Children of every kind are deleted if a resource no longer wants them, but
/// each resource wants its `ServiceAccount` and its `PodDisruptionBudget`.
const UNUSED: [&str; 2] = [
    "delete poddisruptionbudgets policy",
    "delete serviceaccounts",
];

#[tokio::test]
async fn the_roles_grant_the_rights_that_the_operator_uses() {
    let server = Flavour::MariaDb.start().await;
    let cluster = Cluster::audited().await;
    let fixture = Fixture::new(&cluster, "rights").await;
    admin(&fixture).await;
    let _operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    let (_controllers, _jobs) = (Controllers::play(&fixture), Jobs::run(&fixture));
    let mut whole = provisioned(server.port());
    whole["mysql"]["connectionBudget"] = json!(60);
    whole["redis"] = json!({"managed": {}});
    whole["autoscaling"] = json!({"maxReplicas": 4});
    whole["training"] = json!({});
    fixture.create("shop", whole).await;
    fixture.until(Kind::CronJob, "shop-train", |_| true).await;
    fixture
        .until(Kind::HorizontalPodAutoscaler, "shop", |_| true)
        .await;
    failed_migration(&fixture, &cluster).await;
    overdue_pod(&fixture, &cluster).await;

    let less = json!({
        "autoscaling": null, "replicas": 1, "redis": null, "training": null,
        "mysql": {"migrate": {"enabled": false}},
    });
    fixture.change("shop", less).await;
    fixture
        .until(Kind::CronJob, "shop-train", |it| {
            it.metadata.deletion_timestamp.is_some()
        })
        .await;
    collect(&fixture).await;
    for (kind, name) in [
        (Kind::NetworkPolicy, "shop-redis"),
        (Kind::HorizontalPodAutoscaler, "shop"),
    ] {
        fixture.until_gone(kind, name, TIMEOUT).await;
    }

    let granted: BTreeSet<String> = [role::rules(), role::leader_rules()]
        .iter()
        .flatten()
        .flat_map(rights)
        .collect();
    let expected: BTreeSet<String> = UNUSED.map(str::to_owned).into();
    eventually(SOON, async || {
        let used: BTreeSet<String> = cluster.audit().iter().flat_map(used).collect();
        let unused: BTreeSet<String> = granted.difference(&used).cloned().collect();
        (unused == expected)
            .then_some(())
            .ok_or(format!("not used: {unused:#?}"))
    })
    .await;
    let refused: BTreeSet<String> = cluster
        .audit()
        .iter()
        .filter(|request| request["responseStatus"]["code"] == 403)
        .flat_map(used)
        .collect();
    assert_eq!(refused, BTreeSet::new());
}

/// A migration that failed, and a pod of it, whose log no kubelet has.
async fn failed_migration(fixture: &Fixture, cluster: &Cluster) {
    let jobs = fixture.children(Kind::Job);
    let migration = eventually(SOON, async || {
        let all = jobs.list(&ListParams::default().labels(MIGRATION)).await;
        let first = all.unwrap().items.pop();
        first.map(|job| job.name_any()).ok_or("no migration")
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let pod = pod(&json!({
        "name": "migration",
        // No other test deletes a pod of this component here.
        "labels": {"batch.kubernetes.io/job-name": migration, "app.kubernetes.io/component": "provision"},
    }));
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let status = Patch::Merge(json!({"status": {"failed": 1}}));
    let parameters = PatchParams::default();
    jobs.patch_status(&migration, &parameters, &status)
        .await
        .unwrap();
    until_used(cluster, &right("", "pods/log", "get")).await;
}

/// A pod of the API that does not end in time: its node is read.
async fn overdue_pod(fixture: &Fixture, cluster: &Cluster) {
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let labels = json!({
        "app.kubernetes.io/instance": "shop", "app.kubernetes.io/component": "api",
        "app.kubernetes.io/managed-by": "reckon-operator", "app.kubernetes.io/name": "reckon",
    });
    let metadata = json!({"name": "overdue", "labels": labels, "finalizers": ["example.com/kept"]});
    pods.create(&PostParams::default(), &pod(&metadata))
        .await
        .unwrap();
    let at_once = DeleteParams::default().grace_period(0);
    pods.delete("overdue", &at_once).await.unwrap();
    until_used(cluster, &right("", "pods", "get")).await;
    let kept = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    pods.patch("overdue", &PatchParams::default(), &kept)
        .await
        .unwrap();
}

async fn until_used(cluster: &Cluster, right: &str) {
    eventually(SOON, async || {
        let requests = cluster.audit();
        let mut used = requests.iter().flat_map(used);
        used.any(|used| used == right)
            .then_some(())
            .ok_or("not used")
    })
    .await;
}

fn pod(metadata: &Value) -> Pod {
    let container = json!({"name": "c", "image": "example.com/none"});
    let pod = json!({"metadata": metadata, "spec": {"serviceAccountName": "shop", "containers": [container]}});
    serde_json::from_value(pod).unwrap()
}

/// Each right of a rule.
fn rights(rule: &PolicyRule) -> Vec<String> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                rights.push(right(group, resource, verb));
            }
        }
    }
    rights
}

/// The rights that a request needs.
fn used(request: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &request["objectRef"];
    let mut resource = text(&object["resource"]);
    if let Some(part) = object["subresource"].as_str() {
        resource = format!("{resource}/{part}");
    }
    let group = text(&object["apiGroup"]);
    let mut rights = vec![right(&group, &resource, &text(&request["verb"]))];
    // An apply of a new object.
    if request["responseStatus"]["code"] == 201 {
        rights.push(right(&group, &resource, "create"));
    }
    rights
}

fn right(group: &str, resource: &str, verb: &str) -> String {
    format!("{verb} {resource} {group}").trim_end().to_owned()
}
