//! Turns a resource into a running service, in stages: parse, observe, desired, apply, status, report.
//!
//! `observe` is the only reader, `apply` and `report` are the only writers; the stages between them are pure.

mod apply;
mod changes;
mod context;
mod database;
mod deletion;
pub mod desired;
mod enforcement;
mod error;
pub(crate) mod events;
pub(crate) mod health_checks;
pub mod instance;
mod json_text;
pub mod kind;
mod known_jobs;
mod memo;
mod moments;
pub mod observe;
mod outcome;
mod report;
mod rotation;
pub mod runs;
#[cfg(test)]
mod sample;
mod secret_state;
mod server_promises;
#[cfg(test)]
mod simulated;
mod snapshot;
mod status;
pub mod stores;
pub(crate) mod upgrade;
pub(crate) mod wake_neighbours;
mod writes;

pub(crate) use context::Context;

use crate::supervise::caught;
use crate::tuning::plan::{Reason, Target, plan};
use database::{Database, Provisioning};
use error::{DEADLINE, Error};
use futures_util::{Stream, StreamExt as _};
use instance::Instance;
use jiff::Timestamp;
use kind::Kind;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{applier, watcher};
use observe::Observed;
use outcome::Outcome;
use snapshot::snapshot;
use std::sync::Arc;
use std::time::Duration;
use stores::{Service, service_resource};
use tokio::time::{interval, timeout};
use tracing::{error, warn};

/// How many resources are reconciled at once.
const CONCURRENCY: u16 = 16;
/// Time limit for reporting that a reconcile timed out.
const REPORT: Duration = Duration::from_secs(10);
/// How often each resource is reconciled even without an event.
const RESYNC: Duration = Duration::from_mins(5);
/// First pause after an error, doubled each time, and the maximum pause.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// How often to check whether a name that another object has is free. This is needed because foreign objects are not
/// watched.
const CONFLICT: Duration = Duration::from_secs(15);
/// How often to check for a free upgrade slot: a rollout takes minutes.
const UPGRADE: Duration = Duration::from_secs(30);
/// How long events are gathered before a resource is reconciled: a rollout causes many.
const DEBOUNCE: Duration = Duration::from_millis(50);

/// Reconciles the resources in `changes`, until this stream ends. Every watch must have listed its objects once.
pub async fn run(ctx: Arc<Context>, changes: impl Stream<Item = Service> + Send + 'static) {
    ctx.metrics.reconciles.controller_started(CONCURRENCY);
    let changes = changes::once_leading(&ctx.leadership, changes).await;
    let cleaned = Arc::clone(&ctx);
    let cleanup = async move {
        let mut ticks = interval(RESYNC);
        loop {
            ticks.tick().await;
            cleaned.drop_state_of_deleted_objects();
        }
    };
    let store = ctx.stores.services.clone();
    let queue = Arc::clone(&ctx.metrics.queue);
    let picked_up = Arc::clone(&queue);
    let dropped = Arc::clone(&queue);
    let changes = changes
        .inspect(move |service| queue.add(service.namespace.as_deref(), &service.name))
        .map(Ok::<_, watcher::Error>);
    let config = Config::default()
        .concurrency(CONCURRENCY)
        .debounce(DEBOUNCE);
    let reconciles = applier(
        move |service: Arc<DynamicObject>, ctx| {
            picked_up.remove(service.metadata.namespace.as_deref(), &service.name_any());
            Box::pin(reconcile(service, ctx))
        },
        |service, error, ctx| pause(&service, error, &ctx),
        ctx,
        store,
        changes,
        config,
    );
    let ended = reconciles.for_each(|ended| {
        // `pause` has logged the other errors.
        if let Err(kube::runtime::controller::Error::ObjectNotFound(service)) = ended {
            dropped.remove(service.namespace.as_deref(), &service.name);
        }
        std::future::ready(())
    });
    tokio::select! {
        () = ended => {}
        () = cleanup => {}
    }
}

