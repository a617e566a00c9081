//! The next write, gated by the budget.
//!
//! [`plan`] depends only on the present state ([`Live`]) and the wanted one ([`Target`]), so it resumes where any earlier
//! run of the operator stopped. It returns at most one write. After it, the caller observes again and calls [`plan`]
//! again.
//!
//! One gap remains. A rollout takes its next step between two syncs of the Deployment's controller, milliseconds apart.
//! If an autoscaler scales up to its maximum in between, there are R + 3 pods until the pod that is being removed is
//! gone.

mod action;
mod decide;
mod live;
mod preconditions;
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
    Deletion, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate, Lowered, Pause, ScaleDown,
};
pub use target::{Target, Template};
pub use timing::{HPA_SYNC, SETTLE};
pub use wait::{Reason, Wait};
pub use worst_case::{WorstCase, worst_case, worst_case_connections};
