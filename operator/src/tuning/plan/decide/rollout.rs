//! Rollouts: how they begin, how many pods they replace at once, and how they are paused.

use crate::tuning::Surge;
use crate::tuning::budget::MAX_POOL;
use crate::tuning::plan::action::Action;
use crate::tuning::plan::live::{Former, LiveDeployment, Pause, ScaleDown};
use crate::tuning::plan::preconditions::View;
use crate::tuning::plan::rules::{Rule, holds};
use crate::tuning::plan::wait::Wait;
use crate::tuning::plan::worst_case::WorstCase;

impl View<'_> {
    /// Whether a rollout must be paused: to supersede it, to lower the replicas, or because a pod terminates late.
    /// Without the pause, pods that are removed for a lower number of replicas would terminate together with the next
    /// pod of the rollout.
    pub(super) fn must_pause(self, deployment: &LiveDeployment) -> bool {
        match deployment.pause {
            // Another user's pause: its start is unknown.
            Pause::On(since) => since.is_none(),
            Pause::Off => {
                deployment.rolling()
                    && holds(Rule::Pause)
                    && (self.differs(deployment) || self.too_many(deployment) || self.crowded())
            }
        }
    }

    pub(super) fn pause(self, deployment: &LiveDeployment) -> Action {
        let staying = self.live.pods.iter().filter(|pod| pod.deletion.is_none());
        let staying = u32::try_from(staying.count()).unwrap_or(u32::MAX);
        // Status and pods may be read at different moments. With the smaller of the two numbers, the pause adds no pod.
        let extra = staying
            .min(deployment.current)
            .saturating_sub(deployment.replicas);
        let surge = match deployment.most_surge() {
            surge if holds(Rule::PauseSurge) => extra.clamp(1, surge.max(1)),
            surge => surge,
        };
        let former = (surge < deployment.most_surge()).then(|| self.leftovers());
        Action::Pause {
            at: self.now,
            surge: Surge::Pods(surge),
            former,
        }
    }

    /// The pool and the surge that pods of the present templates may still use after the next write of the Deployment.
    fn leftovers(self) -> Former {
        let reach = self.worst_case();
        Former {
            pool: reach.pool.unwrap_or(MAX_POOL),
            surge: reach.step,
        }
    }

    /// Starts a rollout, or resumes a paused one.
    pub(super) fn roll(self, deployment: &LiveDeployment) -> Result<Option<Action>, Wait> {
        let differs = self.differs(deployment);
        if !differs && deployment.pause == Pause::Off {
            return Ok(None);
        }
        self.unchanged(deployment)?;
        self.lowered()?;
        self.quiet()?;
        let action = if !differs {
            self.fits(self.with_template())?;
            Action::Unpause
        } else if deployment.rolling() || deployment.current < deployment.replicas {
            self.supersede(deployment)?
        } else {
            self.template(self.step()?, None)
        };
        // This is the last condition, so that evictions are not held for a rollout that cannot begin yet.
        if let Some(hold) = self.hold_evictions()? {
            return Ok(Some(hold));
        }
        self.held()?;
        Ok(Some(action))
    }

    fn template(self, step: u32, former: Option<Former>) -> Action {
        Action::WriteTemplate {
            template: self.target.template.clone(),
            min_ready: self.pace(Some(self.target.template.grace)),
            surge: Surge::Pods(step),
            former,
        }
    }

    /// Starts a rollout while pods of the replaced template can still be created: some are missing, or this template
    /// was itself being rolled out.
    ///
    /// Pods are replaced one by one. The reads of the Deployment's controller may be late. With a greater step, it
    /// could remove pods of one old template, and then pods of another one for the same step.
    fn supersede(self, deployment: &LiveDeployment) -> Result<Action, Wait> {
        let pool = self.worst_case().pool.unwrap_or(MAX_POOL);
        let surge = deployment.most_surge();
        // While it is paused, the Deployment has at most maxSurge extra pods.
        let fits = self.fits(WorstCase {
            step: surge,
            ..self.with_template()
        });
        match fits {
            Ok(()) => {
                let former = Former { pool, surge };
                let former = holds(Rule::Former).then_some(former);
                let step = if holds(Rule::Clean) {
                    1
                } else {
                    self.target.step
                };
                Ok(self.template(step, former))
            }
            // The extra pods are removed first.
            Err(_) if surge > 1 => Ok(Action::SetStrategy {
                min_ready: deployment.min_ready,
                surge: Surge::Pods(1),
                former: Some(self.leftovers()),
            }),
            Err(wait) => Err(wait),
        }
    }

    /// How many pods a rollout replaces at once, if it begins with pods of a single template. If a pod is stuck, there
    /// may be room for only one pod at a time.
    fn step(self) -> Result<u32, Wait> {
        let reach = self.with_template();
        // No extra pod exists now, so only the new step counts.
        let with = |step| self.fits(WorstCase { step, ..reach });
        if reach.pool.is_some() && with(self.target.step).is_ok() {
            return Ok(self.target.step);
        }
        with(1).map(|()| 1)
    }

    /// If no replacement is in progress, writes `minReadySeconds` and maxSurge of the target. A smaller maxSurge has
    /// effect on the sum at once, so it waits until no pod terminates and the autoscaler removes none.
    pub(super) fn strategy(self, deployment: &LiveDeployment) -> Result<Option<Action>, Wait> {
        let min_ready = self.pace(None);
        let wanted = Surge::Pods(self.target.step);
        let Some(surge) = deployment.surge.filter(|surge| *surge != wanted) else {
            return Ok(
                (deployment.min_ready > min_ready).then_some(Action::SetStrategy {
                    min_ready,
                    surge: wanted,
                    former: None,
                }),
            );
        };
        self.current(deployment)?;
        let reach = self.worst_case();
        if surge.pods(reach.replicas) > self.target.step {
            let hpa = self.live.hpa.as_ref().and_then(|hpa| hpa.scale_down);
            if matches!(hpa, Some(ScaleDown::Disabled { .. })) {
                self.held()?;
            }
            self.lowered()?;
            self.quiet()?;
        } else {
            self.fits(WorstCase {
                step: reach.step.max(self.target.step),
                ..reach
            })?;
        }
        Ok(Some(Action::SetStrategy {
            min_ready,
            surge: wanted,
            former: None,
        }))
    }

    /// How many pods the autoscaler may remove at once. It is never more than a rollout may replace, so that maxSurge
    /// alone determines how many pods can exist.
    pub(super) fn removable(self, deployment: &LiveDeployment) -> u32 {
        let surge = deployment
            .surge
            .map_or(1, |surge| surge.pods(deployment.replicas));
        surge.clamp(1, self.target.step.max(1))
    }
}
