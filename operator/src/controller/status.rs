//! The status: conditions with a reason and a sentence that a person can act on. Pure.

mod budget;
mod conditions;
mod connections;
mod model;
mod view;

pub(super) use view::Pods;

use super::apply::NameConflict;
use super::database::Provisioning;
use super::desired::service;
use super::error::Error;
use super::instance::{Error as Invalid, Instance};
use super::observe::{Observed, secrets};
use super::outcome::Outcome;
use crate::crd::{EnforcementStatus, RecommendationServiceStatus, TuningStatus};
use crate::tuning::enforcement::{Enforcement, Record};
use crate::tuning::plan::{Plan, Reason};
use budget::budget;
use conditions::{Conditions, Finding, Status};
use connections::Loss;
use jiff::Timestamp;
use kube::api::DynamicObject;
use std::time::Duration;
use view::View;

/// About how long a new pod takes to become ready, in addition to the waits of the plan.
const STARTUP: Duration = Duration::from_secs(3);

/// The status of an invalid resource. `running` is the Deployment of an earlier state, which continues to serve.
#[must_use]
pub fn invalid(
    service: &DynamicObject,
    error: &Invalid,
    running: Option<&DynamicObject>,
    now: Timestamp,
) -> RecommendationServiceStatus {
    let before = before(service);
    let pods = running.map(Pods::read).unwrap_or_default();
    let generation = service.metadata.generation;
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    let sentence = error.to_string();
    if pods.ready > 0 {
        conditions.put("Ready", &pods.serve(before.url.as_deref()));
        let degraded = format!("{sentence}; the pods of the last valid state continue to serve");
        conditions.set("Degraded", Status::True, "InvalidSpec", &degraded);
    } else {
        conditions.set("Ready", Status::False, "InvalidSpec", &sentence);
    }
    conditions.set(
        "Progressing",
        Status::False,
        "InvalidSpec",
        "no change is applied until the resource is valid",
    );
    if matches!(error, Invalid::Budget(_)) {
        conditions.set("BudgetFeasible", Status::False, "TooSmall", &sentence);
    }
    RecommendationServiceStatus {
        observed_generation: generation,
        replicas: pods.there,
        ready_replicas: pods.ready,
        conditions: conditions.with_the_others(),
        ..before
    }
}

/// The status of a resource whose state could not be read: the previous status, and the error.
#[must_use]
pub fn unread(
    service: &DynamicObject,
    error: &Error,
    now: Timestamp,
) -> RecommendationServiceStatus {
    let before = before(service);
    let mut conditions = Conditions::new(&before.conditions, service.metadata.generation, now);
    let sentence = error_text(error);
    if !before.conditions.iter().any(|it| it.type_ == "Ready") {
        conditions.set("Ready", Status::Unknown, "ReconcileFailed", &sentence);
    }
    conditions.set("Degraded", Status::True, "ReconcileFailed", &sentence);
    RecommendationServiceStatus {
        conditions: conditions.with_the_others(),
        ..before
    }
}

/// The status of a resource that was reconciled.
#[must_use]
pub fn status(
    service: &DynamicObject,
    instance: &Instance,
    observed: &Observed,
    outcome: &Outcome,
    now: Timestamp,
) -> RecommendationServiceStatus {
    let before = before(service);
    let mut conditions = Conditions::new(&before.conditions, Some(instance.generation), now);
    let pods = Pods::of(instance, observed);
    let view = View {
        instance,
        observed,
        outcome,
        pods,
    };
    conditions.put("Ready", &view.ready());
    conditions.put("Progressing", &view.progressing());
    conditions.put("Degraded", &view.degraded());
    conditions.put("DatabaseReachable", &view.database());
    if instance.redis.is_some() {
        conditions.put("CacheReachable", &view.cache());
    }
    conditions.put("IndexesReady", &view.indexes());
    if let Some(finding) = view.model(now) {
        conditions.put("ModelReady", &finding);
    }
    conditions.put("BudgetFeasible", &budget(instance, observed, outcome));
    conditions.put("Paused", &view.paused());
    RecommendationServiceStatus {
        observed_generation: Some(instance.generation),
        replicas: pods.there,
        ready_replicas: pods.ready,
        image: Some(instance.image.clone()),
        url: Some(service::url(instance)),
        tuning: Some(tuning(instance)),
        conditions: conditions.all(),
    }
}

