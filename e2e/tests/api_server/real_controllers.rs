//! Kubernetes's own controllers of Deployments, `ReplicaSet`s and `PodDisruptionBudget`s, and its eviction API,
//! compared with the same steps as the operator's model of them. No kubelet runs the pods: this test sets their status.

use crate::cluster::Cluster;
use crate::fixture::{Fixture, SOON};
use futures_util::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};

const SCENARIOS: &str = include_str!("../../../operator/src/tuning/plan/model/scenarios.txt");
const NAME: &str = "shop";

#[tokio::test]
async fn kubernetes_behaves_as_the_model_of_the_connection_budget_assumes() {
    let cluster = Cluster::own().await;
    let _manager = controller_manager(&cluster);
    let mut scenarios: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in SCENARIOS.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("  ") {
            Some(step) => scenarios.last_mut().unwrap().1.push(step),
            None if !line.is_empty() => scenarios.push((line, Vec::new())),
            None => {}
        }
    }
    assert!(scenarios.len() > 10);
    let plays = scenarios
        .into_iter()
        .enumerate()
        .map(|(number, (name, steps))| {
            let cluster = &cluster;
            async move {
                let fixture = Fixture::new(cluster, &format!("scenario-{number}")).await;
                let accounts: Api<ServiceAccount> =
                    Api::namespaced(fixture.client.clone(), &fixture.namespace);
                let account =
                    serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
                accounts
                    .create(&PostParams::default(), &account)
                    .await
                    .unwrap();
                let fixture = Fixture {
                    client: cluster.client_without_retries().await,
                    ..fixture
                };
                let stage = Stage { fixture };
                for step in steps {
                    stage.play(name, step).await;
                }
            }
        });
    join_all(plays).await;
}

