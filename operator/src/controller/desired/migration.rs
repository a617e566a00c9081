//! The Job that makes tables and indexes, beside pods that may serve already.

use super::deployment::{USER, container_security, database_ca_volume, database_env, pod_security};
use super::labels::{Component, metadata};
use super::{Facts, digest, placement};
use crate::controller::instance::Instance;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest time for all tries together: more than an index takes, and an end for a pod that never ends.
const DEADLINE: Duration = Duration::from_hours(12);

/// What keeps Istio (older versions read the annotation) and Linkerd from adding their proxy to a pod.
const NO_PROXY: [(&str, &str, &str); 3] = [
    ("labels", "sidecar.istio.io/inject", "false"),
    ("annotations", "sidecar.istio.io/inject", "false"),
    ("annotations", "linkerd.io/inject", "disabled"),
];

/// The Job, if somebody is to make tables and indexes. Whatever could change its outcome is in its name.
#[must_use]
pub fn job(instance: &Instance, facts: &Facts) -> Option<Value> {
    let secret = instance.migration_secret()?;
    let mut pod = json!({
        "metadata": pod_metadata(instance),
        "spec": {
            "serviceAccountName": instance.name,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // A pod a try: each keeps what it said.
            "restartPolicy": "Never",
            "securityContext": pod_security(instance, USER),
            "containers": [{
                "name": "migrate",
                "image": instance.image,
                "imagePullPolicy": "IfNotPresent",
                "args": ["migrate"],
                "env": database_env(instance, &secret),
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
    let content = format!("{pod}{}", facts.migration_digest);
    let name = instance.child(&format!("migrate-{}", digest(content.as_bytes())));
    Some(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(instance, Component::Migrate, &name),
        "spec": {
            "backoffLimit": 5,
            "activeDeadlineSeconds": DEADLINE.as_secs(),
            "template": pod,
        },
    }))
}

/// A proxy beside the program would outlive it, and the Job would never be complete. `spec.pod` may say otherwise, for
/// meshes whose proxies are native sidecars or a database that only the mesh reaches.
fn pod_metadata(instance: &Instance) -> Value {
    let mut metadata = placement::metadata(instance, Component::Migrate);
    for (field, name, value) in NO_PROXY {
        let given = &mut metadata[field][name];
        if given.is_null() {
            *given = json!(value);
        }
    }
    metadata
}
