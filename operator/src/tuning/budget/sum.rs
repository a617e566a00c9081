//! The sum of a budget: its terms and their bounds.

use crate::tuning::{Scale, pace};
use std::time::Duration;

/// Minimum connections of a pod: one for its prober, one for requests.
pub const MIN_POOL: u32 = 2;
/// The same for a pod that stores events, which has one more connection for them.
pub const MIN_POOL_WITH_EVENTS: u32 = 3;
/// Maximum connections of a pod.
pub const MAX_POOL: u32 = 10_000;

/// The budget: every term of its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Connections that the database allows.
    pub connections: u32,
    /// Connections that are neither for pods nor for the training.
    pub reserved: u32,
    /// Connections that are for the training.
    pub training: u32,
    /// The scale that fits: the requested one, or one with a smaller maximum.
    pub scale: Scale,
    /// The requested maximum, if it did not fit.
    pub clamped_from: Option<u32>,
    /// s: how many pods a rollout replaces at once.
    pub step: u32,
    /// P: pods that may be alive at once, terminating ones included: `scale.max() + 2 x step`. With
    /// [`Budget::enforced`], no write waits for former pods, so it is `2 x scale.max() + step`.
    pub max_pods: u32,
    /// How many connections each pod needs at least.
    pub each: u32,
    /// Connections of one pod: `(connections - reserved - training) / max_pods`, rounded down; `each` to 10,000. With
    /// [`Budget::enforced`], another formula applies.
    pub pool: u32,
    /// Set if the database server enforces the budget, so that the sum is that of [`super::enforced()`].
    pub enforced: Option<Enforced>,
}

/// The terms of the sum in `Server` enforcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforced {
    /// The smaller number of the account's limit and the budget.
    pub limit: u32,
    /// Connections that each pod always has, and that a new pod needs before it is ready.
    pub base: u32,
    /// Pods that a rollout adds at most.
    pub surge: u32,
}

impl Budget {
    /// Connections that the pods may hold together: the limit of a provisioned account.
    #[must_use]
    pub fn for_pods(&self) -> u32 {
        let others = self.reserved.saturating_add(self.training);
        self.connections.saturating_sub(others)
    }

    /// About how long a rollout takes at the maximum number of replicas. `step` pods are replaced at a time; pods have
    /// the grace period `grace`, and are ready `ready` after their creation. Under the server's limit, a quarter of the
    /// pods is replaced at a time, and the time includes the termination of the last old pods.
    #[must_use]
    pub fn rollout(&self, grace: Duration, ready: Duration) -> Duration {
        if let Some(terms) = self.enforced {
            let waves = self.scale.max().div_ceil(terms.surge.max(1));
            return ready.saturating_mul(waves).saturating_add(grace);
        }
        pace(grace)
            .saturating_add(ready)
            .saturating_mul(self.scale.max().div_ceil(self.step.max(1)))
    }
}
