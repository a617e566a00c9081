//! Secrets: whether they are there with the keys that are needed, and a digest of these. Their values are read only when
//! their version changes, and not kept.

use super::is_controlled_by;
use crate::controller::instance::Instance;
use crate::controller::{Context, Error};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// Annotation of the operator's own Secret for the database: `MAX_USER_CONNECTIONS` as it was last set.
pub const FENCE: &str = "reckon.dev/fence";
/// Annotation of the same: how far the exchange of its password is.
pub const ROTATION: &str = "reckon.dev/rotation";
/// Annotation of the same: the value of the resource's annotation that asked for the last exchange.
pub const ROTATED_FOR: &str = "reckon.dev/rotated-for";

/// What is known of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// There is none.
    Missing,
    /// It has the name of one that the operator makes, and this resource does not control it: it is neither read nor written.
    Foreign,
    /// It lacks keys, or they are empty.
    Incomplete {
        /// Which.
        keys: Vec<&'static str>,
    },
    /// It has all that is needed.
    Complete {
        /// Tells a change of the values, and not the values: see [`digest`].
        digest: String,
        /// Changes with any change.
        version: String,
        /// Those of the operator.
        annotations: BTreeMap<String, String>,
    },
}

impl SecretState {
    /// Names the values; empty where there are none.
    #[must_use]
    pub fn digest(&self) -> &str {
        match self {
            Self::Complete { digest, .. } => digest,
            Self::Missing | Self::Foreign | Self::Incomplete { .. } => "",
        }
    }

    /// An annotation of the operator.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        match self {
            Self::Complete { annotations, .. } => annotations.get(name).map(String::as_str),
            Self::Missing | Self::Foreign | Self::Incomplete { .. } => None,
        }
    }

    /// `MAX_USER_CONNECTIONS` as it was last set.
    #[must_use]
    pub fn fence(&self) -> Option<u32> {
        self.annotation(FENCE)?.parse().ok()
    }
}

/// What is wrong with a Secret that the resource refers to, in which `keys` must be.
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
        // A Secret that is only referred to has no owner to compare.
        SecretState::Foreign | SecretState::Complete { .. } => None,
    }
}

type Known = HashMap<(String, String), (String, SecretState)>;

/// States by namespace and name, each with the version that it was read at.
#[derive(Debug, Default)]
pub struct SecretCache {
    known: Mutex<Known>,
}

impl SecretCache {
    /// Forgets Secrets that `is_there` does not know.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        if let Ok(mut known) = self.known.lock() {
            known.retain(|(namespace, key), _| {
                let name = key.split(' ').next().unwrap_or_default();
                is_there(namespace, name)
            });
        }
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
    let mut states = BTreeMap::new();
    for (name, keys) in instance.referenced_secrets() {
        let state = state(instance, &name, &keys, Use::Referenced, ctx).await?;
        states.insert(name, state);
    }
    for (name, keys) in made(instance) {
        let state = state(instance, &name, &keys, Use::Made, ctx).await?;
        states.insert(name, state);
    }
    Ok(states)
}

/// Whose Secret it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// The user's, by a name in the resource.
    Referenced,
    /// The operator's, for this resource alone.
    Made,
}

impl Use {
    /// Whether the Secret must be left alone.
    fn forbids(self, metadata: &ObjectMeta, instance: &Instance) -> bool {
        self == Self::Made && !is_controlled_by(metadata, &instance.uid)
    }
}

/// The names of those Secrets of [`made`] that belong to somebody else.
#[must_use]
pub fn foreign(instance: &Instance, states: &BTreeMap<String, SecretState>) -> Vec<String> {
    let names = made(instance).into_iter().map(|(name, _)| name);
    names
        .filter(|name| states.get(name) == Some(&SecretState::Foreign))
        .collect()
}

/// What follows the resource's name in the names of Secrets that the operator makes.
pub const POSSIBLE: [&str; 3] = ["api-keys", "mysql", "redis"];

/// Secrets that the operator makes, once, and their keys.
#[must_use]
pub fn made(instance: &Instance) -> Vec<(String, Vec<&'static str>)> {
    let mut made = Vec::new();
    if instance.auth.secret_name.is_none() && instance.auth.disabled.is_none() {
        made.push((instance.child("api-keys"), vec!["api-keys"]));
    }
    if instance.mysql.provisioned.is_some() {
        made.push((instance.child("mysql"), vec!["username", "password"]));
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

async fn state(
    instance: &Instance,
    name: &str,
    keys: &[&'static str],
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
        format!("{name} {}", keys.join(" ")),
    );
    let known = ctx
        .secrets
        .known
        .lock()
        .map_err(|_| Error::Poisoned)?
        .get(&key)
        .cloned();
    if let Some((at, state)) = known
        && at == version
    {
        return Ok(state);
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let Some(secret) = api.get_opt(name).await.map_err(Error::read("Secret"))? else {
        return Ok(SecretState::Missing);
    };
    // It may have been replaced since the watch reported it.
    if purpose.forbids(secret.meta(), instance) {
        return Ok(SecretState::Foreign);
    }
    let version = secret.resource_version().unwrap_or_default();
    let state = judge(&secret, keys);
    ctx.secrets
        .known
        .lock()
        .map_err(|_| Error::Poisoned)?
        .insert(key, (version, state.clone()));
    Ok(state)
}

fn judge(secret: &Secret, keys: &[&'static str]) -> SecretState {
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
        digest: digest(&parts),
        version: secret.resource_version().unwrap_or_default(),
        annotations,
    }
}

/// Six hexadecimal digits that change with the parts: the name of a Secret and its values.
///
/// They stand in an annotation of pods, which more people may read than the Secret, so they are short on purpose. 24 bits
/// tell nearly every change, and say next to nothing of a value: whoever tries passwords finds one in 16 million that fits
/// without being right. The name among the parts makes the same password look different in each Secret.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    format!("{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2])
}

#[cfg(test)]
mod tests;
