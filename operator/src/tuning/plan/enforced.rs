//! The next write while the database server enforces the budget.
//!
//! Then no order of writes can exceed the budget. So no write waits for terminating pods, no rollout is paused, and
//! pods are not replaced one by one. The order of writes only ensures that no rollout waits for connections for ever.
//! Once the Deployment's controller has acted, at most R pods are available. Only these have traffic; the others need
//! their base. So every new pod gets its base as long as
//!
//! ```text
//! R x greatest pool + surge x base <= limit
//! ```
//!
//! Pools shrink before R grows or a training is added. A fence is raised first and lowered last. A rollout that
//! replaces pods with greater pools adds fewer pods at once.

use super::action::{Action, Adopt, HpaWrite};
use super::decide::{Plan, Step};
use super::live::{Evictions, Former, LiveDeployment, LiveHpa, Lowered, Pause, ScaleDown};
use super::preconditions::View;
use super::timing::{HPA_SYNC, STUCK_AFTER};
use super::wait::{Reason, Wait};
use crate::tuning::budget::{Enforced, MAX_POOL, surge};
use crate::tuning::{Scale, Surge};
use std::time::Duration;

/// When to check again, in addition to the change that normally triggers a check.
const LATER: Duration = Duration::from_secs(30);
/// maxSurge of a rollout: Kubernetes's default.
const QUARTER: Surge = Surge::Percent(25);
/// `minReadySeconds`. It can be zero, because a pod is ready only after its connections have worked, and no other rule
/// needs the time.
const MIN_READY: Duration = Duration::ZERO;

impl View<'_> {
    /// The next write, with these terms of the budget.
    pub(super) fn enforced(self, terms: Enforced) -> Plan {
        let server = Server { view: self, terms };
        let (mut action, mut wait) = (None, None);
        for step in [Server::next, Server::lower_fence, Server::create_training] {
            if action.is_none() {
                match step(server) {
                    Ok(found) => action = found,
                    Err(reason) => wait = wait.or(Some(reason)),
                }
            }
        }
        Plan {
            action,
            wait,
            look_again: None,
            in_force: Some(server.in_force()),
            lets_pods_go: false,
        }
    }
}

/// A state under the server's limit.
#[derive(Clone, Copy)]
struct Server<'a> {
    view: View<'a>,
    terms: Enforced,
}

