//! The connection budget: how big a pool is, and which write may come next so that the database is never asked for more
//! connections than it was promised.
//!
//! Pure: no client, no Kubernetes types, no clock. Times are arguments.

pub mod budget;
pub mod memory;
pub mod plan;
pub mod quantity;
pub mod threads;

use std::time::Duration;

/// What is added to the greatest grace to give the pace at which pods are replaced: time for a kubelet to notice, and
/// for the controllers to act on what they hear late.
const PACE_MARGIN: Duration = Duration::from_secs(10);

/// Smallest grace of a pod, in the schema.
pub const MIN_GRACE: Duration = Duration::from_secs(5);
/// Greatest grace of a pod, in the schema, and what is assumed of a pod whose grace is not known.
pub const MAX_GRACE: Duration = Duration::from_mins(2);

/// M, the pace: how long a new pod is ready before it counts (`minReadySeconds`), and how far apart an autoscaler's
/// removals are. Longer than the greatest grace, so that a pod is gone before the next one goes.
#[must_use]
pub fn pace(greatest_grace: Duration) -> Duration {
    greatest_grace.saturating_add(PACE_MARGIN)
}

/// P, the greatest number of pods that are alive at once when at most `replicas` are wanted: one more in a rollout
/// (maxSurge 1), and one that is still terminating.
#[must_use]
pub fn max_pods(replicas: u32) -> u32 {
    replicas.saturating_add(2)
}

/// How many replicas are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Always this many; at least 1.
    Fixed(u32),
    /// An autoscaler decides.
    Auto {
        /// Fewest replicas, at least 1.
        min: u32,
        /// Most replicas, at least `min`.
        max: u32,
    },
}

impl Scale {
    /// Fewest replicas.
    #[must_use]
    pub fn min(self) -> u32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Auto { min, .. } => min,
        }
    }

    /// R, the most replicas.
    #[must_use]
    pub fn max(self) -> u32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Auto { min, max } => max.max(min),
        }
    }
}
