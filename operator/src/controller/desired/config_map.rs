//! The pods' tuning. Each content has a separate, immutable `ConfigMap`, so that a pod that restarts during a change
//! keeps the pool size for which the budget was planned.

use super::digest::digest;
use super::labels::{Component, metadata};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// Name of the file in the `ConfigMap`.
pub const FILE: &str = "tuning.yaml";

/// The `ConfigMap` and its name.
///
/// # Panics
/// Never: a tuning consists of numbers and strings.
#[must_use]
pub fn config_map(instance: &Instance) -> (Value, String) {
    let yaml = serde_yaml::to_string(&instance.tuning).expect("numbers and texts are YAML");
    let name = instance.child(&format!("tuning-{}", digest(yaml.as_bytes())));
    let config_map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(instance, Component::Api, &name),
        "immutable": true,
        "data": {FILE: yaml},
    });
    (config_map, name)
}
