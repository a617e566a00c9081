//! Databases that Jobs provision: on real servers, by the real program.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::jobs::Jobs;
use crate::operator::Operator;
use crate::spec;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use reckon_harness::sql_server::{Flavour, ROOT};
use reckon_operator::controller::instance::ROTATED_AT;
use reckon_operator::controller::kind::Kind;
use reckon_operator::controller::observe::secrets::{FENCE, ROTATED_FOR, ROTATION};
use reckon_operator::controller::runs::{Run, is_run};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[tokio::test]
async fn another_operator_continues_from_the_report_of_a_job() {
    let server = Flavour::MariaDb.start().await;
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "provision").await;
    admin(&fixture).await;
    let mut operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let (_controllers, _jobs) = (Controllers::play(&fixture), Jobs::run(&fixture));
    fixture.create("shop", provisioned(server.port())).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    // Without the reserved ones.
    until_fence(&fixture, 17).await;
    let [ensure] = ensures(&fixture).await.try_into().unwrap();
    operator.process.stop().await;

    let _operator = Operator::start(cluster, &fixture.namespace, "two").await;
    for budget in [30, 25] {
        let change = json!({"mysql": {"connectionBudget": budget}});
        fixture.change("shop", change).await;
        until_fence(&fixture, budget - 3).await;
        fixture
            .until_condition("shop", "Progressing", "False", "UpToDate")
            .await;
    }
    // It knows from the report what this takes, and has not asked again.
    annotate(&fixture, "1").await;
    let said = fixture
        .until_condition("shop", "Degraded", "True", "ReconcileFailed")
        .await;
    assert!(
        said.contains("passwords cannot be exchanged without an outage on 1"),
        "{said}"
    );
    assert_eq!(ensures(&fixture).await, [ensure]);
}

#[tokio::test]
async fn a_password_is_rotated_by_a_job_for_each_step() {
    let server = Flavour::MySql9.start().await;
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "exchange").await;
    admin(&fixture).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let (_controllers, _jobs) = (Controllers::play(&fixture), Jobs::run(&fixture));
    fixture.create("shop", provisioned(server.port())).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    let before = secret(&fixture, "shop-mysql").await;
    annotate(&fixture, "1").await;
    let after = eventually(2 * SOON, async || {
        let now = secret(&fixture, "shop-mysql").await;
        let annotations = now.annotations();
        let is_done = annotations
            .get(ROTATED_FOR)
            .is_some_and(|asked| asked == "1")
            && !annotations.contains_key(ROTATION);
        is_done.then_some(()).ok_or(format!("{annotations:?}"))?;
        Ok::<_, String>(now)
    })
    .await;
    let (before, after) = (before.data.unwrap(), after.data.unwrap());
    assert_ne!(before["password"], after["password"]);
    assert_eq!(before["username"], after["username"]);
    assert_eq!(after.keys().collect::<Vec<_>>(), ["password", "username"]);
    // Jobs that changed one thing are deleted after the change is recorded.
    eventually(SOON, async || {
        let steps: Vec<String> = runs(&fixture)
            .await
            .into_iter()
            .filter(|run| !run.is_ensure())
            .map(|run| format!("{run:?}"))
            .collect();
        steps.is_empty().then_some(()).ok_or(format!("{steps:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_job_without_a_report_is_reported_and_repeated() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "silence").await;
    admin(&fixture).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    // Nobody runs it.
    fixture.create("shop", provisioned(1)).await;
    let first = eventually(SOON, async || runs(&fixture).await.pop().ok_or("no Job")).await;
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "DeadlineExceeded",
            "lastProbeTime": now.to_string(), "lastTransitionTime": now.to_string(),
        })
    };
    let conditions = json!([condition("FailureTarget"), condition("Failed")]);
    let status = json!({"status": {"startTime": now.to_string(), "conditions": conditions}});
    fixture
        .children(Kind::Job)
        .patch_status(&first.name, &PatchParams::default(), &Patch::Merge(&status))
        .await
        .unwrap();
    let said = fixture
        .until_condition("shop", "DatabaseReachable", "False", "ProvisioningFailed")
        .await;
    let expected = format!(
        "the Job {name} ended without a report: it was not finished within 120 s; `kubectl describe job {name}` says more",
        name = first.name
    );
    assert_eq!(said, expected);
    eventually(SOON, async || {
        let runs = runs(&fixture).await;
        let second = runs.into_iter().find(|run| run.number == first.number + 1);
        second.ok_or("no second Job").map(|second| {
            assert_eq!((second.inputs, second.failures), (first.inputs.clone(), 1));
        })
    })
    .await;
}

#[tokio::test]
async fn a_foreign_secret_for_migrations_is_named_and_no_job_is_created() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "foreign-migration").await;
    admin(&fixture).await;
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let theirs = json!({
        "metadata": {"name": "shop-mysql-migration"},
        "stringData": {"username": "theirs", "password": "theirs"},
    });
    secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(theirs).unwrap(),
        )
        .await
        .unwrap();
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    fixture.create("shop", provisioned(1)).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "NameConflict")
        .await;
    assert!(said.contains("Secret shop-mysql-migration"), "{said}");
    assert_eq!(runs(&fixture).await, []);
}

/// A resource with a provisioned database on a server of this machine.
pub fn provisioned(port: u16) -> Value {
    let mut spec = spec::minimal();
    spec["mysql"] = json!({
        "provisioned": {
            "host": "127.0.0.1",
            "port": port,
            "database": "shop",
            "admin": {"secretName": "admin"},
        },
        "connectionBudget": 20,
    });
    spec
}

/// Makes the administrator's Secret.
pub async fn admin(fixture: &Fixture) {
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let admin = json!({
        "metadata": {"name": "admin"},
        "stringData": {"username": ROOT.name, "password": ROOT.password},
    });
    let admin = serde_json::from_value(admin).unwrap();
    secrets
        .create(&PostParams::default(), &admin)
        .await
        .unwrap();
}

async fn annotate(fixture: &Fixture, value: &str) {
    let body = json!({"metadata": {"annotations": {ROTATED_AT: value}}});
    fixture
        .services()
        .patch("shop", &PatchParams::default(), &Patch::Merge(&body))
        .await
        .unwrap();
}

async fn secret(fixture: &Fixture, name: &str) -> Secret {
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    secrets.get(name).await.unwrap()
}

async fn until_fence(fixture: &Fixture, connections: u32) {
    eventually(SOON, async || {
        let secret = secret(fixture, "shop-mysql").await;
        let noted: BTreeMap<String, String> = secret.annotations().clone();
        let is_noted = noted.get(FENCE) == Some(&connections.to_string());
        is_noted.then_some(()).ok_or(format!("{noted:?}"))
    })
    .await;
}

async fn jobs(fixture: &Fixture) -> Vec<DynamicObject> {
    let jobs = fixture.children(Kind::Job);
    jobs.list(&ListParams::default()).await.unwrap().items
}

async fn runs(fixture: &Fixture) -> Vec<Run> {
    let jobs = jobs(fixture).await;
    jobs.iter()
        .filter(|job| is_run(job))
        .filter_map(Run::of)
        .collect()
}

/// UIDs of the Jobs that make what is absent.
async fn ensures(fixture: &Fixture) -> Vec<String> {
    let runs = runs(fixture).await.into_iter();
    runs.filter(Run::is_ensure).map(|run| run.uid).collect()
}
