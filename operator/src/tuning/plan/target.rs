//! The wanted state.

use crate::tuning::Scale;
use crate::tuning::budget::Enforced;
use std::time::Duration;

/// The wanted pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// A hash of everything in the pod template except the values that a plan decides. Another hash requires a rollout.
    pub hash: String,
    /// Connections of one pod.
    pub pool: u32,
    /// `terminationGracePeriodSeconds`.
    pub grace: Duration,
}

/// The state that a plan works towards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The pods.
    pub template: Template,
    /// The number of pods, after clamping: `max_pods(scale.max(), step) * template.pool`, and 1 for the training, is at most
    /// `budget - reserved`.
    pub scale: Scale,
    /// How many pods a rollout or the autoscaler replaces or removes at once; at least 1.
    pub step: u32,
    /// `connectionBudget`.
    pub budget: u32,
    /// `reservedConnections`.
    pub reserved: u32,
    /// Whether a training may be created. Its connection is part of [`Target::allowance`].
    pub training: bool,
    /// The database user is the operator's own, so its `MAX_USER_CONNECTIONS` follows the budget.
    pub fence: bool,
    /// Set if the database server enforces the budget: the plan is then another one.
    pub enforced: Option<Enforced>,
}

impl Target {
    /// Connections that the pods and the training may hold together.
    #[must_use]
    pub fn allowance(&self) -> u32 {
        self.budget.saturating_sub(self.reserved)
    }
}
