//! The desired state: every child of a resource, as the JSON that is applied. Pure.
//!
//! Objects are JSON, not typed structs: a server-side apply owns exactly the fields that it sends.

pub mod autoscaler;
pub mod config_map;
pub mod deployment;
mod digest;
pub mod disruption_budget;
mod facts;
mod job_pod;
pub mod labels;
pub mod migration;
pub mod network_policy;
mod placement;
pub mod provision;
pub mod redis;
pub mod service;
pub mod service_account;
pub mod training;

pub use digest::digest;
pub use facts::Facts;

use super::instance::Instance;
use serde_json::Value;

/// Field manager of the fields that the operator applies.
pub const FIELD_MANAGER: &str = "reckon-operator";

/// Every child of a resource. The connection budget's plan decides when Deployment and autoscaler are written, and when
/// the training is created. All other children are applied unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Identity of the pods; it has no token.
    pub service_account: Value,
    /// The pods' tuning, immutable.
    pub config_map: Value,
    /// The API's Deployment, without the fields that a plan decides.
    pub deployment: deployment::Desired,
    /// The clients' Service.
    pub service: Value,
    /// A headless Service for metrics: one address for each pod.
    pub metrics_service: Value,
    /// Which clients may connect to the pods.
    pub network_policy: Option<Value>,
    /// The same for the migration's pods.
    pub migration_policy: Option<Value>,
    /// The same for the pods that create and change the database and its accounts.
    pub provision_policy: Option<Value>,
    /// The Job that creates tables and indexes.
    pub migration: Option<Value>,
    /// The `CronJob` that trains the model. The connection budget's plan decides when it is created.
    pub training: Option<Value>,
    /// Which clients may connect to the pods of the training.
    pub training_policy: Option<Value>,
    /// A managed Redis.
    pub redis: Option<redis::Desired>,
}

/// The children of `instance`.
#[must_use]
pub fn desired(instance: &Instance, facts: &Facts) -> Resources {
    let (config_map, tuning_name) = config_map::config_map(instance);
    Resources {
        service_account: service_account::service_account(instance),
        deployment: deployment::desired(instance, facts, &tuning_name),
        training: training::cron_job(instance, &tuning_name),
        training_policy: network_policy::of_training(instance),
        config_map,
        service: service::service(instance),
        metrics_service: service::metrics(instance),
        network_policy: network_policy::network_policy(instance),
        migration_policy: network_policy::of_migration(instance),
        provision_policy: network_policy::of_provisioning(instance),
        migration: migration::job(instance, facts),
        redis: redis::desired(instance, facts),
    }
}

#[cfg(test)]
mod pinned;
#[cfg(test)]
mod tests;
