//! How many pods the eviction API may remove; drains of nodes use this API. A plan (`tuning::plan`) decides the number.

use super::autoscaler::text;
use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use crate::tuning::plan::Evictions;
use serde_json::{Value, json};

/// Since when no pod may be evicted.
pub const HELD_SINCE: &str = "reckon.dev/evictions-held-since";
/// `minAvailable` that no number of pods reaches. `maxUnavailable: 0` would allow an eviction while a rollout has an
/// extra pod.
pub const NEVER: i32 = i32::MAX;

/// The `PodDisruptionBudget`. If only one pod runs, it may be evicted while evictions are allowed, so that its node can
/// be drained.
#[must_use]
pub fn disruption_budget(instance: &Instance, evictions: Evictions) -> Value {
    let mut metadata = metadata(instance, Component::Api, &instance.name);
    let mut spec = json!({"selector": {"matchLabels": selector(instance, Component::Api)}});
    match evictions {
        Evictions::Open => {
            spec["maxUnavailable"] = json!(1);
            spec["unhealthyPodEvictionPolicy"] = json!("AlwaysAllow");
        }
        Evictions::Held { since } => {
            metadata["annotations"] = json!({HELD_SINCE: text(since)});
            spec["minAvailable"] = json!(NEVER);
            // Otherwise, pods of a rollout that are not ready yet could be evicted.
            spec["unhealthyPodEvictionPolicy"] = json!("IfHealthyBudget");
        }
    }
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": spec,
    })
}
