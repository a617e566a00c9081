//! One resource that cannot be run does not stop the others.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::Fixture;
use crate::operator::Operator;
use crate::spec;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn an_invalid_quantity_that_the_schema_accepts_is_named_and_the_next_resource_runs() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "broken-value").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let mut spec = spec::minimal();
    spec["pod"] = json!({"resources": {"limits": {"memory": "a lot"}}});
    fixture.create("broken", spec).await;
    fixture.create("whole", spec::minimal()).await;
    let said = fixture
        .until_condition("broken", "Ready", "False", "InvalidSpec")
        .await;
    assert!(said.contains("pod.resources.limits.memory"), "{said}");
    fixture.until(Kind::Deployment, "whole", |_| true).await;
}

#[tokio::test]
async fn a_resource_that_becomes_invalid_stays_ready_while_its_pods_serve() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "broken-later").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::minimal()).await;
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    let broken = json!({"pod": {"resources": {"limits": {"memory": "a lot"}}}});
    fixture.change("shop", broken).await;
    let said = fixture
        .until_condition("shop", "Degraded", "True", "InvalidSpec")
        .await;
    assert!(said.contains("pod.resources.limits.memory"), "{said}");
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
}

#[tokio::test]
async fn a_resource_of_an_older_schema_is_reported_and_the_others_run() {
    let cluster = Cluster::own().await;
    let fixture = Fixture::new(&cluster, "broken-type").await;
    let definitions: Api<CustomResourceDefinition> = Api::all(fixture.client.clone());
    let name = "recommendationservices.reckon.dev";
    let mut definition = definitions.get(name).await.unwrap();
    let schema = &mut definition.spec.versions[0].schema;
    let anything = json!({
        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    });
    *schema = Some(serde_json::from_value(anything).unwrap());
    definition.metadata.managed_fields = None;
    let body = Patch::Merge(json!({"spec": {"versions": definition.spec.versions}}));
    definitions
        .patch(name, &PatchParams::default(), &body)
        .await
        .unwrap();
    let wrong: [(&str, Value); 4] = [
        ("text", json!({"mysql": "yes"})),
        ("nothing", json!({})),
        ("list", json!([1, 2])),
        (
            "negative",
            json!({"mysql": {"external": spec::minimal()["mysql"]["external"], "connectionBudget": -5}}),
        ),
    ];
    for (name, spec) in &wrong {
        // Until the server uses the new schema.
        let service = spec::service(name, spec);
        eventually(Duration::from_secs(30), async || {
            fixture
                .services()
                .create(&PostParams::default(), &service)
                .await
        })
        .await;
    }
    let _operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    fixture.create("whole", spec::minimal()).await;
    fixture.until(Kind::Deployment, "whole", |_| true).await;
    for (name, _) in &wrong {
        fixture
            .until_condition(name, "Ready", "False", "InvalidSpec")
            .await;
    }
}
