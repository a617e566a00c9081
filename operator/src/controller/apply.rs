//! Applies the desired state. Skips children that are unchanged since the last write.

mod children;
mod planned;
mod secrets;

pub use children::{Applied, NameConflict};
pub use planned::{Known, planned};
pub use secrets::{make as make_secrets, password as random_password, remove as remove_secrets};

use super::context::Context;
use super::desired::{self, Resources};
use super::error::Error;
use super::instance::Instance;
use super::kind::Kind;
use super::observe::{self, Observed, secrets as states};
use super::runs::is_run;
use crate::tuning::plan::HpaWrite;
use crate::tuning::{Scale, Surge};
use children::{Child, WriteOutcome};
use futures_util::future::join_all;
use jiff::Timestamp;
use kube::ResourceExt as _;
use std::collections::BTreeSet;
use std::time::Duration;

/// Applies every child, and deletes children that are no longer wanted. In Deployment and autoscaler, the fields that a
/// plan decides keep their present values.
///
/// # Errors
/// The API server did not accept a write.
pub async fn apply(
    instance: &Instance,
    resources: &Resources,
    observed: &Observed,
    ctx: &Context,
) -> Result<Applied, Error> {
    let wanted = children(instance, resources, observed);
    // A plan creates these objects. It must not take over an object of another owner either.
    let scales = matches!(instance.budget.scale, Scale::Auto { .. });
    let autoscaler = scales.then_some(Kind::HorizontalPodAutoscaler);
    let planned = autoscaler
        .into_iter()
        .chain([Kind::Deployment, Kind::PodDisruptionBudget]);
    let planned = planned.map(|kind| (kind, instance.name.clone()));
    let training = resources.training.iter();
    let training = training.map(|_| (Kind::CronJob, desired::training::name(instance)));
    let absent: BTreeSet<(Kind, String)> = wanted
        .iter()
        .map(Child::key)
        .chain(planned)
        .chain(training)
        .filter(|key| !observed.children.contains_key(key))
        .collect();
    let conflicts = observe::foreign(&absent, instance, ctx).await?;
    let mut applied = Applied {
        conflicts: named(&conflicts, &states::foreign(instance, &observed.secrets)),
        ..Applied::default()
    };
    let free = wanted
        .iter()
        .filter(|child| !conflicts.contains(&child.key()))
        .filter(|child| !(child.runs_pods() && applied.forbids_pods()));
    // Pods cannot be created without it.
    let (identity, others): (Vec<_>, Vec<_>) =
        free.partition(|child| child.kind == Kind::ServiceAccount);
    for round in [identity, others] {
        let writes = round
            .into_iter()
            .map(|child| children::apply(child, instance, observed, ctx));
        // All writes are tried, even if one fails. Of several errors the same one is always returned, because otherwise
        // the status would change for no reason.
        let mut refused = Vec::new();
        for written in join_all(writes).await {
            match written {
                Ok(WriteOutcome::Unchanged) => {}
                Ok(WriteOutcome::Written) => applied.writes += 1,
                Ok(WriteOutcome::TemplateEdited) => applied.template_edited = true,
                Err(error) => refused.push(error),
            }
        }
        // A conflict is only a reason to reconcile again.
        refused.sort_by_key(Error::is_conflict);
        if let Some(error) = refused.into_iter().next() {
            return Err(error);
        }
    }
    applied.writes += children::remove_orphans(
        &keep(&wanted, instance, observed, Timestamp::now()),
        instance,
        observed,
        ctx,
    )
    .await?;
    Ok(applied)
}

/// The names that are taken, for the status. Secrets are not applied children, but pods use them.
fn named(children: &[(Kind, String)], secrets: &[String]) -> Vec<NameConflict> {
    let children = children.iter().map(|(kind, name)| (kind.name(), name));
    let secrets = secrets.iter().map(|name| (NameConflict::SECRET, name));
    children
        .chain(secrets)
        .map(|(kind, name)| NameConflict {
            kind,
            name: name.clone(),
        })
        .collect()
}

