//! The connection budget: the size of a pool, and which write may come next, so that the pods never exceed the configured
//! number of database connections.
//!
//! Pure: no client, no Kubernetes types, no clock. Times are arguments.

pub mod budget;
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
/// autoscaler's removals. It exceeds the greatest grace period, so a pod is gone before the next one is removed.
#[must_use]
pub fn pace(greatest_grace: Duration) -> Duration {
    greatest_grace.saturating_add(PACE_MARGIN)
}

/// P, the maximum number of pods alive at once when at most `replicas` are wanted: an extra one in a rollout (maxSurge
/// 1), and one that is still terminating.
#[must_use]
pub fn max_pods(replicas: u32) -> u32 {
    replicas.saturating_add(2)
}

/// Connections of a training. Its Job has one pod at a time, with one connection.
pub const TRAINING_CONNECTIONS: u32 = 1;

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
