//! What somebody does to children is undone; what is no longer wanted goes; a pause holds all of it.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::operator::Operator;
use crate::scene::{SOON, Scene};
use crate::spec;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use reckon_operator::tuning::plan::HPA_SYNC;
use serde_json::{Value, json};

#[tokio::test]
async fn children_that_were_deleted_or_edited_are_put_back_but_not_during_a_pause() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "repair").await;
    let _operator = Operator::start(cluster, &scene.namespace, "one").await;
    let _controllers = Controllers::play(&scene);
    scene.create("shop", spec::minimal()).await;
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;

    for kind in [
        Kind::ServiceAccount,
        Kind::Service,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::Deployment,
    ] {
        let was = scene.children(kind).get("shop").await.unwrap();
        scene.delete(kind, "shop").await;
        scene
            .until(kind, "shop", |now| now.uid() != was.uid())
            .await;
    }
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    edit(
        &scene,
        Kind::Service,
        json!({"spec": {"ports": [{"port": 81, "targetPort": 1}]}}),
    )
    .await;
    scene
        .until(Kind::Service, "shop", |service| {
            service.data["spec"]["ports"]
                .as_array()
                .is_some_and(|ports| ports.len() == 1)
                && service.data["spec"]["ports"][0]["port"] == 80
        })
        .await;
    edit(
        &scene,
        Kind::NetworkPolicy,
        json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "mine"}}}),
    )
    .await;
    scene
        .until(Kind::NetworkPolicy, "shop", |policy| {
            policy.labels()["app.kubernetes.io/part-of"] == "reckon"
        })
        .await;
    for spec in [
        json!({"maxUnavailable": "50%"}),
        json!({"maxUnavailable": null, "minAvailable": 1}),
    ] {
        edit(&scene, Kind::PodDisruptionBudget, json!({"spec": spec})).await;
        scene
            .until(Kind::PodDisruptionBudget, "shop", |budget| {
                let spec = &budget.data["spec"];
                spec["maxUnavailable"] == 1 && spec["minAvailable"].is_null()
            })
            .await;
    }
    let strategy = json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 5}}}});
    edit(&scene, Kind::Deployment, strategy).await;
    scene
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 1
        })
        .await;
    edit(&scene, Kind::Deployment, json!({"spec": {"replicas": 7}})).await;
    scene
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["replicas"] == 2
        })
        .await;

    scene.change("shop", json!({"paused": true})).await;
    scene
        .until_condition("shop", "Paused", "True", "Paused")
        .await;
    scene.delete(Kind::Service, "shop").await;
    scene
        .change("shop", json!({"service": {"port": 8080}}))
        .await;
    let said = scene.services();
    let generation = said.get("shop").await.unwrap().metadata.generation;
    scene.until_observed("shop", generation).await;
    assert!(
        scene
            .children(Kind::Service)
            .get_opt("shop")
            .await
            .unwrap()
            .is_none()
    );
    scene.change("shop", json!({"paused": false})).await;
    scene
        .until(Kind::Service, "shop", |service| {
            service.data["spec"]["ports"][0]["port"] == 8080
        })
        .await;
}

#[tokio::test]
async fn a_pod_template_that_somebody_edited_is_put_back_by_the_plan() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "repair-template").await;
    let operator = Operator::start(cluster, &scene.namespace, "one").await;
    let _controllers = Controllers::play(&scene);
    scene.create("shop", spec::minimal()).await;
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    let written = async |times: u32| {
        let count = format!("{{action=\"write_template\"}} {times}\n");
        // It counts once the API server's answer to the write is there.
        eventually(SOON, async || {
            operator.get("/metrics").await.contains(&count)
        })
        .await;
    };
    written(0).await;
    let grace = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}});
    edit(&scene, Kind::Deployment, grace).await;
    scene
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 20
        })
        .await;
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    written(1).await;
}

#[tokio::test]
async fn a_job_that_is_not_as_it_was_sent_is_as_good_as_there() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "repair-job").await;
    let mut operator = Operator::start(cluster, &scene.namespace, "one").await;
    let _controllers = Controllers::play(&scene);
    let mut spec = spec::minimal();
    spec["mysql"]["migrate"] = json!({"enabled": true});
    scene.create("shop", spec).await;
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    operator.process.stop().await;
    // As a webhook leaves it: a template cannot be changed later.
    let jobs = scene.children(Kind::Job);
    let mut job = jobs
        .list(&ListParams::default())
        .await
        .unwrap()
        .items
        .remove(0);
    let name = job.name_any();
    jobs.delete(&name, &DeleteParams::background())
        .await
        .unwrap();
    scene.until_gone(Kind::Job, &name, SOON).await;
    let meta = &mut job.metadata;
    (meta.resource_version, meta.uid) = (None, None);
    let generated = ["controller-uid", "batch.kubernetes.io/controller-uid"];
    job.data["spec"]["selector"].take();
    let labels = job.data["spec"]["template"]["metadata"]["labels"].as_object_mut();
    labels
        .unwrap()
        .retain(|label, _| !generated.contains(&label.as_str()));
    job.metadata
        .labels
        .as_mut()
        .unwrap()
        .retain(|label, _| !generated.contains(&label.as_str()));
    job.data["status"].take();
    job.data["spec"]["template"]["spec"]["containers"][0]["image"] = json!("mirror/reckon-api:1");
    let changed = jobs.create(&PostParams::default(), &job).await.unwrap();

    let _operator = Operator::start(cluster, &scene.namespace, "two").await;
    scene.change("shop", json!({"replicas": 3})).await;
    scene
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["replicas"] == 3
        })
        .await;
    scene
        .until_condition("shop", "Degraded", "False", "UpToDate")
        .await;
    assert_eq!(jobs.get(&name).await.unwrap().uid(), changed.uid());
}

#[tokio::test]
async fn children_that_are_no_longer_wanted_are_deleted() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "unwanted").await;
    let _operator = Operator::start(cluster, &scene.namespace, "one").await;
    let _controllers = Controllers::play(&scene);
    scene.create("shop", spec::autoscaled()).await;
    scene
        .until(Kind::HorizontalPodAutoscaler, "shop", |_| true)
        .await;
    scene
        .until(Kind::NetworkPolicy, "shop-redis", |_| true)
        .await;
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    let changes = json!({
        "autoscaling": null,
        "replicas": 1,
        "redis": null,
        "networkPolicy": {"enabled": false},
    });
    scene.change("shop", changes).await;
    for (kind, name) in [
        (Kind::NetworkPolicy, "shop"),
        (Kind::NetworkPolicy, "shop-redis"),
        (Kind::Deployment, "shop-redis"),
        (Kind::Service, "shop-redis"),
    ] {
        scene.until_gone(kind, name, SOON).await;
    }
    scene
        .until_gone(Kind::HorizontalPodAutoscaler, "shop", 2 * HPA_SYNC + SOON)
        .await;
    for kind in [
        Kind::Deployment,
        Kind::PodDisruptionBudget,
        Kind::Service,
        Kind::ServiceAccount,
    ] {
        scene.until(kind, "shop", |_| true).await;
    }
}

/// As `kubectl edit` does.
async fn edit(scene: &Scene, kind: Kind, body: Value) {
    let objects = scene.children(kind);
    let parameters = PatchParams::default();
    objects
        .patch("shop", &parameters, &Patch::Merge(&body))
        .await
        .unwrap();
}
