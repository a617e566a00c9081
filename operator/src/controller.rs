//! From a resource to a running service, in stages: parse, observe, desired, apply, status, report.
//!
//! `observe` is the only reader, `apply` and `report` are the only writers; what lies between is pure.

pub mod apply;
pub mod database;
pub mod desired;
pub mod events;
pub mod health_checks;
pub mod instance;
pub mod kind;
pub mod moments;
pub mod observe;
mod packed;
#[cfg(test)]
mod panics;
pub mod report;
pub mod rotation;
#[cfg(test)]
mod sample;
pub mod servers;
pub mod status;
pub mod stores;
pub mod upgrade;

use crate::health::HealthBook;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::supervise::{Panic, caught};
use crate::tuning::plan::{Plan, Reason, Target, plan};
use apply::{Applied, Memo};
use database::Databases;
use database::Outcome;
use events::Events;
use futures_util::{Stream, StreamExt as _};
use instance::{Defaults, Instance};
use jiff::Timestamp;
use kube::api::DynamicObject;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{applier, watcher};
use kube::{Client, ResourceExt as _};
use moments::Moments;
use observe::Observed;
use observe::secrets::SecretCache;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stores::{Service, Stores, service_resource};
use tokio::sync::OnceCell;
use tokio::time::{interval, timeout};
use tracing::{error, warn};
use upgrade::Upgrades;

/// Resources that are worked on at once.
const CONCURRENCY: u16 = 16;
/// Longest time for one.
const DEADLINE: Duration = Duration::from_mins(1);
/// Longest time for the report that a reconcile took too long.
const REPORT: Duration = Duration::from_secs(10);
/// How often each is looked at even if nothing was heard.
const RESYNC: Duration = Duration::from_mins(5);
/// First pause after an error, doubled each time, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// How often it is looked whether a name that somebody else has is free: foreign objects are not watched.
const CONFLICT: Duration = Duration::from_secs(15);
/// How often it is looked whether there is a place for an upgrade: a rollout takes minutes.
const UPGRADE: Duration = Duration::from_secs(30);
/// How long changes are gathered before a resource is looked at: a rollout makes many.
const GATHER: Duration = Duration::from_millis(100);

/// Everything that a reconcile needs beside the resource.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator adds where a resource says nothing.
    pub defaults: Defaults,
    /// What is known of the cluster.
    pub stores: Stores,
    /// Whether this operator acts.
    pub leadership: Leadership,
    /// What was written.
    pub memo: Memo,
    /// What is known of Secrets.
    pub secrets: SecretCache,
    /// What came of provisioning.
    pub databases: Databases,
    /// What the pods say of database and cache.
    pub health: HealthBook,
    /// When what a plan waits for was first seen.
    pub moments: Moments,
    /// Rollouts that an upgrade of the operator began.
    pub upgrades: Upgrades,
    /// UID of the cluster.
    pub cluster: OnceCell<String>,
    /// Events.
    pub events: Events,
    /// The operator's own metrics.
    pub metrics: Arc<Metrics>,
    failures: Mutex<HashMap<Service, u32>>,
}

/// Why a reconcile ended early. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not answer a question.
    #[error("failed to read {what}: {}", answer(source))]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not take a write.
    #[error("failed to write {kind} {name}: {}", answer(source))]
    Write {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The database did not take a statement.
    #[error("failed to change the database user: {0}")]
    Database(#[source] Box<crate::provision::error::Error>),
    /// What was done in the background failed.
    #[error("{0}")]
    Background(String),
    /// An object that we made is none.
    #[error("failed to make an object")]
    Object(#[source] serde_json::Error),
    /// The key of the digests was taken out of its Secret: digests without one could be computed by anybody.
    #[error(
        "the Secret {0} has no value for the key \"key\": delete it, and the operator creates another (pods are replaced once)"
    )]
    NoDigestKey(String),
    /// No random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// Another operator acts.
    #[error("another operator acts, or the Lease could not be renewed")]
    NotLeading,
    /// It took too long.
    #[error("not done within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// A defect of the operator, met by this resource.
    #[error("the reconcile {0}")]
    Panicked(#[source] Panic),
    /// Another task ended in the middle of a change.
    #[error("a lock is poisoned")]
    Poisoned,
}

/// What the API server said, without the form it said it in.
fn answer(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        _ => error.to_string(),
    }
}

