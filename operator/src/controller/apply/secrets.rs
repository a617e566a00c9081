//! Secrets that the operator makes: once, and never again.

use crate::controller::desired::FIELD_MANAGER;
use crate::controller::desired::labels::{Component, metadata};
use crate::controller::instance::Instance;
use crate::controller::observe::Observed;
use crate::controller::observe::secrets::{ROTATED_FOR, SecretState, made};
use crate::controller::{Context, Error};
use crate::provision::password::{RANDOM_BYTES, generate_password};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use serde_json::json;

/// Makes the Secrets that are absent; how many.
///
/// # Errors
/// The API server did not take one, or the operating system has no random bytes.
pub async fn make(instance: &Instance, observed: &Observed, ctx: &Context) -> Result<u32, Error> {
    let mut writes = 0;
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
            Ok(_) => writes += 1,
            // A watch that has not heard of it yet.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(Error::write("Secret", &name)(error)),
        }
        ctx.metrics.write("Secret");
    }
    Ok(writes)
}

fn secret(instance: &Instance, name: &str, observed: &Observed) -> Result<Secret, Error> {
    let component = if name == instance.child("redis") {
        Component::Redis
    } else {
        Component::Api
    };
    let password = password()?;
    let data = if name == instance.child("api-keys") {
        json!({"api-keys": format!("{}\n", password)})
    } else if name == instance.child("redis") {
        json!({"username": "", "password": password})
    } else {
        let user = observed
            .owner
            .as_ref()
            .map(crate::provision::owner::Owner::user_name);
        json!({"username": user.unwrap_or_default(), "password": password})
    };
    let mut metadata = metadata(instance, component, name);
    if let Some(asked) = &instance.rotated_at {
        // A password that is new is not exchanged at once.
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

/// A password of the operating system's random bytes.
///
/// # Errors
/// It has none.
pub fn password() -> Result<String, Error> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(generate_password(random).expose().to_owned())
}
