//! A model of the controllers that act on a plan's writes: Deployment, `ReplicaSet`, autoscaler, kubelet. Times are in
//! seconds.
//!
//! Each controller acts some time after the change that it reacts to. The operator reads Deployment, autoscaler and pods
//! at different moments, and a write fails if its object has changed since. Based on
//! `pkg/controller/{deployment,replicaset,podautoscaler}` of Kubernetes.

mod autoscaler;
mod deployment;
mod dice;
mod evictions;
mod scenarios;

pub(super) use dice::Dice;
use evictions::{Budget, Drain};

use super::{
    Action, Deletion, Former, HpaWrite, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate,
    Lowered, Pause, ScaleDown, Template,
};
use crate::tuning::Surge;
use jiff::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

pub(super) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn seconds(duration: Duration) -> i64 {
    duration.as_secs().cast_signed()
}

/// A pod template: the operator's values, and how its pods behave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Kind {
    pub image: u32,
    pub pool: u32,
    pub grace: i64,
}

impl Kind {
    pub(super) fn template(self) -> Template {
        Template {
            hash: format!("{}-{}-{}", self.image, self.pool, self.grace),
            pool: self.pool,
            grace: Duration::from_secs(self.grace.cast_unsigned()),
        }
    }
    fn from_template(template: &Template) -> Self {
        Self {
            image: template.hash.split('-').next().unwrap().parse().unwrap(),
            pool: template.pool,
            grace: seconds(template.grace),
        }
    }
    /// Images with odd numbers never become ready.
    fn bad(self) -> bool {
        self.image % 2 == 1
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Deployment {
    kind: Kind,
    min_ready: i64,
    surge: Surge,
    paused: Option<i64>,
    replicas: u32,
    generation: i64,
    observed: i64,
    current: u32,
    updated: u32,
    available: u32,
    former: Option<Former>,
    lowered: Option<Lowered>,
    version: u64,
}

#[derive(Clone, Copy)]
struct ReplicaSet {
    kind: Kind,
    min_ready: i64,
    replicas: u32,
    /// The annotation `desired-replicas`, which distinguishes scaling from a rollout.
    desired: u32,
    /// The annotation `max-replicas`: the maximum number of pods that the Deployment allowed when this `ReplicaSet` was
    /// last scaled.
    most: u32,
    current: u32,
    available: u32,
    /// When its controller acts next.
    due: i64,
}

#[derive(Clone, Copy)]
struct Pod {
    id: u32,
    kind: Kind,
    node: u32,
    created: i64,
    ready: i64,
    deleted: Option<i64>,
    gone: i64,
}

#[derive(Clone, Copy)]
struct Hpa {
    min: u32,
    max: u32,
    scale_down: ScaleDown,
    lowered: Option<Lowered>,
    version: u64,
}

/// The readable state at one moment.
#[derive(Clone)]
struct Observed {
    at: i64,
    deployment: Option<Deployment>,
    hpa: Option<Hpa>,
    budget: Option<Budget>,
    pods: Vec<Pod>,
    training: Training,
}

/// The memory of the autoscaler controller.
#[derive(Clone, Default)]
struct Scaler {
    due: i64,
    wish: u32,
    recommended: Vec<(i64, u32)>,
    added: Vec<(i64, u32)>,
    removed: Vec<(i64, u32)>,
}

pub(super) struct World {
    pub now: i64,
    pub dice: Dice,
    /// Random numbers for the training, so that the rest of a case is the same with and without it.
    pub training_dice: Dice,
    pub fence: u32,
    /// Percentage of pods that get stuck.
    pub stuck_percent: i64,
    /// Maximum lag of controllers.
    pub lag: i64,
    deployment: Option<Deployment>,
    sets: Vec<ReplicaSet>,
    pods: Vec<Pod>,
    hpa: Option<Hpa>,
    seen: VecDeque<Observed>,
    /// Up to which time the operator has read Deployment, autoscaler, pods, training, `PodDisruptionBudget`.
    observed: [i64; 5],
    /// Random numbers for drains, so that the rest of a case is the same with and without them.
    pub drain_dice: Dice,
    /// Random numbers for refusals, for the same reason.
    pub refusal_dice: Dice,
    /// Until when the API server refuses new pods, as a `ResourceQuota` does.
    refused_until: i64,
    /// How many pods were evicted.
    pub evicted: u32,
    budget: Option<Budget>,
    budget_due: i64,
    drains: Vec<Drain>,
    scaler: Scaler,
    deployment_due: i64,
    version: u64,
    changed: bool,
    pods_made: u32,
    training: Training,
}

/// The training's `CronJob`. It counts as running from its creation until it is gone.
#[derive(Clone, Copy, PartialEq)]
enum Training {
    Absent,
    There,
    /// The time at which it is gone, because its pod has ended.
    Ending(i64),
}

/// Maximum time that a training's pod takes to end, in seconds.
const TRAINING_GRACE: i64 = 40;

const NEVER: i64 = i64::MAX / 2;
/// The time of a pause by another user.
const BY_HAND: i64 = -1;

/// The state that the operator read, with the versions that its writes depend on.
pub(super) struct Read {
    pub live: Live,
    /// Whether a part of it may be outdated.
    pub late: bool,
    deployment: Option<u64>,
    hpa: Option<u64>,
    budget: Option<u64>,
}

impl Training {
    fn connections(self) -> u32 {
        u32::from(self != Self::Absent)
    }

    fn gone(self) -> i64 {
        match self {
            Self::Ending(gone) => gone,
            Self::Absent | Self::There => NEVER,
        }
    }
}

impl World {
    pub(super) fn new(dice: Dice, training_dice: Dice) -> Self {
        let drain_dice = Dice(training_dice.0 ^ 0x5851_f42d_4c95_7f2d);
        let refusal_dice = Dice(training_dice.0 ^ 0x1405_7b7e_f767_814f);
        Self {
            now: 1000,
            dice,
            training_dice,
            fence: 0,
            stuck_percent: 0,
            lag: 2,
            deployment: None,
            sets: Vec::new(),
            pods: Vec::new(),
            hpa: None,
            seen: VecDeque::new(),
            observed: [0; 5],
            drain_dice,
            refusal_dice,
            refused_until: 0,
            evicted: 0,
            budget: None,
            budget_due: NEVER,
            drains: Vec::new(),
            scaler: Scaler::default(),
            deployment_due: NEVER,
            version: 0,
            changed: true,
            pods_made: 0,
            training: Training::Absent,
        }
    }

    /// Describes the state for the log of a case.
    pub(super) fn describe(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        if let Some(it) = self.deployment {
            let (current, updated) = (it.current, it.updated);
            write!(
                text,
                "replicas {} current {current} updated {updated}",
                it.replicas
            )
            .unwrap();
        }
        for set in &self.sets {
            let pods = self.pods.iter().filter(|pod| pod.kind == set.kind);
            let going = pods.clone().filter(|pod| pod.deleted.is_some()).count();
            let all = pods.count();
            if all > 0 || set.replicas > 0 {
                write!(
                    text,
                    ", {:?} wants {} has {all} going {going}",
                    set.kind, set.replicas
                )
                .unwrap();
            }
        }
        text
    }

    /// Connections that the pods have open at the database.
    pub(super) fn connections(&self) -> u32 {
        self.pods.iter().map(|pod| pod.kind.pool).sum()
    }

    /// The greatest pool of a pod, at least 1.
    pub(super) fn greatest_pool(&self) -> u32 {
        let pools = self.pods.iter().map(|pod| pod.kind.pool);
        pools.max().unwrap_or(1).max(1)
    }

    /// The number of pods, with those that are terminating.
    pub(super) fn alive(&self) -> usize {
        self.pods.len()
    }

    /// Whether all wanted pods have an image and are available.
    pub(super) fn runs(&self, image: u32) -> bool {
        self.deployment.is_some_and(|it| {
            it.observed == it.generation
                && it.kind.image == image
                && [it.current, it.updated, it.available] == [it.replicas; 3]
        })
    }

    /// From now on, the API server refuses new pods for a while.
    pub(super) fn refuse_pods(&mut self) {
        self.refused_until = self.now + self.refusal_dice.roll(10, 400);
    }

    /// Connections that the training has open.
    pub(super) fn training(&self) -> u32 {
        self.training.connections()
    }

    /// The operator creates the training, unless an older one is ending; it observes its own write.
    fn create_training(&mut self) -> bool {
        let is_free = self.training == Training::Absent;
        if is_free {
            self.training = Training::There;
            self.changed = true;
            self.observed[3] = self.now;
        }
        is_free
    }

    /// The operator deletes the training, and waits for its pod: foreground deletion.
    pub(super) fn delete_training(&mut self) {
        if self.training == Training::There {
            self.training = Training::Ending(self.now + self.training_dice.roll(0, TRAINING_GRACE));
            self.changed = true;
        }
    }

    /// Advances to the next event, to `until` at the latest; returns whether anything readable changed.
    pub(super) fn step(&mut self, until: i64) -> bool {
        let sets = self.sets.iter().map(|set| set.due).min().unwrap_or(NEVER);
        let pods = self.pods.iter().map(|pod| pod.gone).min().unwrap_or(NEVER);
        let scaler = if self.hpa.is_some() {
            self.scaler.due
        } else {
            NEVER
        };
        let next = sets
            .min(pods)
            .min(scaler)
            .min(self.training.gone())
            .min(self.deployment_due)
            .min(self.evictions_due())
            .min(until);
        self.record();
        self.now = next.max(self.now);
        if self.pods.iter().any(|pod| pod.gone <= self.now) {
            let now = self.now;
            self.pods.retain(|pod| pod.gone > now);
            self.touch_sets();
        }
        if self.training.gone() <= self.now {
            self.training = Training::Absent;
            self.changed = true;
        }
        // The order within a second is random.
        if self.dice.percent(50) {
            self.scale();
            self.sync_deployment();
            self.sync_sets();
        } else {
            self.sync_sets();
            self.sync_deployment();
            self.scale();
        }
        self.evict();
        let changed = self.changed;
        self.record();
        changed
    }

    fn record(&mut self) {
        if std::mem::take(&mut self.changed) {
            self.seen.push_back(Observed {
                at: self.now,
                deployment: self.deployment,
                hpa: self.hpa,
                budget: self.budget,
                pods: self.pods.clone(),
                training: self.training,
            });
            let old = self.now - 10;
            while self.seen.len() > 1 && self.seen[1].at < old {
                self.seen.pop_front();
            }
        }
    }

    fn past_state(&self, ago: i64) -> &Observed {
        let then = self.now - ago;
        self.seen
            .iter()
            .rev()
            .find(|seen| seen.at <= then)
            .unwrap_or_else(|| self.seen.front().unwrap())
    }

    fn bump(&mut self) -> u64 {
        self.changed = true;
        self.version += 1;
        self.version
    }

    fn later(&mut self) -> i64 {
        self.now + self.dice.roll(0, self.lag)
    }

    fn touch_deployment(&mut self) {
        let later = self.later();
        self.deployment_due = self.deployment_due.min(later);
    }

    fn touch_sets(&mut self) {
        self.changed = true;
        for index in 0..self.sets.len() {
            let later = self.later();
            self.sets[index].due = self.sets[index].due.min(later);
        }
    }

    /// The state that the operator reads. Each kind of object is read with a separate delay.
    pub(super) fn read(&mut self) -> Read {
        self.record();
        // A cache is late, but does not go back.
        let mut ago = [0; 5];
        for (number, (ago, observed)) in ago.iter_mut().zip(&mut self.observed).enumerate() {
            let dice = match number {
                3 => &mut self.training_dice,
                4 => &mut self.drain_dice,
                _ => &mut self.dice,
            };
            let late = if dice.percent(60) {
                0
            } else {
                dice.roll(0, self.lag)
            };
            *observed = (self.now - late).max(*observed);
            *ago = self.now - *observed;
        }
        let [
            deployment_ago,
            hpa_ago,
            pods_ago,
            training_ago,
            evictions_ago,
        ] = ago;
        let budget = self.past_state(evictions_ago).budget;
        let training = self.past_state(training_ago).training.connections();
        let (deployment, hpa) = (
            self.past_state(deployment_ago).deployment,
            self.past_state(hpa_ago).hpa,
        );
        let pods = self.past_state(pods_ago).pods.iter().map(|pod| LivePod {
            name: format!("pod-{}", pod.id),
            node: Some("node".to_owned()),
            pool: Some(pod.kind.pool),
            grace: Some(pod.kind.template().grace),
            created: Some(at(pod.created)),
            is_controlled: true,
            deletion: pod.deleted.map(|deleted| Deletion {
                due: at(deleted + pod.kind.grace),
            }),
        });
        let live = Live {
            deployment: deployment.map(|deployment| {
                let template = deployment.kind.template();
                LiveDeployment {
                    template: LiveTemplate {
                        hash: Some(template.hash),
                        pool: Some(template.pool),
                        grace: Some(template.grace),
                    },
                    min_ready: Duration::from_secs(deployment.min_ready.cast_unsigned()),
                    surge: Some(deployment.surge),
                    pause: deployment.paused.map_or(Pause::Off, |since| {
                        Pause::On((since != BY_HAND).then(|| at(since)))
                    }),
                    replicas: deployment.replicas,
                    generation: deployment.generation,
                    observed_generation: deployment.observed,
                    current: deployment.current,
                    updated: deployment.updated,
                    available: deployment.available,
                    former: deployment.former,
                    lowered: deployment.lowered,
                }
            }),
            hpa: hpa.map(|hpa| LiveHpa {
                min: hpa.min,
                max: hpa.max,
                scale_down: Some(hpa.scale_down),
                lowered: hpa.lowered,
            }),
            pods: pods.collect(),
            training,
            evictions: budget.map(|budget| budget.evictions),
            fence: Some(self.fence),
        };
        Read {
            live,
            late: ago.iter().sum::<i64>() > 0,
            deployment: deployment.map(|it| it.version),
            hpa: hpa.map(|it| it.version),
            budget: budget.map(|it| it.version),
        }
    }

    /// Does `action`, unless its object has changed since it was `read`; returns whether it was done.
    pub(super) fn write(&mut self, read: &Read, action: &Action) -> bool {
        match action {
            Action::SetFence(fence) => {
                self.fence = *fence;
                self.changed = true;
                return true;
            }
            Action::CreateTraining => return self.create_training(),
            Action::WriteDisruptionBudget(evictions) => {
                if self.budget.map(|it| it.version) != read.budget {
                    return false;
                }
                let version = self.bump();
                self.observed[4] = self.now;
                self.write_budget(*evictions, version);
                return true;
            }
            Action::WriteHpa(_) | Action::DeleteHpa => {
                if self.hpa.map(|it| it.version) != read.hpa {
                    return false;
                }
            }
            _ => {
                if self.deployment.map(|it| it.version) != read.deployment {
                    return false;
                }
            }
        }
        let version = self.bump();
        // The operator always observes its own writes.
        let hpa = matches!(action, Action::WriteHpa(_) | Action::DeleteHpa);
        self.observed[usize::from(hpa)] = self.now;
        match action {
            Action::WriteHpa(write) => {
                self.write_hpa(*write, version);
                return true;
            }
            Action::DeleteHpa => {
                self.hpa = None;
                return true;
            }
            Action::CreateDeployment {
                template,
                min_ready,
                surge,
                adopt,
            } => {
                self.deployment = Some(Deployment {
                    kind: Kind::from_template(template),
                    min_ready: seconds(*min_ready),
                    surge: *surge,
                    paused: adopt.map(|adopt| adopt.at.as_second()),
                    replicas: adopt.map_or(1, |adopt| adopt.replicas),
                    generation: 1,
                    observed: 0,
                    current: 0,
                    updated: 0,
                    available: 0,
                    former: None,
                    lowered: None,
                    version,
                });
                self.touch_deployment();
                return true;
            }
            _ => {}
        }
        self.change_deployment(action, version);
        true
    }

    fn change_deployment(&mut self, action: &Action, version: u64) {
        let mut deployment = self.deployment.unwrap();
        match action {
            Action::Scale { replicas, lowered } => {
                deployment.replicas = *replicas;
                deployment.lowered = lowered.or(deployment.lowered);
            }
            Action::Pause { at, surge, former } => {
                deployment.paused = Some(at.as_second());
                deployment.surge = *surge;
                deployment.former = former.or(deployment.former);
            }
            Action::Unpause => deployment.paused = None,
            Action::ClearFormer => deployment.former = None,
            Action::SetStrategy {
                min_ready,
                surge,
                former,
            } => {
                deployment.former = former.or(deployment.former);
                deployment.min_ready = seconds(*min_ready);
                deployment.surge = *surge;
            }
            Action::WriteTemplate {
                template,
                min_ready,
                surge,
                former,
            } => {
                deployment.surge = *surge;
                deployment.former = *former;
                deployment.kind = Kind::from_template(template);
                deployment.min_ready = seconds(*min_ready);
            }
            _ => unreachable!(),
        }
        deployment.generation += 1;
        deployment.version = version;
        self.deployment = Some(deployment);
        self.touch_deployment();
    }

    fn write_hpa(&mut self, write: HpaWrite, version: u64) {
        if self.hpa.is_none() {
            let due = self.now + self.dice.roll(0, 15);
            self.scaler = Scaler {
                due,
                wish: write.min,
                ..Scaler::default()
            };
        }
        self.hpa = Some(Hpa {
            min: write.min,
            max: write.max,
            scale_down: write.scale_down,
            lowered: write.lowered,
            version,
        });
    }

    /// Another user changes an object behind the operator's back.
    pub(super) fn edit_as_another_user(&mut self) {
        let version = self.bump();
        let replicas = self.dice.number(0, 12);
        match (self.dice.roll(0, 6), &mut self.deployment) {
            (0, _) => self.hpa = None,
            (6, _) => {
                self.budget = None;
                return;
            }
            (1, Some(_)) => {
                self.deployment = None;
                self.deployment_due = NEVER;
                self.sets.clear();
                for pod in self.pods.iter_mut().filter(|pod| pod.deleted.is_none()) {
                    pod.deleted = Some(self.now);
                    pod.gone = self.now + pod.kind.grace;
                }
                return;
            }
            // `--cascade=orphan`.
            (5, Some(_)) => {
                self.deployment = None;
                self.deployment_due = NEVER;
                return;
            }
            (2, Some(deployment)) => deployment.paused = Some(BY_HAND),
            (3, Some(deployment)) => deployment.min_ready = 0,
            (_, Some(deployment)) => deployment.replicas = replicas,
            _ => {}
        }
        if let Some(deployment) = &mut self.deployment {
            deployment.generation += 1;
            deployment.version = version;
            self.touch_deployment();
        }
    }
}
