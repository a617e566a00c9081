//! How big a pod's pool is.

use super::{Scale, max_pods, pace};
use std::time::Duration;

/// Fewest connections of one pod: one for its prober, one for requests.
pub const MIN_POOL: u32 = 2;
/// Most connections of one pod.
pub const MAX_POOL: u32 = 10_000;

/// Every term of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Connections the database promised.
    pub connections: u32,
    /// Of these, those that are not for pods.
    pub reserved: u32,
    /// The scale that fits: the one asked for, or one with a smaller maximum.
    pub scale: Scale,
    /// The maximum that was asked for, when it did not fit.
    pub clamped_from: Option<u32>,
    /// P: pods that may be alive at once, `scale.max() + 2`.
    pub max_pods: u32,
    /// Connections of one pod: `(connections - reserved) / max_pods`, rounded down; 2 to 10,000.
    pub pool: u32,
}

/// Why there is no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not even the fewest replicas fit.
    #[error(
        "{min} replicas need {needed} connections ({MIN_POOL} x ({min} + 2) + {reserved} reserved), and the budget is {connections}"
    )]
    TooSmall {
        /// Fewest replicas.
        min: u32,
        /// Connections that these need.
        needed: u32,
        /// Of these, reserved.
        reserved: u32,
        /// The budget.
        connections: u32,
    },
}

/// The greatest pools for `scale` within `connections`, `reserved` of which are not for pods.
///
/// # Errors
/// Not even the fewest replicas fit.
pub fn budget(connections: u32, reserved: u32, scale: Scale) -> Result<Budget, Error> {
    let allowance = connections.saturating_sub(reserved);
    // The most pods that get the smallest pool.
    let fitting = (allowance / MIN_POOL).saturating_sub(max_pods(0));
    if fitting < scale.min() {
        return Err(Error::TooSmall {
            min: scale.min(),
            needed: max_pods(scale.min())
                .saturating_mul(MIN_POOL)
                .saturating_add(reserved),
            reserved,
            connections,
        });
    }
    let asked = scale.max();
    let scale = match scale {
        Scale::Auto { min, .. } => Scale::Auto {
            min,
            max: asked.min(fitting),
        },
        fixed @ Scale::Fixed(_) => fixed,
    };
    let max_pods = max_pods(scale.max());
    Ok(Budget {
        connections,
        reserved,
        scale,
        clamped_from: (asked > scale.max()).then_some(asked),
        max_pods,
        pool: (allowance / max_pods).min(MAX_POOL),
    })
}

impl Budget {
    /// Connections that the greatest number of replicas uses for requests, of 100 in the budget, when nothing changes.
    #[must_use]
    pub fn usable_percent(&self) -> u32 {
        let used = u64::from(self.scale.max()) * u64::from(self.pool) * 100;
        u32::try_from(used / u64::from(self.connections.max(1))).unwrap_or(100)
    }

    /// About how long a rollout takes at the greatest number of replicas, with pods that have `grace` and are ready `ready`
    /// after they were made: one after the other.
    #[must_use]
    pub fn rollout(&self, grace: Duration, ready: Duration) -> Duration {
        pace(grace)
            .saturating_add(ready)
            .saturating_mul(self.scale.max())
    }
}
