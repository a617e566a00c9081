//! The writes that the connection budget depends on, one at a time, each based on a read from the API server just before.

use super::children::{Child, api, deployment, write};
use crate::controller::context::Context;
use crate::controller::database::Database;
use crate::controller::desired::deployment::{
    FORMER_POOL, FORMER_SURGE, LOWERED_AT, LOWERED_FROM, PAUSED_AT, strategy,
};
use crate::controller::desired::{Resources, autoscaler, disruption_budget};
use crate::controller::error::Error;
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::observe::{Confirmed, confirm, is_current};
use crate::metrics::Verb;
use crate::tuning::plan::{Action, Adopt, Former, Plan, Target, plan};
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use std::sync::Arc;

/// Field manager that creates a Deployment for existing pods.
const ADOPTER: &str = "reckon-operator-adopt";

/// Input of a plan in addition to Deployment, autoscaler and pods.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The database user's connection limit.
    pub fence: Option<u32>,
    /// Whether the pod template was edited after the operator wrote it, even if its hash is the wanted one.
    pub edited: bool,
    /// The Jobs that change the database user.
    pub database: &'a Database<'a>,
}

/// Plans again with the state that the API server returns now, and carries out that plan.
///
/// # Errors
/// The API server did not accept a write, for example because the object changed in the meantime.
pub async fn planned(
    instance: &Instance,
    resources: &Resources,
    target: &Target,
    known: Known<'_>,
    ctx: &Arc<Context>,
) -> Result<Plan, Error> {
    let mut confirmed = confirm(instance, ctx, known.fence).await?;
    let now = Timestamp::now();
    confirmed.live = ctx.moments.own(instance, confirmed.live, now);
    if known.edited {
        confirmed.live.clear_template();
    }
    let plan = plan(&confirmed.live, target, now);
    if let Some(action) = &plan.action {
        tracing::info!(namespace = %instance.namespace, name = %instance.name, ?action, "changing");
        if let Action::SetFence(connections) = action {
            known.database.set_fence(*connections).await?;
        } else {
            act(action, instance, resources, &confirmed, ctx).await?;
        }
        ctx.metrics.writes.acted(action);
    }
    Ok(plan)
}

async fn act(
    action: &Action,
    instance: &Instance,
    resources: &Resources,
    confirmed: &Confirmed,
    ctx: &Arc<Context>,
) -> Result<(), Error> {
    ctx.may_act()?;
    let of_deployment =
        |body: &Value| Child::new(Kind::Deployment, body).at(confirmed.deployment_version.clone());
    match action {
        Action::CreateDeployment {
            min_ready,
            surge,
            adopt,
            ..
        } => {
            let body = deployment(instance, resources, *min_ready, *surge, None);
            if let Some(adopt) = adopt {
                make_paused(&body, *adopt, instance, ctx).await?;
            }
            write(&of_deployment(&body), instance, ctx).await?;
            if let Some(adopt) = adopt {
                keep_paused(*adopt, instance, ctx).await?;
            }
        }
        Action::WriteTemplate {
            min_ready,
            surge,
            former,
            ..
        } => {
            let body = deployment(instance, resources, *min_ready, *surge, *former);
            write(&of_deployment(&body), instance, ctx).await?;
        }
        Action::WriteDisruptionBudget(evictions) => {
            let body = disruption_budget::disruption_budget(instance, *evictions);
            let child = Child::new(Kind::PodDisruptionBudget, &body)
                .at(confirmed.evictions_version.clone());
            write(&child, instance, ctx).await?;
        }
        Action::WriteHpa(wanted) => {
            let body = autoscaler::autoscaler(instance, wanted, confirmed.hpa_window);
            let child =
                Child::new(Kind::HorizontalPodAutoscaler, &body).at(confirmed.hpa_version.clone());
            write(&child, instance, ctx).await?;
        }
        // The next reconcile reads the newer resource.
        Action::DeleteHpa if !is_current(instance, ctx).await? => return Ok(()),
        Action::DeleteHpa => delete_autoscaler(instance, confirmed, ctx).await?,
        Action::Scale { replicas, lowered } => {
            let annotations = lowered.map_or(json!({}), |lowered| {
                json!({
                    LOWERED_AT: autoscaler::text(lowered.at),
                    LOWERED_FROM: lowered.from.to_string(),
                })
            });
            let spec = json!({"replicas": replicas});
            merge(instance, confirmed, annotations, spec, ctx).await?;
        }
        Action::ClearFormer => {
            let annotations = json!({FORMER_POOL: null, FORMER_SURGE: null});
            merge(instance, confirmed, annotations, json!({}), ctx).await?;
        }
        Action::Pause { at, surge, former } => {
            let mut annotations = formerly(*former);
            annotations[PAUSED_AT] = json!(autoscaler::text(*at));
            let spec = json!({"paused": true, "strategy": strategy(*surge)});
            merge(instance, confirmed, annotations, spec, ctx).await?;
        }
        Action::Unpause => {
            let spec = json!({"paused": false});
            merge(instance, confirmed, json!({PAUSED_AT: null}), spec, ctx).await?;
        }
        Action::SetStrategy {
            min_ready,
            surge,
            former,
        } => {
            let annotations = formerly(*former);
            let spec = json!({
                "minReadySeconds": min_ready.as_secs(),
                "strategy": strategy(*surge),
            });
            merge(instance, confirmed, annotations, spec, ctx).await?;
        }
        Action::CreateTraining => {
            if let Some(body) = &resources.training {
                write(&Child::new(Kind::CronJob, body), instance, ctx).await?;
            }
        }
        // A Job does this.
        Action::SetFence(_) => {}
    }
    Ok(())
}

