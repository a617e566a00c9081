//! Placement and metadata of all pods, from the resource's settings for the API's pods.

use super::labels::{Component, labels, selector};
use crate::controller::instance::Instance;
use serde_json::{Value, json};

/// Settings that keep Istio (older versions read the annotation) and Linkerd from adding their proxy to a pod.
const NO_PROXY: [(&str, &str, &str); 3] = [
    ("labels", "sidecar.istio.io/inject", "false"),
    ("annotations", "sidecar.istio.io/inject", "false"),
    ("annotations", "linkerd.io/inject", "disabled"),
];

/// Labels and annotations of the pods of a component: the operator's, and those of `spec.pod`.
pub(super) fn metadata(instance: &Instance, component: Component) -> Value {
    let mut labels = labels(instance, component);
    for (name, value) in &instance.pod.labels {
        labels[name] = json!(value);
    }
    let mut metadata = json!({"labels": labels});
    if !instance.pod.annotations.is_empty() {
        metadata["annotations"] = json!(instance.pod.annotations);
    }
    metadata
}

/// The same for a Job's pods. A proxy in the pod would continue to run after the program, and the Job would never
/// complete. `spec.pod` can override this: for meshes whose proxies are native sidecars, or for a database that is
/// reachable only through the mesh.
pub(super) fn metadata_of_job(instance: &Instance, component: Component) -> Value {
    let mut metadata = metadata(instance, component);
    for (field, name, value) in NO_PROXY {
        let given = &mut metadata[field][name];
        if given.is_null() {
            *given = json!(value);
        }
    }
    metadata
}

/// Adds the placement to the spec of a pod that is not the API's. Of the affinity, only the part for nodes is added.
/// The (anti-)affinity to pods is meant for the API's pods, and could keep a single pod of another kind from ever
/// getting a node.
pub(super) fn place(spec: &mut Value, instance: &Instance) {
    let affinity = instance.pod.affinity.as_ref();
    let nodes = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
    place_common(spec, instance);
    set(
        spec,
        "affinity",
        nodes.map_or(Value::Null, |nodes| json!({"nodeAffinity": nodes})),
    );
}

/// The same for the API's pods, with the whole affinity. If `spec.pod` has no settings for their distribution, they
/// prefer different zones.
pub(super) fn place_api(spec: &mut Value, instance: &Instance) {
    place_common(spec, instance);
    let mut affinity = json!(instance.pod.affinity);
    if instance.pod.topology_spread_constraints.is_none() && affinity["podAntiAffinity"].is_null() {
        affinity["podAntiAffinity"] = different_zones(instance);
    }
    set(spec, "affinity", affinity);
}

fn different_zones(instance: &Instance) -> Value {
    json!({"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "topology.kubernetes.io/zone",
            "labelSelector": {"matchLabels": selector(instance, Component::Api)},
        },
    }]})
}

fn place_common(spec: &mut Value, instance: &Instance) {
    let pod = &instance.pod;
    set(spec, "nodeSelector", json!(pod.node_selector));
    set(spec, "tolerations", json!(pod.tolerations));
    set(spec, "priorityClassName", json!(pod.priority_class_name));
    set(spec, "imagePullSecrets", json!(pod.image_pull_secrets));
}

/// Sets a field unless its value is empty.
fn set(spec: &mut Value, field: &str, value: Value) {
    if !matches!(&value, Value::Null) && value != json!([]) && value != json!({}) {
        spec[field] = value;
    }
}
