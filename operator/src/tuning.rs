//! The connection budget: the size of a pool, and which write may come next, so that the pods never exceed the configured
//! number of database connections.
//!
//! Pure: no client, no Kubernetes types, no clock. Times are arguments.

pub mod budget;
pub mod enforcement;
pub mod memory;
pub mod plan;
pub mod quantity;
pub mod threads;

use std::time::Duration;

/// The pace at which pods are replaced is the greatest grace period plus this margin: time for a kubelet to notice, and
/// for the controllers to act on events that arrive late.
const PACE_MARGIN: Duration = Duration::from_secs(10);

/// Minimum grace period of a pod, in the schema.
pub const MIN_GRACE: Duration = Duration::from_secs(5);
/// Maximum grace period of a pod, in the schema; also assumed for a pod whose grace period is unknown.
pub const MAX_GRACE: Duration = Duration::from_mins(2);

/// M, the pace: how long a new pod must be ready before it counts (`minReadySeconds`), and the interval between an
/// autoscaler's removals. It exceeds the greatest grace period, so a removed pod has ended before the next one is
/// removed.
#[must_use]
pub fn pace(greatest_grace: Duration) -> Duration {
    greatest_grace.saturating_add(PACE_MARGIN)
}

/// P, the maximum number of pods that are alive at once, if at most `replicas` are wanted and `step` of them are
/// replaced at once. During a rollout there are `step` extra pods (maxSurge), and `step` pods may still be terminating.
#[must_use]
pub fn max_pods(replicas: u32, step: u32) -> u32 {
    replicas.saturating_add(step.saturating_mul(2))
}

/// The greatest step, in the schema.
pub const MAX_STEP: u32 = 50;

/// Connections of a training. Its Job has one pod at a time, with one connection.
pub const TRAINING_CONNECTIONS: u32 = 1;

/// maxSurge of a Deployment: how many pods a rollout may create beyond the wanted ones. maxUnavailable is always 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surge {
    /// This many pods.
    Pods(u32),
    /// A percentage of the wanted pods, rounded up.
    Percent(u32),
}

impl Surge {
    /// The number of pods, of `replicas` wanted ones.
    #[must_use]
    pub fn pods(self, replicas: u32) -> u32 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => {
                let hundredths = u64::from(replicas).saturating_mul(percent.into());
                u32::try_from(hundredths.div_ceil(100)).unwrap_or(u32::MAX)
            }
        }
    }
}

/// How many replicas are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Always this many; at least 1.
    Fixed(u32),
    /// An autoscaler decides.
    Auto {
        /// Minimum number of replicas, at least 1.
        min: u32,
        /// Maximum number of replicas, at least `min`.
        max: u32,
    },
}

impl Scale {
    /// Minimum number of replicas.
    #[must_use]
    pub fn min(self) -> u32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Auto { min, .. } => min,
        }
    }

    /// R, the maximum number of replicas.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Auto { min, max } => max.max(min),
        }
    }
}
