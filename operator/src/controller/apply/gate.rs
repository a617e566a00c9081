//! The writes that the connection budget depends on, one at a time, each on what the API server itself said just before.

use super::children::{Child, api, write};
use crate::controller::desired::{Resources, autoscaler, deployment};
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::observe::{Confirmed, confirm, is_current};
use crate::controller::{Context, Error};
use crate::tuning::plan::{Action, Plan, Target, plan};
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

/// Asks again with what the API server says now, and does what the plan then says. `fence` and `set_fence` are what is
/// known of the database user's limit.
///
/// # Errors
/// The API server did not take a write; among others, since the object changed meanwhile.
pub async fn gate(
    instance: &Instance,
    resources: &Resources,
    target: &Target,
    fence: Option<u32>,
    ctx: &Context,
) -> Result<Plan, Error> {
    let confirmed = confirm(instance, ctx, fence).await?;
    let plan = plan(&confirmed.live, target, Timestamp::now());
    if let Some(action) = &plan.action {
        tracing::info!(namespace = %instance.namespace, name = %instance.name, ?action, "changing");
        act(action, instance, resources, &confirmed, ctx).await?;
    }
    Ok(plan)
}

async fn act(
    action: &Action,
    instance: &Instance,
    resources: &Resources,
    confirmed: &Confirmed,
    ctx: &Context,
) -> Result<(), Error> {
    ctx.may_act()?;
    let deployment =
        |body: &Value| Child::new(Kind::Deployment, body).at(confirmed.deployment_version.clone());
    match action {
        Action::CreateDeployment { min_ready, .. } => {
            let body = resources.deployment.with(*min_ready, None);
            write(&deployment(&body), instance, ctx).await?;
        }
        Action::WriteTemplate {
            min_ready,
            former_pool,
            ..
        } => {
            let body = resources.deployment.with(*min_ready, *former_pool);
            write(&deployment(&body), instance, ctx).await?;
        }
        Action::WriteHpa(wanted) => {
            let body = autoscaler::autoscaler(instance, wanted, confirmed.hpa_window);
            let child =
                Child::new(Kind::HorizontalPodAutoscaler, &body).at(confirmed.hpa_version.clone());
            write(&child, instance, ctx).await?;
        }
        // The next reconcile reads the resource as it is by then.
        Action::DeleteHpa if !is_current(instance, ctx).await? => return Ok(()),
        Action::DeleteHpa => {
            let parameters = DeleteParams {
                preconditions: Some(Preconditions {
                    uid: None,
                    resource_version: confirmed.hpa_version.clone(),
                }),
                ..DeleteParams::default()
            };
            api(Kind::HorizontalPodAutoscaler, instance, ctx)
                .delete(&instance.name, &parameters)
                .await
                .map_err(Error::write("HorizontalPodAutoscaler", &instance.name))?;
        }
        Action::Scale { replicas, lowered } => {
            let annotations = lowered.map_or(json!({}), |lowered| {
                json!({
                    deployment::LOWERED_AT: autoscaler::text(lowered.at),
                    deployment::LOWERED_FROM: lowered.from.to_string(),
                })
            });
            let spec = json!({"replicas": replicas});
            merge(instance, confirmed, annotations, spec, ctx).await?;
        }
        Action::ForgetFormerPool => {
            let annotations = json!({deployment::FORMER_POOL: null});
            merge(instance, confirmed, annotations, json!({}), ctx).await?;
        }
        Action::Pause { at } => {
            let spec = json!({"paused": true});
            merge(
                instance,
                confirmed,
                json!({deployment::PAUSED_AT: autoscaler::text(*at)}),
                spec,
                ctx,
            )
            .await?;
        }
        Action::Unpause => {
            let spec = json!({"paused": false});
            merge(
                instance,
                confirmed,
                json!({deployment::PAUSED_AT: null}),
                spec,
                ctx,
            )
            .await?;
        }
        Action::SetMinReady(min_ready) => {
            merge(
                instance,
                confirmed,
                json!({}),
                json!({"minReadySeconds": min_ready.as_secs()}),
                ctx,
            )
            .await?;
        }
        Action::SetFence(connections) => {
            crate::controller::database::set_fence(instance, *connections, ctx).await?;
        }
    }
    ctx.metrics.action(action);
    Ok(())
}

/// Writes fields that no apply sends, so that none takes them away again.
async fn merge(
    instance: &Instance,
    confirmed: &Confirmed,
    annotations: Value,
    spec: Value,
    ctx: &Context,
) -> Result<(), Error> {
    let body = json!({
        "metadata": {"annotations": annotations, "resourceVersion": confirmed.deployment_version},
        "spec": spec,
    });
    let parameters = PatchParams {
        field_manager: Some("reckon-operator-plan".to_owned()),
        ..PatchParams::default()
    };
    api(Kind::Deployment, instance, ctx)
        .patch(&instance.name, &parameters, &Patch::Merge(&body))
        .await
        .map_err(Error::write("Deployment", &instance.name))?;
    Ok(())
}
