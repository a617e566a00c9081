//! Which pods may be taken away on purpose, by a drain of their node.

use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// One pod at a time, and not for a service that never has two. Of one pod it lets the one go: a node can be drained.
#[must_use]
pub fn disruption_budget(instance: &Instance) -> Option<Value> {
    (instance.budget.scale.max() >= 2).then(|| {
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(instance, Component::Api, &instance.name),
            "spec": {
                "maxUnavailable": 1,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": selector(instance, Component::Api)},
            },
        })
    })
}
