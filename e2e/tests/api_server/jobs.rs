//! Runs the Jobs of provisioning for tests without a Job controller, kubelet or garbage collector: their pods are
//! objects with the results of a real `reckon-api provision` with the same variables.

use crate::fixture::Fixture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use reckon_contract::env;
use reckon_harness::process::Process;
use reckon_operator::controller::desired::labels::PROVISION_JOBS;
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// How often it checks: one request for the whole namespace.
const PERIOD: Duration = Duration::from_millis(250);
/// Maximum number of pods of a namespace that run at the same time, as on a small node, so that they leave processor
/// time for others.
const PLACES: usize = 4;
/// More time than a step may take.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Runs until it is dropped.
pub struct Jobs {
    task: JoinHandle<()>,
}

impl Jobs {
    /// Begins to run those of a namespace.
    pub fn run(fixture: &Fixture) -> Self {
        let runner = Runner {
            jobs: fixture.children(Kind::Job),
            pods: Api::namespaced(fixture.client.clone(), &fixture.namespace),
            secrets: Api::namespaced(fixture.client.clone(), &fixture.namespace),
            places: Arc::new(Semaphore::new(PLACES)),
        };
        let task = tokio::spawn(async move {
            let mut begun = BTreeSet::new();
            let mut ticks = tokio::time::interval(PERIOD);
            loop {
                ticks.tick().await;
                // If the server does not answer, or an object changed in the meantime, the next check is enough.
                runner.turn(&mut begun).await.ok();
            }
        });
        Self { task }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Runner {
    jobs: Api<DynamicObject>,
    pods: Api<Pod>,
    secrets: Api<Secret>,
    places: Arc<Semaphore>,
}

impl Runner {
    async fn turn(&self, begun: &mut BTreeSet<String>) -> kube::Result<()> {
        let selection = ListParams::default().labels(PROVISION_JOBS);
        for job in self.jobs.list(&selection).await? {
            if job.metadata.deletion_timestamp.is_some() {
                self.collect(&job).await?;
            } else if begun.insert(job.uid().unwrap()) {
                let runner = self.clone();
                tokio::spawn(async move {
                    // The Job was deleted in the meantime.
                    runner.run(&job).await.ok();
                });
            }
        }
        Ok(())
    }

    /// Deletes the Job's pods, like the garbage collector in a foreground deletion.
    async fn collect(&self, job: &DynamicObject) -> kube::Result<()> {
        let now = DeleteParams::default().grace_period(0);
        self.pods.delete(&pod_name(job), &now).await.ok();
        let body = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let name = job.name_any();
        self.jobs
            .patch(&name, &PatchParams::default(), &body)
            .await
            .map(drop)
    }

    async fn run(&self, job: &DynamicObject) -> kube::Result<()> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        let mut pod = job.data["spec"]["template"].clone();
        pod["metadata"]["name"] = json!(pod_name(job));
        pod["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": job.name_any(),
            "uid": job.uid(),
            "controller": true,
        }]);
        let container = pod["spec"]["containers"][0].clone();
        let pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
        self.pods.create(&PostParams::default(), &pod).await?;
        let started = Timestamp::now();
        self.report(job, json!({"startTime": seconds(started), "active": 1}))
            .await?;
        let (code, message) = self.execute(&container).await?;
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({
            "phase": phase,
            "containerStatuses": [{
                "name": "provision", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": code, "message": message}},
            }],
        });
        let name = pod_name(job);
        self.pods
            .patch_status(
                &name,
                &PatchParams::default(),
                &Patch::Merge(json!({"status": status})),
            )
            .await?;
        self.report(job, end(code, started)).await
    }

    async fn report(&self, job: &DynamicObject, status: Value) -> kube::Result<()> {
        let body = Patch::Merge(json!({"status": status}));
        let name = job.name_any();
        self.jobs
            .patch_status(&name, &PatchParams::default(), &body)
            .await
            .map(drop)
    }

    /// Runs the program of a container. Returns its exit code, and its termination message.
    async fn execute(&self, container: &Value) -> kube::Result<(i32, String)> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_api-under-test"));
        let arguments = container["args"].as_array().unwrap().iter();
        command
            .env_clear()
            .args(arguments.map(|argument| argument.as_str().unwrap()))
            .env(env::TERMINATION_LOG, log.path());
        for variable in container["env"].as_array().unwrap() {
            let value = self.value(variable).await?;
            command.env(variable["name"].as_str().unwrap(), value);
        }
        let mut process = Process::new(command);
        process.start();
        let exit = process.exit(TIMEOUT).await;
        let message = std::fs::read_to_string(log.path()).unwrap();
        Ok((exit.status.code().unwrap_or(137), message))
    }

    async fn value(&self, variable: &Value) -> kube::Result<String> {
        if let Some(value) = variable["value"].as_str() {
            return Ok(value.to_owned());
        }
        let reference = &variable["valueFrom"]["secretKeyRef"];
        let secret = reference["name"].as_str().unwrap();
        let data = self.secrets.get(secret).await?.data.unwrap();
        let value = data[reference["key"].as_str().unwrap()].0.clone();
        Ok(String::from_utf8(value).unwrap())
    }
}

fn pod_name(job: &DynamicObject) -> String {
    format!("{}-0", job.name_any())
}

/// The status of a Job whose pod has ended, as its controller would write it.
fn end(code: i32, started: Timestamp) -> Value {
    let now = seconds(Timestamp::now());
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "True", "reason": "PlayedHere", "message": "",
            "lastProbeTime": now, "lastTransitionTime": now,
        })
    };
    let mut status = json!({
        "startTime": seconds(started), "active": null, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {},
    });
    if code == 0 {
        status["succeeded"] = json!(1);
        status["completionTime"] = json!(now);
        status["conditions"] = json!([condition("SuccessCriteriaMet"), condition("Complete")]);
    } else {
        status["failed"] = json!(1);
        status["conditions"] = json!([condition("FailureTarget"), condition("Failed")]);
    }
    status
}

/// A moment in the precision of the API server.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap().to_string()
}
