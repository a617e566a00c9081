//! The preconditions of a write.

use super::live::{Live, LiveDeployment, LiveHpa, LivePod, Pause, ScaleDown};
use super::rules::{Rule, holds};
use super::target::Target;
use super::timing::{HPA_SYNC, OVERDUE_AFTER, SETTLE, STUCK_AFTER};
use super::wait::{Reason, Wait};
use super::worst_case::{WorstCase, lowered, worst_case};
use crate::tuning::{MAX_GRACE, pace};
use jiff::Timestamp;
use std::time::Duration;

/// Check again after this at the latest; a changed object normally triggers the check earlier.
const SOON: Duration = Duration::from_secs(2);
/// The same, if only a person can change the object.
const LATER: Duration = Duration::from_secs(30);

/// The present state and the target, at a moment.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) live: &'a Live,
    pub(super) target: &'a Target,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    pub(super) fn worst_case(self) -> WorstCase {
        worst_case(self.live, self.now)
    }

    /// The wanted limit of a provisioned account: the connections that the budget leaves to pods. While a training that
    /// is no longer wanted still runs, it keeps its connection.
    pub(super) fn fence(self) -> u32 {
        let training = u32::from(self.target.training).max(self.live.training);
        self.target.allowance().saturating_sub(training).max(1)
    }

    /// Terminating pods that are more than `margin` past their due time.
    fn late(self, margin: Duration) -> impl Iterator<Item = &'a LivePod> {
        self.live.late(margin, self.now)
    }

    /// The number of stuck pods.
    pub(super) fn stuck(self) -> u32 {
        count(self.late(STUCK_AFTER))
    }

    /// Whether a pod is overdue, and there is no room for it in addition to all pods that may be created. Then no pod
    /// may be removed, because its replacement would exceed the budget.
    pub(super) fn crowded(self) -> bool {
        if !holds(Rule::Late) {
            return false;
        }
        let overdue = count(self.late(OVERDUE_AFTER));
        !self
            .worst_case()
            .permits(self.worst_case(), overdue, self.target)
    }

    /// The pace (`tuning::pace`) for the longest grace period of the present pods and `grace`.
    pub(super) fn pace(self, grace: Option<Duration>) -> Duration {
        if !holds(Rule::Pace) {
            return Duration::from_secs(1);
        }
        let template = self
            .live
            .deployment
            .iter()
            .map(|deployment| deployment.template.grace);
        let pods = self.live.pods.iter().map(|pod| pod.grace);
        let graces = template.chain(pods).map(|grace| grace.unwrap_or(MAX_GRACE));
        pace(graces.chain(grace).max().unwrap_or_default())
    }

    /// Requires that the Deployment's controller has observed the newest specification, and that its status counts as
    /// many pods as the list has. Then specification, status and list were read at about the same time.
    pub(super) fn current(self, deployment: &LiveDeployment) -> Result<(), Wait> {
        if !holds(Rule::Current) {
            return Ok(());
        }
        if deployment.observed_generation < deployment.generation {
            return Err(self.wait(Reason::Unobserved, SOON));
        }
        let staying = self.live.pods.iter().filter(|pod| pod.deletion.is_none());
        let foreign = staying.clone().filter(|pod| !pod.is_controlled);
        let staying = count(staying);
        let surge = if deployment.rolling() {
            deployment.most_surge()
        } else {
            0
        };
        if staying != deployment.current
            || deployment.current > deployment.replicas.saturating_add(surge)
        {
            let names: Vec<String> = foreign.map(|pod| pod.name.clone()).collect();
            // For a moment, this also names a pod that a controller is about to adopt.
            if staying > deployment.current && !names.is_empty() {
                return Err(self.wait(Reason::Foreign(names), LATER));
            }
            return Err(self.wait(Reason::ReadsDisagree, SOON));
        }
        Ok(())
    }

    /// Requires that no pod is terminating, except stuck ones.
    pub(super) fn quiet(self) -> Result<(), Wait> {
        if !holds(Rule::Quiet) {
            return Ok(());
        }
        let going = self.live.pods.iter().filter_map(|pod| {
            let due = pod.deletion?.due;
            (self.now <= due + STUCK_AFTER).then_some((due, pod))
        });
        let Some(first) = going.clone().map(|(due, _)| due).min() else {
            return Ok(());
        };
        let reason = Reason::Terminating(going.map(|(_, pod)| pod.name.clone()).collect());
        let stuck = first + STUCK_AFTER + Duration::from_secs(1);
        Err(Wait {
            reason,
            until: self.until_late(LATER).min(stuck),
        })
    }

    /// `after` from now, or earlier if a terminating pod will be late by then.
    pub(super) fn until_late(self, after: Duration) -> Timestamp {
        let late = self
            .live
            .pods
            .iter()
            .filter_map(|pod| Some(pod.deletion?.due + OVERDUE_AFTER + Duration::from_secs(1)));
        late.filter(|at| *at > self.now)
            .chain([self.now + after])
            .min()
            .unwrap_or(self.now)
    }

    /// Requires that the replicas are at or below the autoscaler's maximum, and that every lowering is so old that no
    /// pod of the earlier number can still be created.
    pub(super) fn lowered(self) -> Result<(), Wait> {
        if !holds(Rule::Lowered) {
            return Ok(());
        }
        let settles = lowered(self.live)
            .map(|lowered| lowered.at + HPA_SYNC)
            .filter(|settles| self.now < *settles)
            .max();
        let replicas = self
            .live
            .deployment
            .as_ref()
            .map_or(0, |deployment| deployment.replicas);
        let max = self.live.hpa.as_ref().map_or(replicas, |hpa| hpa.max);
        if settles.is_none() && replicas <= max {
            return Ok(());
        }
        let reason = Reason::MaximumSettling {
            from: self.worst_case().replicas,
            to: max,
        };
        Err(Wait {
            reason,
            until: settles.unwrap_or(self.now + LATER),
        })
    }

    /// Requires that the autoscaler has had time to observe that it may not remove pods.
    pub(super) fn held(self) -> Result<(), Wait> {
        match self.live.hpa.as_ref().map(|hpa| hpa.scale_down) {
            _ if !holds(Rule::Hold) => Ok(()),
            None => Ok(()),
            Some(Some(ScaleDown::Disabled { since })) => {
                self.settled(since, Reason::ScaleDownSettling)
            }
            Some(_) => Err(self.wait(Reason::ScaleDownSettling, SETTLE)),
        }
    }

    /// Requires that the autoscaler's counting period has passed since its removals were disabled, so that pods that it
    /// added before no longer count.
    pub(super) fn period_passed(self, hpa: &LiveHpa, period: Duration) -> Result<(), Wait> {
        let Some(ScaleDown::Disabled { since }) = hpa.scale_down else {
            return Ok(());
        };
        let until = since + SETTLE + period;
        if self.now < until && holds(Rule::Period) {
            Err(Wait {
                reason: Reason::ScaleDownSettling,
                until,
            })
        } else {
            Ok(())
        }
    }

    /// Requires that a Deployment's pause has taken effect.
    pub(super) fn paused(self, deployment: &LiveDeployment) -> Result<(), Wait> {
        match deployment.pause {
            Pause::On(Some(since)) => self.settled(since, Reason::PauseSettling),
            Pause::On(None) => Err(self.wait(Reason::PauseSettling, SETTLE)),
            Pause::Off => Ok(()),
        }
    }

    /// Requires that the invariant holds for `after`.
    pub(super) fn fits(self, after: WorstCase) -> Result<(), Wait> {
        let stuck = self.stuck();
        if self.worst_case().permits(after, stuck, self.target) || !holds(Rule::Fits) {
            return Ok(());
        }
        if self.worst_case().permits(after, 0, self.target) {
            self.none_stuck()?;
        }
        let alone = WorstCase {
            training: 0,
            ..after
        };
        if !self.target.training && self.worst_case().permits(alone, stuck, self.target) {
            return Err(self.wait(Reason::TrainingEnding, LATER));
        }
        let (needed, allowed) = (after.connections(stuck), self.target.allowance());
        Err(self.wait(Reason::TooManyConnections { needed, allowed }, LATER))
    }

    /// Requires that no pod is stuck.
    pub(super) fn none_stuck(self) -> Result<(), Wait> {
        let Some(pod) = self.late(STUCK_AFTER).next() else {
            return Ok(());
        };
        let reason = Reason::Stuck {
            pod: pod.name.clone(),
            node: pod.node.clone(),
        };
        Err(self.wait(reason, LATER))
    }

    pub(super) fn settled(self, since: Timestamp, reason: Reason) -> Result<(), Wait> {
        let until = since + SETTLE;
        if self.now < until && holds(Rule::Settle) {
            Err(Wait { reason, until })
        } else {
            Ok(())
        }
    }

    fn wait(self, reason: Reason, after: Duration) -> Wait {
        Wait {
            reason,
            until: self.now + after,
        }
    }
}

impl LiveDeployment {
    /// Whether pods of an older template exist.
    pub(super) fn rolling(&self) -> bool {
        self.current != self.updated || self.former.is_some()
    }

    /// maxSurge in pods; 1 for a strategy that the operator never writes.
    pub(super) fn most_surge(&self) -> u32 {
        self.surge.map_or(1, |surge| surge.pods(self.replicas))
    }

    /// Whether all pods have the newest template, and no pod of an older template is wanted any more.
    pub(super) fn complete(&self) -> bool {
        self.observed_generation >= self.generation
            && [self.current, self.updated, self.available] == [self.replicas; 3]
    }
}

fn count<'a>(pods: impl Iterator<Item = &'a LivePod>) -> u32 {
    u32::try_from(pods.count()).unwrap_or(u32::MAX)
}
