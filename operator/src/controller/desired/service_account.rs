//! The pods' identity, which has no token for the API server.

use super::labels::{Component, metadata};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// The `ServiceAccount` of all pods.
#[must_use]
pub fn service_account(instance: &Instance) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(instance, Component::Api, &instance.name),
        "automountServiceAccountToken": false,
    })
}
