//! The invariant: how many connections a state can grow to by itself.

use super::{Live, Target};
use jiff::Timestamp;

/// What a state can grow to without another write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// R: the most replicas that the autoscaler, or the Deployment, may bring.
    pub replicas: u32,
    /// The greatest pool in the template and in any live pod. `None`: one of them does not tell.
    pub pool: Option<u32>,
    /// Pods that do not go.
    pub stuck: u32,
}

/// The reach of what is there.
#[must_use]
pub fn reach(_live: &Live, _now: Timestamp) -> Reach {
    unimplemented!()
}

impl Reach {
    /// Connections in the worst case: `(R + 2 + stuck) x pool`. `None` as long as a pool is not known.
    #[must_use]
    pub fn connections(&self) -> Option<u32> {
        unimplemented!()
    }

    /// Connections that pods may hold: the target's allowance, or what a greater promise left that has to shrink first.
    #[must_use]
    pub fn in_force(&self, _target: &Target) -> Option<u32> {
        unimplemented!()
    }
}
