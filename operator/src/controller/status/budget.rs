//! Whether the maximum fits into the connection budget, and the budget into the server's limit. Pure.

use super::conditions::{Finding, Status};
use crate::controller::database::Provisioning;
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::observe::{Observed, live};
use crate::controller::outcome::Outcome;
use crate::controller::server_promises::Promise;
use crate::tuning::budget::{Enforced, for_training, surge};
use crate::tuning::enforcement::Enforcement;

/// How many neighbours are named.
const NAMED: usize = 3;

/// The finding about the budget. The server's limit is checked first, because a budget above the limit cannot be used.
pub fn budget(instance: &Instance, observed: &Observed, outcome: &Outcome) -> Finding {
    // While the server is unreachable, or during a pause, the last reported limit counts.
    let limit = match &outcome.database {
        Some(Provisioning::Done(facts)) => Some(facts.max_connections),
        _ => observed.server_limit,
    };
    if let Some(limit) = limit
        && let Some(sentence) = over_the_limit(instance, &observed.neighbours, limit)
    {
        return Finding::new(Status::False, "ExceedsServerLimit", sentence);
    }
    let budget = &instance.budget;
    if let Some(terms) = budget.enforced {
        return enforced(instance, terms);
    }
    let sum = format!(
        "({} connections - {} reserved{}) / ({} replicas + 2 x {} replaced at once) = {} for each pod",
        budget.connections,
        budget.reserved,
        for_training(budget.training, " - "),
        budget.scale.max(),
        budget.step,
        budget.pool
    );
    match budget.clamped_from {
        Some(asked) => {
            let sentence = format!(
                "spec.autoscaling.maxReplicas {asked} does not fit into the connection budget, so {} is used; lower maxReplicas, or raise spec.mysql.connectionBudget to {} if the server can provide that many; each pod needs {} connections: {sum}",
                budget.scale.max(),
                budget.each * (asked + 2) + budget.reserved + budget.training,
                budget.each
            );
            Finding::new(Status::False, "MaxReplicasLimited", sentence)
        }
        None => Finding::new(
            Status::True,
            "WithinBudget",
            sum + &paced(instance, observed) + &planned(instance),
        ),
    }
}

/// The sum under the server's limit.
fn enforced(instance: &Instance, terms: Enforced) -> Finding {
    let budget = &instance.budget;
    let limit = if instance.mysql.provisioned.is_some() {
        budget.for_pods()
    } else {
        terms.limit
    };
    let replicas = budget.scale.max();
    let sum = format!(
        "enforced by the server: account limit {limit} <= budget {}; ({} connections - {} reserved{} - {} x {} for new pods) / {replicas} replicas = {} for each pod",
        budget.connections,
        terms.limit,
        budget.reserved,
        for_training(budget.training, " - "),
        terms.surge,
        terms.base,
        budget.pool
    );
    match budget.clamped_from {
        Some(asked) => {
            let needed = (asked + surge(asked)) * terms.base + budget.reserved + budget.training;
            let sentence = format!(
                "spec.autoscaling.maxReplicas {asked} does not fit into the connection budget, so {replicas} is used; lower maxReplicas, or raise spec.mysql.connectionBudget and the limit of the account to {needed} if the server can provide that many; each pod needs {} connections; {sum}",
                terms.base
            );
            Finding::new(Status::False, "MaxReplicasLimited", sentence)
        }
        None => Finding::new(Status::True, "WithinBudget", sum),
    }
}

/// Why the budget is planned.
fn planned(instance: &Instance) -> String {
    match &instance.enforcement {
        Some(Enforcement::Plan { why }) => format!("; enforced by the operator's plan: {why}"),
        Some(Enforcement::Server { .. }) | None => String::new(),
    }
}

/// A sentence about pods whose grace period differs from the one that the operator wrote.
fn paced(instance: &Instance, observed: &Observed) -> String {
    let deployment = observed.child(Kind::Deployment, &instance.name);
    let Some((found, wanted)) = deployment.and_then(live::other_grace) else {
        return String::new();
    };
    format!(
        "; the pods' terminationGracePeriodSeconds is {} instead of {}, set by the cluster's admission control; rollouts wait accordingly",
        found.as_secs(),
        wanted.as_secs()
    )
}

/// The problem if the server allows fewer connections than were promised: by this resource alone, or together with its
/// neighbours.
///
/// Names and numbers of resources in other namespaces are left out: a reader may lack the privilege to see them.
fn over_the_limit(instance: &Instance, neighbours: &[Promise], limit: u32) -> Option<String> {
    let own = instance.budget.connections;
    if own > limit {
        return Some(format!(
            "the budget of {own} connections exceeds the server's max_connections of {limit}: lower spec.mysql.connectionBudget, or raise max_connections"
        ));
    }
    let others: u64 = neighbours
        .iter()
        .map(|promise| u64::from(promise.connections))
        .sum();
    if u64::from(own) + others <= u64::from(limit) {
        return None;
    }
    let (beside, elsewhere): (Vec<_>, Vec<_>) = neighbours
        .iter()
        .partition(|promise| promise.namespace == instance.namespace);
    let mut named: Vec<String> = beside
        .iter()
        .take(NAMED)
        .map(|promise| format!("{} ({})", promise.name, promise.connections))
        .collect();
    match beside.len().saturating_sub(NAMED) {
        0 => {}
        more => named.push(format!("{more} more in this namespace")),
    }
    if !elsewhere.is_empty() {
        named.push("resources in other namespaces".to_owned());
    }
    Some(format!(
        "the budgets of all resources that use this server exceed its max_connections of {limit}: this resource has {own}, the others are {}; lower spec.mysql.connectionBudget of one of them, or raise max_connections",
        named.join(", ")
    ))
}
