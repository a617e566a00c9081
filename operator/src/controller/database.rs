//! The provisioned database: calls `provision` when something changed, or now and then, and remembers what came of it.
//!
//! Whoever writes a resource chooses the server, so a server may be slow, silent or hostile: see [`places`].

mod places;

use super::instance::Instance;
use super::observe::secrets::{FENCE, SecretState};
use super::observe::{Observed, is_controlled_by};
use super::servers::is_service_beside;
use super::{Context, Error, stores};
use crate::crd::TlsMode;
use crate::provision::owner::Owner;
use crate::provision::secret::Secret as Password;
use crate::provision::server::{Facts, Server, Tls};
use crate::provision::{self, Wanted, error};
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use places::Places;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How long what was provisioned counts as being there.
const GOOD_FOR: Duration = Duration::from_mins(10);
/// First pause after a failure; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How often it is looked whether a pause is over.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What came of provisioning.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Everything is there.
    Done(Box<Facts>),
    /// A Secret that is needed is not there yet.
    Waiting,
    /// The server has not answered yet.
    Pending,
    /// It is not.
    Failed(Box<error::Error>),
}

#[derive(Clone, Debug)]
struct Last {
    inputs: String,
    at: Instant,
    failures: u32,
    outcome: Outcome,
}

/// What a server said of its `max_connections`.
#[derive(Clone, Debug)]
struct Limit {
    host: String,
    port: u16,
    connections: u32,
}

/// A step that failed, and why.
#[derive(Clone, Debug)]
struct Refused {
    step: String,
    at: Instant,
    failures: u32,
    why: String,
}

/// What is known of one resource's database.
#[derive(Debug, Default)]
struct Known {
    /// The step that is under way.
    running: Option<String>,
    last: Option<Last>,
    refused: Option<Refused>,
    limit: Option<Limit>,
}

/// Namespace and name of a resource.
type Key = (String, String);

/// What came of it last, by resource. A reconcile starts what is to be done with a server and reads what came of it; it never
/// waits for a server.
#[derive(Debug, Default)]
pub struct Databases {
    known: Mutex<HashMap<Key, Known>>,
    places: Places,
}

impl Databases {
    /// Forgets resources that `is_there` does not know.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        if let Ok(mut known) = self.known.lock() {
            known.retain(|(namespace, name), _| is_there(namespace, name));
        }
        self.places.keep();
    }

    /// `max_connections` of the server of a resource with a provisioned database, as it said last.
    #[must_use]
    pub fn limit(&self, instance: &Instance) -> Option<u32> {
        let at = instance.mysql.provisioned.as_ref()?;
        let known = self.known.lock().ok()?;
        let limit = known.get(&key(instance))?.limit.as_ref()?;
        (limit.host == at.host && limit.port == at.port).then_some(limit.connections)
    }

    /// Whether the account is being changed, so that nothing must be decided on what it was.
    #[must_use]
    pub fn is_changing(&self, instance: &Instance) -> bool {
        self.known.lock().is_ok_and(|known| {
            let running = known.get(&key(instance)).and_then(|it| it.running.as_ref());
            running.is_some_and(|step| step != ENSURE)
        })
    }

    /// Begins a step, unless one is under way. Whether it is to be run.
    ///
    /// # Errors
    /// It failed a short while ago.
    fn begin(&self, instance: &Instance, step: &str) -> Result<bool, Error> {
        let mut known = self.known.lock().map_err(|_| Error::Poisoned)?;
        let known = known.entry(key(instance)).or_default();
        if known.running.is_some() {
            return Ok(false);
        }
        if let Some(refused) = known.refused.as_ref().filter(|it| it.step == step)
            && refused.at.elapsed() < pause(refused.failures)
        {
            return Err(Error::Background(refused.why.clone()));
        }
        known.running = Some(step.to_owned());
        Ok(true)
    }

    /// A step ended. One that somebody else was faster than is decided anew.
    fn end(&self, key: &Key, step: String, done: Result<(), Error>) {
        let Ok(mut known) = self.known.lock() else {
            return;
        };
        let Some(known) = known.get_mut(key) else {
            return;
        };
        known.running = None;
        let before = known.refused.take().filter(|before| before.step == step);
        if let Err(error) = done
            && !error.is_conflict()
        {
            known.refused = Some(Refused {
                step,
                at: Instant::now(),
                failures: before.map_or(1, |before| before.failures.saturating_add(1)),
                why: error.to_string(),
            });
        }
    }

    fn note(&self, instance: &Instance, inputs: String, outcome: Outcome) -> Result<(), Error> {
        let mut known = self.known.lock().map_err(|_| Error::Poisoned)?;
        let known = known.entry(key(instance)).or_default();
        let before = known.last.as_ref().filter(|last| last.inputs == inputs);
        let failures = match &outcome {
            Outcome::Failed(_) => before.map_or(0, |last| last.failures).saturating_add(1),
            _ => 0,
        };
        if let (Outcome::Done(facts), Some(at)) = (&outcome, &instance.mysql.provisioned) {
            known.limit = Some(Limit {
                host: at.host.clone(),
                port: at.port,
                connections: facts.max_connections,
            });
        }
        known.last = Some(Last {
            inputs,
            at: Instant::now(),
            failures,
            outcome,
        });
        Ok(())
    }
}

