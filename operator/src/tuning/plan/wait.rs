//! Why a plan waits.

use jiff::Timestamp;
use std::fmt;

/// The reason, and when to check again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What must happen.
    pub reason: Reason,
    /// When to check again even if no change was observed.
    pub until: Timestamp,
}

/// What must happen first. `Display` is a human-readable sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The Deployment's controller has not observed its newest state.
    Unobserved,
    /// Pods and the Deployment's status were read at different moments.
    ReadsDisagree,
    /// Pods have the labels of the service's pods but no controller: their names.
    Foreign(Vec<String>),
    /// Pods are terminating: their names.
    Terminating(Vec<String>),
    /// A pod is stuck in termination: its node is probably dead.
    Stuck {
        /// Its name.
        pod: String,
        /// Its node.
        node: Option<String>,
    },
    /// A rollout has not finished.
    RolloutRunning {
        /// Pods of the new template.
        updated: u32,
        /// Wanted pods.
        replicas: u32,
    },
    /// The autoscaler can still remove a pod.
    ScaleDownSettling,
    /// Pods can still be evicted, or evicted pods have not been observed yet.
    EvictionsSettling,
    /// The Deployment's controller can still act on its state before the pause.
    PauseSettling,
    /// The autoscaler can still scale to its former maximum, or has not yet scaled down to the new one.
    MaximumSettling {
        /// The number of replicas that can still exist.
        from: u32,
        /// The maximum.
        to: u32,
    },
    /// A training that is no longer wanted has not ended, and the budget has no connection for it.
    TrainingEnding,
    /// The next write would need more connections than allowed.
    TooManyConnections {
        /// The connections that it could need; `None`: the pool of some pods is unknown.
        needed: Option<u32>,
        /// What is allowed.
        allowed: u32,
    },
}

impl Reason {
    /// One word for a condition's `reason`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unobserved | Self::ReadsDisagree => "WaitingForDeployment",
            Self::Terminating(_) => "WaitingForTermination",
            Self::Stuck { .. } | Self::Foreign(_) => "WaitingForPod",
            Self::RolloutRunning { .. } => "RolloutRunning",
            Self::ScaleDownSettling | Self::MaximumSettling { .. } => "WaitingForAutoscaler",
            Self::EvictionsSettling => "WaitingForEvictions",
            Self::PauseSettling => "WaitingForPause",
            Self::TrainingEnding => "WaitingForTraining",
            Self::TooManyConnections { .. } => "WaitingForConnections",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unobserved => f.write_str("waiting for the Deployment's controller"),
            Self::ReadsDisagree => {
                f.write_str("waiting for the Deployment's status to match its pods")
            }
            Self::Foreign(pods) => write!(
                f,
                "pods with the labels of this service's pods, but without a controller, may hold connections: {}; delete them, or remove their labels",
                pods.join(", ")
            ),
            Self::Terminating(pods) => {
                write!(f, "waiting for pods to terminate: {}", pods.join(", "))
            }
            Self::Stuck { pod, node } => write!(
                f,
                "pod {pod} does not terminate on node {}, and the budget has no connections for another pod; if the node is \
                 lost, delete the node or force-delete the pod",
                node.as_deref().unwrap_or("(none)")
            ),
            Self::RolloutRunning { updated, replicas } => {
                write!(
                    f,
                    "rolling out: {updated} of {replicas} pods have been replaced"
                )
            }
            Self::ScaleDownSettling => {
                f.write_str("waiting for the autoscaler to stop scaling down")
            }
            Self::EvictionsSettling => f.write_str("waiting until no pod is being evicted"),
            Self::PauseSettling => f.write_str("waiting for the superseded rollout to stop"),
            Self::TrainingEnding => {
                f.write_str("waiting for the training to end, since it holds a connection")
            }
            Self::MaximumSettling { from, to } => {
                write!(
                    f,
                    "waiting for the autoscaler to scale down from {from} to {to} replicas"
                )
            }
            Self::TooManyConnections {
                needed: Some(needed),
                allowed,
            } => {
                write!(
                    f,
                    "the next step may need {needed} connections and {allowed} are allowed: waiting for older pods to terminate"
                )
            }
            Self::TooManyConnections { needed: None, .. } => {
                f.write_str("waiting for pods with an unknown number of connections to terminate")
            }
        }
    }
}
