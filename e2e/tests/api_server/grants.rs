//! The privileges of a provisioned database user to store events: granted before pods use them, and revoked after.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::jobs::Jobs;
use crate::operator::Operator;
use crate::provisioning::{admin, provisioned};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DynamicObject, ListParams};
use reckon_contract::Tuning;
use reckon_contract::provisioning::Step;
use reckon_harness::eventually::eventually;
use reckon_harness::sql_server::{Flavour, SqlServer};
use reckon_operator::controller::desired::deployment::TUNING;
use reckon_operator::controller::kind::Kind;
use reckon_operator::controller::runs::Run;
use serde_json::json;
use sqlx::Row as _;
use std::collections::BTreeSet;

const ENABLED: &str = r#"{"events": {"enabled": true}}"#;

#[tokio::test]
async fn events_are_enabled_after_the_grant_and_disabled_before_the_revocation() {
    let server = Flavour::MariaDb.start().await;
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "grants").await;
    admin(&fixture).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let (controllers, jobs) = (Controllers::play(&fixture), Jobs::run(&fixture));
    fixture.create("shop", provisioned(server.port())).await;
    up_to_date(&fixture).await;
    assert_eq!(writes(&fixture).await, [None]);
    let former = tuning(&fixture).await;

    // No kubelet runs here, so the Job that grants does not run.
    drop(jobs);
    fixture
        .change("shop", serde_json::from_str(ENABLED).unwrap())
        .await;
    let wanted = names(&["purchase", "searches"]);
    until_writes(&fixture, &wanted).await;
    let said = fixture
        .until_condition("shop", "Progressing", "True", "Changing")
        .await;
    assert_eq!(said, "the database account is being changed");
    assert_eq!(tuning(&fixture).await, former);
    assert_eq!(granted(&server).await, names(&[]));
    let jobs = Jobs::run(&fixture);
    fixture
        .until(Kind::Deployment, "shop", |it| tuning_of(it) != former)
        .await;
    let all = names(&["purchase", "reckon_events", "searches"]);
    assert_eq!(granted(&server).await, all);
    up_to_date(&fixture).await;
    assert!(stores_events(&fixture).await);
    assert_eq!(writes(&fixture).await, [Some(wanted.clone())]);

    // No controller replaces the pods here.
    fixture
        .until(Kind::Deployment, "shop", |it| {
            it.data["status"]["observedGeneration"].as_i64() == it.metadata.generation
        })
        .await;
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let of_service = ListParams::default().labels("app.kubernetes.io/component=api");
    // The former pods are deleted last.
    eventually(SOON, async || {
        let there = pods.list_metadata(&of_service).await.unwrap();
        (there.items.len() == 2)
            .then_some(())
            .ok_or(there.items.len())
    })
    .await;
    drop(controllers);
    fixture.change("shop", json!({"events": null})).await;
    fixture
        .until(Kind::Deployment, "shop", |it| tuning_of(it) == former)
        .await;
    let service = fixture.services().get("shop").await.unwrap();
    fixture
        .until_observed("shop", service.metadata.generation)
        .await;
    assert_eq!(writes(&fixture).await, [Some(wanted)]);
    assert_eq!(granted(&server).await, all);
    let _controllers = Controllers::play(&fixture);
    until_writes(&fixture, &names(&[])).await;
    eventually(SOON, async || {
        let granted = granted(&server).await;
        granted
            .is_empty()
            .then_some(())
            .ok_or(format!("{granted:?}"))
    })
    .await;
    up_to_date(&fixture).await;
    assert!(!stores_events(&fixture).await);
    drop(jobs);
}

#[tokio::test]
async fn events_that_are_enabled_from_the_start_are_granted_before_there_are_pods() {
    let server = Flavour::MariaDb.start().await;
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "grants-at-once").await;
    admin(&fixture).await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let mut spec = provisioned(server.port());
    spec["events"] = json!({"enabled": true});
    spec["tables"] = json!({"searches": {"table": ""}, "purchases": {"table": "orders"}});
    fixture.create("shop", spec).await;
    until_writes(&fixture, &names(&["orders"])).await;
    let _jobs = Jobs::run(&fixture);
    fixture.until(Kind::Deployment, "shop", |_| true).await;
    assert_eq!(granted(&server).await, names(&["orders", "reckon_events"]));
    up_to_date(&fixture).await;
    assert!(stores_events(&fixture).await);

    // The table is renamed. The former pods use the former table until they have ended.
    let renamed = json!({"tables": {"purchases": {"table": "bought"}}});
    fixture.change("shop", renamed).await;
    eventually(SOON, async || {
        let granted = granted(&server).await;
        (granted == names(&["bought", "reckon_events"]))
            .then_some(())
            .ok_or(format!("{granted:?}"))
    })
    .await;
    up_to_date(&fixture).await;
    assert!(stores_events(&fixture).await);
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn up_to_date(fixture: &Fixture) {
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
}

/// Tables into which any user may insert, queried from the server.
async fn granted(server: &SqlServer) -> BTreeSet<String> {
    let sql = "SELECT CAST(Table_name AS CHAR) FROM mysql.tables_priv WHERE User LIKE 'reckon\\_%' AND Table_priv LIKE '%Insert%'";
    let rows = sqlx::raw_sql(sql)
        .fetch_all(&mut server.admin().await)
        .await
        .unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// The tables to write to of every Job that creates what is missing.
async fn writes(fixture: &Fixture) -> Vec<Option<BTreeSet<String>>> {
    let jobs = fixture.children(Kind::Job);
    let jobs = jobs.list(&ListParams::default()).await.unwrap();
    let steps = jobs.iter().filter_map(|job| Run::of(job)?.step);
    let writes = steps.filter_map(|step| match step {
        Step::Ensure { writes, .. } => Some(writes),
        _ => None,
    });
    writes.collect()
}

async fn until_writes(fixture: &Fixture, wanted: &BTreeSet<String>) {
    eventually(SOON, async || {
        let writes = writes(fixture).await;
        let mut steps = writes.iter().flatten();
        let is_there = steps.any(|tables| tables == wanted);
        is_there.then_some(()).ok_or(format!("{writes:?}"))
    })
    .await;
}

fn tuning_of(deployment: &DynamicObject) -> String {
    let annotations = &deployment.data["spec"]["template"]["metadata"]["annotations"];
    annotations[TUNING].as_str().unwrap().to_owned()
}

/// Name of the tuning of the pods' template.
async fn tuning(fixture: &Fixture) -> String {
    let deployments = fixture.children(Kind::Deployment);
    tuning_of(&deployments.get("shop").await.unwrap())
}

async fn stores_events(fixture: &Fixture) -> bool {
    let config_maps: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let config_map = config_maps.get(&tuning(fixture).await).await.unwrap();
    let yaml = &config_map.data.unwrap()["tuning.yaml"];
    Tuning::parse(yaml).unwrap().tuning.events.enabled
}
