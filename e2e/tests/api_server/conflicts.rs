//! Objects of others that have a child's name.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::operator::Operator;
use crate::scene::Scene;
use crate::spec;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, PostParams};
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};

#[tokio::test]
async fn a_foreign_deployment_is_left_alone_and_named_and_its_name_is_taken_once_it_is_gone() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "conflict-deployment").await;
    let labels = json!({"app": "somebody-elses"});
    let foreign = make(
        &scene,
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
    let _operator = Operator::start(cluster, &scene.namespace, "one").await;
    scene.create("shop", spec::minimal()).await;
    let said = scene
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(
        said.contains("the Deployment shop belongs to somebody else"),
        "{said}"
    );
    unchanged(&scene, Kind::Deployment, &foreign).await;

    scene.delete(Kind::Deployment, "shop").await;
    let own = scene
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.uid() != foreign.uid()
        })
        .await;
    assert_eq!(own.owner_references()[0].name, "shop");
}

#[tokio::test]
async fn a_foreign_service_is_left_alone_and_named() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "conflict-service").await;
    let ports = json!({"ports": [{"port": 81}], "selector": {"app": "somebody-elses"}});
    let foreign = make(&scene, Kind::Service, ports).await;
    let _operator = Operator::start(cluster, &scene.namespace, "one").await;
    scene.create("shop", spec::minimal()).await;
    let said = scene
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(
        said.contains("the Service shop belongs to somebody else"),
        "{said}"
    );
    unchanged(&scene, Kind::Service, &foreign).await;
}

#[tokio::test]
async fn a_service_that_runs_and_lost_a_name_is_degraded() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "conflict-later").await;
    let mut operator = Operator::start(cluster, &scene.namespace, "one").await;
    let _controllers = Controllers::play(&scene);
    scene.create("shop", spec::minimal()).await;
    scene
        .until_condition("shop", "Progressing", "False", "AsWanted")
        .await;
    operator.process.stop().await;
    scene.delete(Kind::NetworkPolicy, "shop").await;
    let foreign = make(&scene, Kind::NetworkPolicy, json!({"podSelector": {}})).await;
    let _operator = Operator::start(cluster, &scene.namespace, "two").await;
    scene
        .until_condition("shop", "Degraded", "True", "NameConflict")
        .await;
    scene
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    unchanged(&scene, Kind::NetworkPolicy, &foreign).await;
}

async fn make(scene: &Scene, kind: Kind, spec: Value) -> DynamicObject {
    let object = DynamicObject::new("shop", &kind.resource()).data(json!({"spec": spec}));
    let objects = scene.children(kind);
    objects
        .create(&PostParams::default(), &object)
        .await
        .unwrap()
}

async fn unchanged(scene: &Scene, kind: Kind, foreign: &DynamicObject) {
    let now = scene.children(kind).get("shop").await.unwrap();
    assert_eq!(
        now.resource_version(),
        foreign.resource_version(),
        "{kind:?} was written to"
    );
}
