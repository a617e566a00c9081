//! More and fewer pods: by load, and by the resource.

use super::budget::watched;
use super::{ROLLOUT, SOON};
use reckon_e2e::cluster::Cluster;
use reckon_e2e::load::Load;

/// The allowance of `k8s/samples/minimal.yaml`: 30 connections, of which 3 are reserved.
const ALLOWANCE: u64 = 27;
const MAXIMUM: usize = 3;

/// From one pod to three by load, and back to one.
pub fn by_load(cluster: &Cluster) {
    // Each request reads the database, and the CPU request is so small that little load is a high percentage of it.
    cluster.patch(
        r#"{"spec": {
            "replicas": null,
            "autoscaling": {"minReplicas": 1, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
            "cache": {"memory": {"percentOfLimit": 0}},
            "pod": {"resources": {"requests": {"cpu": "30m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}}}
        }}"#,
    );
    cluster.settled(1, ROLLOUT);
    cluster.eventually(SOON, "the one pod may be evicted", || {
        cluster.object("pdb shop")["status"]["disruptionsAllowed"] == 1
    });
    let seen = watched(cluster, || {
        let load = Load::start(cluster, "shop", 200);
        cluster.eventually(ROLLOUT, "as many pods as there may be", || {
            cluster.service()["status"]["readyReplicas"] == MAXIMUM
        });
        load.stop().assert_all_answered(500);
        let few = Load::start(cluster, "shop", 10);
        cluster.settled(1, ROLLOUT);
        few.stop().assert_all_answered(100);
    });
    seen.assert_within(ALLOWANCE);
}

/// Changes the age of answers, the maximum and the budget together, in both directions. In between, the operator is
/// killed.
pub fn by_the_resource(cluster: &Cluster) {
    // Too few requests to cause a second pod.
    let load = Load::start(cluster, "shop", 20);
    let shrinking = watched(cluster, || {
        edit(cluster, 6, 1800, 27);
        cluster.settled(1, ROLLOUT);
    });
    // (27 - 3) / (6 + 2)
    shrinking.assert_within(ALLOWANCE);
    assert!(shrinking.first("template 3") < shrinking.first("maximum 6"));
    effective(cluster, 3, 27);

    let growing = watched(cluster, || {
        edit(cluster, 2, 3600, 60);
        cluster.eventually(SOON, "the maximum is lower", || {
            cluster.object("hpa shop")["spec"]["maxReplicas"] == 2
        });
        cluster.kubectl("delete pod -n reckon-system -l app.kubernetes.io/name=reckon-operator --grace-period=0 --force");
        cluster.settled(1, ROLLOUT);
    });
    // (60 - 3) / (2 + 2)
    growing.assert_within(57);
    assert!(growing.first("maximum 2") < growing.first("template 14"));
    effective(cluster, 14, 60);
    load.stop().assert_all_answered(500);
}

fn edit(cluster: &Cluster, maximum: u32, stale_seconds: u32, budget: u32) {
    cluster.patch(&format!(
        r#"{{"spec": {{
            "autoscaling": {{"maxReplicas": {maximum}}},
            "cache": {{"staleSeconds": {stale_seconds}}},
            "mysql": {{"connectionBudget": {budget}}}
        }}}}"#
    ));
}

/// The resulting values in pods and server.
fn effective(cluster: &Cluster, pool: u64, budget: u32) {
    let service = cluster.service();
    assert_eq!(service["status"]["tuning"]["poolPerPod"], pool);
    let pods =
        cluster.object("pods -l app.kubernetes.io/instance=shop,app.kubernetes.io/component=api");
    let tuning = pods["items"][0]["metadata"]["annotations"]["reckon.dev/tuning"]
        .as_str()
        .unwrap();
    let tuning = cluster.object(&format!("configmap {tuning}"));
    let stale = &service["spec"]["cache"]["staleSeconds"];
    let text = tuning["data"].to_string();
    assert!(
        text.contains(&format!("poolSize: {pool}\\n"))
            && text.contains(&format!("staleSeconds: {stale}\\n")),
        "{text}"
    );
    let fence =
        cluster.mysql("SELECT max_user_connections FROM mysql.user WHERE user LIKE 'reckon\\_%'");
    // Without the reserved ones.
    assert_eq!(fence.trim(), (budget - 3).to_string());
}
