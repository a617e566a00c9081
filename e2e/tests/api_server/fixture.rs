//! A separate namespace, and the actions and checks of a test in it.

use crate::cluster::Cluster;
use crate::spec;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt as _};
use reckon_operator::controller::kind::Kind;
use reckon_operator::controller::stores::service_resource;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Time limit for immediate effects on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A namespace.
pub struct Fixture {
    /// The API server.
    pub client: Client,
    /// Its name.
    pub namespace: String,
}

impl Fixture {
    /// Makes the namespace, with the Secrets that [`spec`] refers to.
    pub async fn new(cluster: &Cluster, name: &str) -> Self {
        let client = cluster.client().await;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        let fixture = Self {
            client,
            namespace: name.to_owned(),
        };
        let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), name);
        let secret = json!({
            "metadata": {"name": spec::LOGIN},
            "stringData": {"username": "reader", "password": "only-a-test"},
        });
        secrets
            .create(
                &PostParams::default(),
                &serde_json::from_value(secret).unwrap(),
            )
            .await
            .unwrap();
        fixture
    }

    /// The resources.
    pub fn services(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &service_resource())
    }

    /// Objects of a kind.
    pub fn children(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    /// Creates a resource.
    pub async fn create(&self, name: &str, spec: Value) -> DynamicObject {
        let service = spec::service(name, &spec);
        let services = self.services();
        services
            .create(&PostParams::default(), &service)
            .await
            .unwrap()
    }

    /// Merges into the spec of a resource.
    pub async fn change(&self, name: &str, spec: Value) {
        let body = json!({"spec": spec});
        self.services()
            .patch(name, &PatchParams::default(), &Patch::Merge(&body))
            .await
            .unwrap();
    }

    /// Waits until an object exists and satisfies a condition.
    #[track_caller]
    pub fn until(
        &self,
        kind: Kind,
        name: &str,
        holds: impl Fn(&DynamicObject) -> bool,
    ) -> impl Future<Output = DynamicObject> {
        until(self.children(kind), name.to_owned(), holds)
    }

    /// Waits until a condition of a resource has this status and reason; returns its message.
    #[track_caller]
    pub fn until_condition(
        &self,
        name: &str,
        type_: &'static str,
        status: &'static str,
        reason: &'static str,
    ) -> impl Future<Output = String> {
        let said = until(self.services(), name.to_owned(), move |service| {
            let condition = condition(service, type_);
            condition["status"] == status && condition["reason"] == reason
        });
        async move { text(&condition(&said.await, type_)["message"]) }
    }

    /// Waits until the status of a resource is about that generation.
    pub async fn until_observed(&self, name: &str, generation: Option<i64>) {
        until(self.services(), name.to_owned(), move |service| {
            service.data["status"]["observedGeneration"].as_i64() == generation
        })
        .await;
    }

    /// Waits until there is no object of that name.
    pub async fn until_gone(&self, kind: Kind, name: &str, within: Duration) {
        let gone = |object: Option<&DynamicObject>| object.is_none();
        let waiting = await_condition(self.children(kind), name, gone);
        let waited = tokio::time::timeout(within, waiting).await;
        waited
            .unwrap_or_else(|_| panic!("{kind:?} {name} is still there"))
            .unwrap();
    }

    /// Deletes an object.
    pub async fn delete(&self, kind: Kind, name: &str) {
        self.children(kind)
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Every child and resource with its version: the same before and after means that nothing was changed.
    pub async fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        let resources = Kind::ALL.map(Kind::resource);
        for resource in resources.iter().chain([&service_resource()]) {
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), &self.namespace, resource);
            for object in api.list(&ListParams::default()).await.unwrap() {
                versions.insert(
                    format!("{} {}", resource.kind, object.name_any()),
                    object.resource_version().unwrap(),
                );
            }
        }
        versions
    }
}

#[track_caller]
fn until(
    api: Api<DynamicObject>,
    name: String,
    holds: impl Fn(&DynamicObject) -> bool,
) -> impl Future<Output = DynamicObject> {
    let caller = std::panic::Location::caller();
    async move {
        let waiting = await_condition(api.clone(), &name, |object: Option<&DynamicObject>| {
            object.is_some_and(&holds)
        });
        if let Ok(seen) = tokio::time::timeout(SOON, waiting).await {
            return seen.unwrap().unwrap();
        }
        let seen = api.get_opt(&name).await.unwrap();
        let seen = seen.map(|object| serde_json::to_string_pretty(&object).unwrap());
        panic!(
            "still not so at {caller}: {}",
            seen.unwrap_or_else(|| format!("no {name}"))
        );
    }
}

/// A condition of a resource; null when it has none of that type.
pub fn condition(service: &DynamicObject, type_: &str) -> Value {
    let conditions = service.data["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == type_);
    found.cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
