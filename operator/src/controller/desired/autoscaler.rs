//! The autoscaler. Its bounds and its scale-down affect the connection budget, so a plan decides them.

use super::labels::{Component, metadata};
use crate::controller::instance::Instance;
use crate::tuning::plan::{HpaWrite, ScaleDown};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// Since when the autoscaler may not remove pods.
pub const DISABLED_SINCE: &str = "reckon.dev/scale-down-disabled-since";
/// When the maximum was last lowered.
pub const LOWERED_AT: &str = "reckon.dev/maximum-lowered-at";
/// The maximum before it was lowered.
pub const LOWERED_FROM: &str = "reckon.dev/maximum-lowered-from";

/// The `HorizontalPodAutoscaler`. `window` is the present stabilisation window; `None`: the autoscaler has none, or
/// does not exist yet.
#[must_use]
pub fn autoscaler(instance: &Instance, write: &HpaWrite, window: Option<Duration>) -> Value {
    let mut metadata = metadata(instance, Component::Api, &instance.name);
    let mut annotations = json!({});
    let scale_down = match write.scale_down {
        ScaleDown::Disabled { since } => {
            annotations[DISABLED_SINCE] = json!(text(since));
            let mut disabled = json!({"selectPolicy": "Disabled"});
            if let Some(window) = window {
                disabled["stabilizationWindowSeconds"] = json!(window.as_secs());
            }
            Some(disabled)
        }
        ScaleDown::Pods { count, period } => Some(json!({
            "selectPolicy": "Max",
            "stabilizationWindowSeconds": period.as_secs(),
            "policies": [{"type": "Pods", "value": count, "periodSeconds": period.as_secs()}],
        })),
        ScaleDown::Default => None,
    };
    if let Some(lowered) = write.lowered {
        annotations[LOWERED_AT] = json!(text(lowered.at));
        annotations[LOWERED_FROM] = json!(lowered.from.to_string());
    }
    metadata["annotations"] = annotations;
    let mut autoscaler = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": instance.name},
            "minReplicas": write.min,
            "maxReplicas": write.max,
            "metrics": [{
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": instance.target_cpu_percent},
                },
            }],
        },
    });
    if let Some(scale_down) = scale_down {
        autoscaler["spec"]["behavior"] = json!({"scaleDown": scale_down});
    }
    autoscaler
}

/// A time in the format of annotations (RFC 3339).
#[must_use]
pub fn text(moment: Timestamp) -> String {
    format!("{moment:.3}")
}
