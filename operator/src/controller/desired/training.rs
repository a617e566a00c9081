//! The `CronJob` that trains the model of `NextBasket` and publishes it in the database.
//!
//! The connection budget counts one connection for the `CronJob`, from its creation until it is gone. So at most one of
//! its pods may run at a time. A run is skipped while another one is active, and a pod is replaced only after it has
//! ended. The kubelet ends a pod that exceeds its time, even on a node that is cut off from the API server.

use super::deployment::{database_env, tuning_env, tuning_volume};
use super::job_pod::{Program, job_pod};
use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use crate::crd::Training;
use serde_json::{Value, json};

/// Command of `reckon-api`, and the end of the name of the `CronJob`.
const COMMAND: &str = "train";
/// How long after the scheduled time a run may still start, in seconds. So after an outage of the control plane, the
/// training need not wait for the next day.
const STARTS_WITHIN: u32 = 3600;
/// How long a pod may take to end, in seconds. It is short, because an interrupted training has published nothing.
const GRACE: u32 = 5;

/// Retries of a failed pod, after 10, 20 and 40 s. The session of a killed pod can keep the only connection of its
/// account until the session's statement ends. A retry before that fails.
const RETRIES: u32 = 3;

/// The name of the `CronJob` of a resource, whether it trains or not.
#[must_use]
pub fn name(instance: &Instance) -> String {
    instance.child(COMMAND)
}

/// The `CronJob`, if the resource trains; `tuning` is the `ConfigMap` of the pods' tuning.
#[must_use]
pub fn cron_job(instance: &Instance, tuning: &str) -> Option<Value> {
    let training = instance.training.as_ref()?;
    let secret = instance.training_secret()?;
    let template = pod(instance, training, &secret, tuning);
    Some(json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": metadata(instance, Component::Train, &name(instance)),
        "spec": {
            "schedule": training.schedule,
            "timeZone": "Etc/UTC",
            "suspend": training.suspend,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": STARTS_WITHIN,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 3,
            "jobTemplate": {
                // The Jobs do not have the label by which the operator finds its children, because they belong to the
                // `CronJob`.
                "metadata": {"labels": selector(instance, Component::Train)},
                "spec": {
                    "backoffLimit": RETRIES,
                    "completions": 1,
                    "parallelism": 1,
                    "podReplacementPolicy": "Failed",
                    "activeDeadlineSeconds": training.deadline_seconds,
                    "template": template,
                },
            },
        },
    }))
}

fn pod(instance: &Instance, training: &Training, secret: &str, tuning: &str) -> Value {
    let mut env = vec![tuning_env()];
    env.extend(database_env(instance, secret));
    let program = Program {
        command: COMMAND,
        image: &instance.image,
        env,
    };
    let mut pod = job_pod(instance, Component::Train, program);
    let spec = &mut pod["spec"];
    spec["activeDeadlineSeconds"] = json!(training.deadline_seconds);
    spec["terminationGracePeriodSeconds"] = json!(GRACE);
    let (volume, mount) = tuning_volume(tuning);
    push(&mut spec["volumes"], volume);
    let container = &mut spec["containers"][0];
    push(&mut container["volumeMounts"], mount);
    container["resources"] = json!(training.resources);
    pod
}

/// Adds to a list that may be absent.
fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        absent => *absent = json!([item]),
    }
}
