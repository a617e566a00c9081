//! Nothing is made for what is being deleted.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::operator::Operator;
use crate::scene::Scene;
use crate::spec;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use reckon_operator::controller::kind::Kind;
use serde_json::json;

#[tokio::test]
async fn children_of_a_resource_that_is_being_deleted_are_not_put_back() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "deletion-resource").await;
    let _operator = Operator::start(cluster, &scene.namespace, "one").await;
    let _controllers = Controllers::play(&scene);
    scene.create("shop", spec::minimal()).await;
    scene
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    // Somebody else's finalizer keeps it for a while.
    let finalizer = json!({"metadata": {"finalizers": ["example.com/backup"]}});
    let services = scene.services();
    services
        .patch("shop", &PatchParams::default(), &Patch::Merge(&finalizer))
        .await
        .unwrap();
    services
        .delete("shop", &DeleteParams::default())
        .await
        .unwrap();
    scene.delete(Kind::Service, "shop").await;
    beat(&scene).await;
    assert!(
        scene
            .children(Kind::Service)
            .get_opt("shop")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn nothing_is_made_in_a_namespace_that_is_being_deleted() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "deletion-namespace").await;
    scene.create("shop", spec::minimal()).await;
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    // No controller empties it here, so that it stays in between.
    namespaces
        .delete(&scene.namespace, &DeleteParams::default())
        .await
        .unwrap();
    let operator = Operator::start(cluster, &scene.namespace, "one").await;
    scene
        .until_condition("shop", "Progressing", "True", "Preparing")
        .await;
    let logs = operator.process.logs();
    let failures: Vec<_> = logs
        .iter()
        .filter(|line| line.contains("failed to write"))
        .collect();
    assert!(failures.is_empty(), "{failures:?}");
    for kind in Kind::ALL {
        let made = scene
            .children(kind)
            .list(&kube::api::ListParams::default())
            .await
            .unwrap();
        assert!(made.items.is_empty(), "{kind:?}");
    }
}

/// Waits until the operator has done something that came after: a whole resource of its own.
async fn beat(scene: &Scene) {
    scene.create("beat", spec::minimal()).await;
    scene
        .until_condition("beat", "Progressing", "False", "UpToDate")
        .await;
}