async fn reconcile(service: Arc<DynamicObject>, ctx: Arc<Context>) -> Result<Action, Error> {
    ctx.leadership.held().await;
    let reference = ObjectRef::from_obj_with(&*service, service_resource());
    // The store contains any change or deletion that happened during the wait.
    let Some(service) = observe::service(&reference, &ctx) else {
        return Ok(Action::await_change());
    };
    let running = ctx.metrics.reconciles.begin();
    // A panic would end the stream that reconciles all resources.
    let outcome = match timeout(DEADLINE, caught(Box::pin(stages(&service, &ctx)))).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            ctx.metrics.panicked("reconcile");
            let error = Error::Panicked(panic);
            // The cause of the panic may cause another one here.
            let reporting = Box::pin(unread(&service, &error, &ctx));
            caught(reporting).await.ok();
            Err(error)
        }
        Err(_) => {
            unread(&service, &Error::TimedOut, &ctx).await;
            Err(Error::TimedOut)
        }
    };
    running.end(outcome.is_ok());
    if let Err(error) = &outcome
        && !error.is_conflict()
    {
        ctx.upgrades.leave(&service.uid().unwrap_or_default());
    }
    if outcome.is_ok()
        && let Ok(mut failures) = ctx.failures.lock()
    {
        failures.remove(&reference);
    }
    outcome
}

async fn stages(service: &DynamicObject, ctx: &Arc<Context>) -> Result<Action, Error> {
    if service.metadata.deletion_timestamp.is_some() {
        return Ok(Action::requeue(RESYNC));
    }
    let instance = match Instance::parse(service, &ctx.defaults) {
        Ok(instance) => instance,
        Err(error) => {
            ctx.upgrades.leave(&service.uid().unwrap_or_default());
            let running = observe::deployment_of(service, &ctx.stores);
            let now = Timestamp::now();
            let status = status::invalid(service, &error, running.as_ref(), now);
            let shown = snapshot(service, &status, running.as_ref(), None, now);
            snapshot::record(service, shown, ctx);
            report::report(service, status, ctx).await?;
            return Ok(Action::requeue(RESYNC));
        }
    };
    let read = async {
        let observed = observe::observe(&instance, ctx).await?;
        let acts = !instance.paused && !observe::is_ending(&instance, ctx).await?;
        Ok((observed, acts))
    };
    let (observed, acts) = match read.await {
        Ok(read) => read,
        Err(error) => {
            unread(service, &error, ctx).await;
            return Err(error);
        }
    };
    let mut outcome = Outcome::default();
    let held = if acts {
        ctx.upgrades.hold(&instance, observed.image.as_deref())
    } else {
        None
    };
    let instance = enforcement::decided(&instance, &observed, held.is_some());
    if acts {
        outcome.upgrade_waits = held.is_some();
        let held = held.map(|held| Instance {
            image: held.image,
            ..instance.clone()
        });
        let acted = act(
            held.as_ref().unwrap_or(&instance),
            &observed,
            ctx,
            &mut outcome,
        )
        .await;
        if let Err(error) = acted {
            if error.is_conflict() {
                return Err(error);
            }
            outcome.error = Some(error);
        }
    }
    if !needs_place(&instance, &observed, &outcome) {
        ctx.upgrades.leave(&instance.uid);
    }
    let now = Timestamp::now();
    let status = status::status(service, &instance, &observed, &outcome, now);
    let deployment = observed.child(Kind::Deployment, &instance.name);
    let live = ctx.moments.own(&instance, observed.live.clone(), now);
    let shown = snapshot(service, &status, deployment, Some(&live), now);
    snapshot::record(service, shown, ctx);
    report::report(service, status, ctx).await?;
    match outcome.error {
        Some(error) => Err(error),
        None => Ok(Action::requeue(look_again(&instance, &outcome, now))),
    }
}

