//! The outcome of a reconcile.

use super::apply::Applied;
use super::database::Provisioning;
use super::error::Error;
use crate::tuning::plan::Plan;
use std::time::Duration;

/// The outcome of a reconcile, for the status.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Children that were applied, and names that are taken.
    pub applied: Applied,
    /// The connection budget's plan; `None`: the reconcile ended before it.
    pub plan: Option<Plan>,
    /// The outcome of provisioning; `None`: the operator does not manage the database.
    pub database: Option<Provisioning>,
    /// When to check the database again; `None`: at the next event.
    pub database_again: Option<Duration>,
    /// Whether the database user is being changed. The plan waits for the end of the change.
    pub account_changes: bool,
    /// The rollout waits for the rollouts of other resources.
    pub upgrade_waits: bool,
    /// The error that ended the reconcile early.
    pub error: Option<Error>,
}
