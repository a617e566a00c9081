//! Decides the next write.

mod evictions;
mod rollout;

use super::action::{Action, Adopt, HpaWrite};
use super::live::{Live, LiveDeployment, LiveHpa, Lowered, Pause, ScaleDown};
use super::preconditions::View;
use super::rules::{Rule, holds};
use super::target::Target;
use super::timing::HPA_SYNC;
use super::wait::{Reason, Wait};
use super::worst_case::WorstCase;
use crate::tuning::{self, Scale, Surge, TRAINING_CONNECTIONS};
use jiff::Timestamp;
use std::time::Duration;

/// When to check again on a rollout that makes progress.
const ROLLOUT: Duration = Duration::from_mins(1);

/// The next write, or the reason to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The next write; `None` if the target is reached or something must happen first.
    pub action: Option<Action>,
    /// What must happen before further progress towards the target. There may also be an action that need not wait.
    pub wait: Option<Wait>,
    /// When to check whether pods may be evicted again.
    pub look_again: Option<Timestamp>,
    /// Connections that pods and training may hold at this moment: the target's allowance, or more while an earlier,
    /// greater promise is being reduced. It only decreases until it equals the allowance. Stuck pods are added if there
    /// is room for them. `None`: the pool of some pods is unknown.
    pub in_force: Option<u32>,
    /// Whether pods may be evicted although others are being replaced, because nothing has changed for ten minutes.
    pub lets_pods_go: bool,
}

impl Plan {
    /// Whether the target is reached.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.action.is_none() && self.wait.is_none()
    }
}

/// A write, no write, or the reason to wait.
pub(super) type Step = Result<Option<Action>, Wait>;

/// The next write from `live` towards `target`, and what must happen first.
#[must_use]
pub fn plan(live: &Live, target: &Target, now: Timestamp) -> Plan {
    let view = View { live, target, now };
    if let Some(terms) = target.enforced {
        return view.enforced(terms);
    }
    let (mut action, mut wait) = (None, None);
    for step in [View::next, View::lower_fence, View::create_training] {
        if action.is_none() {
            match step(view) {
                Ok(found) => action = found,
                Err(reason) => wait = wait.or(Some(reason)),
            }
        }
    }
    // The target counts as reached even if evictions are still forbidden for a moment.
    let mut look_again = None;
    if action.is_none() {
        match view.open_evictions() {
            Ok(found) => action = found,
            Err(wait) => look_again = Some(wait.until),
        }
    }
    Plan {
        action,
        wait,
        look_again,
        in_force: view.worst_case().in_force(target),
        lets_pods_go: view.gives_up(),
    }
}

