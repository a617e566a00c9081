//! The Job that does one step of provisioning, with the operator's image of the API and the administrator's login.
//! `database` creates it; it is not applied, because it is new each time.

use super::deployment::{database_env, plain, secret_key};
use super::digest::digest;
use super::job_pod::{Program, job_pod};
use super::labels::{Component, metadata};
use crate::controller::instance::Instance;
use reckon_contract::env;
use reckon_contract::provisioning::{DEADLINE, Step, Task};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::time::Duration;

/// Annotation of the Job: its [`Task`].
pub const TASK: &str = "reckon.dev/task";
/// Annotation of the Job: everything that could change its outcome, except the time.
pub const INPUTS: &str = "reckon.dev/inputs";
/// Annotation of the Job: host and port of the server.
pub const SERVER: &str = "reckon.dev/server";
/// Annotation of the Job: its number; the greatest one is the newest.
pub const RUN: &str = "reckon.dev/run";
/// Annotation of the Job: how many Jobs with the same inputs failed before it, in a row.
pub const FAILURES: &str = "reckon.dev/failures";

/// Command of `reckon-api`, and name of its container.
pub const CONTAINER: &str = "provision";
/// Key of the operator's database Secret that holds the new password until it is published.
pub const NEXT_PASSWORD: &str = "next-password";

/// Twice the maximum run time of the program. The second half is for scheduling, the image pull and the end of the pod.
pub const JOB_DEADLINE: Duration = DEADLINE.saturating_mul(2);

/// A step to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// What to do, and for which resource.
    pub task: Task,
    /// Everything that could change its outcome, except the time.
    pub inputs: String,
}

impl Wanted {
    /// Creates a step. `digests` are those of the Secrets that it reads.
    #[must_use]
    pub fn new(instance: &Instance, task: Task, digests: &str) -> Self {
        // Two values are not inputs: the fence, because a change of it needs no new check of the rest; and an empty
        // list of tables to write to, which counts like `None`.
        let alike = match &task.step {
            Step::Ensure { writes, .. } => Task {
                step: Step::Ensure {
                    max_user_connections: NonZeroU32::MIN,
                    writes: writes.clone().filter(|tables| !tables.is_empty()),
                },
                ..task.clone()
            },
            _ => task.clone(),
        };
        let content = format!("{}{digests}", pod(instance, &alike));
        Self {
            task,
            inputs: digest(content.as_bytes()),
        }
    }

    /// The Job, for a resource with a provisioned database.
    #[must_use]
    pub fn job(&self, instance: &Instance, run: u64, failures: u32) -> Value {
        let hash = digest(format!("{} {run}", self.inputs).as_bytes());
        let name = instance.child(&format!("provision-{hash}"));
        let mut metadata = metadata(instance, Component::Provision, &name);
        metadata["annotations"] = json!({
            TASK: self.task.to_json(),
            INPUTS: self.inputs,
            SERVER: server(instance),
            RUN: run.to_string(),
            FAILURES: failures.to_string(),
        });
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {
                // The operator retries, with pauses.
                "backoffLimit": 0,
                "activeDeadlineSeconds": JOB_DEADLINE.as_secs(),
                "template": pod(instance, &self.task),
            },
        })
    }
}

/// Host and port of the database server.
#[must_use]
pub fn server(instance: &Instance) -> String {
    let at = instance.database();
    format!("{}:{}", at.host, at.port)
}

fn pod(instance: &Instance, task: &Task) -> Value {
    let program = Program {
        command: CONTAINER,
        image: &instance.provision_image,
        env: environment(instance, task),
    };
    let mut pod = job_pod(instance, Component::Provision, program);
    // A step may be interrupted at any time.
    pod["spec"]["terminationGracePeriodSeconds"] = json!(5);
    pod
}

/// The server's address, the administrator's login, and the passwords that the step needs.
fn environment(instance: &Instance, task: &Task) -> Vec<Value> {
    let admin = instance.mysql.provisioned.as_ref();
    let admin = admin.map_or("", |provisioned| &provisioned.admin.secret_name);
    let own = instance.database_secret();
    let mut variables = database_env(instance, admin);
    variables.push(plain(env::PROVISION_TASK, &task.to_json()));
    match task.step {
        Step::Ensure { .. } => {
            variables.push(secret_key(env::PROVISION_PASSWORD, &own, "password"));
            if let Some(secret) = instance.migration_account_secret() {
                let name = env::PROVISION_MIGRATION_PASSWORD;
                variables.push(secret_key(name, &secret, "password"));
            }
            if let Some(secret) = instance.training_account_secret() {
                let name = env::PROVISION_TRAINING_PASSWORD;
                variables.push(secret_key(name, &secret, "password"));
            }
        }
        Step::SetFence { .. } => {}
        Step::AddPassword => {
            let name = env::PROVISION_NEXT_PASSWORD;
            variables.push(secret_key(name, &own, NEXT_PASSWORD));
        }
        Step::DiscardPassword => {
            variables.push(secret_key(env::PROVISION_PASSWORD, &own, "password"));
        }
    }
    variables
}
