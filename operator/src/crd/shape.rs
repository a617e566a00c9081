//! Everything about the pods except their connections: their number, caches, clients and placement.

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use reckon_contract::tuning;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Number of pods by their CPU use. While the operator's plan enforces the connection budget, the autoscaler removes at most
/// `status.tuning.maxSurge` pods at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas")
    .message("autoscaling.minReplicas must be at most autoscaling.maxReplicas"))]
pub struct Autoscaling {
    /// Minimum number of pods. Default 2.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default = "min_replicas")]
    pub min_replicas: u32,
    /// Maximum number of pods. The higher it is, the fewer database connections each pod gets.
    #[schemars(range(min = 1, max = 1000))]
    pub max_replicas: u32,
    /// Target CPU utilization, in percent of the CPU request. Default 70.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default = "target_cpu", rename = "targetCPUUtilizationPercentage")]
    pub target_cpu_utilization_percentage: u32,
}

fn min_replicas() -> u32 {
    2
}

fn target_cpu() -> u32 {
    70
}

/// How pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// How many pods a rollout replaces at once while the operator's plan enforces the connection budget. With a greater number,
    /// rollouts are faster and each pod gets fewer connections: the budget is divided by the maximum number of pods + 2 x
    /// `maxSurge`. If a pod would get fewer than the 2 connections that it needs (3 with `events.enabled`), a smaller number is
    /// used. Absent: the greatest number that does not reduce the pools, at least 1.
    #[schemars(range(min = 1, max = 50))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<u32>,
}

/// Sizes and lifetimes of the caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// The memory cache of each pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryCache>,
    /// The cache shared by all pods; requires `redis`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedCache>,
    /// Seconds for which an expired answer is kept. It is served, marked `STALE`, only while the database is unavailable. 0
    /// keeps none. Default 3600.
    #[schemars(range(min = 0, max = 604_800))]
    #[serde(default = "stale_seconds")]
    pub stale_seconds: u32,
}

fn stale_seconds() -> u32 {
    tuning::Cache::default().stale_seconds
}

/// The memory cache of each pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryCache {
    /// Share of the container's memory limit, in percent; 0 turns the memory cache off. Default 25.
    #[schemars(range(min = 0, max = 75))]
    #[serde(default = "percent_of_limit")]
    pub percent_of_limit: u32,
    /// Time to live of a cached answer in seconds, with a jitter of 10 %. Default 300.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default = "memory_ttl_seconds")]
    pub ttl_seconds: u32,
    /// Allows several pods without `redis`. An invalidation then reaches one pod only, and the others serve older answers for
    /// up to `ttlSeconds`. Default false.
    #[serde(default)]
    pub allow_stale: bool,
}

fn percent_of_limit() -> u32 {
    25
}

fn memory_ttl_seconds() -> u32 {
    tuning::MemoryCache::default().ttl_seconds
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self {
            percent_of_limit: percent_of_limit(),
            ttl_seconds: memory_ttl_seconds(),
            allow_stale: false,
        }
    }
}

/// The cache that the pods share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedCache {
    /// Time to live of a cached answer in seconds, with a jitter of 10 %. Default 3600.
    #[schemars(range(min = 1, max = 604_800))]
    #[serde(default = "shared_ttl_seconds")]
    pub ttl_seconds: u32,
}

fn shared_ttl_seconds() -> u32 {
    tuning::SharedCache::default().ttl_seconds
}

/// Who needs a key. Without `secretName` and `disabled`, the operator makes a key once and never replaces it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.secretName) && has(self.disabled))")
    .message("set either auth.secretName or auth.disabled, not both"))]
pub struct Auth {
    /// Name of a Secret in the same namespace. Its key `api-keys` holds the clients' API keys, one per line, 16 bytes or more
    /// each. Pods reload it when it changes.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// `{}` turns authentication off: anyone who can reach the Service can then clear its caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Disabled>,
    /// Whether read requests require a key too. Default false.
    #[serde(default)]
    pub reads: bool,
}

/// Nothing to say beyond that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disabled {}