async fn delete_autoscaler(
    instance: &Instance,
    confirmed: &Confirmed,
    ctx: &Context,
) -> Result<(), Error> {
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
    ctx.metrics
        .writes
        .accepted("HorizontalPodAutoscaler", Verb::Delete);
    Ok(())
}

/// The annotations of [`Former`]; `None` leaves them unchanged.
fn formerly(former: Option<Former>) -> Value {
    former.map_or(json!({}), |former| {
        json!({
            FORMER_POOL: former.pool.to_string(),
            FORMER_SURGE: former.surge.to_string(),
        })
    })
}

/// Creates a Deployment for existing pods. It is paused, and has its replicas from the first moment on.
///
/// An apply owns the fields that it sends, and removes those that the next one leaves out. So a separate manager
/// creates the Deployment. Then the Deployment is applied as usual. Last, the separate manager gives up all fields
/// except those that no other apply sends.
async fn make_paused(
    body: &Value,
    adopt: Adopt,
    instance: &Instance,
    ctx: &Context,
) -> Result<(), Error> {
    let mut whole = body.clone();
    let own = adopted(instance, adopt);
    whole["metadata"]["annotations"][PAUSED_AT] = own["metadata"]["annotations"][PAUSED_AT].clone();
    for field in ["replicas", "paused"] {
        whole["spec"][field] = own["spec"][field].clone();
    }
    api(Kind::Deployment, instance, ctx)
        .patch(
            &instance.name,
            &PatchParams::apply(ADOPTER),
            &Patch::Apply(&whole),
        )
        .await
        .map_err(Error::write("Deployment", &instance.name))?;
    ctx.metrics.writes.accepted("Deployment", Verb::Apply);
    Ok(())
}

async fn keep_paused(adopt: Adopt, instance: &Instance, ctx: &Context) -> Result<(), Error> {
    let own = adopted(instance, adopt);
    let kept = api(Kind::Deployment, instance, ctx)
        .patch(
            &instance.name,
            &PatchParams::apply(ADOPTER),
            &Patch::Apply(&own),
        )
        .await;
    match kept {
        Ok(_) => {
            ctx.metrics.writes.accepted("Deployment", Verb::Apply);
            Ok(())
        }
        // An autoscaler has changed the replicas in the meantime, so they belong to it.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(Error::write("Deployment", &instance.name)(error)),
    }
}

fn adopted(instance: &Instance, adopt: Adopt) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": instance.name,
            "annotations": {PAUSED_AT: autoscaler::text(adopt.at)},
        },
        "spec": {"replicas": adopt.replicas, "paused": true},
    })
}

/// Writes fields that no apply sends, so that no apply removes them again.
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
    ctx.metrics.writes.accepted("Deployment", Verb::Patch);
    Ok(())
}
