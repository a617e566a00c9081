//! What is there.

use jiff::Timestamp;
use std::time::Duration;

/// Everything a plan looks at, as read from live objects.
///
/// The parts may be read at different moments and be a little late, as long as none goes back in time and what the
/// operator itself wrote is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// The API's Deployment. One that is being deleted counts as absent; its pods go on counting.
    pub deployment: Option<LiveDeployment>,
    /// The autoscaler that aims at it.
    pub hpa: Option<LiveHpa>,
    /// All pods that may hold connections, terminating ones included. Leave out those whose phase is `Failed` or
    /// `Succeeded` (a watch by metadata can do that with a field selector): they hold none and stay for long.
    pub pods: Vec<LivePod>,
    /// `MAX_USER_CONNECTIONS` of the operator's own database user. `None`: there is none, or it is not known yet.
    pub fence: Option<u32>,
}

impl Live {
    /// The pod template is not as it was written, whatever its hash says.
    pub fn forget_template(&mut self) {
        if let Some(deployment) = &mut self.deployment {
            deployment.template.hash = None;
        }
    }

    /// Terminating pods that are past their end by more than `margin`.
    pub(super) fn late(&self, margin: Duration, now: Timestamp) -> impl Iterator<Item = &LivePod> {
        self.pods.iter().filter(move |pod| {
            pod.deletion
                .is_some_and(|deletion| now > deletion.due + margin)
        })
    }
}

/// A Deployment with maxSurge 1 and maxUnavailable 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveDeployment {
    /// Its pod template.
    pub template: LiveTemplate,
    /// `minReadySeconds`.
    pub min_ready: Duration,
    /// Whether rollouts are paused.
    pub pause: Pause,
    /// `spec.replicas`.
    pub replicas: u32,
    /// The last lowering of `spec.replicas` by the operator, by the annotation written with it.
    pub lowered: Option<Lowered>,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status.observedGeneration`.
    pub observed_generation: i64,
    /// `status.replicas`: pods that are not terminating, of all templates.
    pub current: u32,
    /// `status.updatedReplicas`: of these, those of the newest template.
    pub updated: u32,
    /// `status.availableReplicas`.
    pub available: u32,
    /// The greatest pool of earlier templates, by the annotation written with the template: some of their pods were
    /// wanted and not there yet, so they may still come.
    pub former_pool: Option<u32>,
}

/// A pod template, as far as it tells. What an annotation does not tell is `None`.
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
    /// Paused; when, by the annotation written with it. `None`: somebody else paused it.
    On(Option<Timestamp>),
}

/// An autoscaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveHpa {
    /// `minReplicas`.
    pub min: u32,
    /// `maxReplicas`.
    pub max: u32,
    /// How it may remove pods. `None`: in a way the operator never wrote.
    pub scale_down: Option<ScaleDown>,
    /// The last lowering of its maximum, by the annotation written with it.
    pub lowered: Option<Lowered>,
}

/// `behavior.scaleDown` of an autoscaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleDown {
    /// `selectPolicy: Disabled`; the stabilisation window stays as it is.
    Disabled {
        /// When it was written, by the annotation written with it.
        since: Timestamp,
    },
    /// One pod per period, which is the stabilisation window too.
    OnePod {
        /// The pace, [`crate::tuning::pace`].
        period: Duration,
    },
}

/// Replicas, or a maximum, that were lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowered {
    /// When.
    pub at: Timestamp,
    /// The greatest number of replicas that may still come.
    pub from: u32,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePod {
    /// Its name.
    pub name: String,
    /// Where it runs, if it was scheduled.
    pub node: Option<String>,
    /// Its connections, by its annotation.
    pub pool: Option<u32>,
    /// Its `terminationGracePeriodSeconds`, by its annotation, or what it was given when it was told to go, if that is more.
    pub grace: Option<Duration>,
    /// Whether a controller made it, or has taken it over.
    pub is_controlled: bool,
    /// Set when it is terminating.
    pub deletion: Option<Deletion>,
}

/// A pod's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// `metadata.deletionTimestamp`, which is when it was asked to go plus its grace.
    pub due: Timestamp,
}
