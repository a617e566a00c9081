//! Labels, names and metadata of children.

use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// Label by which the operator finds its children.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by=reckon-operator";
/// Labels by which the operator finds the API's pods.
pub const API_PODS: &str =
    "app.kubernetes.io/managed-by=reckon-operator,app.kubernetes.io/component=api";
/// Labels by which the operator finds the provisioning Jobs.
pub const PROVISION_JOBS: &str =
    "app.kubernetes.io/managed-by=reckon-operator,app.kubernetes.io/component=provision";
/// Label with the name of the resource.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// The component that a child belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The recommendation API.
    Api,
    /// A managed Redis.
    Redis,
    /// The Job that creates tables and indexes.
    Migrate,
    /// The Jobs that create and change a database and its accounts.
    Provision,
    /// The Jobs that train the model.
    Train,
}

impl Component {
    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Redis => "redis",
            Self::Migrate => "migrate",
            Self::Provision => "provision",
            Self::Train => "train",
        }
    }
}

/// Labels that select the pods of a component; they never change.
#[must_use]
pub fn selector(instance: &Instance, component: Component) -> Value {
    json!({
        "app.kubernetes.io/name": "reckon",
        INSTANCE: instance.name,
        "app.kubernetes.io/component": component.name(),
    })
}

/// Labels of a child or its pods.
#[must_use]
pub fn labels(instance: &Instance, component: Component) -> Value {
    let mut labels = selector(instance, component);
    labels["app.kubernetes.io/managed-by"] = json!("reckon-operator");
    labels["app.kubernetes.io/part-of"] = json!("reckon");
    labels
}

/// Metadata of a child.
#[must_use]
pub fn metadata(instance: &Instance, component: Component, name: &str) -> Value {
    json!({
        "name": name,
        "namespace": instance.namespace,
        "labels": labels(instance, component),
        "ownerReferences": [instance.owner()],
    })
}
