//! Makes what there is what there is to be. Writes nothing that is as it was left.

mod children;
mod gate;
mod secrets;

pub use children::{Applied, Memo, NameConflict};
pub use gate::gate;
pub use secrets::make as make_secrets;

use super::desired::{self, Resources};
use super::instance::Instance;
use super::kind::Kind;
use super::observe::{self, Observed};
use super::{Context, Error};
use crate::tuning::Scale;
use crate::tuning::plan::HpaWrite;
use children::Child;

/// Applies every child but Deployment and autoscaler as they are to be, and these two as they are but for what a plan
/// decides; deletes what is no longer wanted.
///
/// # Errors
/// The API server did not take a write.
pub async fn apply(
    instance: &Instance,
    resources: &Resources,
    observed: &Observed,
    ctx: &Context,
) -> Result<Applied, Error> {
    let wanted = children(instance, resources, observed);
    let absent: Vec<(Kind, String)> = wanted
        .iter()
        .map(Child::key)
        // A plan makes these, and would take over what is not ours.
        .chain(planned(instance))
        .filter(|key| !observed.children.contains_key(key))
        .collect();
    let conflicts = observe::foreign(&absent, instance, ctx).await?;
    let mut applied = Applied::default();
    for child in &wanted {
        if !conflicts.contains(&child.key()) {
            applied.writes += u32::from(children::apply(child, instance, observed, ctx).await?);
        }
    }
    applied.conflicts = conflicts
        .into_iter()
        .map(|(kind, name)| NameConflict {
            kind: kind.name(),
            name,
        })
        .collect();
    applied.writes += children::remove_orphans(
        &keep(instance, resources, observed),
        instance,
        observed,
        ctx,
    )
    .await?;
    Ok(applied)
}

/// The children that are applied in any order. Destructured, so that a new kind cannot be forgotten.
fn children(instance: &Instance, resources: &Resources, observed: &Observed) -> Vec<Child> {
    let live = &observed.live;
    let Resources {
        service_account,
        config_map,
        deployment,
        service,
        metrics_service,
        disruption_budget,
        network_policy,
        migration,
        redis,
    } = resources;
    let mut children = vec![
        Child::new(Kind::ServiceAccount, service_account),
        Child::new(Kind::ConfigMap, config_map),
        Child::new(Kind::Service, service),
        Child::new(Kind::Service, metrics_service),
    ];
    children.extend(
        disruption_budget
            .iter()
            .map(|object| Child::new(Kind::PodDisruptionBudget, object)),
    );
    children.extend(
        network_policy
            .iter()
            .map(|object| Child::new(Kind::NetworkPolicy, object)),
    );
    children.extend(migration.iter().map(|object| Child::new(Kind::Job, object)));
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
    // What somebody edited is put back; another template, other bounds are a plan's.
    if let Some(live) = &live.deployment
        && live.template.hash.as_ref() == Some(&deployment.planned.hash)
    {
        children.push(Child::new(
            Kind::Deployment,
            &deployment.with(live.min_ready, live.former_pool),
        ));
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
        children.push(Child::new(
            Kind::HorizontalPodAutoscaler,
            &desired::autoscaler::autoscaler(instance, &as_it_is, window),
        ));
    }
    children
}

/// What only a plan makes.
fn planned(instance: &Instance) -> impl Iterator<Item = (Kind, String)> {
    let deployment = Some(Kind::Deployment);
    let scaled = matches!(instance.budget.scale, Scale::Auto { .. });
    let autoscaler = scaled.then_some(Kind::HorizontalPodAutoscaler);
    let kinds = deployment.into_iter().chain(autoscaler);
    kinds.map(|kind| (kind, instance.name.clone()))
}

/// What is not to be deleted.
fn keep(instance: &Instance, resources: &Resources, observed: &Observed) -> Vec<(Kind, String)> {
    let mut keep: Vec<(Kind, String)> = children(instance, resources, observed)
        .iter()
        .map(Child::key)
        .collect();
    // These two go by plan only.
    keep.push((Kind::Deployment, instance.name.clone()));
    keep.push((Kind::HorizontalPodAutoscaler, instance.name.clone()));
    keep.extend(
        observed
            .tunings_in_use
            .iter()
            .map(|name| (Kind::ConfigMap, name.clone())),
    );
    keep
}