impl Error {
    fn read(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Read {
            what,
            source: Box::new(source),
        }
    }

    fn write(kind: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Write {
            kind,
            name,
            source: Box::new(source),
        }
    }

    /// Whether the API server refuses what was written whatever else is there.
    fn is_invalid(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 422))
    }

    /// Whether somebody else was faster: nothing is wrong, and it is to be looked at again.
    fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }
}

impl Context {
    /// A context that acts while `leadership` is held. All contexts of a process share the places of `upgrades`.
    #[must_use]
    pub fn new(
        client: Client,
        defaults: Defaults,
        stores: Stores,
        leadership: Leadership,
        events: Events,
        metrics: Arc<Metrics>,
        upgrades: Upgrades,
    ) -> Self {
        Self {
            client,
            defaults,
            stores,
            leadership,
            events,
            metrics,
            memo: Memo::default(),
            secrets: SecretCache::default(),
            databases: Databases::default(),
            health: HealthBook::default(),
            moments: Moments::default(),
            upgrades,
            cluster: OnceCell::new(),
            failures: Mutex::default(),
        }
    }

    /// Asked before each write.
    ///
    /// # Errors
    /// Another operator acts.
    pub fn may_act(&self) -> Result<(), Error> {
        if self.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }
}

impl Context {
    /// Forgets what belongs to resources, children and Secrets that are gone.
    fn forget_what_is_gone(&self) {
        let services = &self.stores.services;
        let service =
            |namespace: &str, name: &str| services.get(&stores::named(name, namespace)).is_some();
        self.memo.keep(|kind, namespace, name| {
            let children = self.stores.children.get(&kind);
            children.is_some_and(|children| children.contains(namespace, name))
        });
        self.databases.keep(service);
        self.moments.keep(service);
        self.secrets.keep(|namespace, name| {
            let secret = ObjectRef::new(name).within(namespace);
            self.stores.secrets.get(&secret).is_some()
        });
        let everywhere = self.stores.everywhere();
        let uids: HashSet<String> = everywhere
            .iter()
            .filter_map(|service| service.uid())
            .collect();
        self.upgrades.keep(|uid| uids.contains(uid));
        if let Ok(mut failures) = self.failures.lock() {
            failures.retain(|reference, _| services.get(reference).is_some());
        }
    }
}

/// Reconciles whatever `changes` names, until it ends. Everything must have been listed once.
pub async fn run(ctx: Arc<Context>, changes: impl Stream<Item = Service> + Send + 'static) {
    ctx.leadership.held().await;
    let forgetful = Arc::clone(&ctx);
    let forgetting = async move {
        let mut ticks = interval(RESYNC);
        loop {
            ticks.tick().await;
            forgetful.forget_what_is_gone();
        }
    };
    let store = ctx.stores.services.clone();
    let changes = changes.map(Ok::<_, watcher::Error>);
    let config = Config::default().concurrency(CONCURRENCY).debounce(GATHER);
    let reconciles = applier(
        |service, ctx| Box::pin(reconcile(service, ctx)),
        |service, error, ctx| pause(&service, error, &ctx),
        ctx,
        store,
        changes,
        config,
    );
    // Errors have been told by `pause`.
    tokio::select! {
        () = reconciles.for_each(|_| std::future::ready(())) => {}
        () = forgetting => {}
    }
}

