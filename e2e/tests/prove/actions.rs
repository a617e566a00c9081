//! What happens to a service while its connections are counted; each function waits until the service has settled.

use super::subject::{Mode, PODS, ROLLOUT, SOON, Subject};
use reckon_e2e::cluster::Cluster;
use serde_json::json;
use std::thread::{scope, sleep};
use std::time::Duration;

pub fn rolling_update(subject: &Subject<'_>) {
    subject.replaced(3, || subject.restart("1"));
}

pub fn rollout_of_10(subject: &Subject<'_>) {
    subject.replaced(10, || subject.restart("1"));
}

pub fn rollout_of_20(subject: &Subject<'_>) {
    subject.replaced(20, || subject.restart("1"));
}

/// A rollout while the autoscaler adds pods, and one while it removes them.
pub fn scaled_out_and_in(subject: &Subject<'_>) {
    subject.replaced(5, || {
        subject.restart("1");
        subject.mark("minimum 5");
        subject.patch(&json!({"autoscaling": {"minReplicas": 5}}));
    });
    subject.replaced(2, || {
        subject.restart("2");
        subject.mark("minimum 2");
        subject.patch(&json!({"autoscaling": {"minReplicas": 2}}));
    });
}

/// If the server enforces the budget, the account's limit is lowered first. Otherwise the limit only detects an excess,
/// so it is lowered when the pods should be within the new budget.
pub fn budget_halved(subject: &Subject<'_>) {
    if subject.mode == Mode::Server {
        subject.database.limit(10);
    }
    subject.mark("budget 10");
    change_budget(subject, 10);
    subject.database.limit(10);
    subject.mark("settled");
    subject.within(10, Duration::from_secs(10));
}

/// If the server enforces the budget, the budget is raised first, because pods have only their base under a greater
/// limit. Otherwise the account's limit only detects an excess of the new budget.
pub fn budget_doubled(subject: &Subject<'_>) {
    if subject.mode == Mode::Server {
        subject.mark("budget 40");
        change_budget(subject, 40);
        subject.mark("limit 40");
        subject.database.limit(40);
        // Sessions of pods that run may report the former limit for some time.
        subject.replaced(3, || subject.restart("1"));
    } else {
        subject.database.limit(40);
        subject.mark("budget 40");
        change_budget(subject, 40);
    }
}

fn change_budget(subject: &Subject<'_>, budget: u32) {
    subject.replaced(3, || {
        subject.patch(&json!({"mysql": {"connectionBudget": budget}}));
    });
}

/// With two connections for each pod, the budget is enough for a maximum of 12 pods.
pub fn maximum_beyond_budget(subject: &Subject<'_>) {
    subject.mark("minimum 10, maximum 50");
    subject.patch(&json!({"autoscaling": {"minReplicas": 10, "maxReplicas": 50}}));
    subject.condition("BudgetFeasible=False MaxReplicasLimited");
    subject.settled(10);
}

pub fn five_changes(subject: &Subject<'_>) {
    subject.replaced(3, || {
        for change in 1..=5 {
            subject.restart(&change.to_string());
            sleep(Duration::from_secs(12));
        }
    });
}

pub fn bad_image(subject: &Subject<'_>) {
    subject.mark("an image that does not exist");
    subject.patch(&json!({"image": "reckon/reckon-api:not-there"}));
    subject.condition("Degraded=True PodsFailing");
    subject.mark("the former image");
    subject.patch(&json!({"image": null}));
    subject.settled(3);
}

/// Two pods that ignore SIGTERM: each has the grace period of its template.
pub fn grace_lowered(subject: &Subject<'_>) {
    let former = subject.pods();
    subject.replaced(3, || {
        subject.restart("1");
        let pod = subject.first_terminating(&former);
        let suspended = subject.process(&pod).suspend();
        subject.mark("a pod ignores SIGTERM; grace period 15 s");
        subject.patch(&json!({"pod": {"terminationGracePeriodSeconds": 15}}));
        subject.gone(&[pod]);
        drop(suspended);
    });
}

pub fn ignores_sigterm(subject: &Subject<'_>) {
    let former = subject.pods();
    subject.replaced(3, || {
        subject.restart("1");
        let pod = subject.first_terminating(&former);
        let suspended = subject.process(&pod).suspend();
        subject.mark("the pod ignores SIGTERM");
        subject.gone(&[pod]);
        drop(suspended);
    });
}

/// The server keeps the sessions of a killed process while their statements wait for the table.
pub fn killed_with_locked_table(subject: &Subject<'_>) {
    let lock = "USE prove; LOCK TABLES searches WRITE; SELECT SLEEP(20);";
    let pod = subject.pods().remove(0);
    scope(|scope| {
        let database = subject.database;
        let locking = scope.spawn(move || database.sql(lock));
        subject.mark("the table is locked");
        sleep(Duration::from_secs(3));
        subject.process(&pod).kill();
        subject.mark("a pod is killed");
        subject
            .cluster
            .kubectl(&format!("delete pod {pod} --grace-period=0 --force"));
        locking.join().unwrap();
        subject.mark("the table is unlocked");
    });
    subject.gone(&[pod]);
    subject.settled(3);
}

