//! Who may connect to the API's pods, and where they may connect to.

use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// The API for everybody, the operations port for whom the resource names, nothing else. What the pods connect to is limited
/// only when the resource names blocks of addresses: the operator cannot know the database's.
#[must_use]
pub fn network_policy(instance: &Instance) -> Option<Value> {
    let wanted = &instance.network_policy;
    if !wanted.enabled {
        return None;
    }
    let anybody_in_the_cluster = json!([{"namespaceSelector": {}}]);
    let metrics_from = wanted
        .metrics_from
        .as_ref()
        .map_or(anybody_in_the_cluster, |from| json!(from));
    let mut ingress = vec![json!({"ports": [{"port": "http", "protocol": "TCP"}]})];
    // An empty `from` would be everybody, inside the cluster and outside.
    if metrics_from != json!([]) {
        let operations = json!([{"port": "operations", "protocol": "TCP"}]);
        ingress.push(json!({"ports": operations, "from": metrics_from}));
    }
    let mut spec = json!({
        "podSelector": {"matchLabels": selector(instance, Component::Api)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    });
    if !wanted.egress_cidrs.is_empty() {
        let blocks: Vec<Value> = wanted
            .egress_cidrs
            .iter()
            .map(|cidr| json!({"ipBlock": {"cidr": cidr}}))
            .collect();
        spec["policyTypes"] = json!(["Ingress", "Egress"]);
        spec["egress"] = json!([
            {"to": blocks},
            {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
            {"to": [{"podSelector": {"matchLabels": selector(instance, Component::Redis)}}]},
        ]);
    }
    Some(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(instance, Component::Api, &instance.name),
        "spec": spec,
    }))
}