/// The Service that clients use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Type of the Service. Default `ClusterIP`.
    #[serde(default, rename = "type")]
    pub type_: ServiceType,
    /// Port of the Service. Default 80.
    #[schemars(range(min = 1, max = 65535))]
    #[serde(default = "service_port")]
    pub port: u16,
    /// Annotations of the Service, for instance for a cloud's load balancer.
    #[schemars(extend("maxProperties" = 64))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            type_: ServiceType::default(),
            port: service_port(),
            annotations: BTreeMap::new(),
        }
    }
}

fn service_port() -> u16 {
    80
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// From inside the cluster.
    #[default]
    ClusterIP,
    /// Beside that, by a port of each node.
    NodePort,
    /// Beside that, by a load balancer of the cloud.
    LoadBalancer,
}

/// Who may connect to the pods, and where they may connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether to create a `NetworkPolicy` that admits `from` to the API, `metricsFrom` to the operations port, and nothing
    /// else. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Clients that may connect to the API, in addition to the operator. Default: all. An empty list: none.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<NetworkPolicyPeer>>,
    /// Clients that may read the pods' metrics. Default: all in the cluster.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_from: Option<Vec<NetworkPolicyPeer>>,
    /// Address blocks (CIDR) that the pods of the API, the migration and the training may connect to, in addition to DNS and a managed Redis. They must
    /// contain the database. Empty: no restriction.
    #[schemars(length(max = 64), inner(length(max = 43)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress_cidrs: Vec<String>,
    /// DNS servers that the pods may query when `egressCidrs` is set, on the ports 53 and 5353. Absent: the pods in
    /// `kube-system` with the label `k8s-app: kube-dns` or `k8s-app: node-local-dns`, the DNS pods in `openshift-dns`, and
    /// the address of a node's own DNS cache (169.254.20.10). Empty: none.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_to: Option<Vec<NetworkPolicyPeer>>,
}

fn yes() -> bool {
    true
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            enabled: true,
            from: None,
            metrics_from: None,
            egress_cidrs: Vec::new(),
            dns_to: None,
        }
    }
}

/// Where and with what the pods run. `nodeSelector`, `tolerations`, `priorityClassName`, `imagePullSecrets`, `labels` and
/// `annotations` are also those of the pods of the migration, the training and a managed Redis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.labels) || self.labels.all(k, !k.startsWith('app.kubernetes.io/') && !k.startsWith('reckon.dev/'))")
    .message("pod.labels must not begin with app.kubernetes.io/ or reckon.dev/, which the operator uses to find its pods"))]
pub struct Pod {
    /// CPU and memory of the container. Default: requests of 250m and 256Mi, a memory limit of 256Mi. The memory cache is sized
    /// from the memory limit, the number of threads from the CPU limit or else the CPU request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Labels that a node must have.
    #[schemars(extend("maxProperties" = 32))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that do not keep the pods away.
    #[schemars(length(max = 32))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Affinity rules of the pods. Those for nodes also hold for the pods of the migration, the training and a managed Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How the pods spread. Absent: over nodes as far as possible, and over zones unless `affinity` has a `podAntiAffinity`.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// Priority class of the pods.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets used to pull images.
    #[schemars(length(max = 16))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// Annotations of the pods.
    #[schemars(extend("maxProperties" = 64))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels of the pods, in addition to those of the operator.
    #[schemars(extend("maxProperties" = 64))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Seconds a pod is given to drain and stop. Longer periods make rollouts slower. Default 20.
    #[schemars(range(min = 5, max = 120))]
    #[serde(default = "grace_seconds")]
    pub termination_grace_period_seconds: u32,
}

fn grace_seconds() -> u32 {
    20
}

impl Default for Pod {
    fn default() -> Self {
        Self {
            resources: None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            topology_spread_constraints: None,
            priority_class_name: None,
            image_pull_secrets: Vec::new(),
            annotations: BTreeMap::new(),
            labels: BTreeMap::new(),
            termination_grace_period_seconds: grace_seconds(),
        }
    }
}