pub fn operator_killed(subject: &Subject<'_>) {
    subject.replaced(3, || {
        subject.restart("1");
        for seconds in [3, 20] {
            sleep(Duration::from_secs(seconds));
            for process in subject.processes.named("reckon-operator") {
                process.kill();
            }
            subject.mark("the operator is killed");
        }
    });
}

pub fn api_server_unavailable(subject: &Subject<'_>) {
    subject.replaced(3, || {
        subject.restart("1");
        subject
            .cluster
            .eventually(SOON, "the rollout has begun", || subject.pods().len() > 3);
        let server = subject.processes.named("kube-apiserver").remove(0);
        let suspended = server.suspend();
        subject.mark("the API server hangs");
        sleep(Duration::from_secs(30));
        drop(suspended);
        subject.mark("the API server continues");
        subject
            .cluster
            .eventually(SOON, "the API server answers", || {
                subject
                    .cluster
                    .try_kubectl("get --raw /readyz --request-timeout=5s")
                    .is_ok()
            });
    });
}

/// With MySQL both passwords are valid until all pods are replaced. MariaDB has one: new connections of the former pods fail.
pub fn secret_rotated(subject: &Subject<'_>) {
    subject.replaced(3, || {
        subject.database.new_password("another-for-a-test");
        subject.mark("another password");
        subject.cluster.patch_object(
            "secret/prove-login",
            r#"{"stringData": {"password": "another-for-a-test"}}"#,
        );
    });
    subject.database.discard_former_password();
}

/// What `kubectl drain` does of all pods at once: evictions, which are repeated until they are allowed.
pub fn evicted(subject: &Subject<'_>) {
    let former = subject.pods();
    subject.mark("all pods are evicted");
    subject.cluster.eventually(ROLLOUT, "all are evicted", || {
        let pods = subject.pods();
        let left: Vec<_> = former.iter().filter(|pod| pods.contains(pod)).collect();
        for pod in &left {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": "default"}});
            let path = format!("/api/v1/namespaces/default/pods/{pod}/eviction");
            subject.cluster.run(&["create", "--raw", &path, "-f", "-"], &eviction.to_string()).ok();
        }
        left.is_empty()
    });
    subject.settled(3);
}

/// The node with most of the pods. It is empty of the API's pods from then on.
pub fn node_drained(subject: &Subject<'_>) {
    let _cordoned = subject.drain();
    subject.settled(3);
}

pub fn only_pod_drained(subject: &Subject<'_>) {
    let _cordoned = subject.drain();
    subject.settled(1);
}

/// In planned mode the evictions are refused until the rollout is over.
pub fn drained_during_rollout(subject: &Subject<'_>) {
    let mut cordoned = None;
    subject.replaced(3, || {
        subject.restart("1");
        subject
            .cluster
            .eventually(SOON, "the rollout has begun", || subject.pods().len() > 3);
        cordoned = Some(subject.drain());
    });
}

pub fn pods_deleted(subject: &Subject<'_>) {
    subject.replaced(3, || {
        subject.mark("kubectl delete pod --all");
        subject
            .cluster
            .kubectl(&format!("delete pod -l {PODS} --wait=false"));
    });
}

pub fn rollout_restart(subject: &Subject<'_>) {
    subject.replaced(3, || {
        subject.mark("kubectl rollout restart");
        subject.cluster.kubectl("rollout restart deployment/prove");
    });
}

pub fn deployment_scaled(subject: &Subject<'_>) {
    subject.mark("kubectl scale --replicas=9");
    subject
        .cluster
        .kubectl("scale deployment/prove --replicas=9");
    subject
        .cluster
        .eventually(SOON, "the operator restores the number", || {
            subject.cluster.object("deployment prove")["spec"]["replicas"] == 3
        });
    subject.settled(3);
}

/// A node to which no pods are assigned, until the value is dropped.
pub struct Cordoned<'a> {
    cluster: &'a Cluster,
    node: String,
}

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        self.cluster
            .try_kubectl(&format!("uncordon {}", self.node))
            .ok();
    }
}

impl<'a> Subject<'a> {
    /// Drains the node that has most of the pods: it is cordoned, and the pods are evicted until none is left.
    pub fn drain(&self) -> Cordoned<'a> {
        let nodes = self.cluster.kubectl(&format!(
            "get pods -l {PODS} -o jsonpath={{range.items[*]}}{{.spec.nodeName}},{{end}}"
        ));
        let nodes: Vec<_> = nodes.trim_end_matches(',').split(',').collect();
        let count = |node: &&str| nodes.iter().filter(|other| *other == node).count();
        let node = nodes.iter().copied().max_by_key(count).unwrap();
        let cordoned = Cordoned {
            cluster: self.cluster,
            node: node.to_owned(),
        };
        self.mark("kubectl drain");
        // The database's pod must stay.
        self.cluster.kubectl(&format!(
            "drain {node} --ignore-daemonsets --delete-emptydir-data --pod-selector={PODS} --timeout=900s"
        ));
        self.mark("the node is drained");
        cordoned
    }
}

impl Subject<'_> {
    /// Checks that for a while there are at most this many connections.
    fn within(&self, bound: u32, time: Duration) {
        let count = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'prove'";
        let end = self.seconds() + time.as_secs_f64();
        while self.seconds() < end {
            let connections: u32 = self.database.sql(count).trim().parse().unwrap();
            assert!(
                connections <= bound,
                "{connections} connections, {bound} allowed"
            );
        }
    }
}
