//! Converts objects of the API server to the input of a plan. Pure.

use crate::controller::desired::{autoscaler, deployment, disruption_budget};
use crate::tuning::plan::{
    Deletion, Evictions, Former, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate, Lowered,
    Pause, ScaleDown,
};
use crate::tuning::{Surge, TRAINING_CONNECTIONS};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

/// Annotation of the Deployment: the image of its pods as the operator wrote it; admission may have replaced it.
pub const IMAGE: &str = "reckon.dev/image";

/// The input of a plan, without the training and the `PodDisruptionBudget`.
#[must_use]
pub fn live(
    deployment: Option<&DynamicObject>,
    hpa: Option<&DynamicObject>,
    pods: Vec<LivePod>,
    fence: Option<u32>,
) -> Live {
    Live {
        deployment: deployment
            .filter(|deployment| deployment.metadata.deletion_timestamp.is_none())
            .map(live_deployment),
        hpa: hpa
            .filter(|hpa| hpa.metadata.deletion_timestamp.is_none())
            .map(live_hpa),
        pods,
        training: 0,
        evictions: None,
        fence,
    }
}

/// What a `PodDisruptionBudget` allows; `None`: it is being deleted, or the operator never writes it like this.
#[must_use]
pub fn evictions(object: &DynamicObject) -> Option<Evictions> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let spec = &object.data["spec"];
    match (
        spec["maxUnavailable"].as_i64(),
        spec["minAvailable"].as_i64(),
    ) {
        (Some(1), None) if spec["minAvailable"].is_null() => Some(Evictions::Open),
        (None, Some(available)) if available == i64::from(disruption_budget::NEVER) => {
            let since = annotation(object.annotations(), disruption_budget::HELD_SINCE)?;
            Some(Evictions::Held { since })
        }
        _ => None,
    }
}

/// The number of connections that the budget counts for the training. It is 1 while the `CronJob` exists; one that is
/// being deleted exists until its pods have ended.
#[must_use]
pub fn training(cron_job: Option<&DynamicObject>) -> u32 {
    cron_job.map_or(0, |_| TRAINING_CONNECTIONS)
}

/// Whether a Job of the training is active, by the status of its `CronJob`.
#[must_use]
pub fn is_training(cron_job: &DynamicObject) -> bool {
    let active = cron_job.data["status"]["active"].as_array();
    active.is_some_and(|active| !active.is_empty())
}

fn live_deployment(object: &DynamicObject) -> LiveDeployment {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let annotations: BTreeMap<String, String> =
        serde_json::from_value(spec["template"]["metadata"]["annotations"].clone())
            .unwrap_or_default();
    let pause = if spec["paused"].as_bool().unwrap_or(false) {
        Pause::On(annotation(object.annotations(), deployment::PAUSED_AT))
    } else {
        Pause::Off
    };
    LiveDeployment {
        template: LiveTemplate {
            hash: object.annotations().get(deployment::TEMPLATE).cloned(),
            pool: annotation(&annotations, deployment::POOL),
            grace: grace(spec)
                .or_else(|| annotation(&annotations, deployment::GRACE))
                .map(Duration::from_secs),
        },
        min_ready: Duration::from_secs(number(&spec["minReadySeconds"], 0)),
        surge: surge(&spec["strategy"]),
        pause,
        replicas: number(&spec["replicas"], 1),
        lowered: lowered(
            object.annotations(),
            deployment::LOWERED_AT,
            deployment::LOWERED_FROM,
        ),
        available: number(&status["availableReplicas"], 0),
        former: annotation(object.annotations(), deployment::FORMER_POOL).map(|pool| Former {
            pool,
            surge: annotation(object.annotations(), deployment::FORMER_SURGE).unwrap_or(1),
        }),
        generation: object.metadata.generation.unwrap_or_default(),
        observed_generation: status["observedGeneration"].as_i64().unwrap_or_default(),
        current: number(&status["replicas"], 0),
        updated: number(&status["updatedReplicas"], 0),
    }
}

/// maxSurge, if the strategy is one that the operator writes.
fn surge(strategy: &Value) -> Option<Surge> {
    let rolling = &strategy["rollingUpdate"];
    let none_unavailable = matches!(&rolling["maxUnavailable"], Value::Number(number) if number.as_u64() == Some(0))
        || rolling["maxUnavailable"] == "0%";
    if strategy["type"] != "RollingUpdate" || !none_unavailable {
        return None;
    }
    match &rolling["maxSurge"] {
        Value::String(percent) => percent.strip_suffix('%')?.parse().ok().map(Surge::Percent),
        pods => u32::try_from(pods.as_u64()?).ok().map(Surge::Pods),
    }
}

