//! The training of a model: its `CronJob`, and its connection in the budget.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::spec;
use kube::api::{DynamicObject, Patch, PatchParams};
use reckon_contract::Tuning;
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};

#[tokio::test]
async fn a_training_is_created_with_its_connection_and_deleted_when_no_longer_wanted() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "training").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let mut whole = spec::minimal();
    // 4 x 14 connections, and 3 that are reserved: no connection is left for the training.
    whole["mysql"]["connectionBudget"] = json!(59);
    fixture.create("shop", whole).await;
    up_to_date(&fixture).await;
    assert_eq!(pool(&fixture).await, 14);

    fixture.change("shop", json!({"training": {}})).await;
    let cron_job = fixture.until(Kind::CronJob, "shop-train", |_| true).await;
    // It was created after the pods had given up its connection.
    assert_eq!(pool(&fixture).await, 13);
    as_wanted(&cron_job.data["spec"]);
    for kind in [Kind::NetworkPolicy, Kind::CronJob] {
        fixture.until(kind, "shop-train", |_| true).await;
    }
    up_to_date(&fixture).await;

    let training = json!({"schedule": "30 2 * * 1-5", "suspend": true, "deadlineSeconds": 600});
    fixture.change("shop", json!({"training": training})).await;
    let changed = fixture
        .until(Kind::CronJob, "shop-train", |cron_job| {
            cron_job.data["spec"]["schedule"] == "30 2 * * 1-5"
        })
        .await;
    assert_eq!(changed.data["spec"]["suspend"], true);
    let job = &changed.data["spec"]["jobTemplate"]["spec"];
    assert_eq!(job["activeDeadlineSeconds"], 600);

    fixture.change("shop", json!({"training": null})).await;
    fixture.until(Kind::CronJob, "shop-train", is_ending).await;
    fixture
        .until_gone(Kind::NetworkPolicy, "shop-train", SOON)
        .await;
    // Its pod may still have a connection.
    fixture
        .until_condition("shop", "Progressing", "True", "WaitingForTraining")
        .await;
    assert_eq!(pool(&fixture).await, 13);
    collect(&fixture).await;
    fixture.until_gone(Kind::CronJob, "shop-train", SOON).await;
    up_to_date(&fixture).await;
    assert_eq!(pool(&fixture).await, 14);
}

#[tokio::test]
async fn a_foreign_cron_job_is_left_unchanged() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "training-conflict").await;
    let pod = json!({
        "restartPolicy": "Never",
        "containers": [{"name": "theirs", "image": "theirs:1"}],
    });
    let theirs = json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "shop-train"},
        "spec": {
            "schedule": "0 0 1 1 *",
            "jobTemplate": {"spec": {"template": {"spec": pod}}},
        },
    });
    let cron_jobs = fixture.children(Kind::CronJob);
    let parameters = PatchParams::apply("somebody");
    let before = cron_jobs
        .patch("shop-train", &parameters, &Patch::Apply(theirs))
        .await
        .unwrap();
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let mut whole = spec::minimal();
    whole["training"] = json!({});
    fixture.create("shop", whole).await;
    let message = fixture
        .until_condition("shop", "Degraded", "True", "NameConflict")
        .await;
    assert!(message.contains("CronJob shop-train"), "{message}");
    // The pods run all the same.
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    let after = cron_jobs.get("shop-train").await.unwrap();
    assert_eq!(
        after.metadata.resource_version,
        before.metadata.resource_version
    );
}

async fn up_to_date(fixture: &Fixture) {
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
}

/// Connections of a pod of the newest template.
async fn pool(fixture: &Fixture) -> u32 {
    let deployment = fixture.until(Kind::Deployment, "shop", |_| true).await;
    let volumes = &deployment.data["spec"]["template"]["spec"]["volumes"];
    let tuning = volumes[0]["configMap"]["name"].as_str().unwrap();
    let config_map = fixture.until(Kind::ConfigMap, tuning, |_| true).await;
    let yaml = config_map.data["data"]["tuning.yaml"].as_str().unwrap();
    Tuning::parse(yaml).unwrap().tuning.store.pool_size
}

fn as_wanted(spec: &Value) {
    let schedule = spec["schedule"].as_str().unwrap();
    assert!(schedule.ends_with(" 3 * * *"), "{schedule}");
    for (field, value) in [
        ("timeZone", json!("Etc/UTC")),
        ("suspend", json!(false)),
        ("concurrencyPolicy", json!("Forbid")),
        ("startingDeadlineSeconds", json!(3600)),
        ("successfulJobsHistoryLimit", json!(1)),
        ("failedJobsHistoryLimit", json!(3)),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let job = &spec["jobTemplate"]["spec"];
    for (field, value) in [
        ("backoffLimit", json!(3)),
        ("podReplacementPolicy", json!("Failed")),
        ("activeDeadlineSeconds", json!(1800)),
    ] {
        assert_eq!(job[field], value, "{field}");
    }
    let pod = &job["template"]["spec"];
    assert_eq!(pod["activeDeadlineSeconds"], 1800);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["containers"][0]["args"], json!(["train"]));
}

fn is_ending(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Does what the garbage collector does once all Jobs and pods of a `CronJob` are gone.
pub async fn collect(fixture: &Fixture) {
    let body = json!({"metadata": {"finalizers": null}});
    fixture
        .children(Kind::CronJob)
        .patch("shop-train", &PatchParams::default(), &Patch::Merge(&body))
        .await
        .unwrap();
}
