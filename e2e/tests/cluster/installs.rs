//! The operator itself: tested by its chart, removed, and installed again without Helm.

use super::SOON;
use reckon_e2e::cluster::Cluster;

/// The chart's own test.
pub fn helm_test(cluster: &Cluster) {
    let output = cluster.helm("test reckon --namespace reckon-system --logs");
    assert!(
        output.contains("Phase:") && output.contains("Succeeded"),
        "{output}"
    );
}

/// Helm removes the operator, and services stay. kustomize installs it again, and it continues with them.
pub fn by_kustomize_after_helm(cluster: &Cluster) {
    cluster.helm("uninstall reckon --namespace reckon-system --wait");
    assert_eq!(
        cluster.kubectl("get deployments -n reckon-system -o name"),
        ""
    );
    assert_eq!(cluster.get("/recommend/1").0, 200);
    let before = cluster.pods();

    cluster.kubectl("apply --server-side -k k8s/");
    cluster.kubectl("rollout status deployment/reckon-operator -n reckon-system --timeout=60s");
    cluster.kubectl("delete service shop-metrics");
    cluster.eventually(SOON, "the operator acts", || {
        cluster.try_kubectl("get service shop-metrics").is_ok()
    });
    cluster.wait("Ready", "True", SOON);
    assert_eq!(
        cluster.pods(),
        before,
        "another way to install is no reason to replace pods"
    );
}
