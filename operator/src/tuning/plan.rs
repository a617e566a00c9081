//! The next write that gates the budget.
//!
//! [`plan`] looks only at what is there ([`Live`]) and what is wanted ([`Target`]), so that it goes on where any
//! earlier run of the operator stopped. It gives at most one write. After it the caller observes anew and asks again.
//!
//! One gap is left. While a rollout takes its next step, between two looks of the Deployment's controller milliseconds
//! apart, an autoscaler that scales up to its very maximum makes R + 3 pods until the one that goes is gone.

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