/// The grace period of a Deployment's template in seconds, as the API server has it.
fn grace(spec: &Value) -> Option<u64> {
    spec["template"]["spec"]["terminationGracePeriodSeconds"].as_u64()
}

/// The grace period of a Deployment's template and the one that the operator wrote, if they differ.
#[must_use]
pub fn other_grace(deployment: &DynamicObject) -> Option<(Duration, Duration)> {
    let spec = &deployment.data["spec"];
    let annotations = &spec["template"]["metadata"]["annotations"];
    let wanted: u64 = annotations[deployment::GRACE].as_str()?.parse().ok()?;
    let found = grace(spec).filter(|found| *found != wanted)?;
    Some((Duration::from_secs(found), Duration::from_secs(wanted)))
}

/// The image of a Deployment's pods as the operator wrote it; without that annotation, the image of the template.
#[must_use]
pub fn image(deployment: &DynamicObject) -> Option<String> {
    let noted = deployment.annotations().get(IMAGE).cloned();
    let container = &deployment.data["spec"]["template"]["spec"]["containers"][0];
    noted.or_else(|| Some(container["image"].as_str()?.to_owned()))
}

fn live_hpa(object: &DynamicObject) -> LiveHpa {
    let spec = &object.data["spec"];
    let annotations = object.annotations();
    LiveHpa {
        min: number(&spec["minReplicas"], 1),
        max: number(&spec["maxReplicas"], 1),
        scale_down: scale_down(&spec["behavior"]["scaleDown"], annotations),
        lowered: lowered(
            annotations,
            autoscaler::LOWERED_AT,
            autoscaler::LOWERED_FROM,
        ),
    }
}

fn lowered(annotations: &BTreeMap<String, String>, at: &str, from: &str) -> Option<Lowered> {
    Some(Lowered {
        at: annotation(annotations, at)?,
        from: annotation(annotations, from)?,
    })
}

/// The stabilisation window of an autoscaler's scale-down.
#[must_use]
pub fn window(hpa: &DynamicObject) -> Option<Duration> {
    let seconds =
        hpa.data["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"].as_u64()?;
    Some(Duration::from_secs(seconds))
}

fn scale_down(written: &Value, annotations: &BTreeMap<String, String>) -> Option<ScaleDown> {
    if is_default(written) {
        return Some(ScaleDown::Default);
    }
    if written["selectPolicy"] == "Disabled" {
        let since = annotation(annotations, autoscaler::DISABLED_SINCE)?;
        return Some(ScaleDown::Disabled { since });
    }
    let window = written["stabilizationWindowSeconds"].as_u64()?;
    let [policy] = written["policies"].as_array()?.as_slice() else {
        return None;
    };
    let count = u32::try_from(policy["value"].as_u64()?).ok()?;
    let as_written = policy["type"] == "Pods" && policy["periodSeconds"].as_u64() == Some(window);
    as_written.then(|| ScaleDown::Pods {
        count,
        period: Duration::from_secs(window),
    })
}

/// Whether the scale-down is absent, or is the default that the API server adds if only the scale-up is written.
fn is_default(written: &Value) -> bool {
    let filled = json!({
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    });
    written.is_null() || *written == filled
}

/// A pod, from its metadata.
#[must_use]
pub fn pod(meta: &ObjectMeta) -> LivePod {
    let none = BTreeMap::new();
    let annotations = meta.annotations.as_ref().unwrap_or(&none);
    // If the grace period of the deletion is longer, it counts from then on.
    let going = meta
        .deletion_grace_period_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    let annotated: Option<u64> = annotation(annotations, deployment::GRACE);
    LivePod {
        name: meta.name.clone().unwrap_or_default(),
        node: None,
        pool: annotation(annotations, deployment::POOL),
        grace: annotated.max(going).map(Duration::from_secs),
        created: meta.creation_timestamp.as_ref().map(|created| created.0),
        is_controlled: meta
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.controller == Some(true)),
        deletion: meta
            .deletion_timestamp
            .as_ref()
            .map(|due| Deletion { due: due.0 }),
    }
}

fn annotation<T: FromStr>(annotations: &BTreeMap<String, String>, name: &str) -> Option<T> {
    annotations.get(name)?.parse().ok()
}

fn number<T: TryFrom<u64>>(value: &Value, absent: T) -> T {
    value
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .unwrap_or(absent)
}