impl Server<'_> {
    fn next(self) -> Step {
        // The server keeps the bound when pods are evicted, too.
        if self.view.live.evictions != Some(Evictions::Open) {
            return Ok(Some(Action::WriteDisruptionBudget(Evictions::Open)));
        }
        if let Some(raise) = self.view.raise_fence() {
            return Ok(Some(raise));
        }
        match &self.view.live.deployment {
            None => self.create(),
            Some(deployment) => self.change(deployment),
        }
    }

    /// Creates the Deployment. Existing pods of an earlier Deployment are adopted.
    fn create(self) -> Step {
        let view = self.view;
        let orphans = view.live.pods.iter().filter(|pod| pod.deletion.is_none());
        let foreign = orphans.clone().filter(|pod| !pod.is_controlled);
        let foreign: Vec<String> = foreign.map(|pod| pod.name.clone()).collect();
        if !foreign.is_empty() {
            return Err(self.wait(Reason::Foreign(foreign)));
        }
        let orphans = u32::try_from(orphans.count()).unwrap_or(u32::MAX);
        let adopt = (orphans > 0).then(|| Adopt {
            replicas: orphans.min(view.target.scale.max()),
            at: view.now,
        });
        Ok(Some(Action::CreateDeployment {
            template: view.target.template.clone(),
            min_ready: MIN_READY,
            surge: self.surge(view.target.scale.max()),
            adopt,
        }))
    }

    fn change(self, deployment: &LiveDeployment) -> Step {
        if let Some(scale) = self.scale(deployment) {
            return Ok(Some(scale));
        }
        let surge = self.surge(self.replicas(deployment));
        if self.view.differs(deployment) {
            self.training_ended(deployment)?;
            self.removed(deployment)?;
            return Ok(Some(Action::WriteTemplate {
                template: self.view.target.template.clone(),
                min_ready: MIN_READY,
                surge,
                former: self.former(deployment),
            }));
        }
        if deployment.min_ready != MIN_READY || deployment.surge != Some(surge) {
            return Ok(Some(Action::SetStrategy {
                min_ready: MIN_READY,
                surge,
                former: None,
            }));
        }
        if deployment.pause != Pause::Off {
            return Ok(Some(Action::Unpause));
        }
        if deployment.former.is_some() && deployment.complete() {
            return Ok(Some(Action::ClearFormer));
        }
        if deployment.rolling() {
            return Err(self.view.rollout(deployment));
        }
        self.grown(deployment)
    }

    /// Writes the number of pods, or the autoscaler's bounds, up to the number with which every pod still gets its
    /// base.
    fn scale(self, deployment: &LiveDeployment) -> Option<Action> {
        match (self.view.target.scale, &self.view.live.hpa) {
            (Scale::Fixed(_), Some(_)) => Some(Action::DeleteHpa),
            (Scale::Fixed(wanted), None) => self.set_replicas(deployment, wanted),
            (Scale::Auto { min, max }, hpa) => {
                if hpa.is_some() && deployment.replicas == 0 {
                    // An autoscaler ignores a Deployment that was scaled to zero.
                    return self.set_replicas(deployment, min);
                }
                if hpa.is_none() && deployment.replicas > max {
                    return self.set_replicas(deployment, max);
                }
                self.set_bounds(hpa.as_ref(), min, max)
            }
        }
    }

    fn set_replicas(self, deployment: &LiveDeployment, wanted: u32) -> Option<Action> {
        let is_lower = wanted < deployment.replicas;
        let lowered = is_lower.then(|| self.lowered());
        let differs = deployment.replicas != wanted;
        (differs && (is_lower || self.has_room(wanted))).then_some(Action::Scale {
            replicas: wanted,
            lowered,
        })
    }

    fn set_bounds(self, hpa: Option<&LiveHpa>, min: u32, max: u32) -> Option<Action> {
        let Some(hpa) = hpa else {
            return self.has_room(max).then_some(Action::WriteHpa(HpaWrite {
                min,
                max,
                scale_down: ScaleDown::Default,
                lowered: None,
            }));
        };
        let max = if self.has_room(max) {
            max
        } else {
            max.min(hpa.max)
        };
        let min = min.min(max);
        if (hpa.min, hpa.max, hpa.scale_down) == (min, max, Some(ScaleDown::Default)) {
            return None;
        }
        let recent = hpa
            .lowered
            .filter(|lowered| self.view.now < lowered.at + HPA_SYNC);
        let lowered = if max < hpa.max {
            Some(self.lowered())
        } else {
            recent
        };
        Some(Action::WriteHpa(HpaWrite {
            min,
            max,
            scale_down: ScaleDown::Default,
            lowered,
        }))
    }

    /// The pool and the surge that pods of the replaced template may still use. A later plan without the server's limit
    /// needs them.
    fn former(self, deployment: &LiveDeployment) -> Option<Former> {
        let coming = deployment.rolling() || deployment.current < deployment.replicas;
        let reach = self.view.worst_case();
        coming.then(|| Former {
            pool: reach.pool.unwrap_or(MAX_POOL),
            surge: reach.step,
        })
    }

    /// For a later plan without the server's limit.
    fn lowered(self) -> Lowered {
        Lowered {
            at: self.view.now,
            from: self.view.worst_case().replicas,
        }
    }

    /// Whether the wanted number of pods has been written. This waits until pods with greater pools have ended.
    fn grown(self, deployment: &LiveDeployment) -> Step {
        let scale = self.view.target.scale;
        let is_written = match &self.view.live.hpa {
            Some(hpa) => hpa.max >= scale.max(),
            None => matches!(scale, Scale::Fixed(_)) && deployment.replicas >= scale.max(),
        };
        if is_written {
            return Ok(None);
        }
        Err(self.wait(too_many(self.needed(scale.max()), self.limit())))
    }

    /// Greater pools wait until there is room for them with all existing pods. This takes seconds, because surplus pods
    /// are removed even if others are not ready.
    fn removed(self, deployment: &LiveDeployment) -> Result<(), Wait> {
        let wanted = self.view.target.template.pool;
        let present = self.replicas(deployment).max(deployment.current);
        let needed = present
            .saturating_mul(wanted)
            .saturating_add(surge(present).saturating_mul(self.terms.base));
        let is_smaller = deployment.template.pool.is_none_or(|pool| wanted <= pool);
        if is_smaller || needed <= self.limit() || present <= self.view.target.scale.max() {
            return Ok(());
        }
        Err(self.wait(too_many(Some(needed), self.limit())))
    }

    /// The connection of a training that is no longer wanted is free for greater pools.
    fn training_ended(self, deployment: &LiveDeployment) -> Result<(), Wait> {
        let view = self.view;
        if view.target.training || view.live.training == 0 {
            return Ok(());
        }
        let replicas = self.replicas(deployment);
        let needed = replicas
            .saturating_mul(view.target.template.pool)
            .saturating_add(surge(replicas).saturating_mul(self.terms.base));
        if needed <= self.limit() {
            return Ok(());
        }
        Err(self.wait(Reason::TrainingEnding))
    }

    /// Lowers the fence when no pod that may still open connections has a greater pool than the wanted one, and all
    /// pods fit. The server does not end sessions above a lowered limit, so no such session may exist.
    fn lower_fence(self) -> Step {
        let view = self.view;
        let fence = view.live.fence.filter(|_| view.target.fence);
        if fence.is_none_or(|fence| fence <= view.fence()) {
            return Ok(None);
        }
        if let Some(deployment) = &view.live.deployment {
            view.current(deployment)?;
        }
        // A stuck pod's node is probably dead. Its sessions end when the server notices this.
        let alive = view.live.pods.iter().filter(|pod| {
            pod.deletion
                .is_none_or(|deletion| view.now <= deletion.due + STUCK_AFTER)
        });
        let held = alive
            .clone()
            .try_fold(0_u32, |sum, pod| Some(sum.saturating_add(pod.pool?)));
        let needed = self
            .needed(view.worst_case().replicas)
            .and_then(|needed| Some(needed.max(held?)));
        if needed.is_none_or(|needed| needed > view.fence()) {
            return Err(self.wait(too_many(needed, view.fence())));
        }
        Ok(Some(Action::SetFence(view.fence())))
    }

    /// Creates the training. With a provisioned database, the training has its own account, so the fence of the pods'
    /// account must have been lowered for its connection first.
    fn create_training(self) -> Step {
        let view = self.view;
        let Some(deployment) = &view.live.deployment else {
            return Ok(None);
        };
        if !view.target.training || view.live.training > 0 {
            return Ok(None);
        }
        let is_fenced = view.live.fence.filter(|_| view.target.fence);
        if is_fenced.is_some_and(|fence| fence > view.fence()) {
            return Ok(None);
        }
        let replicas = self.replicas(deployment);
        if self.has_room(replicas) {
            return Ok(Some(Action::CreateTraining));
        }
        Err(self.wait(too_many(self.needed(replicas), self.limit())))
    }

    /// R as it is now: the greatest number of replicas that the autoscaler or the Deployment wants.
    fn replicas(self, deployment: &LiveDeployment) -> u32 {
        let autoscaled = self.view.live.hpa.as_ref().map_or(0, |hpa| hpa.max);
        deployment.replicas.max(autoscaled)
    }

    /// Connections that pods may use, without those of a training and without the reserved ones of an external account.
    fn limit(self) -> u32 {
        let target = self.view.target;
        match self.view.live.fence.filter(|_| target.fence) {
            Some(fence) => fence,
            None => self
                .terms
                .limit
                .saturating_sub(target.reserved)
                .saturating_sub(u32::from(target.training).max(self.view.live.training)),
        }
    }

    /// Connections that the pods and the training may hold now: at most as many as the server allows.
    fn in_force(self) -> u32 {
        let target = self.view.target;
        match self.view.live.fence.filter(|_| target.fence) {
            Some(fence) => fence.saturating_add(self.view.live.training),
            None => self.terms.limit,
        }
    }

    /// The greatest pool of pods that stay or can still be created. `None`: one is unknown.
    fn greatest_pool(self) -> Option<u32> {
        let live = self.view.live;
        let deployment = live.deployment.as_ref();
        let template = deployment.map(|deployment| deployment.template.pool);
        let former = deployment.and_then(|deployment| deployment.former);
        let staying = live.pods.iter().filter(|pod| pod.deletion.is_none());
        let mut pools = staying
            .map(|pod| pod.pool)
            .chain(template)
            .chain(former.map(|former| Some(former.pool)))
            .chain([Some(self.view.target.template.pool)]);
        pools.try_fold(0, |greatest, pool| Some(pool?.max(greatest)))
    }

    /// R x greatest pool + surge x base.
    fn needed(self, replicas: u32) -> Option<u32> {
        let base = surge(replicas).saturating_mul(self.terms.base);
        Some(
            replicas
                .saturating_mul(self.greatest_pool()?)
                .saturating_add(base),
        )
    }

    /// Whether every pod of a rollout would get its base with this number of replicas.
    fn has_room(self, replicas: u32) -> bool {
        #[cfg(test)]
        if IGNORES_ROOM.get() {
            return true;
        }
        self.needed(replicas)
            .is_some_and(|needed| needed <= self.limit())
    }

    /// How many pods a rollout may add at once: a quarter, or fewer if otherwise one of them would not get its base; at
    /// least one.
    fn surge(self, replicas: u32) -> Surge {
        if self.has_room(replicas) {
            return QUARTER;
        }
        let used = self
            .greatest_pool()
            .map_or(u32::MAX, |pool| replicas.saturating_mul(pool));
        let free = self.limit().saturating_sub(used) / self.terms.base.max(1);
        Surge::Pods(free.clamp(1, surge(replicas).max(1)))
    }

    fn wait(self, reason: Reason) -> Wait {
        Wait {
            reason,
            until: self.view.now + LATER,
        }
    }
}

fn too_many(needed: Option<u32>, allowed: u32) -> Reason {
    Reason::TooManyConnections { needed, allowed }
}

#[cfg(test)]
thread_local! {
    static IGNORES_ROOM: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Runs `trial` with writes that ignore whether pods would get their base.
#[cfg(test)]
fn without_room<T>(trial: impl FnOnce() -> T) -> T {
    IGNORES_ROOM.set(true);
    let outcome = trial();
    IGNORES_ROOM.set(false);
    outcome
}

#[cfg(test)]
mod cases;
#[cfg(test)]
mod model;
