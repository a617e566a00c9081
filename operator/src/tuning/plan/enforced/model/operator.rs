//! The operator: what it observes, plans and writes.

use super::super::super::model::at;
use super::super::super::{
    Action, Deletion, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate, Pause, Plan, Template,
    plan,
};
use super::{Deployment, Hpa, Kind, World};
use crate::tuning::{Scale, TRAINING_CONNECTIONS};
use std::time::Duration;

impl World {
    pub(super) fn live(&self) -> Live {
        let count = |kind: Option<Kind>, ready: bool| {
            let staying = self.pods.iter().filter(|pod| pod.deleted.is_none());
            let alike = staying.filter(|pod| {
                kind.is_none_or(|kind| pod.kind == kind) && (!ready || self.is_available(pod))
            });
            u32::try_from(alike.count()).unwrap()
        };
        let grace = Duration::from_secs(20);
        Live {
            deployment: self.deployment.map(|deployment| LiveDeployment {
                template: LiveTemplate {
                    hash: Some(deployment.kind.image.to_string()),
                    pool: Some(deployment.kind.pool),
                    grace: Some(grace),
                },
                min_ready: Duration::from_secs(deployment.min_ready.cast_unsigned()),
                surge: Some(deployment.surge),
                pause: deployment.pause,
                replicas: deployment.replicas,
                lowered: deployment.lowered,
                generation: deployment.generation,
                observed_generation: deployment.observed,
                current: count(None, false),
                updated: count(Some(deployment.kind), false),
                available: count(None, true),
                former: deployment.former,
            }),
            hpa: self.hpa.map(|hpa| LiveHpa {
                min: hpa.min,
                max: hpa.max,
                scale_down: hpa.scale_down,
                lowered: hpa.lowered,
            }),
            pods: self
                .pods
                .iter()
                .filter(|pod| pod.gone > self.now)
                .map(|pod| LivePod {
                    name: pod.id.to_string(),
                    node: None,
                    pool: Some(pod.kind.pool),
                    grace: Some(grace),
                    created: None,
                    is_controlled: true,
                    deletion: pod.deleted.map(|since| Deletion {
                        due: at(since + 20),
                    }),
                })
                .collect(),
            training: self.training,
            evictions: self.evictions,
            fence: self.spec.provisioned.then_some(self.limit),
        }
    }

    /// One run of the operator; returns whether the target is reached.
    pub(super) fn operate(&mut self) -> bool {
        let limit = if self.spec.provisioned {
            self.spec.budget
        } else {
            self.limit
        };
        let Some(target) = self.spec.target(limit, self.without_base) else {
            return true;
        };
        let live = self.live();
        let Plan {
            action,
            wait,
            in_force,
            ..
        } = plan(&live, &target, at(self.now));
        let kept = self.spec.planned || self.open() <= in_force.unwrap() || self.disturbed;
        assert!(kept, "{} sessions, {in_force:?} promised", self.open());
        let settled = action.is_none() && wait.is_none();
        if let Some(action) = action {
            self.act(&action);
        }
        let complete = live.deployment.as_ref().is_some_and(|deployment| {
            deployment.complete()
                && deployment.former.is_none()
                && deployment.template.pool == Some(target.template.pool)
                && deployment.template.hash.as_ref() == Some(&target.template.hash)
        });
        let replicas = live.deployment.as_ref().map(|it| it.replicas);
        let bounds = match (target.scale, &live.hpa) {
            (Scale::Auto { min, max }, Some(hpa)) => (hpa.min, hpa.max) == (min, max),
            (Scale::Fixed(wanted), None) => replicas == Some(wanted),
            _ => false,
        };
        settled
            && complete
            && bounds
            && self.coming.is_none()
            && (self.training > 0) == target.training
    }

    fn act(&mut self, action: &Action) {
        self.elastic |= !self.spec.planned;
        let base = if self.elastic {
            Some(self.spec.base)
        } else {
            None
        };
        let of = |template: &Template| Kind {
            image: template.hash.parse().unwrap(),
            pool: template.pool,
            base: base.unwrap_or(template.pool),
        };
        match action {
            Action::WriteHpa(write) => {
                self.hpa = Some(Hpa {
                    min: write.min,
                    max: write.max,
                    scale_down: Some(write.scale_down),
                    lowered: write.lowered,
                });
                return;
            }
            Action::WriteDisruptionBudget(evictions) => {
                self.evictions = Some(*evictions);
                return;
            }
            Action::DeleteHpa => {
                self.hpa = None;
                return;
            }
            Action::SetFence(limit) => {
                if self.coming.is_none() {
                    self.disturbed = false;
                    self.coming = Some((self.now + self.dice.roll(1, 9), *limit));
                }
                return;
            }
            Action::CreateTraining => {
                self.training = TRAINING_CONNECTIONS;
                return;
            }
            Action::CreateDeployment {
                template,
                min_ready,
                surge,
                adopt,
            } => {
                self.deployment = Some(Deployment {
                    kind: of(template),
                    min_ready: min_ready.as_secs().cast_signed(),
                    surge: *surge,
                    pause: adopt.map_or(Pause::Off, |adopt| Pause::On(Some(adopt.at))),
                    replicas: adopt.map_or(1, |adopt| adopt.replicas),
                    lowered: None,
                    generation: 1,
                    observed: 0,
                    former: None,
                });
                return;
            }
            _ => {}
        }
        let deployment = self.deployment.as_mut().unwrap();
        match action {
            Action::Scale { replicas, lowered } => {
                deployment.replicas = *replicas;
                deployment.lowered = lowered.or(deployment.lowered);
            }
            Action::WriteTemplate {
                template,
                min_ready,
                surge,
                former,
            } => {
                deployment.kind = of(template);
                deployment.min_ready = min_ready.as_secs().cast_signed();
                deployment.surge = *surge;
                deployment.former = *former;
            }
            Action::SetStrategy {
                min_ready,
                surge,
                former,
            } => {
                deployment.former = former.or(deployment.former);
                deployment.min_ready = min_ready.as_secs().cast_signed();
                deployment.surge = *surge;
            }
            Action::Unpause => deployment.pause = Pause::Off,
            Action::ClearFormer => deployment.former = None,
            Action::Pause { at, surge, former } => {
                deployment.pause = Pause::On(Some(*at));
                deployment.surge = *surge;
                deployment.former = former.or(deployment.former);
            }
            other => panic!("{other:?} was handled"),
        }
        deployment.generation += 1;
    }
}