/// The step that makes what is absent.
const ENSURE: &str = "provision the database";

fn key(instance: &Instance) -> Key {
    (instance.namespace.clone(), instance.name.clone())
}

/// Does a step with the database server in a task of its own: a server that does not answer delays no reconcile, and a panic
/// in the driver is an error of this resource. The resource is woken at the end.
///
/// # Errors
/// The step failed a short while ago, or another operator acts.
pub(super) fn start<W>(
    step: &str,
    instance: &Instance,
    ctx: &Arc<Context>,
    work: impl FnOnce(Arc<Context>) -> W,
) -> Result<(), Error>
where
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    ctx.may_act()?;
    if !ctx.databases.begin(instance, step)? {
        return Ok(());
    }
    let (key, step) = (key(instance), step.to_owned());
    let work = work(Arc::clone(ctx));
    let ctx = Arc::clone(ctx);
    tokio::spawn(async move {
        let acting = Arc::clone(&ctx);
        let work = async move {
            // It may have waited for its turn for long.
            acting.may_act()?;
            work.await
        };
        let done = ctx.databases.places.run(&key.0, &step, work).await;
        ctx.databases.end(&key, step, done);
        ctx.stores.wake.send(stores::named(&key.1, &key.0)).ok();
    });
    Ok(())
}

/// Provisions if need be. `None`: the database is not the operator's business.
///
/// # Errors
/// The API server did not answer; what the database answers is the outcome.
pub fn ensure(
    instance: &Instance,
    observed: &Observed,
    ctx: &Arc<Context>,
) -> Result<Option<Outcome>, Error> {
    let Some(provisioned) = &instance.mysql.provisioned else {
        return Ok(None);
    };
    let digest = |name: &str| {
        observed
            .secrets
            .get(name)
            .map(SecretState::digest)
            .unwrap_or_default()
            .to_owned()
    };
    let (admin, own) = (
        digest(&provisioned.admin.secret_name),
        digest(&instance.database_secret()),
    );
    let Some(owner) = &observed.owner else {
        return Ok(Some(Outcome::Waiting));
    };
    if admin.is_empty() || own.is_empty() {
        return Ok(Some(Outcome::Waiting));
    }
    let inputs = format!("{provisioned:?} {admin} {own}");
    let last = {
        let known = ctx.databases.known.lock().map_err(|_| Error::Poisoned)?;
        let last = known.get(&key(instance)).and_then(|it| it.last.clone());
        last.filter(|last| last.inputs == inputs)
    };
    let is_good = last.as_ref().is_some_and(|last| {
        let good_for = match &last.outcome {
            Outcome::Done(_) => GOOD_FOR,
            Outcome::Waiting | Outcome::Pending | Outcome::Failed(_) => pause(last.failures),
        };
        last.at.elapsed() < good_for
    });
    if !is_good {
        let (instance, owner) = (instance.clone(), owner.clone());
        let started = start(ENSURE, &instance.clone(), ctx, |ctx| async move {
            let outcome = provision(&instance, owner, &ctx).await?;
            ctx.databases.note(&instance, inputs, outcome)
        });
        match started {
            // Whatever else the resource needs is done all the same.
            Err(Error::Background(why)) => {
                return Ok(Some(Outcome::Failed(Box::new(unexpected(&why)))));
            }
            other => other?,
        }
    }
    // While it is looked again, what came of it last counts.
    Ok(Some(last.map_or(Outcome::Pending, |last| last.outcome)))
}

