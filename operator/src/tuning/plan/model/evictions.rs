//! The eviction API with the controller of `PodDisruptionBudget`s, and drains of nodes
//! (`pkg/registry/core/pod/storage/eviction.go`, `pkg/controller/disruption`).

use super::{NEVER, World};
use crate::tuning::plan::Evictions;

/// Nodes that pods run on.
const NODES: u32 = 5;

/// A `PodDisruptionBudget` and its status.
#[derive(Clone, Copy)]
pub(super) struct Budget {
    pub evictions: Evictions,
    pub version: u64,
    /// Its controller has observed the newest specification.
    fresh: bool,
    allowed: u32,
    healthy: u32,
    desired: u32,
}

impl Budget {
    fn new(evictions: Evictions, version: u64) -> Self {
        Self {
            evictions,
            version,
            fresh: false,
            allowed: 0,
            healthy: 0,
            desired: 0,
        }
    }
}

/// A drain of a node: it evicts the node's pods, and retries if an eviction is refused.
#[derive(Clone, Copy)]
pub(super) struct Drain {
    node: u32,
    /// When it tries next.
    due: i64,
}

impl World {
    /// Writes the `PodDisruptionBudget`; it keeps its status.
    pub(super) fn write_budget(&mut self, evictions: Evictions, version: u64) {
        self.budget = Some(match self.budget {
            Some(budget) => Budget {
                evictions,
                version,
                fresh: false,
                ..budget
            },
            None => Budget::new(evictions, version),
        });
        self.recount();
    }

    /// The controller recounts some time after a change.
    pub(super) fn recount(&mut self) {
        if self.drains.is_empty() {
            // If no node is drained, the status of the budget is not read.
            return;
        }
        let later = self.now + self.drain_dice.roll(0, self.lag);
        self.budget_due = self.budget_due.min(later);
    }

    /// A node without pods that are being drained.
    pub(super) fn node(&mut self) -> u32 {
        let first = self.drain_dice.number(0, NODES - 1);
        let nodes = (0..NODES).map(|node| (first + node) % NODES);
        let drained = |node: &u32| self.drains.iter().any(|drain| drain.node == *node);
        nodes
            .into_iter()
            .find(|node| !drained(node))
            .unwrap_or(first)
    }

    /// Begins to drain one to three nodes.
    pub(in super::super) fn drain(&mut self) {
        for _ in 0..self.drain_dice.roll(1, 3) {
            let node = self.drain_dice.number(0, NODES - 1);
            if self.drains.iter().all(|drain| drain.node != node) {
                self.drains.push(Drain {
                    node,
                    due: self.now + self.drain_dice.roll(0, 10),
                });
            }
        }
        // The status has been kept up to date.
        self.count_healthy();
    }

    /// Ends all drains of nodes.
    pub(in super::super) fn end_drains(&mut self) {
        self.drains.clear();
        self.budget_due = NEVER;
    }

    /// Whether a node is being drained.
    pub(in super::super) fn drains(&self) -> bool {
        !self.drains.is_empty()
    }

    /// When the next of these controllers and drains acts.
    pub(super) fn evictions_due(&self) -> i64 {
        let drains = self.drains.iter().map(|drain| drain.due);
        drains.chain([self.budget_due]).min().unwrap_or(NEVER)
    }

    pub(super) fn evict(&mut self) {
        if self.changed && self.budget_due == NEVER {
            self.recount();
        }
        if self.budget_due <= self.now {
            self.count_healthy();
        }
        for index in (0..self.drains.len()).rev() {
            if self.drains[index].due > self.now {
                continue;
            }
            let node = self.drains[index].node;
            let mut left = false;
            for pod in 0..self.pods.len() {
                if self.pods[pod].node == node && self.pods[pod].deleted.is_none() {
                    left |= !self.try_evict(pod);
                }
            }
            if left {
                self.drains[index].due = self.now + self.drain_dice.roll(1, 5);
            } else {
                self.drains.remove(index);
            }
        }
    }

    fn is_ready(&self, pod: usize) -> bool {
        self.pods[pod].ready <= self.now
    }

    pub(super) fn count_healthy(&mut self) {
        self.budget_due = NEVER;
        let staying = (0..self.pods.len()).filter(|&pod| self.pods[pod].deleted.is_none());
        let healthy = staying.clone().filter(|&pod| self.is_ready(pod)).count();
        let next = staying.map(|pod| self.pods[pod].ready);
        let next = next
            .filter(|ready| (self.now + 1..NEVER).contains(ready))
            .min();
        if let Some(ready) = next {
            self.budget_due = ready + self.drain_dice.roll(0, self.lag);
        }
        let expected = self.deployment.map(|deployment| deployment.replicas);
        let Some(budget) = &mut self.budget else {
            return;
        };
        budget.fresh = true;
        budget.healthy = u32::try_from(healthy).unwrap();
        (budget.desired, budget.allowed) = match (budget.evictions, expected) {
            (Evictions::Held { .. }, _) => (u32::MAX, 0),
            // If the Deployment has no scale, the controller allows no eviction.
            (Evictions::Open, None | Some(0)) => (0, 0),
            (Evictions::Open, Some(expected)) => {
                let desired = expected - 1;
                (desired, budget.healthy.saturating_sub(desired))
            }
        };
    }

    /// One request to evict a pod; returns whether it was accepted.
    pub(super) fn try_evict(&mut self, pod: usize) -> bool {
        let is_ready = self.is_ready(pod);
        if let Some(budget) = &mut self.budget {
            let always = budget.evictions == Evictions::Open;
            let is_free =
                !is_ready && (always || (budget.desired > 0 && budget.healthy >= budget.desired));
            if !is_free {
                if !budget.fresh || budget.allowed == 0 {
                    return false;
                }
                budget.allowed -= 1;
            }
        }
        self.evicted += 1;
        let grace = self.pods[pod].kind.grace;
        let takes = match self.drain_dice.roll(0, 3) {
            0 => self.drain_dice.roll(0, grace),
            _ => grace + self.drain_dice.roll(0, 1),
        };
        self.pods[pod].deleted = Some(self.now);
        self.pods[pod].gone = self.now + takes;
        self.touch_sets();
        self.recount();
        true
    }
}