fn before(service: &DynamicObject) -> RecommendationServiceStatus {
    serde_json::from_value(service.data["status"].clone()).unwrap_or_default()
}

fn tuning(instance: &Instance) -> TuningStatus {
    let budget = &instance.budget;
    let rollout = budget.rollout(instance.grace(), STARTUP);
    TuningStatus {
        connection_budget: budget.connections,
        reserved_connections: budget.reserved,
        training_connections: budget.training,
        max_replicas: budget.scale.max(),
        max_surge: budget.step,
        max_pods: budget.max_pods,
        pool_per_pod: budget.pool,
        min_pool_per_pod: budget.enforced.map(|terms| terms.base),
        enforcement: instance.enforcement.as_ref().map(|decision| {
            if is_server(decision, instance.record) {
                EnforcementStatus::Server
            } else {
                EnforcementStatus::Plan
            }
        }),
        memory_cache_bytes: instance.tuning.cache.memory.max_bytes,
        threads: instance.tuning.server.threads.unwrap_or_default(),
        rollout_seconds_estimate: u32::try_from(rollout.as_secs()).unwrap_or(u32::MAX),
    }
}

/// Whether the server enforces the budget now. This includes a change to a plan, as long as the limit holds, until no
/// pod has a greater pool than planned.
fn is_server(decision: &Enforcement, record: Option<Record>) -> bool {
    match decision {
        Enforcement::Server { .. } => true,
        Enforcement::Plan { why } => {
            why.limit_holds() && matches!(record, Some(Record::Server(_) | Record::Leaving(_)))
        }
    }
}

/// The sentence that the budget may be exceeded if pods are evicted now.
fn evictions(plan: &Plan) -> &'static str {
    if plan.lets_pods_go {
        "; pods can be evicted, because nothing has changed for 10 minutes, and the budget can then be exceeded"
    } else {
        ""
    }
}

