//! Foreign objects that have a child's name.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::spec;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use reckon_operator::tuning::plan::HPA_SYNC;
use serde_json::{Value, json};

#[tokio::test]
async fn a_foreign_deployment_is_kept_and_named_and_its_name_is_used_once_it_is_deleted() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "conflict-deployment").await;
    let labels = json!({"app": "somebody-elses"});
    let foreign = make(
        &fixture,
        Kind::Deployment,
        json!({
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "somebody/elses:1"}]},
            },
        }),
    )
    .await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    fixture.create("shop", spec::minimal()).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(
        said.contains("Deployment shop already exists and is not managed by this resource"),
        "{said}"
    );
    unchanged(&fixture, Kind::Deployment, &foreign).await;

    fixture.delete(Kind::Deployment, "shop").await;
    let own = fixture
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.uid() != foreign.uid()
        })
        .await;
    assert_eq!(own.owner_references()[0].name, "shop");
}

#[tokio::test]
async fn a_foreign_service_is_left_unchanged_and_named() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "conflict-service").await;
    let ports = json!({"ports": [{"port": 81}], "selector": {"app": "somebody-elses"}});
    let foreign = make(&fixture, Kind::Service, ports).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    fixture.create("shop", spec::minimal()).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(
        said.contains("Service shop already exists and is not managed by this resource"),
        "{said}"
    );
    unchanged(&fixture, Kind::Service, &foreign).await;
}

#[tokio::test]
async fn a_running_service_with_a_name_conflict_is_degraded() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "conflict-later").await;
    let mut operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::minimal()).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    operator.process.stop().await;
    fixture.delete(Kind::NetworkPolicy, "shop").await;
    let foreign = make(&fixture, Kind::NetworkPolicy, json!({"podSelector": {}})).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "two").await;
    fixture
        .until_condition("shop", "Degraded", "True", "NameConflict")
        .await;
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    unchanged(&fixture, Kind::NetworkPolicy, &foreign).await;
}

#[tokio::test]
async fn a_foreign_secret_of_a_childs_name_is_ignored_and_its_name_is_used_once_it_is_deleted() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "conflict-secret").await;
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let secret = json!({
        "metadata": {"name": "shop-redis"},
        "stringData": {"username": "somebody", "password": "somebody-elses"},
    });
    let secret = serde_json::from_value(secret).unwrap();
    let foreign = secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    fixture.create("shop", spec::autoscaled()).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(said.contains("Secret shop-redis already exists"), "{said}");
    // What runs no pod is there, and the Secret is as it was.
    fixture.until(Kind::Service, "shop-redis", |_| true).await;
    no_pods(&fixture).await;
    let now = secrets.get("shop-redis").await.unwrap();
    assert_eq!(now.resource_version(), foreign.resource_version());

    secrets
        .delete("shop-redis", &DeleteParams::default())
        .await
        .unwrap();
    for name in ["shop", "shop-redis"] {
        fixture.until(Kind::Deployment, name, |_| true).await;
    }
    let own = secrets.get("shop-redis").await.unwrap();
    assert_eq!(own.owner_references()[0].name, "shop");

    // Nobody needs it any more.
    let _controllers = Controllers::play(&fixture);
    fixture.change("shop", json!({"redis": null})).await;
    eventually(2 * HPA_SYNC + SOON, async || {
        secrets.get_opt("shop-redis").await.unwrap().is_none()
    })
    .await;
    assert!(secrets.get_opt("shop-api-keys").await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_runs_under_a_foreign_service_account() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "conflict-account").await;
    let foreign = make(&fixture, Kind::ServiceAccount, Value::Null).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let mut spec = spec::autoscaled();
    spec["mysql"]["migrate"] = json!({"enabled": true});
    fixture.create("shop", spec).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(
        said.contains("ServiceAccount shop already exists and is not managed by this resource"),
        "{said}"
    );
    fixture.until(Kind::Service, "shop-redis", |_| true).await;
    no_pods(&fixture).await;
    unchanged(&fixture, Kind::ServiceAccount, &foreign).await;
}

/// Nothing is there that pods come of.
async fn no_pods(fixture: &Fixture) {
    for kind in [Kind::Deployment, Kind::Job] {
        let found = fixture.children(kind).list(&ListParams::default()).await;
        assert!(found.unwrap().items.is_empty(), "{kind:?}");
    }
}

async fn make(fixture: &Fixture, kind: Kind, spec: Value) -> DynamicObject {
    let object = DynamicObject::new("shop", &kind.resource()).data(json!({"spec": spec}));
    let objects = fixture.children(kind);
    objects
        .create(&PostParams::default(), &object)
        .await
        .unwrap()
}

async fn unchanged(fixture: &Fixture, kind: Kind, foreign: &DynamicObject) {
    let now = fixture.children(kind).get("shop").await.unwrap();
    assert_eq!(
        now.resource_version(),
        foreign.resource_version(),
        "{kind:?} was written to"
    );
}
