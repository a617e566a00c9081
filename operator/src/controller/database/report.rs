//! The report of a Job, read from its pods, or the reason for a missing report. Pure.

use crate::controller::desired::provision::{CONTAINER, JOB_DEADLINE};
use crate::controller::runs::{Run, State};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::ResourceExt as _;
use reckon_contract::provisioning::{Reason, Report};

/// The report of a finished run, from its pods. If there is no report, returns one with this failure.
#[must_use]
pub fn report(run: &Run, pods: &[Pod], seen: Option<&str>) -> Report {
    let own: Vec<&Pod> = own(run, pods);
    let parsed = own.iter().find_map(|pod| {
        let message = ended(pod)?.2?;
        Some(Report::parse(message))
    });
    let why = match parsed {
        Some(Ok(report)) => return report,
        Some(Err(error)) => error.to_string(),
        None => silence(run, &own, seen),
    };
    failure(run, &format!("ended without a report: {why}"))
}

/// Why a run's pod does not start, as kubelet or scheduler reports it; `None`: the run has just started, or the pod
/// runs.
#[must_use]
pub fn stalled(run: &Run, pods: &[Pod]) -> Option<String> {
    let own = own(run, pods);
    if own.is_empty() {
        return Some(NO_POD.to_owned());
    }
    own.iter().find_map(|pod| waiting(pod))
}

/// A report for a run that failed without one: the reason, and what to do.
#[must_use]
pub fn failure(run: &Run, why: &str) -> Report {
    Report::Failed {
        reason: Reason::ProvisioningFailed,
        message: format!(
            "the Job {name} {why}; `kubectl describe job {name}` says more",
            name = run.name
        ),
    }
}

/// Exit code of a program that rejects its arguments.
const USAGE: i32 = 2;

const NO_POD: &str = "it has no pod: a quota or admission control may refuse it";

/// The pods that the Job controls, newest first.
fn own<'a>(run: &Run, pods: &'a [Pod]) -> Vec<&'a Pod> {
    let mut own: Vec<&Pod> = pods
        .iter()
        .filter(|pod| {
            let mut owners = pod.owner_references().iter();
            owners.any(|owner| owner.controller == Some(true) && owner.uid == run.uid)
        })
        .collect();
    own.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.clone()));
    own
}

/// Exit code, reason and message of a pod whose program has ended.
fn ended(pod: &Pod) -> Option<(i32, Option<&str>, Option<&str>)> {
    let end = state(pod)?.terminated.as_ref()?;
    let message = end.message.as_deref();
    Some((
        end.exit_code,
        end.reason.as_deref(),
        message.filter(|message| !message.is_empty()),
    ))
}

/// The state of the program's container: a cluster may have added other containers.
fn state(pod: &Pod) -> Option<&ContainerState> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let program = containers.find(|container| container.name == CONTAINER);
    program?.state.as_ref()
}

fn silence(run: &Run, own: &[&Pod], seen: Option<&str>) -> String {
    let of_pod = own.iter().find_map(|pod| {
        let status = pod.status.as_ref()?;
        if let Some(reason) = &status.reason {
            let message = status.message.as_deref().unwrap_or_default();
            return Some(format!("its pod was ended ({reason}: {message})"));
        }
        if let Some((code, reason, _)) = ended(pod) {
            let reason = reason.map(|reason| format!(" ({reason})"));
            let advice = if code == USAGE {
                ": is the operator's --api-image of the operator's own version?"
            } else {
                ""
            };
            return Some(format!(
                "its container ended with code {code}{}{advice}",
                reason.unwrap_or_default()
            ));
        }
        waiting(pod)
    });
    let why = of_pod.or_else(|| seen.map(str::to_owned));
    let is_late = matches!(&run.state, State::Over { failure: Some(reason), .. } if reason == "DeadlineExceeded");
    match (is_late, why) {
        (true, Some(why)) => format!(
            "it was not finished within {} s; {why}",
            JOB_DEADLINE.as_secs()
        ),
        (true, None) => format!("it was not finished within {} s", JOB_DEADLINE.as_secs()),
        (false, Some(why)) => why,
        (false, None) => "its pod was deleted".to_owned(),
    }
}

/// Why a pod does not start.
fn waiting(pod: &Pod) -> Option<String> {
    if let Some(sentence) = state(pod).and_then(container) {
        return Some(sentence);
    }
    let unscheduled = pod
        .status
        .as_ref()?
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    let message = unscheduled.message.as_deref().unwrap_or_default();
    Some(format!("its pod has no node: {message}"))
}

fn container(state: &ContainerState) -> Option<String> {
    let waiting = state.waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    let advice = match reason {
        "ContainerCreating" | "PodInitializing" => return None,
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
            ", its image cannot be pulled: check the operator's --api-image, spec.pod.imagePullSecrets and the node's way to the registry"
        }
        _ => "",
    };
    let message = waiting.message.as_deref();
    let message = message.map(|message| format!(": {message}"));
    Some(format!("{reason}{advice}{}", message.unwrap_or_default()))
}

#[cfg(test)]
mod tests;
