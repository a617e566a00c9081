//! Secrets: whether they exist with the required keys, and a digest of the values. Values are read only when a Secret's
//! version changes, and are not kept.

pub use crate::controller::secret_state::{FENCE, ROTATED_FOR, ROTATION, SecretState, WRITES};

use super::control::is_controlled_by;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::instance::Instance;
use crate::controller::instance::secrets::{MIGRATION_SECRET, TRAINING_SECRET};
use crate::controller::secret_state::DigestKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The problem of a Secret that the resource refers to and that must contain `keys`.
#[must_use]
pub fn problem(name: &str, keys: &[&str], state: &SecretState) -> Option<String> {
    match state {
        SecretState::Missing => Some(format!(
            "there is no Secret {name} (with {})",
            keys.join(" and ")
        )),
        SecretState::Incomplete { keys } => {
            Some(format!("the Secret {name} lacks {}", keys.join(" and ")))
        }
        // A Secret that is only referenced has no owner to compare.
        SecretState::Foreign | SecretState::Complete { .. } => None,
    }
}

/// The states of all Secrets of a resource.
///
/// # Errors
/// The API server did not answer.
pub async fn states(
    instance: &Instance,
    ctx: &Context,
) -> Result<BTreeMap<String, SecretState>, Error> {
    let key = digest_key(instance, ctx).await?;
    let mut states = BTreeMap::new();
    for (name, keys) in instance.referenced_secrets() {
        let state = state(instance, &name, &keys, &key, Use::Referenced, ctx).await?;
        states.insert(name, state);
    }
    for (name, keys) in made(instance) {
        let state = state(instance, &name, &keys, &key, Use::Made, ctx).await?;
        states.insert(name, state);
    }
    Ok(states)
}

/// Who creates a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The user, who names it in the resource.
    Referenced,
    /// The operator, for this resource alone.
    Made,
}

impl Use {
    /// Whether the Secret must be neither read nor changed.
    fn forbids(self, metadata: &ObjectMeta, instance: &Instance) -> bool {
        self == Self::Made && !is_controlled_by(metadata, &instance.uid)
    }
}

/// The names of the Secrets of [`made`] that belong to another owner.
#[must_use]
pub fn foreign(instance: &Instance, states: &BTreeMap<String, SecretState>) -> Vec<String> {
    let names = made(instance).into_iter().map(|(name, _)| name);
    names
        .filter(|name| states.get(name) == Some(&SecretState::Foreign))
        .collect()
}

/// Suffix after the resource's name: the Secret with the key of its digests.
pub const DIGEST_KEY: &str = "digest-key";

/// Suffixes after the resource's name: Secrets that the operator creates for some resources.
pub const POSSIBLE: [&str; 5] = [
    "api-keys",
    "mysql",
    MIGRATION_SECRET,
    TRAINING_SECRET,
    "redis",
];

/// Secrets that the operator creates, once, and their keys.
#[must_use]
pub fn made(instance: &Instance) -> Vec<(String, Vec<&'static str>)> {
    let mut made = vec![(instance.child(DIGEST_KEY), vec!["key"])];
    if instance.auth.secret_name.is_none() && instance.auth.disabled.is_none() {
        made.push((instance.child("api-keys"), vec!["api-keys"]));
    }
    if instance.mysql.provisioned.is_some() {
        made.push((instance.child("mysql"), vec!["username", "password"]));
    }
    if let Some(name) = instance.migration_account_secret() {
        made.push((name, vec!["username", "password"]));
    }
    if let Some(name) = instance.training_account_secret() {
        made.push((name, vec!["username", "password"]));
    }
    if instance
        .redis
        .as_ref()
        .is_some_and(|redis| redis.managed.is_some())
    {
        made.push((instance.child("redis"), vec!["username", "password"]));
    }
    made
}

