//! The pod of a Job that runs a command of the API's image with a login to the database.

use super::deployment::{USER, container_security, database_ca_volume, pod_security};
use super::labels::Component;
use super::placement;
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// The program that runs in the pod.
pub(super) struct Program<'a> {
    /// Name of the container, and the command of `reckon-api`.
    pub command: &'a str,
    pub image: &'a str,
    pub env: Vec<Value>,
}

/// The template of a pod that runs `program` once.
pub(super) fn job_pod(instance: &Instance, component: Component, program: Program<'_>) -> Value {
    let Program {
        command,
        image,
        env,
    } = program;
    let mut pod = json!({
        "metadata": placement::metadata_of_job(instance, component),
        "spec": {
            "serviceAccountName": instance.name,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // One pod for each attempt, so that its log and its report are kept.
            "restartPolicy": "Never",
            "securityContext": pod_security(instance, USER),
            "containers": [{
                "name": command,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "args": [command],
                "env": env,
                "resources": {
                    "requests": {"cpu": "50m", "memory": "64Mi"},
                    "limits": {"memory": "64Mi"},
                },
                "securityContext": container_security(),
            }],
        },
    });
    placement::place(&mut pod["spec"], instance);
    if let Some((volume, mount)) = database_ca_volume(instance) {
        pod["spec"]["volumes"] = json!([volume]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([mount]);
    }
    pod
}
