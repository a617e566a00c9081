//! What a reconcile did.

use super::apply::Applied;
use super::database::Provisioning;
use super::error::Error;
use crate::tuning::plan::Plan;
use std::time::Duration;

/// What a reconcile did, for the status.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Children that were applied, and names that are taken.
    pub applied: Applied,
    /// What the connection budget says; `None`: it did not come to that.
    pub plan: Option<Plan>,
    /// What came of provisioning; `None`: the database is not the operator's business.
    pub database: Option<Provisioning>,
    /// When to look at it again; `None`: when something is heard.
    pub database_again: Option<Duration>,
    /// The database user is being changed, and the plan stands still until that is done.
    pub account_changes: bool,
    /// The rollout waits for those of other resources.
    pub upgrade_waits: bool,
    /// What went wrong.
    pub error: Option<Error>,
}
