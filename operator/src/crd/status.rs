//! What the operator answers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the operator last saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RecommendationServiceStatus {
    /// Generation of the resource that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// API pods that there are, those that are being stopped not counted.
    pub replicas: u32,
    /// API pods that are ready.
    pub ready_replicas: u32,
    /// Image of the API that the pods are to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Where clients in the cluster reach the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The arithmetic of the connection budget, and what follows from the pods' resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningStatus>,
    /// What is true of the service, and why.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Every term of `poolPerPod = (connectionBudget - reservedConnections) / maxPods`, rounded down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TuningStatus {
    /// Connections that all pods together never exceed.
    pub connection_budget: u32,
    /// Connections of the budget that pods do not get.
    pub reserved_connections: u32,
    /// Most replicas, after clamping to what the budget allows.
    pub max_replicas: u32,
    /// Most pods alive at once: maxReplicas, one more in a rollout, and one that is being stopped. A `ResourceQuota` must
    /// allow as many.
    pub max_pods: u32,
    /// Database connections of each pod.
    pub pool_per_pod: u32,
    /// Bytes of each pod's memory cache.
    pub memory_cache_bytes: u64,
    /// Threads of each pod.
    pub threads: u32,
    /// Seconds that a rollout of all pods takes, about.
    pub rollout_seconds_estimate: u32,
}
