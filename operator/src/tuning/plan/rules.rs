//! The rules that keep the promise, by name, so that a test can switch off each of them and show that it is needed.

/// A rule, with a comment about its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// A write does not rely on an earlier one that controllers may not have read yet.
    Settle,
    /// The autoscaler removes no pod while pods are replaced.
    Hold,
    /// The autoscaler removes no pod right after its minimum was raised and lowered again.
    Period,
    /// A rollout is paused before it is superseded, and before replicas are lowered.
    Pause,
    /// A pause lowers maxSurge, so that it creates no pod.
    PauseSurge,
    /// A write waits until no pod is terminating.
    Quiet,
    /// A write waits until the Deployment's status matches the pods.
    Current,
    /// A write waits until a lowering of the replicas has settled.
    Lowered,
    /// A rollout that supersedes another one replaces pods one by one.
    Clean,
    /// Pools and extra pods of superseded templates count until no such pod can be created.
    Former,
    /// A pod that terminates late stops the removal of others.
    Late,
    /// A new pod counts as available only after a time in which every pod that terminates meanwhile has ended.
    Pace,
    /// No pod is evicted while pods are replaced or removed.
    Evictions,
    /// A larger number of replicas, pool or surge waits until the sum has room for it.
    Fits,
}

/// Whether a rule is active. It always is, except in the test that switches it off.
#[cfg(not(test))]
pub(super) const fn holds(_rule: Rule) -> bool {
    true
}

#[cfg(test)]
pub(super) use switch::{holds, switch_off};

#[cfg(test)]
mod switch {
    use super::Rule;
    use std::cell::Cell;

    thread_local! {
        static OFF: Cell<Option<Rule>> = const { Cell::new(None) };
    }

    pub(in super::super) fn holds(rule: Rule) -> bool {
        OFF.get() != Some(rule)
    }

    /// Switches off one rule for the present thread; `None` switches it on again.
    pub(in super::super) fn switch_off(rule: Option<Rule>) {
        OFF.set(rule);
    }
}