impl View<'_> {
    fn next(self) -> Step {
        if let Some(write) = self.guard() {
            return Ok(Some(write));
        }
        if let Some(raise) = self.raise_fence() {
            return Ok(Some(raise));
        }
        match &self.live.deployment {
            None => self.create(),
            Some(deployment) => self.change(deployment),
        }
    }

    fn create(self) -> Step {
        if let Some(lower) = self.live.hpa.as_ref().and_then(|hpa| self.lower_hpa(hpa)) {
            return Ok(Some(lower));
        }
        if let Some(hpa) = &self.live.hpa
            && matches!(hpa.scale_down, Some(ScaleDown::Pods { count, .. }) if count > self.target.step)
        {
            let disabled = ScaleDown::Disabled { since: self.now };
            return Ok(Some(self.write_hpa(hpa, hpa.min, hpa.max, disabled)));
        }
        // The plan waits for terminating pods of a removed Deployment. The other pods are adopted.
        self.lowered()?;
        self.quiet()?;
        let orphans = self.live.pods.iter().filter(|pod| pod.deletion.is_none());
        // A pod that no controller created is neither adopted nor deleted.
        let foreign = orphans.clone().filter(|pod| !pod.is_controlled);
        let foreign: Vec<String> = foreign.map(|pod| pod.name.clone()).collect();
        if !foreign.is_empty() {
            return Err(Wait {
                reason: Reason::Foreign(foreign),
                until: self.now + ROLLOUT,
            });
        }
        let orphans = u32::try_from(orphans.count()).unwrap_or(u32::MAX);
        let adopt = (orphans > 0).then(|| Adopt {
            replicas: orphans.min(self.target.scale.max()),
            at: self.now,
        });
        let reach = self.with_template();
        self.fits(match adopt {
            // Existing pods keep their connections. New pods are created only after the pause, which lasts until the
            // surplus pods have ended.
            Some(adopt) => WorstCase {
                replicas: self
                    .live
                    .hpa
                    .as_ref()
                    .map_or(0, |hpa| hpa.max)
                    .max(adopt.replicas),
                step: self.worst_case().step,
                alive: 0,
                ..reach
            },
            None => reach,
        })?;
        Ok(Some(Action::CreateDeployment {
            template: self.target.template.clone(),
            min_ready: self.pace(Some(self.target.template.grace)),
            // Adopted pods may be of several templates.
            surge: Surge::Pods(adopt.map_or(self.target.step, |_| 1)),
            adopt,
        }))
    }

    fn change(self, deployment: &LiveDeployment) -> Step {
        // A write that cannot add connections need not wait.
        if deployment.min_ready < self.pace(None) || deployment.surge.is_none() {
            return Ok(Some(Action::SetStrategy {
                min_ready: deployment.min_ready.max(self.pace(None)),
                surge: deployment.surge.unwrap_or(Surge::Pods(1)),
                former: None,
            }));
        }
        if let Some(hold) = self.hold_scale_down(deployment) {
            return Ok(Some(hold));
        }
        if self.must_pause(deployment) {
            return Ok(Some(self.pause(deployment)));
        }
        if let Some(shrink) = self.shrink(deployment)? {
            return Ok(Some(shrink));
        }
        // The number of replicas is written first, because this is quick. It may have to wait for a rollout.
        let grown = self.grow(deployment);
        if let Ok(Some(grow)) = grown {
            return Ok(Some(grow));
        }
        if let Some(rollout) = self.roll(deployment)? {
            return Ok(Some(rollout));
        }
        if let Some(delete) = self.delete_hpa()? {
            return Ok(Some(delete));
        }
        if deployment.former.is_some() && deployment.complete() {
            return Ok(Some(Action::ClearFormer));
        }
        if deployment.rolling() {
            return Err(self.rollout(deployment));
        }
        // A smaller maxSurge makes room for more replicas.
        let strategy = self.strategy(deployment);
        if let Ok(Some(strategy)) = strategy {
            return Ok(Some(strategy));
        }
        grown?;
        if let Some(allow) = self.allow_scale_down(deployment)? {
            return Ok(Some(allow));
        }
        strategy?;
        self.finish()
    }

    pub(super) fn rollout(self, deployment: &LiveDeployment) -> Wait {
        let reason = Reason::RolloutRunning {
            updated: deployment.updated,
            replicas: deployment.replicas,
        };
        Wait {
            reason,
            until: self.until_late(ROLLOUT),
        }
    }

    /// Whether pods are being replaced, or will be.
    pub(super) fn restless(self, deployment: &LiveDeployment) -> bool {
        deployment.rolling()
            || deployment.pause != Pause::Off
            || self.differs(deployment)
            || self.crowded()
    }

    /// Whether the template differs from the wanted one.
    pub(super) fn differs(self, deployment: &LiveDeployment) -> bool {
        let (there, wanted) = (&deployment.template, &self.target.template);
        // The grace period is part of the hash. On the API server it may differ, if admission has replaced it.
        there.hash.as_ref() != Some(&wanted.hash) || there.pool != Some(wanted.pool)
    }

    /// Disables the autoscaler's removals while pods are replaced. At all other times, the autoscaler must not remove
    /// pods faster than the pace.
    fn hold_scale_down(self, deployment: &LiveDeployment) -> Option<Action> {
        let hpa = self.live.hpa.as_ref()?;
        let most = self.removable(deployment);
        let scale_down = match hpa.scale_down {
            Some(ScaleDown::Disabled { .. }) => return None,
            _ if self.restless(deployment) && holds(Rule::Hold) => {
                ScaleDown::Disabled { since: self.now }
            }
            Some(ScaleDown::Pods { count, period }) if count <= most => {
                let pace = self.pace(None);
                if period >= pace {
                    return None;
                }
                ScaleDown::Pods {
                    count,
                    period: pace,
                }
            }
            // Pods that were removed together may still be terminating.
            _ => ScaleDown::Disabled { since: self.now },
        };
        Some(self.write_hpa(hpa, hpa.min, hpa.max, scale_down))
    }

    /// Whether more replicas than wanted exist, or may be created.
    pub(super) fn too_many(self, deployment: &LiveDeployment) -> bool {
        let wanted = self.target.scale.max();
        self.live
            .hpa
            .as_ref()
            .map_or(deployment.replicas > wanted, |hpa| hpa.max > wanted)
    }

    /// Lowers the number of replicas.
    fn shrink(self, deployment: &LiveDeployment) -> Step {
        if let Some(hpa) = &self.live.hpa
            && hpa.max <= self.target.scale.max()
        {
            let min = hpa.min.min(self.target.scale.min());
            return Ok(
                (min < hpa.min).then(|| self.write_hpa(hpa, min, hpa.max, self.lower_minimum()))
            );
        }
        if !self.too_many(deployment) {
            return Ok(None);
        }
        self.unchanged(deployment)?;
        Ok(Some(match &self.live.hpa {
            Some(hpa) => match self.lower_hpa(hpa) {
                Some(lower) => lower,
                None => return Ok(None),
            },
            None => Action::Scale {
                replicas: self.target.scale.max(),
                lowered: Some(Lowered {
                    at: self.now,
                    from: self.worst_case().replicas,
                }),
            },
        }))
    }

    /// Requires that the Deployment's status is current, and that its pause, if there is one, has taken effect.
    fn unchanged(self, deployment: &LiveDeployment) -> Result<(), Wait> {
        self.current(deployment)?;
        self.paused(deployment)
    }

    fn lower_hpa(self, hpa: &LiveHpa) -> Option<Action> {
        let max = self.target.scale.max();
        (hpa.max > max).then(|| {
            let min = hpa.min.min(self.target.scale.min());
            let lowered = Some(Lowered {
                at: self.now,
                from: self.worst_case().replicas,
            });
            let scale_down = if min < hpa.min {
                self.lower_minimum()
            } else {
                self.scale_down(hpa)
            };
            Action::WriteHpa(HpaWrite {
                min,
                max,
                scale_down,
                lowered,
            })
        })
    }

    /// Raises the number of replicas.
    fn grow(self, deployment: &LiveDeployment) -> Step {
        let scale = self.target.scale;
        let grow = match (&self.live.hpa, scale) {
            (Some(hpa), _) if hpa.max < scale.max() || hpa.min < scale.min() => {
                self.write_hpa(hpa, scale.min(), scale.max(), self.scale_down(hpa))
            }
            (None, Scale::Auto { min, max }) => Action::WriteHpa(HpaWrite {
                min,
                max,
                scale_down: self.first_scale_down(deployment),
                lowered: None,
            }),
            // An autoscaler ignores a Deployment that was scaled to zero.
            (Some(_), Scale::Auto { min, .. }) if deployment.replicas == 0 => Action::Scale {
                replicas: min,
                lowered: None,
            },
            (None, Scale::Fixed(replicas)) if deployment.replicas < replicas => Action::Scale {
                replicas,
                lowered: None,
            },
            _ => return Ok(None),
        };
        self.current(deployment)?;
        if deployment.current != deployment.updated && deployment.updated == 0 {
            // The first step of a rollout may remove a pod that is not ready. If a pod is created during this step,
            // there are two such pods.
            return Err(self.rollout(deployment));
        }
        self.lowered()?;
        self.quiet()?;
        let reach = self.worst_case();
        self.fits(WorstCase {
            replicas: reach.replicas.max(scale.max()),
            ..reach
        })?;
        Ok(Some(grow))
    }

    /// If a service no longer wants its autoscaler, the autoscaler is first pinned to the fixed number of pods, and then
    /// removed.
    fn delete_hpa(self) -> Step {
        let (Some(hpa), Scale::Fixed(replicas)) = (&self.live.hpa, self.target.scale) else {
            return Ok(None);
        };
        self.lowered()?;
        Ok((hpa.min == replicas && hpa.max == replicas).then_some(Action::DeleteHpa))
    }

    /// What must still happen although no write is left.
    fn finish(self) -> Step {
        let pace = self.pace(None);
        let shrinking = self.worst_case().in_force(self.target) != Some(self.target.allowance());
        if shrinking || pace > tuning::pace(self.target.template.grace) {
            // Surplus pods, or pods with an older, longer grace period, are still terminating, or are stuck.
            self.lowered()?;
            self.quiet()?;
            self.none_stuck()?;
        }
        Ok(None)
    }

    /// If no replacement is in progress, allows the autoscaler to remove pods again, at the pace of the remaining pods.
    fn allow_scale_down(self, deployment: &LiveDeployment) -> Step {
        let pace = self.pace(None);
        let Some(hpa) = &self.live.hpa else {
            return Ok(None);
        };
        let wanted = ScaleDown::Pods {
            count: self.removable(deployment),
            period: pace,
        };
        if hpa.scale_down == Some(wanted) {
            return Ok(None);
        }
        self.current(deployment)?;
        self.period_passed(hpa, pace)?;
        self.quiet()?;
        if self.crowded() {
            self.fits(self.worst_case())?;
        }
        Ok(Some(self.write_hpa(hpa, hpa.min, hpa.max, wanted)))
    }

    pub(super) fn raise_fence(self) -> Option<Action> {
        let fence = self.live.fence.filter(|_| self.target.fence)?;
        (fence < self.fence()).then_some(Action::SetFence(self.fence()))
    }

    fn lower_fence(self) -> Step {
        let fence = self.live.fence.filter(|_| self.target.fence);
        if fence.is_none_or(|fence| fence <= self.fence()) {
            return Ok(None);
        }
        if let Some(deployment) = &self.live.deployment {
            self.current(deployment)?;
        }
        self.quiet()?;
        let needed = self.worst_case().connections(self.stuck());
        let allowed = self.target.allowance();
        if needed.is_none_or(|needed| needed > allowed) {
            return Err(Wait {
                reason: Reason::TooManyConnections { needed, allowed },
                until: self.now + ROLLOUT,
            });
        }
        Ok(Some(Action::SetFence(self.fence())))
    }

    /// Creates the training. This is the last step, because the training's connection is free only after the pools have
    /// shrunk.
    fn create_training(self) -> Step {
        let Some(deployment) = &self.live.deployment else {
            return Ok(None);
        };
        if !self.target.training || self.live.training > 0 {
            return Ok(None);
        }
        self.current(deployment)?;
        self.fits(WorstCase {
            training: TRAINING_CONNECTIONS,
            ..self.worst_case()
        })?;
        Ok(Some(Action::CreateTraining))
    }

    /// The present state, plus pods of the wanted template.
    fn with_template(self) -> WorstCase {
        let reach = self.worst_case();
        WorstCase {
            pool: reach.pool.map(|pool| pool.max(self.target.template.pool)),
            step: match &self.live.deployment {
                None => reach.step.max(self.target.step),
                Some(_) => reach.step,
            },
            ..reach
        }
    }

    /// The autoscaler counts the removals of a period from the number of pods at the start of the period. So if a
    /// minimum is lowered soon after it was raised, the autoscaler could remove all pods of the higher minimum
    /// together. To prevent this, it is not allowed to remove pods for one period.
    fn lower_minimum(self) -> ScaleDown {
        ScaleDown::Disabled { since: self.now }
    }

    /// The scale-down to write if the autoscaler is changed for another reason.
    fn scale_down(self, hpa: &LiveHpa) -> ScaleDown {
        hpa.scale_down
            .unwrap_or(ScaleDown::Disabled { since: self.now })
    }

    fn first_scale_down(self, deployment: &LiveDeployment) -> ScaleDown {
        if self.restless(deployment) {
            ScaleDown::Disabled { since: self.now }
        } else {
            ScaleDown::Pods {
                count: self.removable(deployment),
                period: self.pace(None),
            }
        }
    }

    fn write_hpa(self, hpa: &LiveHpa, min: u32, max: u32, scale_down: ScaleDown) -> Action {
        let lowered = hpa
            .lowered
            .filter(|lowered| self.now < lowered.at + HPA_SYNC);
        Action::WriteHpa(HpaWrite {
            min,
            max,
            scale_down,
            lowered,
        })
    }
}