/// The children that are applied. The first one is applied first, the others in any order. `resources` is destructured,
/// so that a new kind cannot be left out.
fn children(instance: &Instance, resources: &Resources, observed: &Observed) -> Vec<Child> {
    let live = &observed.live;
    let Resources {
        service_account,
        config_map,
        deployment,
        service,
        metrics_service,
        network_policy,
        migration_policy,
        provision_policy,
        migration,
        training,
        training_policy,
        redis,
    } = resources;
    let mut children = vec![
        Child::new(Kind::ServiceAccount, service_account),
        Child::new(Kind::ConfigMap, config_map),
        Child::new(Kind::Service, service),
        Child::new(Kind::Service, metrics_service),
    ];
    children.extend(
        network_policy
            .iter()
            .chain(migration_policy)
            .chain(provision_policy)
            .chain(training_policy)
            .map(|object| Child::new(Kind::NetworkPolicy, object)),
    );
    children.extend(migration.iter().map(|object| Child::new(Kind::Job, object)));
    // A plan creates the training.
    children.extend(
        training
            .iter()
            .map(|object| Child::new(Kind::CronJob, object))
            .filter(|child| observed.children.contains_key(&child.key())),
    );
    if let Some(desired::redis::Desired {
        deployment,
        service,
        network_policy,
    }) = redis
    {
        children.push(Child::new(Kind::Deployment, deployment));
        children.push(Child::new(Kind::Service, service));
        children.extend(
            network_policy
                .iter()
                .map(|object| Child::new(Kind::NetworkPolicy, object)),
        );
    }
    let version = |kind| observed.child(kind, &instance.name)?.resource_version();
    // Manual edits are undone, except in the pod template. Only a plan changes the template and the bounds.
    if let Some(live) = &live.deployment
        && live.template.hash.as_ref() == Some(&deployment.planned.hash)
    {
        // If the operator never writes this strategy, it is replaced by the strictest one.
        let surge = live.surge.unwrap_or(Surge::Pods(1));
        let body = children::deployment(instance, resources, live.min_ready, surge, live.former);
        children.push(Child::new(Kind::Deployment, &body).at(version(Kind::Deployment)));
    }
    if let Some(evictions) = live.evictions {
        let kind = Kind::PodDisruptionBudget;
        let body = desired::disruption_budget::disruption_budget(instance, evictions);
        children.push(Child::new(kind, &body).at(version(kind)));
    }
    if let Some(hpa) = &live.hpa
        && let Some(scale_down) = hpa.scale_down
    {
        let window = observed
            .child(Kind::HorizontalPodAutoscaler, &instance.name)
            .and_then(observe::live::window);
        let as_it_is = HpaWrite {
            min: hpa.min,
            max: hpa.max,
            scale_down,
            lowered: hpa.lowered,
        };
        let body = desired::autoscaler::autoscaler(instance, &as_it_is, window);
        let kind = Kind::HorizontalPodAutoscaler;
        children.push(Child::new(kind, &body).at(version(kind)));
    }
    children
}

/// How long a failed migration is kept, with its output, before it is created again. A Job never restarts by itself,
/// and the cause of the failure may no longer exist after this time.
const MIGRATION_RETRY_PAUSE: Duration = Duration::from_mins(3);

/// The children that must not be deleted.
fn keep(
    wanted: &[Child],
    instance: &Instance,
    observed: &Observed,
    now: Timestamp,
) -> Vec<(Kind, String)> {
    let gave_up = |(kind, name): &(Kind, String)| {
        *kind == Kind::Job
            && observed
                .child(*kind, name)
                .and_then(observe::live::gave_up_at)
                .is_some_and(|at| at + MIGRATION_RETRY_PAUSE <= now)
    };
    let mut keep: Vec<(Kind, String)> = wanted
        .iter()
        .map(Child::key)
        .filter(|key| !gave_up(key))
        .collect();
    if instance.mysql.provisioned.is_some() {
        // `database` creates and deletes the provisioning Jobs.
        let runs = observed.children.iter().filter(|(_, job)| is_run(job));
        keep.extend(runs.map(|(key, _)| key.clone()));
    }
    // Only a plan removes Deployment and autoscaler, and rewrites the `PodDisruptionBudget`.
    keep.push((Kind::Deployment, instance.name.clone()));
    keep.push((Kind::HorizontalPodAutoscaler, instance.name.clone()));
    keep.push((Kind::PodDisruptionBudget, instance.name.clone()));
    if observed.trains(instance) {
        // A pod that replaces a failed one reads the tuning of its Job.
        let tunings = observed.children.keys();
        keep.extend(
            tunings
                .filter(|(kind, _)| *kind == Kind::ConfigMap)
                .cloned(),
        );
    }
    keep.extend(
        observed
            .tunings_in_use
            .iter()
            .map(|name| (Kind::ConfigMap, name.clone())),
    );
    keep
}

#[cfg(test)]
mod tests;
