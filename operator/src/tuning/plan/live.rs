//! The present state.

use crate::tuning::Surge;
use jiff::Timestamp;
use std::time::Duration;

/// The input of a plan, as read from live objects.
///
/// The parts can be read at different moments and be slightly outdated. But a part must never be older than an earlier
/// read of it, and all parts must contain the operator's own writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The API's Deployment. One that is being deleted counts as missing; its pods still count.
    pub deployment: Option<LiveDeployment>,
    /// The autoscaler that targets it.
    pub hpa: Option<LiveHpa>,
    /// All pods that may hold connections, including terminating ones. Pods whose phase is `Failed` or `Succeeded` must
    /// be excluded (a watch of metadata can do this with a field selector), because they hold no connections and remain
    /// for long.
    pub pods: Vec<LivePod>,
    /// Connections that the training may hold: [`crate::tuning::TRAINING_CONNECTIONS`] from the creation of its
    /// `CronJob` until the `CronJob`, its Jobs and their pods are gone; else 0.
    pub training: u32,
    /// Whether pods may be evicted. `None`: there is no `PodDisruptionBudget`, or the operator never writes it like
    /// this.
    pub evictions: Option<Evictions>,
    /// `MAX_USER_CONNECTIONS` of the operator's own database user. `None`: there is none, or it is not known yet.
    pub fence: Option<u32>,
}

impl Live {
    /// Marks the pod template as edited, even if its hash is the wanted one.
    pub fn clear_template(&mut self) {
        if let Some(deployment) = &mut self.deployment {
            deployment.template.hash = None;
        }
    }

    /// Terminating pods that are more than `margin` past their due time.
    pub(super) fn late(&self, margin: Duration, now: Timestamp) -> impl Iterator<Item = &LivePod> {
        self.pods.iter().filter(move |pod| {
            pod.deletion
                .is_some_and(|deletion| now > deletion.due + margin)
        })
    }
}

/// What the `PodDisruptionBudget` allows the eviction API, which drains of nodes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictions {
    /// One pod may be unavailable.
    Open,
    /// No pod may be evicted.
    Held {
        /// When it was written, from its annotation.
        since: Timestamp,
    },
}

/// A Deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDeployment {
    /// Its pod template.
    pub template: LiveTemplate,
    /// `minReadySeconds`.
    pub min_ready: Duration,
    /// maxSurge. `None`: a strategy that the operator never writes; maxUnavailable may not be 0.
    pub surge: Option<Surge>,
    /// Whether rollouts are paused.
    pub pause: Pause,
    /// `spec.replicas`.
    pub replicas: u32,
    /// The operator's last lowering of `spec.replicas`, from its annotation.
    pub lowered: Option<Lowered>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `status.replicas`: pods that are not terminating, of all templates.
    pub current: u32,
    /// `status.updatedReplicas`: pods that have the newest template.
    pub updated: u32,
    /// `status.availableReplicas`.
    pub available: u32,
    /// What pods of earlier templates may still use, from the annotations that were written with the template.
    pub former: Option<Former>,
}

/// The pool and the surge that pods of earlier templates may still use. The newest template does not show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    /// The greatest pool. Some of their pods were wanted but did not exist yet, so they can still be created.
    pub pool: u32,
    /// The greatest maxSurge, in pods. That many extra pods may exist.
    pub surge: u32,
}

/// A pod template. A value whose annotation is missing is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveTemplate {
    /// The operator's hash.
    pub hash: Option<String>,
    /// Connections of one pod.
    pub pool: Option<u32>,
    /// `terminationGracePeriodSeconds`, as the API server has it: admission may have changed it.
    pub grace: Option<Duration>,
}

/// `spec.paused` of a Deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// Rollouts run.
    Off,
    /// Paused; since when, from its annotation. `None`: another user paused it.
    On(Option<Timestamp>),
}

/// An autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveHpa {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// How the autoscaler may remove pods; `None`: the operator never writes it like this.
    pub scale_down: Option<ScaleDown>,
    /// The last lowering of its maximum, from its annotation.
    pub lowered: Option<Lowered>,
}

/// `behavior.scaleDown` of an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleDown {
    /// `selectPolicy: Disabled`; the stabilisation window is unchanged.
    Disabled {
        /// When it was written, from its annotation.
        since: Timestamp,
    },
    /// At most `count` pods per period; the period is also the stabilisation window.
    Pods {
        /// How many pods; at least 1.
        count: u32,
        /// The pace, [`crate::tuning::pace`].
        period: Duration,
    },
    /// Kubernetes's own: no behaviour is written.
    Default,
}

/// A lowering of the replicas or of their maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// When.
    pub at: Timestamp,
    /// The greatest number of replicas that may still be created.
    pub from: u32,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePod {
    /// Its name.
    pub name: String,
    /// Its node, if it was scheduled.
    pub node: Option<String>,
    /// Its connections, from its annotation.
    pub pool: Option<u32>,
    /// Its `terminationGracePeriodSeconds`, from its annotation, or the grace period of its deletion, if that is longer.
    pub grace: Option<Duration>,
    /// `metadata.creationTimestamp`.
    pub created: Option<Timestamp>,
    /// Whether a controller created or adopted it.
    pub is_controlled: bool,
    /// Set while it is terminating.
    pub deletion: Option<Deletion>,
}

/// The end of a terminating pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`: the time of the deletion request plus its grace period.
    pub due: Timestamp,
}
