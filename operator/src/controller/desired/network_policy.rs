//! Which clients may connect to the pods, and where the pods may connect to.

use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// Namespaces of the cluster's DNS, and the labels of its pods. Except on `OpenShift`, `CoreDNS` has the label of its
/// predecessor.
const DNS: [(&str, &str, &str); 3] = [
    ("kube-system", "k8s-app", "kube-dns"),
    ("kube-system", "k8s-app", "node-local-dns"),
    (
        "openshift-dns",
        "dns.operator.openshift.io/daemonset-dns",
        "default",
    ),
];
/// Address of `NodeLocal DNSCache`. It is in the node's network, so no label selects it.
const NODE_LOCAL_DNS: &str = "169.254.20.10/32";
/// Port of the cluster's DNS for clients, and the port of its pods on `OpenShift`.
const DNS_PORTS: [u16; 2] = [53, 5353];

/// Allows the API and the operations port for the clients that the resource names, and no other connection. The pods'
/// own connections are limited only if the resource names CIDR blocks: the operator cannot know the database's
/// addresses.
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
    let mut http = json!({"ports": [{"port": "http", "protocol": "TCP"}]});
    if let Some(from) = &wanted.from {
        let mut from: Vec<Value> = from.iter().map(|peer| json!(peer)).collect();
        from.push(operator(instance));
        http["from"] = json!(from);
    }
    let mut ingress = vec![http];
    // An empty `from` would allow every client, inside the cluster and outside.
    if metrics_from != json!([]) {
        let operations = json!([{"port": "operations", "protocol": "TCP"}]);
        ingress.push(json!({"ports": operations, "from": metrics_from}));
    }
    let mut spec = json!({
        "podSelector": {"matchLabels": selector(instance, Component::Api)},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    });
    if let Some(mut egress) = egress(instance) {
        let redis = json!({"podSelector": {"matchLabels": selector(instance, Component::Redis)}});
        egress.push(json!({"to": [redis]}));
        spec["policyTypes"] = json!(["Ingress", "Egress"]);
        spec["egress"] = json!(egress);
    }
    Some(policy(instance, Component::Api, &instance.name, &spec))
}

/// Allows no connection to the migration's pods; they may connect to the database like the API's pods.
#[must_use]
pub fn of_migration(instance: &Instance) -> Option<Value> {
    instance.migration_secret()?;
    of_jobs(instance, Component::Migrate, "migrate")
}

/// The same for the pods that create and change the database and its accounts.
#[must_use]
pub fn of_provisioning(instance: &Instance) -> Option<Value> {
    instance.mysql.provisioned.as_ref()?;
    of_jobs(instance, Component::Provision, "provision")
}

/// The same for the pods that train the model.
#[must_use]
pub fn of_training(instance: &Instance) -> Option<Value> {
    instance.training.as_ref()?;
    of_jobs(instance, Component::Train, "train")
}

fn of_jobs(instance: &Instance, component: Component, what: &str) -> Option<Value> {
    if !instance.network_policy.enabled {
        return None;
    }
    let mut spec = json!({
        "podSelector": {"matchLabels": selector(instance, component)},
        "policyTypes": ["Ingress"],
    });
    if let Some(egress) = egress(instance) {
        spec["policyTypes"] = json!(["Ingress", "Egress"]);
        spec["egress"] = json!(egress);
    }
    Some(policy(instance, component, &instance.child(what), &spec))
}

fn policy(instance: &Instance, component: Component, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(instance, component, name),
        "spec": spec,
    })
}

/// The operator's pods, which query `/health`.
fn operator(instance: &Instance) -> Value {
    json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": instance.operator_namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "reckon-operator"}},
    })
}

/// Rules for the CIDR blocks in the resource, and for DNS; `None`: connections are not limited.
fn egress(instance: &Instance) -> Option<Vec<Value>> {
    let wanted = &instance.network_policy;
    if wanted.egress_cidrs.is_empty() {
        return None;
    }
    let blocks = wanted.egress_cidrs.iter();
    let blocks: Vec<Value> = blocks
        .map(|cidr| json!({"ipBlock": {"cidr": cidr}}))
        .collect();
    let dns = wanted
        .dns_to
        .as_ref()
        .map_or_else(cluster_dns, |to| json!(to));
    let mut egress = vec![json!({"to": blocks})];
    // An empty `to` would allow every address.
    if dns != json!([]) {
        let ports = DNS_PORTS.iter().flat_map(|port| {
            ["UDP", "TCP"].map(|protocol| json!({"port": port, "protocol": protocol}))
        });
        let ports: Vec<Value> = ports.collect();
        egress.push(json!({"to": dns, "ports": ports}));
    }
    Some(egress)
}

fn cluster_dns() -> Value {
    let pods = DNS.map(|(namespace, label, value)| {
        json!({
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "podSelector": {"matchLabels": {label: value}},
        })
    });
    let mut peers = pods.to_vec();
    peers.push(json!({"ipBlock": {"cidr": NODE_LOCAL_DNS}}));
    json!(peers)
}
