//! A parsed resource: the wanted state, with every default filled in and every number checked again.

mod checks;
pub mod database;
mod defaults;
mod enforcement;
mod error;
mod resources;
mod scale;
mod schedule;
pub mod secrets;
mod training;
mod tuning;

pub use defaults::Defaults;
pub use error::Error;

use crate::crd::{
    Auth, Mysql, NetworkPolicy, Pod, RecommendationService, Redis, Service, Training,
};
use crate::tuning::budget::{self, Budget};
use crate::tuning::enforcement::{Enforcement, Record};
use crate::tuning::{Scale, TRAINING_CONNECTIONS};
use checks::{check, image};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;
use kube::api::DynamicObject;
use reckon_contract::Tuning;
use resources::{POD_MEMORY, resources};
use scale::scale;
use std::time::Duration;
use training::training;
use tuning::tuning;

/// Annotation of a resource: a change of its value replaces all pods, within the budget's rules.
pub const RESTARTED_AT: &str = "reckon.dev/restarted-at";
/// Annotation of a resource: a change of its value rotates the password of the provisioned database user.
pub const ROTATED_AT: &str = "reckon.dev/rotate-password-at";

/// Port of a managed Redis.
pub const REDIS_PORT: u16 = 6379;
/// Target CPU use, in percent, of an autoscaler that still exists but is no longer wanted. Kubernetes does not accept 0.
const DEFAULT_TARGET_CPU_PERCENT: u32 = 70;

/// A parsed resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// Value of [`RESTARTED_AT`].
    pub restarted_at: Option<String>,
    /// Value of [`ROTATED_AT`].
    pub rotated_at: Option<String>,
    /// Whether the operator only reports the status, and changes no children.
    pub paused: bool,
    /// Image of the API.
    pub image: String,
    /// Whether the resource itself chose the image.
    pub image_is_pinned: bool,
    /// Image of a managed Redis.
    pub redis_image: String,
    /// Image that creates and changes a provisioned database. It is always the operator's own image of the API, never
    /// the image of the resource, because it gets the administrator's login.
    pub provision_image: String,
    /// Number of pods after clamping, and their share of the connections.
    pub budget: Budget,
    /// Number of pods before clamping.
    pub wanted_scale: Scale,
    /// What enforces the budget. `None`: it is not decided yet, and a plan is assumed.
    pub enforcement: Option<Enforcement>,
    /// What the Deployment records about the enforcement.
    pub record: Option<Record>,
    /// Target CPU use, in percent of the request.
    pub target_cpu_percent: u32,
    /// The database.
    pub mysql: Mysql,
    /// The shared cache.
    pub redis: Option<Redis>,
    /// Which clients need a key.
    pub auth: Auth,
    /// The clients' Service.
    pub service: Service,
    /// Which clients may connect.
    pub network_policy: NetworkPolicy,
    /// Settings of the pods; `resources` is always set.
    pub pod: Pod,
    /// The training of the model; `schedule` and `resources` are always set.
    pub training: Option<Training>,
    /// The tuning that the pods read.
    pub tuning: Tuning,
    /// Whether pods state their user, group and `fsGroup`.
    pub fixed_user_ids: bool,
    /// Namespace of the operator's pods.
    pub operator_namespace: String,
}

impl Instance {
    /// Parses an object from a watch.
    ///
    /// # Errors
    /// The resource cannot be run in any cluster; the message names the field.
    pub fn parse(object: &DynamicObject, defaults: &Defaults) -> Result<Self, Error> {
        let service: RecommendationService = serde_json::from_value(serde_json::to_value(object)?)?;
        Self::new(&service, defaults)
    }

    /// Fills in the defaults and checks everything that does not depend on the cluster.
    ///
    /// # Errors
    /// As for [`Instance::parse`].
    pub fn new(service: &RecommendationService, defaults: &Defaults) -> Result<Self, Error> {
        let meta = &service.metadata;
        let spec = &service.spec;
        check(spec)?;
        let wanted_scale = scale(spec)?;
        let budget = budget::budget(
            spec.mysql.connection_budget,
            spec.mysql.reserved_connections,
            spec.training.as_ref().map_or(0, |_| TRAINING_CONNECTIONS),
            wanted_scale,
            match &spec.events {
                Some(events) if events.enabled => budget::MIN_POOL_WITH_EVENTS,
                _ => budget::MIN_POOL,
            },
            spec.rollout.as_ref().and_then(|rollout| rollout.max_surge),
        )?;
        let mut pod = spec.pod.clone().unwrap_or_default();
        let resources = resources(pod.resources.take(), POD_MEMORY);
        let tuning = tuning(spec, &resources, &budget)?;
        pod.resources = Some(resources);
        Ok(Self {
            name: meta.name.clone().ok_or(Error::Incomplete("name"))?,
            namespace: meta
                .namespace
                .clone()
                .ok_or(Error::Incomplete("namespace"))?,
            uid: meta.uid.clone().ok_or(Error::Incomplete("uid"))?,
            generation: meta.generation.unwrap_or_default(),
            restarted_at: annotation(service, RESTARTED_AT),
            rotated_at: annotation(service, ROTATED_AT),
            paused: spec.paused,
            image: image(spec, defaults)?,
            image_is_pinned: spec.image.is_some(),
            redis_image: defaults.redis_image.clone(),
            provision_image: defaults.api_image.clone(),
            budget,
            wanted_scale,
            enforcement: None,
            record: None,
            target_cpu_percent: spec
                .autoscaling
                .as_ref()
                .map_or(DEFAULT_TARGET_CPU_PERCENT, |autoscaling| {
                    autoscaling.target_cpu_utilization_percentage
                }),
            mysql: spec.mysql.clone(),
            redis: spec.redis.clone(),
            auth: spec.auth.clone().unwrap_or_default(),
            service: spec.service.clone().unwrap_or_default(),
            network_policy: spec.network_policy.clone().unwrap_or_default(),
            pod,
            training: training(service)?,
            tuning,
            fixed_user_ids: defaults.fixed_user_ids,
            operator_namespace: defaults.operator_namespace.clone(),
        })
    }

    /// The reference that makes this resource the controller of a child.
    #[must_use]
    pub fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: RecommendationService::api_version(&()).into_owned(),
            kind: RecommendationService::kind(&()).into_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }
    }

    /// Termination grace period of a pod.
    #[must_use]
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.pod.termination_grace_period_seconds.into())
    }

    /// Host and port of the Redis that the pods share; `None`: there is no Redis.
    #[must_use]
    pub fn redis_address(&self) -> Option<(String, u16)> {
        let wanted = self.redis.as_ref()?;
        Some(match &wanted.external {
            Some(external) => (external.host.clone(), external.port),
            None => (self.child("redis"), REDIS_PORT),
        })
    }

    /// Name of a child: the resource's name and `what`.
    #[must_use]
    pub fn child(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }
}

fn annotation(service: &RecommendationService, name: &str) -> Option<String> {
    service.metadata.annotations.as_ref()?.get(name).cloned()
}

#[cfg(test)]
mod tests;
