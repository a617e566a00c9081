//! The Job that makes tables and indexes, beside pods that may serve already.

use super::deployment::{USER, container_security, database_ca_volume, database_env, pod_security};
use super::digest::digest;
use super::facts::Facts;
use super::labels::{Component, metadata};
use super::placement;
use crate::controller::instance::Instance;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest time for all tries together: more than an index takes, and an end for a pod that never ends.
const DEADLINE: Duration = Duration::from_hours(12);

/// The Job, if somebody is to make tables and indexes. Whatever could change its outcome is in its name.
#[must_use]
pub fn job(instance: &Instance, facts: &Facts) -> Option<Value> {
    let secret = instance.migration_secret()?;
    let mut pod = json!({
        "metadata": placement::metadata_of_job(instance, Component::Migrate),
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