/// The key of the resource's digests; empty until it is created.
async fn digest_key(instance: &Instance, ctx: &Context) -> Result<DigestKey, Error> {
    let name = instance.child(DIGEST_KEY);
    let reference = ObjectRef::new(&name).within(&instance.namespace);
    let Some(meta) = ctx.stores.secrets.get(&reference) else {
        return Ok(DigestKey::default());
    };
    let of = (instance.namespace.clone(), name);
    let known = ctx
        .secrets
        .keys
        .lock()
        .map_err(|_| Error::Poisoned)?
        .get(&of)
        .cloned();
    if let Some(known) = known
        && Some(&known.version) == meta.meta().resource_version.as_ref()
    {
        return Ok(known);
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let secret = api.get_opt(&of.1).await.map_err(Error::read("Secret"))?;
    let Some(secret) = secret.filter(|secret| !Use::Made.forbids(secret.meta(), instance)) else {
        return Ok(DigestKey::default());
    };
    let key = DigestKey {
        version: secret.resource_version().unwrap_or_default(),
        key: secret
            .data
            .and_then(|mut data| data.remove("key"))
            .unwrap_or_default()
            .0,
    };
    if key.key.is_empty() {
        return Err(Error::NoDigestKey(of.1));
    }
    ctx.secrets
        .keys
        .lock()
        .map_err(|_| Error::Poisoned)?
        .insert(of, key.clone());
    Ok(key)
}

async fn state(
    instance: &Instance,
    name: &str,
    keys: &[&'static str],
    digest_key: &DigestKey,
    purpose: Use,
    ctx: &Context,
) -> Result<SecretState, Error> {
    let reference = ObjectRef::new(name).within(&instance.namespace);
    let Some(meta) = ctx.stores.secrets.get(&reference) else {
        return Ok(SecretState::Missing);
    };
    if purpose.forbids(meta.meta(), instance) {
        return Ok(SecretState::Foreign);
    }
    let version = meta.meta().resource_version.clone().unwrap_or_default();
    let key = (
        instance.namespace.clone(),
        // If several resources refer to one Secret, its digests differ between them.
        format!("{name} {} {}", instance.name, keys.join(" ")),
    );
    let known = ctx
        .secrets
        .known
        .lock()
        .map_err(|_| Error::Poisoned)?
        .get(&key)
        .cloned();
    let at_key = |version: &str| format!("{version} {}", digest_key.version);
    if let Some((at, state)) = known
        && at == at_key(&version)
    {
        return Ok(state);
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let Some(secret) = api.get_opt(name).await.map_err(Error::read("Secret"))? else {
        return Ok(SecretState::Missing);
    };
    // The Secret may have been replaced since the watch reported it.
    if purpose.forbids(secret.meta(), instance) {
        return Ok(SecretState::Foreign);
    }
    let version = secret.resource_version().unwrap_or_default();
    let state = judge(&secret, keys, &digest_key.key);
    ctx.secrets
        .known
        .lock()
        .map_err(|_| Error::Poisoned)?
        .insert(key, (at_key(&version), state.clone()));
    Ok(state)
}

fn judge(secret: &Secret, keys: &[&'static str], digest_key: &[u8]) -> SecretState {
    let value = |key: &str| {
        secret
            .data
            .as_ref()?
            .get(key)
            .map(|value| value.0.as_slice())
    };
    let missing: Vec<&'static str> = keys
        .iter()
        .copied()
        // An empty user name is Redis's default user.
        .filter(|key| value(key).is_none_or(|value| value.is_empty() && *key != "username"))
        .collect();
    if !missing.is_empty() {
        return SecretState::Incomplete { keys: missing };
    }
    let name = secret.name_any();
    let values = keys.iter().map(|key| value(key).unwrap_or_default());
    let parts: Vec<&[u8]> = std::iter::once(name.as_bytes()).chain(values).collect();
    let mut annotations = secret.annotations().clone();
    annotations.retain(|name, _| name.starts_with("reckon.dev/"));
    SecretState::Complete {
        digest: keyed(digest_key, &parts),
        unkeyed: unkeyed(&parts),
        version: secret.resource_version().unwrap_or_default(),
        annotations,
    }
}

/// Sixteen hexadecimal digits that change with the parts: the name of a Secret and its values.
///
/// Pods carry them in an annotation, which more people may read than the Secret. Testing passwords against these
/// digests requires a key, which is in a separate Secret.
#[must_use]
pub(super) fn keyed(key: &[u8], parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    text(&mac.finalize().into_bytes()[..8])
}

/// The digest in pods of earlier versions, which had no keys: six digits that anyone can compute.
#[must_use]
pub fn unkeyed(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    text(&hash.finalize()[..3])
}

fn text(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests;
