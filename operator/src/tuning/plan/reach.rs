//! The invariant: how many connections a state can grow to by itself.

use super::{HPA_SYNC, Live, LiveHpa, Target};
use crate::tuning::max_pods;
use jiff::Timestamp;

/// What a state can grow to without another write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// R: the most replicas that the autoscaler, or the Deployment, may bring.
    pub replicas: u32,
    /// The greatest pool in the template, in former ones whose pods may still come, and in any live pod. `None`: one of them does not tell.
    pub pool: Option<u32>,
    /// Pods that are alive now, terminating ones included: more than R + 2 for a while after the replicas were lowered.
    pub alive: u32,
}

/// The reach of what is there.
#[must_use]
pub fn reach(live: &Live, now: Timestamp) -> Reach {
    let deployment = live.deployment.as_ref();
    // A Deployment is made with one replica.
    let scaled = deployment.map_or(1, |deployment| deployment.replicas);
    let autoscaled = live.hpa.as_ref().map_or(0, |hpa| hpa_reach(hpa, now));
    let template = deployment.map(|deployment| deployment.template.pool);
    let former = deployment.and_then(|deployment| deployment.former_pool).map(Some);
    let mut pools = template.into_iter().chain(former).chain(live.pods.iter().map(|pod| pod.pool));
    Reach {
        replicas: scaled.max(autoscaled),
        pool: pools.try_fold(0, |greatest, pool| Some(pool?.max(greatest))),
        alive: u32::try_from(live.pods.len()).unwrap_or(u32::MAX),
    }
}

/// The most replicas that an autoscaler may still bring.
fn hpa_reach(hpa: &LiveHpa, now: Timestamp) -> u32 {
    let former = match hpa.lowered {
        Some(lowered) if now < lowered.at + HPA_SYNC => lowered.from,
        _ => 0,
    };
    hpa.max.max(hpa.min).max(former)
}

impl Reach {
    /// Connections in the worst case, `(R + 2 + stuck) x pool`, beside `stuck` pods that do not go; or those of the pods
    /// that are alive, if that is more. `None`: a pool is not known.
    #[must_use]
    pub fn connections(self, stuck: u32) -> Option<u32> {
        let pods = max_pods(self.replicas).saturating_add(stuck).max(self.alive);
        Some(pods.saturating_mul(self.pool?))
    }

    /// Connections that pods may hold: the target's allowance, or what a greater promise left that has to shrink first.
    /// `None`: a pool is not known.
    #[must_use]
    pub fn in_force(self, target: &Target) -> Option<u32> {
        Some(self.connections(0)?.max(target.allowance()))
    }

    /// The invariant: whether a write that leads from this state to `after` keeps within what is in force. While a pool is
    /// not known, only what brings no more replicas does.
    #[must_use]
    pub fn permits(self, after: Self, stuck: u32, target: &Target) -> bool {
        match (self.in_force(target), after.connections(stuck)) {
            (Some(allowed), Some(needed)) => needed <= allowed,
            _ => stuck == 0 && after.replicas <= self.replicas,
        }
    }
}
