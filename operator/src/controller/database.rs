//! The provisioned database: calls `provision` when something changed, or now and then, and remembers what came of it.

use super::instance::Instance;
use super::observe::Observed;
use super::observe::secrets::{FENCE, SecretState};
use super::servers::is_service_beside;
use super::{Context, Error};
use crate::crd::TlsMode;
use crate::provision::secret::Secret as Password;
use crate::provision::server::{Facts, Server, Tls};
use crate::provision::{self, Wanted, error};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;
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
    /// It is not.
    Failed(Box<error::Error>),
}

#[derive(Debug)]
struct Last {
    inputs: String,
    at: Instant,
    failures: u32,
    outcome: Outcome,
    limit: Option<Limit>,
}

/// What a server said of its `max_connections`.
#[derive(Clone, Debug)]
struct Limit {
    host: String,
    port: u16,
    connections: u32,
}

/// What came of it last, by namespace and name.
#[derive(Debug, Default)]
pub struct Databases {
    last: Mutex<HashMap<(String, String), Last>>,
}

impl Databases {
    /// Forgets resources that `is_there` does not know.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        if let Ok(mut last) = self.last.lock() {
            last.retain(|(namespace, name), _| is_there(namespace, name));
        }
    }

    /// `max_connections` of the server of a resource with a provisioned database, as it said last.
    #[must_use]
    pub fn limit(&self, instance: &Instance) -> Option<u32> {
        let at = instance.mysql.provisioned.as_ref()?;
        let last = self.last.lock().ok()?;
        let last = last.get(&(instance.namespace.clone(), instance.name.clone()))?;
        let limit = last.limit.as_ref()?;
        (limit.host == at.host && limit.port == at.port).then_some(limit.connections)
    }
}

/// Provisions if need be. `None`: the database is not the operator's business.
///
/// # Errors
/// The API server did not answer; what the database answers is the outcome.
pub async fn ensure(
    instance: &Instance,
    observed: &Observed,
    ctx: &Context,
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
    if admin.is_empty() || own.is_empty() {
        return Ok(Some(Outcome::Waiting));
    }
    let inputs = format!("{provisioned:?} {admin} {own}");
    let key = (instance.namespace.clone(), instance.name.clone());
    let mut failures = 0;
    let mut limit = None;
    if let Some(last) = ctx
        .databases
        .last
        .lock()
        .map_err(|_| Error::Poisoned)?
        .get(&key)
    {
        limit.clone_from(&last.limit);
        if last.inputs == inputs {
            let good_for = match &last.outcome {
                Outcome::Done(_) => GOOD_FOR,
                Outcome::Waiting | Outcome::Failed(_) => pause(last.failures),
            };
            if last.at.elapsed() < good_for {
                return Ok(Some(last.outcome.clone()));
            }
            failures = last.failures;
        }
    }
    ctx.may_act()?;
    let outcome = provision(instance, observed, ctx).await?;
    let failures = if matches!(outcome, Outcome::Failed(_)) {
        failures + 1
    } else {
        0
    };
    if let Outcome::Done(facts) = &outcome {
        limit = Some(Limit {
            host: provisioned.host.clone(),
            port: provisioned.port,
            connections: facts.max_connections,
        });
    }
    let last = Last {
        inputs,
        at: Instant::now(),
        failures,
        outcome: outcome.clone(),
        limit,
    };
    ctx.databases
        .last
        .lock()
        .map_err(|_| Error::Poisoned)?
        .insert(key, last);
    Ok(Some(outcome))
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
        Some(Outcome::Failed(_)) => Some(LOOK_AGAIN),
    }
}

async fn provision(
    instance: &Instance,
    observed: &Observed,
    ctx: &Context,
) -> Result<Outcome, Error> {
    let Some(owner) = observed.owner.clone() else {
        return Ok(Outcome::Waiting);
    };
    let Some(server) = server(instance, ctx).await? else {
        return Ok(Outcome::Waiting);
    };
    let Some((_, password)) = login(&instance.database_secret(), instance, ctx).await? else {
        return Ok(Outcome::Waiting);
    };
    let known = observed.live.fence;
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
            }
            if known.is_none() {
                note_fence(instance, fence, ctx).await?;
            }
            Ok(Outcome::Done(Box::new(done.facts)))
        }
        Err(error) => Ok(Outcome::Failed(Box::new(error))),
    }
}

/// Sets the fence, on the server first.
///
/// # Errors
/// Database or API server did not take it.
pub async fn set_fence(instance: &Instance, connections: u32, ctx: &Context) -> Result<(), Error> {
    let (Some(server), Some(cluster)) = (server(instance, ctx).await?, ctx.cluster.get()) else {
        return Ok(());
    };
    let owner = provision::owner::Owner {
        cluster: cluster.clone(),
        namespace: instance.namespace.clone(),
        name: instance.name.clone(),
        uid: instance.uid.clone(),
    };
    let fence = NonZeroU32::new(connections).unwrap_or(NonZeroU32::MIN);
    provision::set_fence(&server, instance.database().name, &owner, fence)
        .await
        .map_err(|error| Error::Database(Box::new(error)))?;
    note_fence(instance, connections, ctx).await
}

async fn note_fence(instance: &Instance, connections: u32, ctx: &Context) -> Result<(), Error> {
    ctx.may_act()?;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let name = instance.database_secret();
    let body = json!({"metadata": {"annotations": {FENCE: connections.to_string()}}});
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
            TlsMode::VerifyCA => Tls::VerifyCa,
            TlsMode::VerifyFull => Tls::VerifyFull,
        },
        authorities,
    }))
}

pub(super) async fn login(
    secret: &str,
    instance: &Instance,
    ctx: &Context,
) -> Result<Option<(String, Password)>, Error> {
    let Some(mut values) = values(secret, instance, ctx).await? else {
        return Ok(None);
    };
    let mut text = |key: &str| {
        values
            .remove(key)
            .and_then(|bytes| String::from_utf8(bytes).ok())
    };
    Ok(text("username").zip(text("password").map(Password::new)))
}

pub(super) async fn values(
    secret: &str,
    instance: &Instance,
    ctx: &Context,
) -> Result<Option<std::collections::BTreeMap<String, Vec<u8>>>, Error> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let found = api.get_opt(secret).await.map_err(Error::read("Secret"))?;
    Ok(found.and_then(|found| found.data).map(|data| {
        data.into_iter()
            .map(|(key, value)| (key, value.0))
            .collect()
    }))
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
