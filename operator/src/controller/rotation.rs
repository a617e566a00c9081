//! Rotates the password of a provisioned database user without ever locking out a pod (MySQL 8.0.14 and newer).
//!
//! The annotation [`super::instance::ROTATED_AT`] requests a rotation. Its progress is stored in the Secret, so that
//! another operator can resume it.
//!
//! | stage | Secret | server | next step |
//! |---|---|---|---|
//! | none | `password` old | old | write `next-password` and stage `retaining` into the Secret, in one write |
//! | [`Stage::Retaining`] | `password` old, `next-password` new | old, or both | do [`Step::AddPassword`]; then, in one write, set `password` to the new one, remove `next-password`, set stage `rolling` |
//! | [`Stage::Rolling`] | `password` new | both | roll; once no pod with the old password is left (terminating ones count), do [`Step::DiscardPassword`], then remove the stage |
//!
//! Each step is idempotent, so an interrupted one is repeated. New passwords are kept in the Secret's data, never in an
//! annotation, which more people may read.

use super::apply::random_password;
use super::context::Context;
use super::database::{Database, Provisioning};
use super::desired::provision::NEXT_PASSWORD;
use super::error::Error;
use super::instance::Instance;
use super::observe::Observed;
use super::observe::secrets::{ROTATED_FOR, ROTATION, SecretState};
use crate::metrics::Verb;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, Patch, PatchParams};
use reckon_contract::provisioning::Step;
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// The progress of a rotation, which is stored as a string in an annotation of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The new password is stored; the server may have it.
    Retaining,
    /// The server accepts both passwords. The new one is published, and pods are being replaced.
    Rolling,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Retaining => "retaining",
            Self::Rolling => "rolling",
        })
    }
}

/// The string is not the name of a stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no stage of a rotation (retaining, rolling)")]
pub struct NoStage(String);

impl FromStr for Stage {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        match text {
            "retaining" => Ok(Self::Retaining),
            "rolling" => Ok(Self::Rolling),
            _ => Err(NoStage(text.to_owned())),
        }
    }
}

/// Does the next step, if there is one. `rolled`: every pod has the values of the Secret.
///
/// # Errors
/// The database or the API server did not accept the step.
pub async fn advance(
    instance: &Instance,
    observed: &Observed,
    database: &Database<'_>,
    rolled: bool,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(Provisioning::Done(facts)) = database.outcome() else {
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
                return Err(Error::Database(format!(
                    "passwords cannot be exchanged without an outage on {facts}: this requires MySQL 8.0.14 or newer"
                )));
            }
            tracing::info!(namespace = %instance.namespace, name = %instance.name, "generated a new password for the database user");
            let changes = json!({
                "metadata": {"annotations": {ROTATION: Stage::Retaining.to_string(), ROTATED_FOR: asked}},
                "stringData": {NEXT_PASSWORD: random_password()?},
            });
            write(instance, version, changes, ctx).await
        }
        Some(Stage::Retaining) => retain(instance, version, database, ctx).await,
        Some(Stage::Rolling) if !rolled => Ok(()),
        Some(Stage::Rolling) => discard(instance, version, database, ctx).await,
    }
}

/// Adds a second password to the user, and then publishes it.
async fn retain(
    instance: &Instance,
    version: &str,
    database: &Database<'_>,
    ctx: &Context,
) -> Result<(), Error> {
    let secret = read(instance, ctx).await?;
    // The Secret must still have the version that the Job read; otherwise the Job's outcome does not apply to the
    // Secret.
    let Some(secret) = secret.filter(|it| it.resource_version().as_deref() == Some(version)) else {
        return Ok(());
    };
    let next = secret
        .data
        .and_then(|mut values| values.remove(NEXT_PASSWORD))
        .and_then(|bytes| String::from_utf8(bytes.0).ok());
    let Some(next) = next else {
        // The password was removed from the Secret: no pod has it, so the rotation starts again.
        let changes = json!({"metadata": {"annotations": {ROTATION: null, ROTATED_FOR: null}}});
        return write(instance, version, changes, ctx).await;
    };
    let Some(run) = database.step(Step::AddPassword, version).await? else {
        return Ok(());
    };
    let changes = json!({
        "metadata": {"annotations": {ROTATION: Stage::Rolling.to_string()}},
        "stringData": {"password": next},
        "data": {NEXT_PASSWORD: null},
    });
    write(instance, version, changes, ctx).await?;
    database.delete(run).await
}

/// Removes the old password from the user.
async fn discard(
    instance: &Instance,
    version: &str,
    database: &Database<'_>,
    ctx: &Context,
) -> Result<(), Error> {
    let Some(run) = database.step(Step::DiscardPassword, "").await? else {
        return Ok(());
    };
    tracing::info!(namespace = %instance.namespace, name = %instance.name, "discarded the previous password of the database user");
    let changes = json!({"metadata": {"annotations": {ROTATION: null}}});
    write(instance, version, changes, ctx).await?;
    database.delete(run).await
}

async fn read(instance: &Instance, ctx: &Context) -> Result<Option<Secret>, Error> {
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let name = instance.database_secret();
    api.get_opt(&name).await.map_err(Error::read("Secret"))
}

/// Writes annotations and values of the Secret at once, if it still has the version that was read.
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
    ctx.metrics.writes.accepted("Secret", Verb::Patch);
    Ok(())
}