/// Reports an error that prevented reading the resource's state. The first one in a row is not reported, because an API
/// server that restarts is back by the next try.
async fn unread(service: &DynamicObject, error: &Error, ctx: &Context) {
    let reference = ObjectRef::from_obj_with(service, service_resource());
    let has_failed = ctx
        .failures
        .lock()
        .is_ok_and(|failures| failures.contains_key(&reference));
    if has_failed && ctx.may_act().is_ok() {
        let now = Timestamp::now();
        let status = status::unread(service, error, now);
        let running = observe::deployment_of(service, &ctx.stores);
        let shown = snapshot(service, &status, running.as_ref(), None, now);
        snapshot::record(service, shown, ctx);
        // If this report fails, the next try sends it.
        timeout(REPORT, report::report(service, status, ctx))
            .await
            .ok();
    }
}

/// Whether the resource is changing to the operator's image and needs an upgrade slot. A resource that is paused, fails
/// or makes no progress needs no slot, and others take its slot.
fn needs_place(instance: &Instance, observed: &Observed, outcome: &Outcome) -> bool {
    let gets_on = outcome.plan.as_ref().is_none_or(|plan| match &plan.wait {
        // These problems remain until a person acts.
        Some(wait) => !matches!(wait.reason, Reason::Stuck { .. } | Reason::Foreign(_)),
        None => !plan.settled(),
    });
    gets_on
        && !instance.paused
        && outcome.error.is_none()
        && outcome.applied.conflicts.is_empty()
        && observed.stuck_rollout.is_none()
}

async fn act(
    instance: &Instance,
    observed: &Observed,
    ctx: &Arc<Context>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let made = apply::make_secrets(instance, observed, ctx).await?;
    if made > 0 {
        // The next steps need the owners and digests of the Secrets.
        return Ok(());
    }
    let database = Database::settle(instance, observed, ctx).await?;
    outcome.database = database.outcome();
    outcome.database_again = database.look_again(Timestamp::now());
    let held = database.without_events();
    let awaits_grant = held.is_some() && matches!(outcome.database, Some(Provisioning::Pending));
    let instance = held.as_ref().unwrap_or(instance);
    let mut resources = resources(instance, observed);
    if matches!(
        outcome.database,
        Some(Provisioning::Waiting | Provisioning::Pending | Provisioning::Failed(_))
    ) && !observed.has_migration(&resources)
    {
        // The database for the tables does not exist yet.
        resources.migration = None;
    }
    outcome.applied = apply::apply(instance, &resources, observed, ctx).await?;
    let conflicts = &outcome.applied.conflicts;
    if outcome.applied.forbids_pods() || conflicts.iter().any(|it| it.name == instance.name) {
        return Ok(());
    }
    database.ensure().await?;
    let is_new = observed.live.deployment.is_none();
    outcome.account_changes = database.is_changing() || awaits_grant;
    if outcome.account_changes
        || (is_new && matches!(outcome.database, Some(Provisioning::Pending)))
    {
        // The end of the change triggers a reconcile. Before that, the database would reject the pods of a new service,
        // or the events that pods receive.
        return Ok(());
    }
    let mut target = target(instance, &resources);
    // Another object has the name of the Deployment.
    target.training &= conflicts
        .iter()
        .all(|conflict| conflict.kind != Kind::CronJob.name());
    // An edited template counts as a different template. It is replaced by the same rules as any other, a few services
    // at a time.
    let edited = outcome.applied.template_edited && ctx.upgrades.enter(&instance.uid);
    outcome.upgrade_waits |= outcome.applied.template_edited && !edited;
    let known = apply::Known {
        fence: observed.live.fence,
        edited,
        database: &database,
    };
    let now = Timestamp::now();
    let mut live = ctx.moments.own(instance, observed.live.clone(), now);
    if edited {
        live.clear_template();
    }
    let mut decided = plan(&live, &target, now);
    if decided.action.is_some() {
        decided = apply::planned(instance, &resources, &target, known, ctx).await?;
    }
    let settled = decided.settled();
    let current = &resources.deployment.secrets;
    let rolled = settled && observed.secrets_in_use.iter().all(|used| used == current);
    outcome.plan = Some(decided);
    if rolled {
        apply::remove_secrets(instance, ctx).await?;
    }
    rotation::advance(instance, observed, &database, rolled, ctx).await
}

