//! Secrets that the operator creates once, and deletes when they are no longer needed.

use crate::controller::context::Context;
use crate::controller::deletion::{is_deleted, only};
use crate::controller::desired::FIELD_MANAGER;
use crate::controller::desired::labels::{Component, metadata};
use crate::controller::error::Error;
use crate::controller::instance::Instance;
use crate::controller::instance::secrets::{MIGRATION_SECRET, TRAINING_SECRET};
use crate::controller::observe::secrets::{DIGEST_KEY, POSSIBLE, ROTATED_FOR, SecretState, made};
use crate::controller::observe::{Observed, is_controlled_by, is_current};
use crate::metrics::Verb;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use reckon_contract::provisioning::{Owner, RANDOM_BYTES, generate_password};
use serde_json::json;

/// Creates missing Secrets; returns how many were missing.
///
/// # Errors
/// The API server did not accept one, or the operating system has no random bytes.
pub async fn make(instance: &Instance, observed: &Observed, ctx: &Context) -> Result<u32, Error> {
    let mut absent = 0;
    for (name, _) in made(instance) {
        if observed.secrets.get(&name) != Some(&SecretState::Missing) {
            continue;
        }
        ctx.may_act()?;
        let secret = secret(instance, &name, observed)?;
        let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
        let parameters = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match api.create(&parameters, &secret).await {
            Ok(_) => ctx.metrics.writes.accepted("Secret", Verb::Create),
            // The watch has not reported the Secret yet, so its owner is unknown too.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(Error::write("Secret", &name)(error)),
        }
        absent += 1;
    }
    Ok(absent)
}

/// Deletes the Secrets of [`POSSIBLE`] that belong to this resource and that it no longer needs or refers to.
///
/// # Errors
/// The API server did not accept a deletion.
pub async fn remove(instance: &Instance, ctx: &Context) -> Result<(), Error> {
    let unwanted: Vec<_> = no_longer_needed(instance)
        .into_iter()
        .filter_map(|name| {
            let reference = ObjectRef::new(&name).within(&instance.namespace);
            let secret = ctx.stores.secrets.get(&reference)?;
            let is_own = is_controlled_by(secret.meta(), &instance.uid);
            is_own.then(|| (name, secret.uid()))
        })
        .collect();
    if unwanted.is_empty() || !is_current(instance, ctx).await? {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    for (name, uid) in unwanted {
        ctx.may_act()?;
        let deleted = api.delete(&name, &only(uid)).await;
        if is_deleted(deleted, "Secret", &name)? {
            ctx.metrics.writes.accepted("Secret", Verb::Delete);
        }
    }
    Ok(())
}

/// Names of Secrets that the operator may have created for the resource earlier, without the names that the resource
/// uses now.
fn no_longer_needed(instance: &Instance) -> Vec<String> {
    let made = made(instance);
    let referenced = instance.referenced_secrets();
    let possible = POSSIBLE.iter().map(|what| instance.child(what));
    possible
        .filter(|name| !referenced.contains_key(name))
        .filter(|name| !made.iter().any(|(of, _)| of == name))
        .collect()
}

fn secret(instance: &Instance, name: &str, observed: &Observed) -> Result<Secret, Error> {
    let component = if name == instance.child("redis") {
        Component::Redis
    } else {
        Component::Api
    };
    let password = password()?;
    let data = if name == instance.child(DIGEST_KEY) {
        json!({"key": password})
    } else if name == instance.child("api-keys") {
        json!({"api-keys": format!("{}\n", password)})
    } else if name == instance.child("redis") {
        json!({"username": "", "password": password})
    } else {
        let user = if name == instance.child(MIGRATION_SECRET) {
            Owner::migration_user_name
        } else if name == instance.child(TRAINING_SECRET) {
            Owner::training_user_name
        } else {
            Owner::user_name
        };
        let user = observed.owner.as_ref().map(user);
        json!({"username": user.unwrap_or_default(), "password": password})
    };
    let mut metadata = metadata(instance, component, name);
    if let Some(asked) = &instance.rotated_at {
        // A new password is not rotated at once.
        metadata["annotations"] = json!({ROTATED_FOR: asked});
    }
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "stringData": data,
    });
    serde_json::from_value(object).map_err(Error::Object)
}

/// A password from the operating system's random bytes.
///
/// # Errors
/// The operating system has none.
pub fn password() -> Result<String, Error> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(generate_password(random))
}

#[cfg(test)]
mod tests {
    use super::no_longer_needed;
    use crate::controller::sample::{self, MINIMAL, PROVISIONED};
    use serde_json::json;

    #[test]
    fn a_secret_that_the_resource_uses_or_refers_to_is_needed() {
        // No key is needed, because authentication is disabled.
        assert_eq!(
            no_longer_needed(&sample::instance(PROVISIONED)),
            ["recommendations-api-keys", "recommendations-mysql-training"]
        );
        assert_eq!(
            no_longer_needed(&sample::instance(MINIMAL)),
            [
                "tiny-mysql",
                "tiny-mysql-migration",
                "tiny-mysql-training",
                "tiny-redis"
            ]
        );
        let referred = sample::with(MINIMAL, |spec| {
            spec["mysql"]["external"]["credentials"]["secretName"] = json!("tiny-mysql");
            spec["auth"] = json!({"secretName": "clients"});
        });
        assert_eq!(
            no_longer_needed(&referred),
            [
                "tiny-api-keys",
                "tiny-mysql-migration",
                "tiny-mysql-training",
                "tiny-redis"
            ]
        );
    }
}