fn unexpected(why: &str) -> error::Error {
    let message = why.strip_prefix(&format!("failed to {ENSURE}: "));
    error::Error::Other {
        doing: ENSURE.to_owned(),
        message: message.unwrap_or(why).to_owned(),
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(LONGEST_PAUSE)
}

/// When to look again after that outcome.
#[must_use]
pub fn look_again(outcome: Option<&Outcome>) -> Option<Duration> {
    match outcome {
        None => None,
        Some(Outcome::Done(_)) => Some(GOOD_FOR),
        Some(Outcome::Waiting) => Some(FIRST_PAUSE),
        Some(Outcome::Pending | Outcome::Failed(_)) => Some(LOOK_AGAIN),
    }
}

async fn provision(instance: &Instance, owner: Owner, ctx: &Context) -> Result<Outcome, Error> {
    let Some(server) = server(instance, ctx).await? else {
        return Ok(Outcome::Waiting);
    };
    let name = instance.database_secret();
    let secret = read(&name, instance, ctx).await?;
    let Some(secret) = secret.filter(|it| is_controlled_by(&it.metadata, &instance.uid)) else {
        return Ok(Outcome::Waiting);
    };
    // What is there now counts: the limit may have been set since this was begun.
    let known = secret
        .annotations()
        .get(FENCE)
        .and_then(|it| it.parse().ok());
    let Some((_, password)) = login_of(secret) else {
        return Ok(Outcome::Waiting);
    };
    let fence = known.unwrap_or(instance.budget.connections);
    let wanted = Wanted {
        database: instance.database().name.to_owned(),
        owner,
        password,
        max_user_connections: NonZeroU32::new(fence).unwrap_or(NonZeroU32::MIN),
    };
    match provision::ensure(&server, &wanted).await {
        Ok(done) => {
            if !done.changes.is_empty() {
                tracing::info!(namespace = %instance.namespace, name = %instance.name, changes = ?done.changes, "provisioned the database");
                announce(instance, &wanted, ctx).await;
            }
            if known.is_none() {
                note_fence(instance, fence, ctx).await?;
            }
            Ok(Outcome::Done(Box::new(done.facts)))
        }
        Err(error) => Ok(Outcome::Failed(Box::new(error))),
    }
}

/// Tells in an event what stays when the resource is deleted, and how a person removes it.
async fn announce(instance: &Instance, wanted: &Wanted, ctx: &Context) {
    let note = format!(
        "the database {} and the account {} are ready. They are kept when this resource is deleted; to remove them then: {}",
        wanted.database,
        wanted.owner.user_name(),
        provision::removal(&wanted.database, &wanted.owner)
    );
    publish(EventType::Normal, "Provisioned", note, instance, ctx).await;
    if let Some(note) = instance.unverified_server() {
        publish(EventType::Warning, "UnverifiedServer", note, instance, ctx).await;
    }
}

async fn publish(type_: EventType, reason: &str, note: String, instance: &Instance, ctx: &Context) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Provision".to_owned(),
        secondary: None,
    };
    let resource = stores::service_resource();
    let about = ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(instance.name.clone()),
        namespace: Some(instance.namespace.clone()),
        uid: Some(instance.uid.clone()),
        ..ObjectReference::default()
    };
    // An event that is lost is no reason to do anything again.
    if let Err(error) = ctx.events.publish(&event, &about).await {
        tracing::warn!(%error, "failed to record an event");
    }
}

/// Sets the fence, on the server first, in the background.
///
/// # Errors
/// As for [`start`].
pub fn set_fence(instance: &Instance, connections: u32, ctx: &Arc<Context>) -> Result<(), Error> {
    let step = format!("set MAX_USER_CONNECTIONS to {connections}");
    let instance = instance.clone();
    start(&step, &instance.clone(), ctx, move |ctx| async move {
        let (Some(server), Some(cluster)) = (server(&instance, &ctx).await?, ctx.cluster.get())
        else {
            return Ok(());
        };
        let owner = Owner {
            cluster: cluster.clone(),
            namespace: instance.namespace.clone(),
            name: instance.name.clone(),
            uid: instance.uid.clone(),
        };
        let fence = NonZeroU32::new(connections).unwrap_or(NonZeroU32::MIN);
        provision::set_fence(&server, instance.database().name, &owner, fence)
            .await
            .map_err(|error| Error::Database(Box::new(error)))?;
        note_fence(&instance, connections, &ctx).await
    })
}

