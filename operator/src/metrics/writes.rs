//! The operator's writes to the API server.

use super::labels::Label;
use crate::tuning::plan::Action;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use reckon_metrics::Register as _;

/// How an object is written, in the API's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A new object.
    Create,
    /// A merge patch, or a patch of the status.
    Patch,
    /// A server-side apply.
    Apply,
    /// A deletion.
    Delete,
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }
}

/// Actions of a plan, as values of the label `action`.
const ACTIONS: [&str; 12] = [
    "create_deployment",
    "write_autoscaler",
    "delete_autoscaler",
    "scale",
    "pause",
    "write_template",
    "unpause",
    "clear_former_pool",
    "set_strategy",
    "set_fence",
    "create_training",
    "write_disruption_budget",
];

/// Counters of writes.
#[derive(Debug)]
pub struct Writes {
    accepted: Family<[(&'static str, &'static str); 2], Counter>,
    actions: Family<Label, Counter>,
}

impl Writes {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let accepted = registry.add(
            "reckon_operator_writes",
            "Writes that the API server accepted, by kind and verb. Leases and Events are not counted",
            Family::default(),
        );
        let actions = registry.add(
            "reckon_operator_budget_actions",
            "Writes that can change how many database connections the pods open",
            Family::<Label, Counter>::default(),
        );
        for action in ACTIONS {
            // The series exists from the start, so that a rate starts from zero.
            actions.get_or_create_owned(&[("action", action)]);
        }
        Self { accepted, actions }
    }

    /// The API server accepted a write.
    pub fn accepted(&self, kind: &'static str, verb: Verb) {
        let labels = [("kind", kind), ("verb", verb.name())];
        self.accepted.get_or_create(&labels).inc();
    }

    /// A plan's action was done.
    pub fn acted(&self, action: &Action) {
        let action = match action {
            Action::WriteDisruptionBudget(_) => "write_disruption_budget",
            Action::CreateDeployment { .. } => "create_deployment",
            Action::WriteHpa(_) => "write_autoscaler",
            Action::DeleteHpa => "delete_autoscaler",
            Action::Scale { .. } => "scale",
            Action::Pause { .. } => "pause",
            Action::WriteTemplate { .. } => "write_template",
            Action::Unpause => "unpause",
            Action::ClearFormer => "clear_former_pool",
            Action::SetStrategy { .. } => "set_strategy",
            Action::SetFence(_) => "set_fence",
            Action::CreateTraining => "create_training",
        };
        self.actions.get_or_create(&[("action", action)]).inc();
    }
}