impl View<'_> {
    fn ready(&self) -> Finding {
        if self.pods.ready > 0 {
            return self.pods.serve(Some(&service::url(self.instance)));
        }
        if self.instance.paused && self.pods.there == 0 {
            return Finding::new(
                Status::False,
                "Paused",
                "no pod is running, and none is created while spec.paused is true",
            );
        }
        let (reason, sentence) = self.trouble().unwrap_or_else(|| {
            (
                "PodsStarting",
                format!("0 of {} pods are ready", self.pods.wanted),
            )
        });
        Finding::new(Status::False, reason, sentence)
    }

    fn degraded(&self) -> Finding {
        if self.pods.ready == 0 {
            return Finding::new(Status::False, "NotReady", "no pod is ready; see Ready");
        }
        let Some((reason, sentence)) = self.trouble() else {
            return Finding::new(
                Status::False,
                "UpToDate",
                "pods, database and cache are healthy",
            );
        };
        let consequence = match (reason, self.database_loss()) {
            ("CacheUnreachable", _) => "",
            (_, Loss::None) => "; the ready pods continue to serve",
            (_, Loss::Some) => {
                "; affected pods serve cached answers, or 503 if no answer is cached"
            }
            (_, Loss::All) => "; clients get cached answers, or 503 if no answer is cached",
        };
        Finding::new(Status::True, reason, sentence + consequence)
    }

    /// The most important problem: a cause has precedence over its consequences.
    fn trouble(&self) -> Option<(&'static str, String)> {
        let conflicts = &self.outcome.applied.conflicts;
        if let Some(conflict) = conflicts.first() {
            return Some(("NameConflict", self.name_conflict(conflict)));
        }
        if let Some(sentence) = self.secret_trouble() {
            return Some(("SecretMissing", sentence));
        }
        if let Some(error) = &self.outcome.error {
            return Some(("ReconcileFailed", error_text(error)));
        }
        if let Some(Provisioning::Failed(error)) = &self.outcome.database {
            return Some((error.reason.as_str(), self.provisioning_failed(error)));
        }
        if let Some(sentence) = self.migration_failed()
            && self.pods.ready == 0
        {
            return Some(("MigrationFailed", sentence));
        }
        if let Some(sentence) = self.stuck_rollout() {
            return Some(("RolloutStuck", sentence));
        }
        let database = self.database();
        if database.status == Status::False {
            return Some((database.reason, database.message));
        }
        if let Some(sentence) = &self.observed.pod_trouble {
            return Some(("PodsFailing", sentence.clone()));
        }
        let cache = self.cache();
        (cache.status == Status::False).then_some((cache.reason, cache.message))
    }

    /// Describes a rollout that does not end, with the cause if a pod or the database reports one.
    fn stuck_rollout(&self) -> Option<String> {
        let stuck = self.observed.stuck_rollout.as_ref()?;
        let database = self.database();
        let database = (database.status == Status::False).then_some(database.message);
        let cause = self.observed.pod_trouble.clone().or(database);
        Some(match cause {
            Some(cause) => format!("{stuck}; {cause}"),
            None => format!("{stuck}; see its log and its events"),
        })
    }

    fn name_conflict(&self, NameConflict { kind, name }: &NameConflict) -> String {
        if *kind != NameConflict::SECRET {
            return format!(
                "{kind} {name} already exists and is not managed by this resource, so it is not changed: rename this resource, or delete the {kind} if it is not needed"
            );
        }
        let or_use = if *name == self.instance.child("api-keys") {
            ", or set spec.auth.secretName to use its keys"
        } else {
            ""
        };
        format!(
            "Secret {name} already exists and is not managed by this resource; the operator does not read or change it, and does not create or change pods until this is resolved; rename the Secret or this resource{or_use}"
        )
    }

    fn secret_trouble(&self) -> Option<String> {
        let referenced = self.instance.referenced_secrets();
        let problems: Vec<String> = referenced
            .iter()
            .filter_map(|(name, keys)| {
                secrets::problem(name, keys, self.observed.secrets.get(name)?)
            })
            .collect();
        (!problems.is_empty()).then(|| {
            format!(
                "in the namespace {} {}; the pods start once this is corrected",
                self.instance.namespace,
                problems.join(", ")
            )
        })
    }

    fn progressing(&self) -> Finding {
        if self.instance.paused {
            return Finding::new(
                Status::False,
                "Paused",
                "nothing is changed while spec.paused is true",
            );
        }
        if let Some((reason @ "NameConflict", _)) = self.trouble()
            && self.outcome.plan.is_none()
        {
            let where_to_look = if self.pods.ready == 0 {
                "no pod can be created; see Ready"
            } else {
                "no pod can be changed; see Degraded"
            };
            return Finding::new(Status::False, reason, where_to_look);
        }
        if self.outcome.account_changes {
            return Finding::new(
                Status::True,
                "Changing",
                "the database account is being changed",
            );
        }
        let Some(plan) = &self.outcome.plan else {
            return Finding::new(
                Status::True,
                "Preparing",
                "creating the resources that the pods depend on",
            );
        };
        if let Some(wait) = &plan.wait {
            if let (Reason::RolloutRunning { .. }, Some(stuck)) =
                (&wait.reason, &self.observed.stuck_rollout)
            {
                let sentence = format!("{stuck}{}", evictions(plan));
                return Finding::new(Status::False, "RolloutStuck", sentence);
            }
            let status = if wait.reason.name() == "WaitingForPod" {
                Status::False
            } else {
                Status::True
            };
            let sentence = format!("{}{}", wait.reason, evictions(plan));
            return Finding::new(status, wait.reason.name(), sentence);
        }
        if plan.action.is_some() {
            return Finding::new(Status::True, "Changing", "a change is being applied");
        }
        if self.outcome.upgrade_waits {
            return Finding::new(
                Status::True,
                "WaitingForOthers",
                "the operator's new image is rolled out to a few services at a time",
            );
        }
        if self.pods.updated < self.pods.wanted || self.pods.ready < self.pods.wanted {
            let sentence = format!("{} of {} pods are ready", self.pods.ready, self.pods.wanted);
            return Finding::new(Status::True, "PodsStarting", sentence);
        }
        Finding::new(Status::False, "UpToDate", "up to date")
    }

    fn paused(&self) -> Finding {
        if self.instance.paused {
            Finding::new(
                Status::True,
                "Paused",
                "spec.paused is true: nothing is changed, only this status is updated",
            )
        } else {
            Finding::new(Status::False, "Active", "changes are applied")
        }
    }
}

/// An error with its causes.
fn error_text(error: &Error) -> String {
    let mut text = error.to_string();
    // These messages already contain their cause, in fewer words.
    if matches!(error, Error::Read { .. } | Error::Write { .. }) {
        return text;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let line = next.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests;
