//! How many pods a voluntary disruption, such as a drain of their node, may remove.

use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// At most one pod at a time; `None` for a service that never has two pods. If only one pod runs, it may be removed: its
/// node can be drained.
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