/// A program that ends when this is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn controller_manager(cluster: &Cluster) -> Program {
    let started = Command::new(cluster.program("kube-controller-manager"))
        .arg(format!("--kubeconfig={}", cluster.kubeconfig().display()))
        .args([
            "--controllers=deployment-controller,replicaset-controller,disruption-controller",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=1000",
            "--kube-api-burst=1000",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Program(started.unwrap())
}

/// A namespace with one Deployment.
struct Stage {
    fixture: Fixture,
}

impl Stage {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.fixture.client.clone(), &self.fixture.namespace)
    }

    async fn create<K>(&self, object: Value)
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
    {
        let object = serde_json::from_value(object).unwrap();
        let api: Api<K> = self.api();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn merge(&self, spec: Value) {
        let deployments: Api<Deployment> = self.api();
        let body = Patch::Merge(json!({"spec": spec}));
        deployments
            .patch(NAME, &PatchParams::default(), &body)
            .await
            .unwrap();
    }

    async fn play(&self, scenario: &str, line: &str) {
        let (step, outcome) = line.split_once(" -> ").unwrap();
        let (answer, sizes) = outcome.split_once("; ").unwrap_or(("", outcome));
        let words: Vec<&str> = step.split_whitespace().collect();
        let number = |index: usize| -> usize { words[index].parse().unwrap() };
        let mut answered = "";
        match words[0] {
            "service" => {
                self.create::<Deployment>(deployment(number(1), number(2)))
                    .await;
            }
            "template" => {
                self.until_the_next_second().await;
                let labels = json!({"metadata": {"labels": {"template": words[1]}}});
                self.merge(json!({"template": labels})).await;
            }
            "scale" => self.merge(json!({"replicas": number(1)})).await,
            "surge" => {
                self.merge(json!({"strategy": {"rollingUpdate": {"maxSurge": number(1)}}}))
                    .await;
            }
            "pause" => self.merge(json!({"paused": true})).await,
            "resume" => self.merge(json!({"paused": null})).await,
            "ready" => {
                let pods = self.staying(words[1], false).await;
                for pod in pods.iter().take(number(2)) {
                    self.report(pod, true).await;
                }
            }
            "gone" => self.end_terminating().await,
            "budget" => self.write_budget(words[1] == "open").await,
            "evict" => answered = self.evict(words[1], words[2] == "ready").await,
            other => panic!("{other}"),
        }
        assert_eq!(answered, answer, "{scenario}: {step}");
        eventually(SOON, async || {
            for pod in self.pods().await {
                let status = pod.status.as_ref();
                let phase = status.and_then(|status| status.phase.as_deref());
                if phase != Some("Running") && pod.metadata.deletion_timestamp.is_none() {
                    self.report(&pod.name_any(), false).await;
                }
            }
            let found = self.sizes().await?;
            if found == sizes {
                Ok(())
            } else {
                Err(format!("{scenario}: {step}: {found} instead of {sizes}"))
            }
        })
        .await;
    }

    /// Kubernetes orders `ReplicaSet`s by the second in which they were created, and those of the same second by name.
    async fn until_the_next_second(&self) {
        let sets: Api<ReplicaSet> = self.api();
        let sets = sets.list(&ListParams::default()).await.unwrap().items;
        let created = sets
            .iter()
            .filter_map(kube::ResourceExt::creation_timestamp);
        let latest = created.map(|time| time.0).max();
        eventually(SOON, async || {
            latest.is_none_or(|latest| Timestamp::now().as_second() > latest.as_second())
        })
        .await;
    }

    async fn pods(&self) -> Vec<Pod> {
        let pods: Api<Pod> = self.api();
        pods.list(&ListParams::default()).await.unwrap().items
    }

    /// Names of pods of a template that do not terminate.
    async fn staying(&self, template: &str, ready: bool) -> Vec<String> {
        let pods = self.pods().await.into_iter().filter(|pod| {
            pod.metadata.deletion_timestamp.is_none()
                && pod.labels()["template"] == template
                && is_ready(pod) == ready
        });
        pods.map(|pod| pod.name_any()).collect()
    }

    /// Sets a pod's status as a kubelet does.
    async fn report(&self, pod: &str, ready: bool) {
        let ready = if ready { "True" } else { "False" };
        let condition = json!({
            "type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        let body = json!({"status": {"phase": "Running", "conditions": [condition]}});
        let pods: Api<Pod> = self.api();
        // The controllers write to pods at the same time, which can end in a conflict.
        eventually(SOON, async || {
            let parameters = PatchParams::default();
            match pods
                .patch_status(pod, &parameters, &Patch::Merge(&body))
                .await
            {
                Ok(_) => Ok(()),
                // The pod was removed in the meantime.
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                Err(error) => Err(format!("{error:?}")),
            }
        })
        .await;
    }

    async fn end_terminating(&self) {
        let pods: Api<Pod> = self.api();
        for pod in self.pods().await {
            if pod.metadata.deletion_timestamp.is_some() {
                let now = DeleteParams::default().grace_period(0);
                pods.delete(&pod.name_any(), &now).await.unwrap();
            }
        }
    }

    async fn write_budget(&self, open: bool) {
        let budgets: Api<PodDisruptionBudget> = self.api();
        let (least, most, unhealthy) = if open {
            (Value::Null, json!(1), "AlwaysAllow")
        } else {
            (json!(i32::MAX), Value::Null, "IfHealthyBudget")
        };
        let spec = json!({
            "selector": {"matchLabels": {"app": NAME}},
            "minAvailable": least,
            "maxUnavailable": most,
            "unhealthyPodEvictionPolicy": unhealthy,
        });
        if budgets.get_opt(NAME).await.unwrap().is_none() {
            let object = json!({"metadata": {"name": NAME}, "spec": spec});
            self.create::<PodDisruptionBudget>(object).await;
        } else {
            let body = Patch::Merge(json!({"spec": spec}));
            budgets
                .patch(NAME, &PatchParams::default(), &body)
                .await
                .unwrap();
        }
    }

    /// Evicts a pod once the status of the `PodDisruptionBudget` is up to date.
    async fn evict(&self, template: &str, ready: bool) -> &'static str {
        let budgets: Api<PodDisruptionBudget> = self.api();
        eventually(SOON, async || {
            let pods = self.pods().await;
            let healthy = pods
                .iter()
                .filter(|pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod))
                .count();
            let budget = budgets.get(NAME).await.unwrap();
            let status = budget.status.unwrap_or_default();
            let is_current = status.observed_generation == budget.metadata.generation
                && usize::try_from(status.current_healthy) == Ok(healthy)
                && status
                    .disrupted_pods
                    .as_ref()
                    .is_none_or(BTreeMap::is_empty);
            is_current
                .then_some(())
                .ok_or(format!("{status:?}, {healthy} ready"))
        })
        .await;
        let Some(pod) = self.staying(template, ready).await.into_iter().next() else {
            return "no such pod";
        };
        let pods: Api<Pod> = self.api();
        match pods.evict(&pod, &EvictParams::default()).await {
            Ok(_) => "evicted",
            Err(kube::Error::Api(status)) if status.code == 429 => "refused",
            Err(error) => panic!("{error}"),
        }
    }

    /// The `ReplicaSet`s, once the controllers have observed everything.
    async fn sizes(&self) -> Result<String, String> {
        let deployments: Api<Deployment> = self.api();
        let deployment = deployments.get(NAME).await.unwrap();
        let status = deployment.status.unwrap_or_default();
        if status.observed_generation != deployment.metadata.generation {
            return Err("the Deployment has not been observed".to_owned());
        }
        let sets: Api<ReplicaSet> = self.api();
        let mut found = Vec::new();
        for set in sets.list(&ListParams::default()).await.unwrap() {
            let template = set.labels()["template"].clone();
            let wanted = set
                .spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or(0);
            let status = set.status.unwrap_or_default();
            if status.observed_generation != set.metadata.generation {
                return Err(format!("ReplicaSet {template} has not been observed"));
            }
            let (there, available) = (status.replicas, status.available_replicas.unwrap_or(0));
            let mut staying = self.staying(&template, false).await;
            staying.extend(self.staying(&template, true).await);
            if usize::try_from(there) != Ok(staying.len()) {
                return Err(format!("pods of {template} have not been observed"));
            }
            if wanted + there > 0 {
                found.push(format!("{template} {wanted}/{there}/{available}"));
            }
        }
        found.sort();
        Ok(found.join(" "))
    }
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Its pods are on a node that does not exist, so they terminate until this test ends them.
fn deployment(replicas: usize, surge: usize) -> Value {
    json!({
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": NAME}},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0},
            },
            "template": {
                "metadata": {"labels": {"app": NAME, "template": "a"}},
                "spec": {
                    "nodeName": "none",
                    "containers": [{"name": "api", "image": "none"}],
                },
            },
        },
    })
}
