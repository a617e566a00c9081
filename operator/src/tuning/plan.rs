//! The next write, gated by the budget.
//!
//! [`plan`] depends only on the present state ([`Live`]) and the wanted one ([`Target`]), so a later run of the
//! operator continues where an earlier one stopped. It returns at most one write. After it, the caller observes again
//! and calls [`plan`] again.
//!
//! A gap remains. Between two syncs of the Deployment controller (milliseconds), a rollout can take a step and the
//! autoscaler can scale to its maximum R. Then one pod more than R + 2s exists until a terminating pod has ended. The
//! same happens if pods are evicted before the operator has observed the eviction of another one.

mod action;
mod decide;
mod enforced;
mod live;
mod preconditions;
mod rules;
mod target;
mod timing;
mod wait;
mod worst_case;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod model;
#[cfg(test)]
mod promise;

pub use action::{Action, Adopt, HpaWrite};
pub use decide::{Plan, plan};
pub use live::{
    Deletion, Evictions, Former, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate, Lowered,
    Pause, ScaleDown,
};
pub use target::{Target, Template};
pub use timing::{HPA_SYNC, SETTLE};
pub use wait::{Reason, Wait};
pub use worst_case::{WorstCase, worst_case, worst_case_connections};
