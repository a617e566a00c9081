//! The Services of the pods.

use super::labels::{Component, metadata, selector};
use crate::controller::instance::Instance;
use crate::crd::ServiceType;
use serde_json::{Value, json};

/// The clients' Service.
#[must_use]
pub fn service(instance: &Instance) -> Value {
    let wanted = &instance.service;
    let mut metadata = metadata(instance, Component::Api, &instance.name);
    metadata["annotations"] = json!(wanted.annotations);
    let type_ = match wanted.type_ {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": type_,
            "selector": selector(instance, Component::Api),
            "ports": [{"name": "http", "port": wanted.port, "targetPort": "http", "protocol": "TCP"}],
        },
    })
}

/// A headless Service with the operations port of each pod. It includes pods that are not ready, because metrics are
/// most important during an outage.
#[must_use]
pub fn metrics(instance: &Instance) -> Value {
    let mut metadata = metadata(instance, Component::Api, &instance.child("metrics"));
    metadata["labels"]["reckon.dev/metrics"] = json!("true");
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector(instance, Component::Api),
            "ports": [{
                "name": "operations",
                "port": reckon_contract::network::OPS_PORT,
                "targetPort": "operations",
                "protocol": "TCP",
            }],
        },
    })
}

/// The URL of the API for clients in the cluster.
#[must_use]
pub fn url(instance: &Instance) -> String {
    let port = match instance.service.port {
        80 => String::new(),
        port => format!(":{port}"),
    };
    format!("http://{}.{}.svc{port}", instance.name, instance.namespace)
}
