//! Simulated controllers for tests without real ones: they create the pods of every Deployment, and report that the
//! pods exist and are ready.

use crate::fixture::Fixture;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use reckon_operator::controller::kind::Kind;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinHandle;

/// How often they check: two requests for the whole namespace.
const PERIOD: Duration = Duration::from_millis(250);

/// Simulates the controllers until it is dropped.
pub struct Controllers {
    task: JoinHandle<()>,
}

impl Controllers {
    /// Begins to play in a namespace.
    pub fn play(fixture: &Fixture) -> Self {
        let deployments = fixture.children(Kind::Deployment);
        let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(PERIOD);
            loop {
                ticks.tick().await;
                // If the server does not answer, or an object changed in the meantime, the next check is enough.
                turn(&deployments, &pods).await.ok();
            }
        });
        Self { task }
    }
}

impl Drop for Controllers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn turn(deployments: &Api<DynamicObject>, pods: &Api<Pod>) -> kube::Result<()> {
    let parameters = ListParams::default();
    // Pods of Jobs are created elsewhere.
    let of_deployments = parameters
        .clone()
        .labels("app.kubernetes.io/component!=provision");
    let there = pods.list_metadata(&of_deployments).await?;
    let there: BTreeSet<String> = there.iter().map(kube::ResourceExt::name_any).collect();
    let mut wanted = BTreeSet::new();
    for deployment in deployments.list(&parameters).await? {
        let replicas = deployment.data["spec"]["replicas"].as_u64().unwrap_or(1);
        let template = &deployment.data["spec"]["template"];
        let hash = deployment
            .annotations()
            .get("reckon.dev/template")
            .map_or("", String::as_str);
        let (mut running, mut refused) = (0, None);
        for number in 0..replicas {
            let name = format!("{}-{hash}-{number}", deployment.name_any()).replace("--", "-");
            if !there.contains(&name) {
                let mut pod = template.clone();
                pod["metadata"]["name"] = json!(name);
                let pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
                match pods.create(&PostParams::default(), &pod).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 403 => {
                        refused = Some(status.message.clone());
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
            running += 1;
            wanted.insert(name);
        }
        report(deployments, &deployment, running, refused).await?;
    }
    for superfluous in there.difference(&wanted) {
        pods.delete(superfluous, &DeleteParams::default().grace_period(0))
            .await?;
    }
    Ok(())
}

/// Writes the status like the controller of Deployments. `refused` is the reason for missing pods.
async fn report(
    deployments: &Api<DynamicObject>,
    deployment: &DynamicObject,
    running: u64,
    refused: Option<String>,
) -> kube::Result<()> {
    let mut status = json!({
        "observedGeneration": deployment.metadata.generation,
        "replicas": running,
        "updatedReplicas": running,
        "readyReplicas": running,
        "availableReplicas": running,
    });
    if let Some(message) = refused {
        let failure = json!({
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
        });
        status["conditions"] = json!([failure]);
    } else if deployment.data["status"]["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let was = &deployment.data["status"];
    let mut fields = status.as_object().into_iter().flatten();
    if fields.all(|(field, value): (_, &Value)| was[field] == *value) {
        return Ok(());
    }
    let body = Patch::Merge(json!({"status": status}));
    let name = deployment.name_any();
    deployments
        .patch_status(&name, &PatchParams::default(), &body)
        .await
        .map(drop)
}
