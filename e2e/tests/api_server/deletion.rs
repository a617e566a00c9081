//! No object is created for a resource or namespace that is being deleted.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::Fixture;
use crate::operator::Operator;
use crate::spec;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use reckon_operator::controller::kind::Kind;
use serde_json::json;

#[tokio::test]
async fn children_of_a_resource_that_is_being_deleted_are_not_restored() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "deletion-resource").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::minimal()).await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    // The finalizer of another program keeps it for a while.
    let finalizer = json!({"metadata": {"finalizers": ["example.com/backup"]}});
    let services = fixture.services();
    services
        .patch("shop", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await
        .unwrap();
    services
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    fixture.delete(Kind::Service, "shop").await;
    beat(&fixture).await;
    assert!(
        fixture
            .children(Kind::Service)
            .get_opt("shop")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn nothing_is_created_in_a_namespace_that_is_being_deleted() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "deletion-namespace").await;
    fixture.create("shop", spec::minimal()).await;
    let namespaces: Api<Namespace> = Api::all(fixture.client.clone());
    // No controller empties it here, so that it stays in between.
    namespaces
        .delete(&fixture.namespace, &DeleteParams::default())
        .await
        .unwrap();
    let operator = Operator::start(cluster, &fixture.namespace, "one").await;
    fixture
        .until_condition("shop", "Progressing", "True", "Preparing")
        .await;
    let logs = operator.process.logs();
    let failures: Vec<_> = logs
        .iter()
        .filter(|line| line.contains("failed to write"))
        .collect();
    assert!(failures.is_empty(), "{failures:?}");
    for kind in Kind::ALL {
        let made = fixture
            .children(kind)
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        assert!(made.items.is_empty(), "{kind:?}");
    }
}

/// Waits until the operator has done something that came after: a whole resource of its own.
async fn beat(fixture: &Fixture) {
    fixture.create("beat", spec::minimal()).await;
    fixture
        .until_condition("beat", "Progressing", "False", "UpToDate")
        .await;
}
