//! The resource itself.

use super::connections::{Mysql, Redis};
use super::shape::{Auth, Autoscaling, Cache, NetworkPolicy, Pod, Rollout, Service};
use super::status::RecommendationServiceStatus;
use super::training::Training;
use kube::{CustomResource, KubeSchema};
use reckon_contract::tables::Tables;
use reckon_contract::tuning::{Events, Freshness, RateLimit, Recommendation, Server};
use serde::{Deserialize, Serialize};

/// A recommendation service: API pods, their Service and autoscaler, and their connections to MySQL and Redis.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "reckon.dev",
    version = "v1alpha1",
    kind = "RecommendationService",
    namespaced,
    shortname = "recsvc",
    category = "all",
    status = "RecommendationServiceStatus",
    derive = "PartialEq",
    doc = "A recommendation service: API pods, their Service and autoscaler, and their connections to MySQL and Redis.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.readyReplicas", description = "Pods that are ready"),
    printcolumn(name = "Pool", type_ = "integer", json_path = ".status.tuning.poolPerPod", description = "Database connections of each pod"),
    printcolumn(name = "Budget", type_ = "integer", json_path = ".status.tuning.connectionBudget", description = "Database connections of all pods together, at most"),
    printcolumn(name = "Enforcement", type_ = "string", json_path = ".status.tuning.enforcement", description = "What keeps the pods within the budget", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be at most 40 characters: lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit, since the names of Services are made from it"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.replicas) && has(self.autoscaling))")
        .message("set either replicas (a fixed number of pods) or autoscaling, not both"),
    validation = Rule::new("self.mysql.connectionBudget >= self.mysql.reservedConnections + (has(self.training) ? 1 : 0) + (has(self.events) && self.events.enabled ? 3 : 2) * ((has(self.autoscaling) ? self.autoscaling.minReplicas : has(self.replicas) ? self.replicas : 2) + 2)")
        .message("mysql.connectionBudget is too small: each of replicas (or autoscaling.minReplicas) + 2 pods needs 2 connections (3 with events.enabled), beside mysql.reservedConnections and, with training, one more; raise the budget to at least reservedConnections + 2 (3 with events.enabled) x (replicas + 2) (+ 1 with training), or lower the number of pods"),
    validation = Rule::new("has(self.redis) || (has(self.replicas) ? self.replicas == 1 : has(self.autoscaling) && self.autoscaling.maxReplicas == 1) || (has(self.cache) && has(self.cache.memory) && (self.cache.memory.allowStale || self.cache.memory.percentOfLimit == 0))")
        .message("several pods without redis do not receive each other's invalidations: add redis, or accept answers as old as cache.memory.ttlSeconds with cache.memory.allowStale: true, or turn the memory cache off with cache.memory.percentOfLimit: 0"),
    validation = Rule::new("(has(self.server) ? self.server.drainSeconds + (self.server.requestTimeoutMilliseconds + 999) / 1000 : 10) + 5 <= (has(self.pod) ? self.pod.terminationGracePeriodSeconds : 20)")
        .message("pod.terminationGracePeriodSeconds is too short: a pod needs server.drainSeconds (5 by default), its longest request (server.requestTimeoutMilliseconds, 5000 by default) and 5 s more to end without cutting a request off"),
    validation = Rule::new("!has(self.rateLimit) || has(self.rateLimit.requestsPerSecond) || has(self.rateLimit.connectionsPerClient)")
        .message("rateLimit limits nothing: set requestsPerSecond or connectionsPerClient, or leave rateLimit out"),
    validation = Rule::new("!has(self.rateLimit) || !has(self.rateLimit.burst) || has(self.rateLimit.requestsPerSecond)")
        .message("rateLimit.burst needs rateLimit.requestsPerSecond beside it"),
    validation = Rule::new("!(has(self.mysql.external) && has(self.mysql.external.tls) && self.mysql.external.tls.mode == 'VerifyCA' && has(self.redis) && has(self.redis.external) && has(self.redis.external.tls) && self.redis.external.tls.enabled && !has(self.redis.external.tls.caSecretName))")
        .message("mysql.external.tls.mode: VerifyCA needs redis.external.tls.caSecretName too: without it the pods trust public authorities, for the database as well"),
    validation = Rule::new("!has(self.tables) || !(has(self.tables.searches) && has(self.tables.searches.table) && self.tables.searches.table == '' && has(self.tables.purchases) && has(self.tables.purchases.table) && self.tables.purchases.table == '')")
        .message("tables has no table: set tables.searches.table or tables.purchases.table, or leave one of them out"),
    validation = Rule::new("!has(self.tables) || !has(self.tables.searches) || !self.tables.searches.onlySuccessful || (has(self.tables.searches.success) ? self.tables.searches.success != '' : !has(self.tables.searches.table))")
        .message("tables.searches.onlySuccessful needs the name of a column in tables.searches.success"),
    validation = Rule::new("!has(self.tables) || !has(self.tables.purchases) || !self.tables.purchases.onlySuccessful || (has(self.tables.purchases.success) ? self.tables.purchases.success != '' : !has(self.tables.purchases.table))")
        .message("tables.purchases.onlySuccessful needs the name of a column in tables.purchases.success"),
    validation = Rule::new("!has(self.training) || !has(self.recommendation) || self.recommendation.algorithm != 'Classic' || has(self.recommendation.experiment)")
        .message("training needs recommendation.algorithm: NextBasket (the default), or an experiment with it; Classic uses no model"),
    validation = Rule::new("!has(self.recommendation) || !has(self.recommendation.experiment) || self.recommendation.experiment.algorithm != self.recommendation.algorithm")
        .message("recommendation.experiment.algorithm must be another one than recommendation.algorithm"),
)]
pub struct RecommendationServiceSpec {
    /// Image of the API. Default: the image of the operator's version, so that an upgrade of the operator also rolls out the
    /// pods. Set it to control the time of upgrades. A moving tag such as `latest` is rejected, and so is an image that is not
    /// in the operator's list of allowed images (`allowedImages` of the chart).
    #[schemars(length(min = 1, max = 512))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// While true, the operator changes nothing and only reports. Default false.
    #[serde(default)]
    pub paused: bool,
    /// Fixed number of API pods. Default without `autoscaling`: 2.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Scales the API pods on CPU utilization. Mutually exclusive with `replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// The database, and the limit on its connections.
    pub mysql: Mysql,
    /// The shared cache, which also carries invalidations between pods. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<Redis>,
    /// Sizes and lifetimes of the caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Whether pods follow new rows of the tables and invalidate their users. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freshness: Option<Freshness>,
    /// Limits for each client, enforced by each pod. Default: no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// API key authentication. Default: mutating requests require a key, which the operator generates once in the Secret
    /// `NAME-api-keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Names of the tables or views with searches and purchases, and of their columns, and the type of user ids. Default: the
    /// tables `searches` and `purchase`, and integers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Tables>,
    /// Storing events with `POST /events` and erasing users with `DELETE /users/{user_id}`. The user of `mysql.external` must have
    /// the privileges to write. The operator grants them to the user of `mysql.provisioned`, and revokes them when events are
    /// disabled. Default: off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Events>,
    /// What is recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation: Option<Recommendation>,
    /// Regular training of the model of `NextBasket`. Default: no training. A model may then come from another program; without a
    /// model, the recommendations are computed from each user's own history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
    /// Limits of each pod's HTTP server. Default of `threads`: the container's CPU limit, or else its CPU request, rounded up; 2
    /// if neither is set. Default of `maxConnections`: the container's memory limit without its memory cache and 64 MiB,
    /// divided by 32 KiB; 256 to 65536.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// How pods are replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The Service that clients use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// Network access to and from the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// Scheduling, resources and metadata of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
}
