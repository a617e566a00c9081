//! The status that the operator writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Types of the conditions in a status.
pub const CONDITION_TYPES: [&str; 9] = [
    "Ready",
    "Progressing",
    "Degraded",
    "DatabaseReachable",
    "CacheReachable",
    "IndexesReady",
    "ModelReady",
    "BudgetFeasible",
    "Paused",
];

/// Reasons of conditions, in alphabetical order. `docs/troubleshooting.md` explains each.
pub const CONDITION_REASONS: [&str; 62] = [
    "AccessDenied",
    "Active",
    "CacheUnreachable",
    "CertificateRefused",
    "Changing",
    "Connected",
    "Connecting",
    "DatabaseFailing",
    "DatabaseNotEmpty",
    "DatabaseSlow",
    "DatabaseUnreachable",
    "ExceedsServerLimit",
    "InsufficientPrivilege",
    "InvalidSpec",
    "MaxReplicasLimited",
    "Migrated",
    "Migrating",
    "MigrationFailed",
    "ModelInvalid",
    "ModelLoaded",
    "ModelOutdated",
    "NameConflict",
    "NoDatabase",
    "NoModel",
    "NoPodAnswers",
    "NotConfigured",
    "NotManaged",
    "NotReady",
    "NotReported",
    "NotTrained",
    "OwnedByAnother",
    "Paused",
    "PodsFailing",
    "PodsReady",
    "PodsStarting",
    "Preparing",
    "ProvisioningFailed",
    "ReconcileFailed",
    "RolloutRunning",
    "RolloutStuck",
    "RotationUnsupported",
    "SchemaMismatch",
    "SecretMissing",
    "SystemDatabase",
    "TooManyConnections",
    "TooSmall",
    "TrainingFailed",
    "UnknownDatabase",
    "Unreachable",
    "UpToDate",
    "UserIdTypeMismatch",
    "UserNotOurs",
    "WaitingForAutoscaler",
    "WaitingForConnections",
    "WaitingForDeployment",
    "WaitingForEvictions",
    "WaitingForOthers",
    "WaitingForPause",
    "WaitingForPod",
    "WaitingForTermination",
    "WaitingForTraining",
    "WithinBudget",
];

/// The entry of [`CONDITION_REASONS`] that equals this reason. `None`: another program wrote it.
#[must_use]
pub fn known_reason(reason: &str) -> Option<&'static str> {
    let index = CONDITION_REASONS.binary_search(&reason).ok()?;
    Some(CONDITION_REASONS[index])
}

/// State last observed by the operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RecommendationServiceStatus {
    /// Generation of the resource that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Number of API pods, not counting terminating ones.
    pub replicas: u32,
    /// Number of ready API pods.
    pub ready_replicas: u32,
    /// Image of the API that is rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// URL of the API for clients in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The values that the operator derived from the connection budget and the pods' resources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningStatus>,
    /// Conditions of the service, with reasons.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// Every term of `poolPerPod = (connectionBudget - reservedConnections - trainingConnections) / maxPods`, rounded down. With
/// `enforcement: Server`: `poolPerPod = (connectionBudget - reservedConnections - trainingConnections - minPoolPerPod x extra) /
/// maxReplicas`, where `extra` is a quarter of `maxReplicas`, rounded up; if the account's limit is smaller than the budget,
/// it replaces `connectionBudget`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TuningStatus {
    /// Upper limit on the connections of all pods together.
    pub connection_budget: u32,
    /// Connections of the budget that are kept free.
    pub reserved_connections: u32,
    /// Connections of the budget that are kept free for the training: 1 with `spec.training`. Absent: none.
    #[serde(skip_serializing_if = "is_zero")]
    pub training_connections: u32,
    /// Maximum number of replicas that the budget allows.
    pub max_replicas: u32,
    /// How many pods a rollout replaces at once. With `enforcement: Plan`, the autoscaler removes at most as many at a time.
    pub max_surge: u32,
    /// Maximum number of pods alive at once: maxReplicas, maxSurge more during a rollout, and maxSurge terminating. With
    /// `enforcement: Server`: 2 x maxReplicas + maxSurge, because all former pods may be terminating at once. A
    /// `ResourceQuota` must allow that many.
    pub max_pods: u32,
    /// Database connections of each pod.
    pub pool_per_pod: u32,
    /// With `enforcement: Server`, connections of each pod that are always open. It opens more, up to `poolPerPod`, while
    /// requests wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_pool_per_pod: Option<u32>,
    /// What keeps the pods within the budget now: `Server`, a limit of their database account, or `Plan`, the order of the
    /// operator's changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<EnforcementStatus>,
    /// Size of each pod's memory cache in bytes.
    pub memory_cache_bytes: u64,
    /// Worker threads of each pod.
    pub threads: u32,
    /// Estimated duration of a rollout of all pods, in seconds.
    pub rollout_seconds_estimate: u32,
}

/// What keeps the pods within the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EnforcementStatus {
    /// The database server, by the limit of the pods' account.
    Server,
    /// The order in which the operator makes changes.
    Plan,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
