//! The next write that gates the budget.
//!
//! [`plan`] looks only at what is there ([`Live`]) and what is wanted ([`Target`]), so that it goes on where any
//! earlier run of the operator stopped. It gives at most one write. After it the caller observes anew and asks again.
//!
//! One gap is left. While a rollout takes its next step, between two looks of the Deployment's controller milliseconds
//! apart, an autoscaler that scales up to its very maximum makes R + 3 pods until the one that goes is gone.

mod action;
mod decide;
mod gate;
mod live;
mod reach;
mod wait;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod model;
#[cfg(test)]
mod promise;

pub use action::{Action, Adopt, HpaWrite};
pub use decide::plan;
pub use live::{
    Deletion, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate, Lowered, Pause, ScaleDown,
};
pub use reach::{Reach, reach};
pub use wait::{Reason, Wait};

use crate::tuning::Scale;
use std::time::Duration;

/// How long after the write that forbids an autoscaler to remove pods, or pauses a Deployment, a controller may still
/// act on what it read before.
pub const SETTLE: Duration = Duration::from_secs(5);
/// How long after the replicas or their maximum were lowered the former ones may still come: two syncs of an
/// autoscaler, and ample for pods that were wanted before to be made, seen, and removed.
pub const HPA_SYNC: Duration = Duration::from_secs(30);
/// How long past its grace a terminating pod counts as late: replacing others stops, if there is no room for it.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(3);
/// How long past its grace a terminating pod is waited for before it counts as stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The pods that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Names everything in the pod template but what a plan decides itself; another hash is another rollout.
    pub hash: String,
    /// Connections of one pod.
    pub pool: u32,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
}

/// What is wanted in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pods.
    pub template: Template,
    /// How many, after clamping: `max_pods(scale.max()) * template.pool <= budget - reserved`.
    pub scale: Scale,
    /// `connectionBudget`.
    pub budget: u32,
    /// `reservedConnections`.
    pub reserved: u32,
    /// The database user is the operator's own, so its `MAX_USER_CONNECTIONS` follows the budget.
    pub fence: bool,
}

impl Target {
    /// Connections that pods may hold together.
    #[must_use]
    pub fn allowance(&self) -> u32 {
        self.budget.saturating_sub(self.reserved)
    }
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The next write; nothing when the target is reached or something has to happen first.
    pub action: Option<Action>,
    /// What has to happen before the target can be reached further. May stand beside an action that need not wait.
    pub wait: Option<Wait>,
    /// Connections that pods may hold at this moment: the target's allowance, or more while an earlier, greater
    /// promise is being reduced. It only falls until it is the allowance. Pods that do not go come on top, if there is
    /// room for them. `None`: not known, as there are pods that do not tell their pool.
    pub in_force: Option<u32>,
}

impl Plan {
    /// Whether the target is reached.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.action.is_none() && self.wait.is_none()
    }
}
