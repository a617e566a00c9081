//! Whether the maximum fits into the connection budget, and the budget into the server. Pure.

use super::conditions::{Finding, Status};
use crate::controller::Done;
use crate::controller::database::Outcome;
use crate::controller::instance::Instance;
use crate::controller::observe::Observed;
use crate::controller::servers::Promise;

/// Neighbours that are named.
const NAMED: usize = 3;

/// What there is to say of the budget, the server's limit first: beyond it nothing holds.
pub fn budget(instance: &Instance, observed: &Observed, done: &Done) -> Finding {
    // While it cannot be asked, or nothing is done during a pause, what it said before counts.
    let limit = match &done.database {
        Some(Outcome::Done(facts)) => Some(facts.max_connections),
        _ => observed.server_limit,
    };
    if let Some(limit) = limit
        && let Some(sentence) =
            over_the_limit(instance.budget.connections, &observed.neighbours, limit)
    {
        return Finding::new(Status::False, "ServerLimit", sentence);
    }
    let budget = &instance.budget;
    let sum = format!(
        "({} connections - {} reserved) / ({} replicas + 2) = {} for each pod",
        budget.connections,
        budget.reserved,
        budget.scale.max(),
        budget.pool
    );
    match budget.clamped_from {
        Some(asked) => {
            let sentence = format!(
                "spec.autoscaling.maxReplicas {asked} does not fit, so {} is used: each pod needs 2 connections, and {sum}; lower it, or raise spec.mysql.connectionBudget to {} if the server has as many to give",
                budget.scale.max(),
                2 * (asked + 2) + budget.reserved
            );
            Finding::new(Status::False, "Clamped", sentence)
        }
        None => Finding::new(Status::True, "WithinBudget", sum),
    }
}

/// What is wrong if the server takes fewer connections than it is promised: by this resource alone, or with its neighbours.
fn over_the_limit(own: u32, neighbours: &[Promise], limit: u32) -> Option<String> {
    if own > limit {
        return Some(format!(
            "the budget of {own} connections is more than the server's max_connections of {limit}: lower spec.mysql.connectionBudget, or raise max_connections"
        ));
    }
    let others: u64 = neighbours
        .iter()
        .map(|promise| u64::from(promise.connections))
        .sum();
    let sum = u64::from(own) + others;
    if sum <= u64::from(limit) {
        return None;
    }
    let named: Vec<String> = neighbours
        .iter()
        .take(NAMED)
        .map(|promise| {
            format!(
                "{}/{} ({})",
                promise.namespace, promise.name, promise.connections
            )
        })
        .collect();
    let more = match neighbours.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{} resources name this server, and their budgets are {sum} connections together, more than its max_connections of {limit}: lower spec.mysql.connectionBudget of some, or raise max_connections; beside this one's {own} there are {}{more}",
        neighbours.len() + 1,
        named.join(", ")
    ))
}