/// Names of the tunings that the template or a pod refers to.
#[must_use]
pub fn tunings(deployment: Option<&DynamicObject>, pods: &[PartialObjectMeta<Pod>]) -> Vec<String> {
    let of_template = deployment
        .and_then(|object| {
            object.data["spec"]["template"]["metadata"]["annotations"][deployment::TUNING].as_str()
        })
        .map(str::to_owned);
    let of_pods = pods
        .iter()
        .filter_map(|pod| pod.annotations().get(deployment::TUNING).cloned());
    of_template.into_iter().chain(of_pods).collect()
}

/// The digest of the Secrets in a Deployment's template.
#[must_use]
pub fn secrets_of_template(deployment: &DynamicObject) -> Option<&str> {
    deployment.data["spec"]["template"]["metadata"]["annotations"][deployment::SECRETS].as_str()
}

/// Digests of the Secrets that pods read at startup.
#[must_use]
pub fn secrets(pods: &[PartialObjectMeta<Pod>]) -> Vec<String> {
    pods.iter()
        .filter_map(|pod| pod.annotations().get(deployment::SECRETS).cloned())
        .collect()
}

/// When a Job failed permanently; `None`: it did not.
#[must_use]
pub fn gave_up_at(job: &DynamicObject) -> Option<Timestamp> {
    let conditions = job.data["status"]["conditions"].as_array()?;
    let failed = conditions
        .iter()
        .find(|condition| condition["type"] == "Failed" && condition["status"] == "True")?;
    failed["lastTransitionTime"].as_str()?.parse().ok()
}

/// Whether fewer pods are ready than wanted.
#[must_use]
pub fn is_short_of_pods(deployment: &DynamicObject) -> bool {
    let (spec, status) = (&deployment.data["spec"], &deployment.data["status"]);
    let wanted: u32 = number(&spec["replicas"], 1);
    number::<u32>(&status["readyReplicas"], 0) < wanted
        || number::<u32>(&status["unavailableReplicas"], 0) > 0
}

/// Why the Deployment cannot create pods, as the API server reports it.
#[must_use]
pub fn replica_failure(deployment: &DynamicObject) -> Option<String> {
    let conditions = deployment.data["status"]["conditions"].as_array()?;
    let failure = conditions
        .iter()
        .find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True")?;
    Some(format!(
        "no pod can be made: {}",
        failure["message"].as_str()?
    ))
}

/// Since when a rollout has exceeded the Deployment's progress deadline; `None`: it has not.
#[must_use]
pub fn stuck_since(deployment: &DynamicObject) -> Option<Timestamp> {
    let conditions = deployment.data["status"]["conditions"].as_array()?;
    let stuck = conditions.iter().find(|condition| {
        condition["type"] == "Progressing"
            && condition["status"] == "False"
            && condition["reason"] == "ProgressDeadlineExceeded"
    })?;
    stuck["lastUpdateTime"].as_str()?.parse().ok()
}

/// The pod that blocks a rollout, and since when: the youngest one that is not ready.
#[must_use]
pub fn unready(pods: &[Pod]) -> Option<String> {
    let condition = |pod: &&Pod| {
        let conditions = pod.status.as_ref()?.conditions.as_ref()?;
        let ready = conditions.iter().find(|it| it.type_ == "Ready")?;
        (ready.status != "True").then(|| ready.last_transition_time.clone())
    };
    let unready = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(|pod| Some((pod, condition(&pod)?)))
        .max_by_key(|(pod, _)| pod.metadata.creation_timestamp.clone());
    let (pod, since) = unready?;
    let since = since
        .map(|since| format!(" since {}", since.0))
        .unwrap_or_default();
    Some(format!("pod {} has not been ready{since}", pod.name_any()))
}

/// Why a pod does not start, as kubelet or scheduler reports it.
#[must_use]
pub fn trouble(pod: &Pod) -> Option<String> {
    let name = pod.name_any();
    let status = pod.status.as_ref()?;
    let waiting = status.container_statuses.iter().flatten().find_map(waiting);
    if let Some(sentence) = waiting {
        return Some(format!("pod {name}: {sentence}"));
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(format!(
        "pod {name} has no node: {}",
        unscheduled.message.as_deref().unwrap_or("")
    ))
}

fn waiting(container: &ContainerStatus) -> Option<String> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting
        .reason
        .as_deref()
        .filter(|reason| *reason != "ContainerCreating")?;
    let exit = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref())
        .map(|end| {
            format!(
                "; it ended with code {}{}",
                end.exit_code,
                end.reason
                    .as_deref()
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default()
            )
        })
        .unwrap_or_default();
    let message = waiting
        .message
        .as_deref()
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    let advice = match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
            ", its image cannot be pulled: check spec.image, spec.pod.imagePullSecrets and the node's way to the registry"
        }
        _ => "",
    };
    Some(format!("{reason}{advice}{message}{exit}"))
}

#[cfg(test)]
mod tests;
