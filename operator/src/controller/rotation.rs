//! A new password for a provisioned database user, without a moment in which a pod is locked out.
//!
//! Asked for by the annotation [`super::instance::ROTATED_AT`]; how far it is stands with the Secret, so that another
//! operator goes on from there. The steps are those of [`crate::provision::rotation`].

use super::apply::random_password;
use super::database::{Outcome, login, server, start, values};
use super::instance::Instance;
use super::observe::Observed;
use super::observe::secrets::{ROTATED_FOR, ROTATION, SecretState};
use super::{Context, Error};
use crate::provision::owner::Owner;
use crate::provision::rotation::{Stage, begin, finish};
use crate::provision::secret::Secret as Password;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use std::sync::Arc;

/// Key of the Secret under which the new password waits.
const NEXT: &str = "next-password";

/// Does the next step, if there is one. `rolled`: no pod has anything but what the Secret says.
///
/// # Errors
/// Database or API server did not take it.
pub async fn advance(
    instance: &Instance,
    observed: &Observed,
    database: Option<&Outcome>,
    rolled: bool,
    ctx: &Arc<Context>,
) -> Result<(), Error> {
    let Some(Outcome::Done(facts)) = database else {
        return Ok(());
    };
    let name = instance.database_secret();
    let Some(secret @ SecretState::Complete { version, .. }) = observed.secrets.get(&name) else {
        return Ok(());
    };
    match secret
        .annotation(ROTATION)
        .and_then(|stage| stage.parse().ok())
    {
        None if instance.rotated_at.as_deref() == secret.annotation(ROTATED_FOR) => Ok(()),
        None => {
            let Some(asked) = &instance.rotated_at else {
                return Ok(());
            };
            if !facts.can_rotate() {
                let facts = facts.clone();
                return Err(database_error(
                    crate::provision::error::Error::RotationUnsupported { facts },
                ));
            }
            tracing::info!(namespace = %instance.namespace, name = %instance.name, "a new password for the database user");
            let changes = json!({
                "metadata": {"annotations": {ROTATION: Stage::Retaining.to_string(), ROTATED_FOR: asked}},
                "stringData": {NEXT: random_password()?},
            });
            write(instance, version, changes, ctx).await
        }
        Some(Stage::Rolling) if !rolled => Ok(()),
        Some(stage) => {
            let Some(owner) = observed.owner.clone() else {
                return Ok(());
            };
            let (instance, version) = (instance.clone(), version.clone());
            let step = match stage {
                Stage::Retaining => "give the database user a second password",
                Stage::Rolling => "take the former password from the database user",
            };
            start(step, &instance.clone(), ctx, move |ctx| async move {
                match stage {
                    Stage::Retaining => retain(&instance, &owner, &version, &ctx).await,
                    Stage::Rolling => discard(&instance, &owner, &version, &ctx).await,
                }
            })
        }
    }
}

async fn retain(
    instance: &Instance,
    owner: &Owner,
    version: &str,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(server) = server(instance, ctx).await? else {
        return Ok(());
    };
    let values = values(&instance.database_secret(), instance, ctx).await?;
    let next = values
        .and_then(|mut values| values.remove(NEXT))
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(next) = next else {
        // Somebody took it out: nothing has been given to a pod, so it is begun anew.
        let changes = json!({"metadata": {"annotations": {ROTATION: null, ROTATED_FOR: null}}});
        return write(instance, version, changes, ctx).await;
    };
    begin(
        &server,
        instance.database().name,
        owner,
        &Password::new(next.clone()),
    )
    .await
    .map_err(database_error)?;
    let changes = json!({
        "metadata": {"annotations": {ROTATION: Stage::Rolling.to_string()}},
        "stringData": {"password": next},
        "data": {NEXT: null},
    });
    write(instance, version, changes, ctx).await
}

async fn discard(
    instance: &Instance,
    owner: &Owner,
    version: &str,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(server) = server(instance, ctx).await? else {
        return Ok(());
    };
    let Some((_, current)) = login(&instance.database_secret(), instance, ctx).await? else {
        return Ok(());
    };
    finish(&server, instance.database().name, owner, &current)
        .await
        .map_err(database_error)?;
    tracing::info!(namespace = %instance.namespace, name = %instance.name, "the former password of the database user is gone");
    let changes = json!({"metadata": {"annotations": {ROTATION: null}}});
    write(instance, version, changes, ctx).await
}

fn database_error(error: crate::provision::error::Error) -> Error {
    Error::Database(Box::new(error))
}

/// Annotations and values of the Secret in one write, if it is of the version that was read.
async fn write(
    instance: &Instance,
    version: &str,
    mut changes: Value,
    ctx: &Context,
) -> Result<(), Error> {
    ctx.may_act()?;
    let name = instance.database_secret();
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    changes["metadata"]["resourceVersion"] = json!(version);
    api.patch(&name, &PatchParams::default(), &Patch::Merge(&changes))
        .await
        .map_err(Error::write("Secret", &name))?;
    ctx.metrics.write("Secret");
    Ok(())
}
