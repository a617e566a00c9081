//! When pods may be evicted.
//!
//! At rest at most R pods exist, so with an evicted pod and its replacement there are at most R + 1. During a rollout
//! the budget has no room for a further pod, so evictions are forbidden (*held*). They are also held while a pod
//! terminates.
//!
//! The whole decision is made from the live objects, so another operator can continue.

use super::Step;
use crate::tuning::plan::action::Action;
use crate::tuning::plan::live::Evictions;
use crate::tuning::plan::preconditions::View;
use crate::tuning::plan::rules::{Rule, holds};
use crate::tuning::plan::timing::HELD_AT_MOST;
use crate::tuning::plan::wait::{Reason, Wait};
use jiff::Timestamp;

impl View<'_> {
    /// Holds evictions as soon as pods are being replaced or removed, and restores a `PodDisruptionBudget` that is
    /// missing or was edited. These writes cannot add pods, so they need not wait.
    pub(super) fn guard(self) -> Option<Action> {
        if !holds(Rule::Evictions) {
            return self.live.evictions.is_none().then(open);
        }
        let is_due = !self.at_rest() && self.now < self.progressed(None) + HELD_AT_MOST;
        match self.live.evictions {
            Some(Evictions::Held { .. }) => None,
            _ if is_due => Some(self.hold()),
            Some(Evictions::Open) => None,
            None => Some(open()),
        }
    }

    /// Required before pods are replaced: evictions are held, and earlier evictions have been observed.
    pub(super) fn hold_evictions(self) -> Step {
        match self.live.evictions {
            _ if !holds(Rule::Evictions) => Ok(None),
            Some(Evictions::Held { since }) => {
                self.settled(since, Reason::EvictionsSettling)?;
                Ok(None)
            }
            Some(Evictions::Open) | None => Ok(Some(self.hold())),
        }
    }

    /// Allows evictions again: at rest, or if nothing has changed for long.
    pub(super) fn open_evictions(self) -> Step {
        let Some(Evictions::Held { .. }) = self.live.evictions else {
            return Ok(None);
        };
        if self.gives_up() {
            return Ok(Some(open()));
        }
        self.quiet()?;
        self.lowered()?;
        if let Some(deployment) = &self.live.deployment {
            // A decision to open must not depend on outdated reads.
            self.current(deployment)?;
        }
        if self.at_rest() {
            return Ok(Some(open()));
        }
        Err(Wait {
            reason: Reason::ReadsDisagree,
            until: self.until_late(HELD_AT_MOST / 10),
        })
    }

    /// Whether pods may be evicted although the service is not at rest, because nothing has changed for long.
    pub(super) fn gives_up(self) -> bool {
        let held = match self.live.evictions {
            Some(Evictions::Held { since }) => Some(since),
            Some(Evictions::Open) => None,
            None => return false,
        };
        !self.at_rest() && self.now >= self.progressed(held) + HELD_AT_MOST
    }

    /// Whether no pod is being replaced or removed now, or will be soon.
    fn at_rest(self) -> bool {
        let Some(deployment) = &self.live.deployment else {
            return self.live.pods.is_empty();
        };
        !self.restless(deployment)
            && !self.too_many(deployment)
            && deployment.current <= deployment.replicas
            && self.quiet().is_ok()
            && self.lowered().is_ok()
            && self.is_shrunk()
    }

    /// Whether the pods hold no more connections than the target allows.
    fn is_shrunk(self) -> bool {
        self.worst_case().in_force(self.target) == Some(self.target.allowance())
    }

    /// When a pod was last created or removed, or evictions were held.
    fn progressed(self, held: Option<Timestamp>) -> Timestamp {
        let created = self.live.pods.iter().filter_map(|pod| pod.created);
        let removed = self
            .live
            .pods
            .iter()
            .filter_map(|pod| Some(pod.deletion?.due));
        let moments = created.chain(removed).chain(held);
        moments.max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn hold(self) -> Action {
        Action::WriteDisruptionBudget(Evictions::Held { since: self.now })
    }
}

fn open() -> Action {
    Action::WriteDisruptionBudget(Evictions::Open)
}
