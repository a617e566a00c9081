//! The Job that makes tables and indexes, beside pods that may serve already.

use super::deployment::{USER, container_security, database_ca_volume, database_env, pod_security};
use super::labels::{Component, labels, metadata};
use super::{Facts, digest};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// The Job, if somebody is to make tables and indexes. Whatever could change its outcome is in its name.
#[must_use]
pub fn job(instance: &Instance, facts: &Facts) -> Option<Value> {
    let secret = instance.migration_secret()?;
    let mut pod = json!({
        "metadata": {"labels": labels(instance, Component::Migrate)},
        "spec": {
            "serviceAccountName": instance.name,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            // A pod a try: each keeps what it said.
            "restartPolicy": "Never",
            "securityContext": pod_security(USER),
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
    if !instance.pod.image_pull_secrets.is_empty() {
        pod["spec"]["imagePullSecrets"] = json!(instance.pod.image_pull_secrets);
    }
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
        "spec": {"backoffLimit": 5, "template": pod},
    }))
}
