//! Manual changes of children are undone, unwanted children are deleted, and a paused resource does neither.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::spec;
use kube::ResourceExt as _;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use reckon_operator::tuning::plan::HPA_SYNC;
use serde_json::{Value, json};

#[tokio::test]
async fn deleted_or_edited_children_are_restored_but_not_during_a_pause() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "repair").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::minimal()).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;

    for kind in [
        Kind::ServiceAccount,
        Kind::Service,
        Kind::NetworkPolicy,
        Kind::PodDisruptionBudget,
        Kind::Deployment,
    ] {
        let was = fixture.children(kind).get("shop").await.unwrap();
        fixture.delete(kind, "shop").await;
        fixture
            .until(kind, "shop", |now| now.uid() != was.uid())
            .await;
    }
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    edit(
        &fixture,
        Kind::Service,
        json!({"spec": {"ports": [{"port": 81, "targetPort": 1}]}}),
    )
    .await;
    fixture
        .until(Kind::Service, "shop", |service| {
            service.data["spec"]["ports"]
                .as_array()
                .is_some_and(|ports| ports.len() == 1)
                && service.data["spec"]["ports"][0]["port"] == 80
        })
        .await;
    edit(
        &fixture,
        Kind::NetworkPolicy,
        json!({"metadata": {"labels": {"app.kubernetes.io/part-of": "mine"}}}),
    )
    .await;
    fixture
        .until(Kind::NetworkPolicy, "shop", |policy| {
            policy.labels()["app.kubernetes.io/part-of"] == "reckon"
        })
        .await;
    for spec in [
        json!({"maxUnavailable": "50%"}),
        json!({"maxUnavailable": null, "minAvailable": 1}),
    ] {
        edit(&fixture, Kind::PodDisruptionBudget, json!({"spec": spec})).await;
        fixture
            .until(Kind::PodDisruptionBudget, "shop", |budget| {
                let spec = &budget.data["spec"];
                spec["maxUnavailable"] == 1 && spec["minAvailable"].is_null()
            })
            .await;
    }
    let strategy = json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": 5}}}});
    edit(&fixture, Kind::Deployment, strategy).await;
    fixture
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 1
        })
        .await;
    edit(&fixture, Kind::Deployment, json!({"spec": {"replicas": 7}})).await;
    fixture
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["replicas"] == 2
        })
        .await;

    fixture.change("shop", json!({"paused": true})).await;
    fixture
        .until_condition("shop", "Paused", "True", "Paused")
        .await;
    fixture.delete(Kind::Service, "shop").await;
    fixture
        .change("shop", json!({"service": {"port": 8080}}))
        .await;
    let said = fixture.services();
    let generation = said.get("shop").await.unwrap().metadata.generation;
    fixture.until_observed("shop", generation).await;
    assert!(
        fixture
            .children(Kind::Service)
            .get_opt("shop")
            .await
            .unwrap()
            .is_none()
    );
    fixture.change("shop", json!({"paused": false})).await;
    fixture
        .until(Kind::Service, "shop", |service| {
            service.data["spec"]["ports"][0]["port"] == 8080
        })
        .await;
}

#[tokio::test]
async fn a_pod_template_edited_by_another_client_is_restored_by_the_plan() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "repair-template").await;
    let operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::minimal()).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    let written = async |times: u32| {
        let count = format!("{{action=\"write_template\"}} {times}\n");
        // The write is counted when the API server has answered it.
        eventually(SOON, async || {
            operator.get("/metrics").await.contains(&count)
        })
        .await;
    };
    written(0).await;
    let grace = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}});
    edit(&fixture, Kind::Deployment, grace).await;
    fixture
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 20
        })
        .await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    written(1).await;
}

#[tokio::test]
async fn a_job_changed_by_admission_counts_as_created() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "repair-job").await;
    let mut operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let mut spec = spec::minimal();
    spec["mysql"]["migrate"] = json!({"enabled": true});
    fixture.create("shop", spec).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    operator.process.stop().await;
    // As a webhook leaves it: a template cannot be changed later.
    let jobs = fixture.children(Kind::Job);
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
    fixture.until_gone(Kind::Job, &name, SOON).await;
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

    let _operator = Operator::start(cluster, &fixture.namespace, "two").await;
    fixture.change("shop", json!({"replicas": 3})).await;
    fixture
        .until(Kind::Deployment, "shop", |deployment| {
            deployment.data["spec"]["replicas"] == 3
        })
        .await;
    fixture
        .until_condition("shop", "Degraded", "False", "UpToDate")
        .await;
    assert_eq!(jobs.get(&name).await.unwrap().uid(), changed.uid());
}

#[tokio::test]
async fn children_that_are_no_longer_wanted_are_deleted() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "unwanted").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::autoscaled()).await;
    fixture
        .until(Kind::HorizontalPodAutoscaler, "shop", |_| true)
        .await;
    fixture
        .until(Kind::NetworkPolicy, "shop-redis", |_| true)
        .await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    let changes = json!({
        "autoscaling": null,
        "replicas": 1,
        "redis": null,
        "networkPolicy": {"enabled": false},
    });
    fixture.change("shop", changes).await;
    for (kind, name) in [
        (Kind::NetworkPolicy, "shop"),
        (Kind::NetworkPolicy, "shop-redis"),
        (Kind::Deployment, "shop-redis"),
        (Kind::Service, "shop-redis"),
    ] {
        fixture.until_gone(kind, name, SOON).await;
    }
    fixture
        .until_gone(Kind::HorizontalPodAutoscaler, "shop", 2 * HPA_SYNC + SOON)
        .await;
    for kind in [
        Kind::Deployment,
        Kind::PodDisruptionBudget,
        Kind::Service,
        Kind::ServiceAccount,
    ] {
        fixture.until(kind, "shop", |_| true).await;
    }
}

/// As `kubectl edit` does.
async fn edit(fixture: &Fixture, kind: Kind, body: Value) {
    let objects = fixture.children(kind);
    let parameters = PatchParams::default();
    objects
        .patch("shop", &parameters, &Patch::Merge(&body))
        .await
        .unwrap();
}
