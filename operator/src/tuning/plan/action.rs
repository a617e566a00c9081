//! The writes that gate the budget.

use super::live::{Lowered, ScaleDown};
use super::target::Template;
use jiff::Timestamp;
use std::time::Duration;

/// One write. Each goes with the `resourceVersion` of the object that [`super::Live`] was read from, so that it fails
/// when that is no longer true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the Deployment, without `spec.replicas` (the API server says 1).
    CreateDeployment {
        /// Its pods.
        template: Template,
        /// `minReadySeconds`.
        min_ready: Duration,
        /// Pods that an earlier Deployment left behind; `None`: there are none.
        adopt: Option<Adopt>,
    },
    /// Make the autoscaler, or change it.
    WriteHpa(HpaWrite),
    /// Remove the autoscaler.
    DeleteHpa,
    /// Write `spec.replicas` of the Deployment. When they are lowered this goes with an annotation, so it is a PATCH
    /// of the Deployment by a field manager of its own, rather than of `/scale`.
    Scale {
        /// `spec.replicas`.
        replicas: u32,
        /// For the annotation; `None` leaves it as it is.
        lowered: Option<Lowered>,
    },
    /// Pause rollouts.
    Pause {
        /// For the annotation.
        at: Timestamp,
    },
    /// Write the pod template and `minReadySeconds` at once; `spec.paused` stays as it is.
    WriteTemplate {
        /// The pods.
        template: Template,
        /// `minReadySeconds`.
        min_ready: Duration,
        /// For the annotation; `None` removes it.
        former_pool: Option<u32>,
    },
    /// Remove the annotation of [`super::LiveDeployment::former_pool`].
    ForgetFormerPool,
    /// Go on with rollouts.
    Unpause,
    /// Write `minReadySeconds` alone.
    SetMinReady(Duration),
    /// `ALTER USER ... WITH MAX_USER_CONNECTIONS`.
    SetFence(u32),
}

/// How a Deployment is made for pods that are there.
///
/// It begins paused, with as many replicas as there are pods. If these were left behind on purpose (`--cascade=orphan`) it
/// takes them over, and none is removed. If they are about to be deleted it makes no others beside them: a paused Deployment
/// makes no `ReplicaSet`. In both cases it is unpaused like any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopt {
    /// `spec.replicas`.
    pub replicas: u32,
    /// For the annotation.
    pub at: Timestamp,
}

/// What an autoscaler becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HpaWrite {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// `behavior.scaleDown`.
    pub scale_down: ScaleDown,
    /// For the annotation; `None` leaves it out.
    pub lowered: Option<Lowered>,
}