async fn note_fence(instance: &Instance, connections: u32, ctx: &Context) -> Result<(), Error> {
    ctx.may_act()?;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let name = instance.database_secret();
    let reference = ObjectRef::new(&name).within(&instance.namespace);
    let ours = ctx.stores.secrets.get(&reference);
    let Some(ours) = ours.filter(|ours| is_controlled_by(ours.meta(), &instance.uid)) else {
        // Deleted or replaced while the server was spoken to.
        return Ok(());
    };
    // With the UID, another Secret that has taken the name meanwhile is refused.
    let body =
        json!({"metadata": {"uid": ours.uid(), "annotations": {FENCE: connections.to_string()}}});
    api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
        .map_err(Error::write("Secret", &name))?;
    Ok(())
}

/// A host as the operator must name it: a name without a dot is a Service beside the resource, for the pods there too.
fn from_here(host: &str, namespace: &str) -> String {
    if is_service_beside(host) {
        format!("{host}.{namespace}.svc")
    } else {
        host.to_owned()
    }
}

/// The server with the admin's login; `None`: a Secret is not there.
pub(super) async fn server(instance: &Instance, ctx: &Context) -> Result<Option<Server>, Error> {
    let Some(provisioned) = &instance.mysql.provisioned else {
        return Ok(None);
    };
    let Some((user, password)) = login(&provisioned.admin.secret_name, instance, ctx).await? else {
        return Ok(None);
    };
    let mode = provisioned
        .tls
        .as_ref()
        .map(|tls| tls.mode)
        .unwrap_or_default();
    let authorities = match provisioned
        .tls
        .as_ref()
        .and_then(|tls| tls.ca_secret_name.as_ref())
    {
        Some(name) => values(name, instance, ctx)
            .await?
            .and_then(|mut values| values.remove("ca.crt")),
        None => None,
    };
    Ok(Some(Server {
        host: from_here(&provisioned.host, &instance.namespace),
        port: provisioned.port,
        user,
        password,
        tls: match mode {
            TlsMode::Disabled => Tls::Disabled,
            TlsMode::Preferred => Tls::Preferred,
            TlsMode::Required => Tls::Required,
            // Refused for `provisioned`; checking the name too is the safe reading.
            TlsMode::VerifyCA | TlsMode::VerifyFull => Tls::VerifyFull,
        },
        authorities,
    }))
}

pub(super) async fn login(
    secret: &str,
    instance: &Instance,
    ctx: &Context,
) -> Result<Option<(String, Password)>, Error> {
    Ok(read(secret, instance, ctx).await?.and_then(login_of))
}

fn login_of(secret: Secret) -> Option<(String, Password)> {
    let mut values = secret.data?;
    let mut text = |key: &str| String::from_utf8(values.remove(key)?.0).ok();
    text("username").zip(text("password").map(Password::new))
}

pub(super) async fn values(
    secret: &str,
    instance: &Instance,
    ctx: &Context,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, Error> {
    let found = read(secret, instance, ctx).await?;
    Ok(found.and_then(|found| found.data).map(|data| {
        data.into_iter()
            .map(|(key, value)| (key, value.0))
            .collect()
    }))
}

async fn read(name: &str, instance: &Instance, ctx: &Context) -> Result<Option<Secret>, Error> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    api.get_opt(name).await.map_err(Error::read("Secret"))
}

#[cfg(test)]
mod tests {
    use super::{FIRST_PAUSE, LONGEST_PAUSE, from_here, pause};

    #[test]
    fn a_service_beside_the_resource_is_found_from_another_namespace() {
        assert_eq!(from_here("mysql", "shop"), "mysql.shop.svc");
        for host in ["mysql.data", "db.example", "10.0.0.7", "::1", "localhost"] {
            assert_eq!(from_here(host, "shop"), host);
        }
    }

    #[test]
    fn pauses_grow_to_a_minute() {
        assert_eq!(pause(1), FIRST_PAUSE);
        assert_eq!(pause(2), FIRST_PAUSE * 2);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }
}