async fn reconcile(service: Arc<DynamicObject>, ctx: Arc<Context>) -> Result<Action, Error> {
    ctx.leadership.held().await;
    let reference = ObjectRef::from_obj_with(&*service, service_resource());
    // What changed while we waited is in the store, and what is gone is not.
    let Some(service) = observe::service(&reference, &ctx) else {
        return Ok(Action::await_change());
    };
    let began = Instant::now();
    // A panic would end the stream that works on all resources.
    let done = match timeout(DEADLINE, caught(Box::pin(stages(&service, &ctx)))).await {
        Ok(Ok(done)) => done,
        Ok(Err(panic)) => {
            ctx.metrics.panicked("reconcile");
            let error = Error::Panicked(panic);
            // What made it panic may do so again.
            let reporting = Box::pin(unread(&service, &error, &ctx));
            caught(reporting).await.ok();
            Err(error)
        }
        Err(_) => {
            unread(&service, &Error::TimedOut, &ctx).await;
            Err(Error::TimedOut)
        }
    };
    ctx.metrics.reconciled(began.elapsed(), done.is_ok());
    if let Err(error) = &done
        && !error.is_conflict()
    {
        ctx.upgrades.leave(&service.uid().unwrap_or_default());
    }
    if done.is_ok()
        && let Ok(mut failures) = ctx.failures.lock()
    {
        failures.remove(&reference);
    }
    done
}

async fn stages(service: &DynamicObject, ctx: &Arc<Context>) -> Result<Action, Error> {
    if service.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let instance = match Instance::parse(service, &ctx.defaults) {
        Ok(instance) => instance,
        Err(error) => {
            ctx.upgrades.leave(&service.uid().unwrap_or_default());
            let running = observe::deployment_of(service, &ctx.stores);
            let status = status::invalid(service, &error, running.as_ref(), Timestamp::now());
            report::report(service, status, ctx).await?;
            return Ok(Action::await_change());
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
    let mut done = Done::default();
    if acts {
        let acted = act(&instance, &observed, ctx, &mut done).await;
        if let Err(error) = acted {
            if error.is_conflict() {
                return Err(error);
            }
            done.error = Some(error);
        }
    }
    if !needs_place(&instance, &observed, &done) {
        ctx.upgrades.leave(&instance.uid);
    }
    let now = Timestamp::now();
    let status = status::status(service, &instance, &observed, &done, now);
    report::report(service, status, ctx).await?;
    match done.error {
        Some(error) => Err(error),
        None => Ok(Action::requeue(look_again(&instance, &done, now))),
    }
}

/// Reports an error that came before anything was known of the resource, unless it is the first one in a row: an API server
/// that restarts is back by the next try.
async fn unread(service: &DynamicObject, error: &Error, ctx: &Context) {
    let reference = ObjectRef::from_obj_with(service, service_resource());
    let has_failed = ctx
        .failures
        .lock()
        .is_ok_and(|failures| failures.contains_key(&reference));
    if has_failed && ctx.may_act().is_ok() {
        let status = status::unread(service, error, Timestamp::now());
        // Who cannot be told now is told after the next try.
        timeout(REPORT, report::report(service, status, ctx))
            .await
            .ok();
    }
}

/// What a reconcile did, for the status.
#[derive(Debug, Default)]
pub struct Done {
    /// Children that were applied, and names that are taken.
    pub applied: Applied,
    /// What the connection budget says; `None`: it did not come to that.
    pub plan: Option<Plan>,
    /// What came of provisioning; `None`: the database is not the operator's business.
    pub database: Option<database::Outcome>,
    /// The database user is being changed, and the plan stands still until that is done.
    pub account_changes: bool,
    /// The rollout waits for those of other resources.
    pub upgrade_waits: bool,
    /// What went wrong.
    pub error: Option<Error>,
}

/// Whether the resource is on its way to an image of the operator. What is paused, fails or does not get on is not, and
/// others take its place.
fn needs_place(instance: &Instance, observed: &Observed, done: &Done) -> bool {
    let gets_on = done.plan.as_ref().is_none_or(|plan| match &plan.wait {
        // These last until a person acts.
        Some(wait) => !matches!(wait.reason, Reason::Stuck { .. } | Reason::Foreign(_)),
        None => !plan.settled(),
    });
    gets_on
        && !instance.paused
        && done.error.is_none()
        && done.applied.conflicts.is_empty()
        && observed.stuck_rollout.is_none()
}

async fn act(
    instance: &Instance,
    observed: &Observed,
    ctx: &Arc<Context>,
    done: &mut Done,
) -> Result<(), Error> {
    let held = ctx.upgrades.hold(instance, observed.image.as_deref());
    done.upgrade_waits = held.is_some();
    let instance = held.as_ref().unwrap_or(instance);
    let made = apply::make_secrets(instance, observed, ctx).await?;
    if made > 0 {
        // Their owners and digests are part of what follows.
        return Ok(());
    }
    done.database = database::ensure(instance, observed, ctx)?;
    let mut resources = resources(instance, observed);
    if matches!(
        done.database,
        Some(Outcome::Waiting | Outcome::Pending | Outcome::Failed(_))
    ) && !observed.has_migration(&resources)
    {
        // There is nothing to make tables in yet.
        resources.migration = None;
    }
    done.applied = apply::apply(instance, &resources, observed, ctx).await?;
    let conflicts = &done.applied.conflicts;
    if done.applied.forbids_pods() || conflicts.iter().any(|it| it.name == instance.name) {
        return Ok(());
    }
    let is_new = observed.live.deployment.is_none();
    done.account_changes = ctx.databases.is_changing(instance);
    if done.account_changes || (is_new && matches!(done.database, Some(Outcome::Pending))) {
        // Woken at its end. Pods of a new service would only be refused until then.
        return Ok(());
    }
    let target = target(instance, &resources);
    // A template that somebody edited is another template: it is replaced as carefully as any other, and a few at a time.
    let edited = done.applied.template_edited && ctx.upgrades.enter(&instance.uid);
    done.upgrade_waits |= done.applied.template_edited && !edited;
    let known = apply::Known {
        fence: observed.live.fence,
        edited,
    };
    let now = Timestamp::now();
    let mut live = ctx.moments.own(instance, observed.live.clone(), now);
    if edited {
        live.forget_template();
    }
    let mut decided = plan(&live, &target, now);
    if decided.action.is_some() {
        decided = apply::gate(instance, &resources, &target, known, ctx).await?;
    }
    let settled = decided.settled();
    let current = &resources.deployment.secrets;
    let rolled = settled && observed.secrets_in_use.iter().all(|used| used == current);
    done.plan = Some(decided);
    if rolled {
        apply::remove_secrets(instance, ctx).await?;
    }
    rotation::advance(instance, observed, done.database.as_ref(), rolled, ctx).await
}

/// The children. Pods that carry digests without a key keep them for as long as nothing else about them changes.
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
        budget: instance.budget.connections,
        reserved: instance.budget.reserved,
        fence: instance.mysql.provisioned.is_some(),
    }
}

