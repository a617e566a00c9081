//! A managed Redis: one pod without a volume, since it is a cache.

use super::deployment::{SECRETS, container_security, pod_security};
use super::facts::Facts;
use super::labels::{Component, metadata, selector};
use super::placement;
use crate::controller::instance::{Instance, REDIS_PORT};
use crate::tuning::quantity::Quantity;
use serde_json::{Value, json};

/// The user `redis` of the official image.
const USER: u32 = 999;

/// The objects of a managed Redis. The Secret with its password is created once and is not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The server.
    pub deployment: Value,
    /// How the pods reach it.
    pub service: Value,
    /// Allows only the API's pods.
    pub network_policy: Option<Value>,
}

/// The objects, if the resource wants a managed Redis.
#[must_use]
pub fn desired(instance: &Instance, facts: &Facts) -> Option<Desired> {
    let managed = instance.redis.as_ref()?.managed.as_ref()?;
    // The schema's pattern admits only values that parse.
    let memory = managed
        .max_memory
        .parse()
        .map_or(256 << 20, Quantity::rounded_down);
    Some(Desired {
        deployment: deployment(instance, facts, memory),
        service: service(instance),
        network_policy: instance
            .network_policy
            .enabled
            .then(|| network_policy(instance)),
    })
}

fn deployment(instance: &Instance, facts: &Facts, memory: u64) -> Value {
    let name = instance.child("redis");
    // Memory for clients and for a fork. A fork never happens, but fragmentation needs this memory.
    let limit = (memory + memory / 2 + (64 << 20)).to_string();
    let mut pod = placement::metadata(instance, Component::Redis);
    // If the server kept its old password, pods with the new one could not log in.
    pod["annotations"][SECRETS] = json!(facts.redis_digest);
    let mut deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(instance, Component::Redis, &name),
        "spec": {
            "replicas": 1,
            "revisionHistoryLimit": 1,
            // Two servers at the same time would be two separate caches.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector(instance, Component::Redis)},
            "template": {
                "metadata": pod,
                "spec": {
                    "serviceAccountName": instance.name,
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": pod_security(instance, USER),
                    "containers": [{
                        "name": "redis",
                        "image": instance.redis_image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["sh", "-c", script(&instance.uid, memory)],
                        "env": [{"name": PASSWORD, "valueFrom": {"secretKeyRef": {"name": name, "key": "password"}}}],
                        "ports": [{"name": "redis", "containerPort": REDIS_PORT, "protocol": "TCP"}],
                        "resources": {
                            "requests": {"cpu": "50m", "memory": limit},
                            "limits": {"memory": limit},
                        },
                        "securityContext": container_security(),
                        "readinessProbe": probe(2),
                        "livenessProbe": probe(10),
                    }],
                },
            },
        },
    });
    placement::place(&mut deployment["spec"]["template"]["spec"], instance);
    deployment
}

/// Variable with the password; `redis-cli` reads it too.
const PASSWORD: &str = "REDISCLI_AUTH";

/// Starts the server with a configuration from its standard input, which has a digest of the password. Any user on the
/// node can read the arguments of a process, and with standard input no file remains. The API's pods log in as the
/// default user, which may use this service's keys and channel only, and only the commands of the shared cache and the
/// probes.
fn script(identity: &str, memory: u64) -> String {
    let acl = reckon_contract::redis::acl(identity);
    format!(
        r#"exec redis-server --protected-mode no - <<END
maxmemory {memory}
maxmemory-policy allkeys-lru
save ""
appendonly no
dir /tmp
user default reset on #$(printf %s "${PASSWORD}" | sha256sum | cut -c 1-64) {acl} +ping
END
"#
    )
}

/// Requires an answer. An open port is not enough, because a server that hangs has one too.
fn probe(period: u32) -> Value {
    json!({
        "exec": {"command": ["sh", "-c", r#"[ "$(redis-cli ping)" = PONG ]"#]},
        "periodSeconds": period,
        "timeoutSeconds": 3,
        "failureThreshold": 3,
    })
}

fn service(instance: &Instance) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(instance, Component::Redis, &instance.child("redis")),
        "spec": {
            "selector": selector(instance, Component::Redis),
            "ports": [{"name": "redis", "port": REDIS_PORT, "targetPort": "redis", "protocol": "TCP"}],
        },
    })
}

fn network_policy(instance: &Instance) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(instance, Component::Redis, &instance.child("redis")),
        "spec": {
            "podSelector": {"matchLabels": selector(instance, Component::Redis)},
            // There is no egress rule, because the server opens no connections.
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": selector(instance, Component::Api)}}],
                "ports": [{"port": "redis", "protocol": "TCP"}],
            }],
        },
    })
}
