//! Writes the status if it changed, and events for conditions that changed.

use super::context::Context;
use super::error::Error;
use super::stores::service_resource;
use crate::crd::RecommendationServiceStatus;
use crate::metrics::Verb;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use serde_json::json;
use tracing::{info, warn};

/// Conditions that never need action, with any status.
const WANTED: [&str; 2] = ["Progressing", "Paused"];
/// Reasons that pass by themselves while a service starts.
const PASSING: [&str; 4] = ["PodsStarting", "Migrating", "Connecting", "NoModel"];
/// Reason of a condition that only refers to `Ready`.
const SEE_READY: &str = "NotReady";
/// Maximum length of an event's text, set by the API.
const MAX_NOTE: usize = 1000;

/// Writes `status` if it differs from the status of `service`.
///
/// # Errors
/// The API server did not accept it.
pub async fn report(
    service: &DynamicObject,
    status: RecommendationServiceStatus,
    ctx: &Context,
) -> Result<(), Error> {
    let before: RecommendationServiceStatus =
        serde_json::from_value(service.data["status"].clone()).unwrap_or_default();
    if before == status {
        return Ok(());
    }
    ctx.may_act()?;
    let name = service.name_any();
    let api: Api<DynamicObject> = Api::namespaced_with(
        ctx.client.clone(),
        &service.namespace().unwrap_or_default(),
        &service_resource(),
    );
    let resource = service_resource();
    // A merge patch keeps fields that it does not name, so removed fields are set to null.
    let mut fields = json!(status);
    for (field, _) in json!(before).as_object().into_iter().flatten() {
        if fields.get(field).is_none() {
            fields[field] = serde_json::Value::Null;
        }
    }
    let body = json!({"apiVersion": resource.api_version, "kind": resource.kind, "status": fields});
    match api
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&body))
        .await
    {
        Ok(_) => {}
        // The resource was deleted in the meantime.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(Error::write("RecommendationService", &name)(error)),
    }
    ctx.metrics
        .writes
        .accepted("RecommendationService", Verb::Patch);
    for news in news(&before.conditions, &status.conditions) {
        publish(service, &news, ctx).await;
    }
    Ok(())
}

/// Conditions whose status or reason changed and that deserve an event. If several share a text, it is reported once. For
/// a new resource only problems are reported.
fn news<'a>(before: &[Condition], now: &'a [Condition]) -> Vec<News<'a>> {
    let mut listed: Vec<News> = Vec::new();
    for condition in now {
        let before = before.iter().find(|before| before.type_ == condition.type_);
        let is_good = is_good(condition, before);
        let is_news = match before {
            Some(before) => {
                let reason_counts = !is_good || condition.type_ == "Progressing";
                before.status != condition.status
                    || (before.reason != condition.reason && reason_counts)
            }
            None => !is_good,
        };
        let is_listed = listed.iter().any(
            |News {
                 condition: listed, ..
             }| {
                listed.reason == condition.reason && listed.message == condition.message
            },
        );
        if is_news && !is_listed && condition.reason != SEE_READY {
            listed.push(News { condition, is_good });
        }
    }
    listed
}

/// A condition that deserves an event.
struct News<'a> {
    condition: &'a Condition,
    /// It needs no action.
    is_good: bool,
}

/// Whether a condition that was `before` needs no action.
fn is_good(condition: &Condition, before: Option<&Condition>) -> bool {
    let good = if condition.type_ == "Degraded" {
        "False"
    } else {
        "True"
    };
    let is_a_beginning = before.is_none_or(|before| before.status != "True");
    condition.status == good
        || condition.status == "Unknown"
        || WANTED.contains(&condition.type_.as_str())
        || (is_a_beginning && PASSING.contains(&condition.reason.as_str()))
}

async fn publish(service: &DynamicObject, news: &News<'_>, ctx: &Context) {
    let News { condition, is_good } = *news;
    let name = service.name_any();
    let namespace = service.namespace();
    if is_good {
        info!(
            namespace,
            name,
            condition = condition.type_,
            status = condition.status,
            reason = condition.reason,
            "{}",
            condition.message
        );
    } else {
        warn!(
            namespace,
            name,
            condition = condition.type_,
            status = condition.status,
            reason = condition.reason,
            "{}",
            condition.message
        );
    }
    let event = Event {
        type_: if is_good {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: condition.reason.clone(),
        note: Some(condition.message.chars().take(MAX_NOTE).collect()),
        action: condition.type_.clone(),
        secondary: None,
    };
    let resource = service_resource();
    let reference = ObjectReference {
        api_version: Some(resource.api_version),
        kind: Some(resource.kind),
        name: Some(name),
        namespace,
        uid: service.uid(),
        ..ObjectReference::default()
    };
    // A lost event is no reason to retry.
    if let Err(error) = ctx.events.publish(&event, &reference).await {
        warn!(%error, "failed to record an event");
    }
}

#[cfg(test)]
mod tests;