/// When to look at a resource again though nothing was heard of it.
fn look_again(instance: &Instance, done: &Done, now: Timestamp) -> Duration {
    let acted = done.plan.as_ref().is_some_and(|plan| plan.action.is_some());
    let wait = done
        .plan
        .as_ref()
        .and_then(|plan| plan.wait.as_ref())
        .map(|wait| Duration::try_from(wait.until.duration_since(now)).unwrap_or_default());
    let times = [
        wait,
        database::look_again(done.database.as_ref()),
        acted.then_some(Duration::from_secs(1)),
        unfinished(instance, done),
    ];
    let soonest = times.into_iter().flatten().min().unwrap_or(RESYNC);
    soonest.clamp(Duration::from_millis(200), RESYNC)
}

/// When to look again where the plan did not decide that.
fn unfinished(instance: &Instance, done: &Done) -> Option<Duration> {
    if !done.applied.conflicts.is_empty() {
        return Some(CONFLICT);
    }
    if done.upgrade_waits {
        return Some(UPGRADE);
    }
    // Secrets that were just made, or a namespace that is ending. A server's answer wakes by itself.
    let waits = instance.paused || matches!(done.database, Some(Outcome::Pending));
    (done.plan.is_none() && !waits).then_some(Duration::from_secs(2))
}

/// The pause before the next try, for each resource by itself.
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
        .min(LONGEST_PAUSE);
    let cause = std::error::Error::source(error).map(ToString::to_string);
    if matches!(error, Error::NotLeading) {
        warn!(%reference, "{error}");
    } else {
        error!(%reference, failures, cause, "{error}");
    }
    Action::requeue(pause)
}