/// The children. Pods with unkeyed digests are not replaced until something else about the pods changes.
fn resources(instance: &Instance, observed: &Observed) -> desired::Resources {
    let running = observed.live.deployment.as_ref();
    let running = running.and_then(|deployment| deployment.template.hash.as_ref());
    let as_before = observed.unkeyed_facts(instance).and_then(|facts| {
        let resources = desired::desired(instance, &facts);
        (Some(&resources.deployment.planned.hash) == running).then_some(resources)
    });
    as_before.unwrap_or_else(|| desired::desired(instance, &observed.facts(instance)))
}

fn target(instance: &Instance, resources: &desired::Resources) -> Target {
    Target {
        template: resources.deployment.planned.clone(),
        scale: instance.budget.scale,
        step: instance.budget.step,
        budget: instance.budget.connections,
        reserved: instance.budget.reserved,
        training: resources.training.is_some(),
        fence: instance.mysql.provisioned.is_some(),
        enforced: instance.budget.enforced,
    }
}

/// When to reconcile a resource again without an event.
fn look_again(instance: &Instance, outcome: &Outcome, now: Timestamp) -> Duration {
    let acted = outcome
        .plan
        .as_ref()
        .is_some_and(|plan| plan.action.is_some());
    let after =
        |until: Timestamp| Duration::try_from(until.duration_since(now)).unwrap_or_default();
    let plan = outcome.plan.as_ref();
    let wait = plan.and_then(|plan| plan.wait.as_ref());
    let times = [
        wait.map(|wait| after(wait.until)),
        plan.and_then(|plan| plan.look_again).map(after),
        outcome.database_again,
        acted.then_some(Duration::from_secs(1)),
        unfinished(instance, outcome),
    ];
    let soonest = times.into_iter().flatten().min().unwrap_or(RESYNC);
    soonest.clamp(Duration::from_millis(200), RESYNC)
}

/// When to reconcile again if the plan did not decide it.
fn unfinished(instance: &Instance, outcome: &Outcome) -> Option<Duration> {
    if !outcome.applied.conflicts.is_empty() {
        return Some(CONFLICT);
    }
    if outcome.upgrade_waits {
        return Some(UPGRADE);
    }
    // Secrets were just created, or the namespace is terminating. The end of a Job triggers a reconcile by itself.
    let waits = instance.paused || matches!(outcome.database, Some(Provisioning::Pending));
    (outcome.plan.is_none() && !waits).then_some(Duration::from_secs(2))
}

/// The pause before the next try, counted separately for each resource.
fn pause(service: &DynamicObject, error: &Error, ctx: &Context) -> Action {
    let reference = ObjectRef::from_obj_with(service, service_resource());
    if error.is_conflict() {
        return Action::requeue(FIRST_PAUSE);
    }
    let failures = ctx.failures.lock().map_or(1, |mut failures| {
        let failures = failures.entry(reference.clone()).or_default();
        *failures = failures.saturating_add(1);
        *failures
    });
    let pause = FIRST_PAUSE
        .saturating_mul(1 << (failures - 1).min(10))
        .min(MAX_PAUSE);
    let cause = std::error::Error::source(error).map(ToString::to_string);
    if matches!(error, Error::NotLeading) {
        warn!(%reference, "{error}");
    } else {
        error!(%reference, failures, cause, "{error}");
    }
    Action::requeue(pause)
}
