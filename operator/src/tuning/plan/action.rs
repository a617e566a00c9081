//! The writes that the budget gates.

use super::live::{Evictions, Former, Lowered, ScaleDown};
use super::target::Template;
use crate::tuning::Surge;
use jiff::Timestamp;
use std::time::Duration;

/// One write. Each carries the `resourceVersion` of the object that [`super::Live`] was read from, so it fails if the
/// object has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create or change the `PodDisruptionBudget`.
    WriteDisruptionBudget(Evictions),
    /// Create the Deployment, without `spec.replicas` (the API server sets 1).
    CreateDeployment {
        /// Its pods.
        template: Template,
        /// `minReadySeconds`.
        min_ready: Duration,
        /// maxSurge.
        surge: Surge,
        /// Pods of an earlier Deployment that still exist; `None`: there are none.
        adopt: Option<Adopt>,
    },
    /// Create or change the autoscaler.
    WriteHpa(HpaWrite),
    /// Remove the autoscaler.
    DeleteHpa,
    /// Write `spec.replicas` of the Deployment. A lowering also writes an annotation, so it is a PATCH of the Deployment
    /// by a separate field manager, not of `/scale`.
    Scale {
        /// `spec.replicas`.
        replicas: u32,
        /// For the annotation; `None` leaves it unchanged.
        lowered: Option<Lowered>,
    },
    /// Pause rollouts.
    ///
    /// A paused Deployment also creates pods, until maxSurge is used up. So the same write lowers maxSurge to the
    /// number of existing extra pods.
    Pause {
        /// For the annotation.
        at: Timestamp,
        /// maxSurge.
        surge: Surge,
        /// For the annotations; `None` leaves them unchanged.
        former: Option<Former>,
    },
    /// Write the pod template, `minReadySeconds` and maxSurge together; `spec.paused` is unchanged.
    WriteTemplate {
        /// The pods.
        template: Template,
        /// `minReadySeconds`.
        min_ready: Duration,
        /// maxSurge.
        surge: Surge,
        /// For the annotations; `None` removes them.
        former: Option<Former>,
    },
    /// Remove the annotations of [`super::LiveDeployment::former`].
    ClearFormer,
    /// Resume rollouts.
    Unpause,
    /// Write `minReadySeconds` and the strategy only.
    SetStrategy {
        /// `minReadySeconds`.
        min_ready: Duration,
        /// maxSurge.
        surge: Surge,
        /// For the annotations; `None` leaves them unchanged.
        former: Option<Former>,
    },
    /// Create the `CronJob` of the training.
    CreateTraining,
    /// `ALTER USER ... WITH MAX_USER_CONNECTIONS`.
    SetFence(u32),
}

/// How a Deployment is created for existing pods.
///
/// It starts paused, with as many replicas as there are pods. If the pods were kept on purpose (`--cascade=orphan`),
/// they are adopted, and none is removed. If they are about to be deleted, no others are created beside them, because a
/// paused Deployment creates no `ReplicaSet`. In both cases, the Deployment is resumed later like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// `spec.replicas`.
    pub replicas: u32,
    /// For the annotation.
    pub at: Timestamp,
}

/// The new values of an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HpaWrite {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// `behavior.scaleDown`.
    pub scale_down: ScaleDown,
    /// For the annotation; `None` omits it.
    pub lowered: Option<Lowered>,
}
