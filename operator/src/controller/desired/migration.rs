//! The Job that creates tables and indexes, while pods may already serve.

use super::deployment::{database_env, plain};
use super::digest::digest;
use super::facts::Facts;
use super::job_pod::{Program, job_pod};
use super::labels::{Component, metadata};
use crate::controller::instance::Instance;
use reckon_contract::env;
use serde_json::{Value, json};
use std::time::Duration;

/// Time limit for all attempts together. It is longer than the creation of an index takes, and ends a pod that would
/// never end.
const DEADLINE: Duration = Duration::from_hours(12);

/// The Job, if the operator should create tables and indexes. Its name contains a digest of everything that could
/// change its outcome.
#[must_use]
pub fn job(instance: &Instance, facts: &Facts) -> Option<Value> {
    let secret = instance.migration_secret()?;
    let mut variables = database_env(instance, &secret);
    if !instance.tuning.tables.is_default() {
        // The Job does not get the tuning file, because each of the frequent changes of this file would run the Job
        // again.
        variables.push(plain(
            env::TABLES,
            &json!(instance.tuning.tables).to_string(),
        ));
    }
    let program = Program {
        command: "migrate",
        image: &instance.image,
        env: variables,
    };
    let pod = job_pod(instance, Component::Migrate, program);
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
