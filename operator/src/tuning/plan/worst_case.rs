//! The invariant: the maximum number of connections that a state can reach without another write.

use super::live::{Live, Lowered, ScaleDown};
use super::target::Target;
use super::timing::{HPA_SYNC, STUCK_AFTER};
use crate::tuning::max_pods;
use jiff::Timestamp;

/// The state that the present one can grow to without another write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// R: the maximum number of replicas that the autoscaler, or the Deployment, may create.
    pub replicas: u32,
    /// s: the greatest number of pods that a rollout or the autoscaler replaces or removes at once.
    pub step: u32,
    /// The greatest pool in the template, in former templates whose pods can still be created, and in any live pod.
    /// `None`: one of these pools is unknown.
    pub pool: Option<u32>,
    /// Pods that are alive now, including terminating ones. For a while after the replicas were lowered, they can be
    /// more than R + 2s.
    pub alive: u32,
    /// Connections of the training.
    pub training: u32,
}

/// The worst case of the present state.
#[must_use]
pub fn worst_case(live: &Live, now: Timestamp) -> WorstCase {
    let deployment = live.deployment.as_ref();
    // A Deployment is created with one replica, or with as many as there are pods of an earlier one.
    let orphans = live.pods.iter().filter(|pod| pod.deletion.is_none());
    let orphans = u32::try_from(orphans.count()).unwrap_or(u32::MAX);
    let scaled = deployment.map_or(orphans.max(1), |deployment| deployment.replicas);
    let autoscaled = live.hpa.as_ref().map_or(0, |hpa| hpa.max.max(hpa.min));
    let former = lowered(live)
        .filter(|lowered| now < lowered.at + HPA_SYNC)
        .map(|lowered| lowered.from)
        .max();
    let template = deployment.map(|deployment| deployment.template.pool);
    let former_template = deployment.and_then(|deployment| deployment.former);
    let former_pool = former_template.map(|former| Some(former.pool));
    let replicas = scaled.max(autoscaled).max(former.unwrap_or(0));
    let removed = match live.hpa.as_ref().and_then(|hpa| hpa.scale_down) {
        Some(ScaleDown::Pods { count, .. }) => count,
        _ => 1,
    };
    let surge = deployment.and_then(|deployment| deployment.surge);
    let surge = surge.map_or(1, |surge| surge.pods(replicas));
    let former_surge = former_template.map_or(0, |former| former.surge);
    let mut pools = template
        .into_iter()
        .chain(former_pool)
        .chain(live.pods.iter().map(|pod| pod.pool));
    WorstCase {
        replicas,
        step: removed.max(surge).max(former_surge).max(1),
        pool: pools.try_fold(0, |greatest, pool| Some(pool?.max(greatest))),
        alive: u32::try_from(live.pods.len()).unwrap_or(u32::MAX),
        training: live.training,
    }
}

/// The maximum connections that the pods and the training can open without another write, including stuck pods. `None`: a
/// pool is unknown.
#[must_use]
pub fn worst_case_connections(live: &Live, now: Timestamp) -> Option<u32> {
    let stuck = live.late(STUCK_AFTER, now).count();
    worst_case(live, now).connections(u32::try_from(stuck).unwrap_or(u32::MAX))
}

/// The last lowerings, settled or not.
pub(super) fn lowered(live: &Live) -> impl Iterator<Item = Lowered> {
    let autoscaler = live.hpa.as_ref().and_then(|hpa| hpa.lowered);
    let deployment = live
        .deployment
        .as_ref()
        .and_then(|deployment| deployment.lowered);
    autoscaler.into_iter().chain(deployment)
}

impl WorstCase {
    /// Connections in the worst case with `stuck` stuck pods: `(R + 2s + stuck) x pool`, or the connections of the
    /// living pods if these are more; plus the connections of the training. `None`: a pool is unknown.
    #[must_use]
    pub fn connections(self, stuck: u32) -> Option<u32> {
        let pods = max_pods(self.replicas, self.step)
            .saturating_add(stuck)
            .max(self.alive);
        Some(
            pods.saturating_mul(self.pool?)
                .saturating_add(self.training),
        )
    }

    /// Connections that pods and training may hold: the target's allowance, or the rest of a greater promise that must shrink first.
    /// `None`: a pool is unknown.
    #[must_use]
    pub fn in_force(self, target: &Target) -> Option<u32> {
        Some(self.connections(0)?.max(target.allowance()))
    }

    /// The invariant: whether a write that leads from this state to `after` stays within the connections in force.
    /// While a pool is unknown, a write is permitted only if it adds no replicas, no surge and no training.
    #[must_use]
    pub fn permits(self, after: Self, stuck: u32, target: &Target) -> bool {
        match (self.in_force(target), after.connections(stuck)) {
            (Some(allowed), Some(needed)) => needed <= allowed,
            _ => {
                stuck == 0
                    && after.replicas <= self.replicas
                    && after.step <= self.step
                    && after.training <= self.training
            }
        }
    }
}
