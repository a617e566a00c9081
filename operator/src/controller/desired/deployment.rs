//! The API's Deployment, and the hash that distinguishes one rollout from the next.

use super::config_map::FILE;
use super::digest::digest;
use super::facts::Facts;
use super::labels::{Component, metadata, selector};
use super::placement;
use crate::controller::instance::Instance;
use crate::crd::{RedisTlsMode, TlsMode};
use crate::tuning::Surge;
use crate::tuning::enforcement::Record;
use crate::tuning::plan::{Former, Template};
use reckon_contract::{env, network};
use serde_json::{Value, json};
use std::time::Duration;

/// Annotation of the Deployment: the hash of its pod template.
pub const TEMPLATE: &str = "reckon.dev/template";
/// Annotation of the Deployment: when the operator paused its rollouts.
pub const PAUSED_AT: &str = "reckon.dev/paused-at";
/// Annotation of the Deployment: when the operator last lowered its replicas.
pub const LOWERED_AT: &str = "reckon.dev/replicas-lowered-at";
/// Annotation of the Deployment: the number of replicas before they were lowered.
pub const LOWERED_FROM: &str = "reckon.dev/replicas-lowered-from";
/// Annotation of the Deployment: if pods of earlier templates may still be created, the greatest pool of these
/// templates.
pub const FORMER_POOL: &str = "reckon.dev/former-pool";
/// Annotation of the Deployment: whether the database server enforces the budget, see [`Record`].
pub const ENFORCEMENT: &str = "reckon.dev/enforcement";
/// Annotation of the Deployment: if extra pods of earlier templates may still exist, the greatest maxSurge of these
/// templates.
pub const FORMER_SURGE: &str = "reckon.dev/former-surge";
/// Annotation of a pod: its maximum number of database connections.
pub const POOL: &str = "reckon.dev/pool";
/// Annotation of a pod: its grace period. A watch of metadata does not contain the field itself.
pub const GRACE: &str = "reckon.dev/grace-seconds";
/// Annotation of a pod: the `ConfigMap` with its tuning.
pub const TUNING: &str = "reckon.dev/tuning";
/// Annotation of a pod: a digest of the Secrets that it read at startup.
pub const SECRETS: &str = "reckon.dev/secrets";
/// Annotation of a pod: the value of the resource's annotation of the same name.
const RESTARTED_AT: &str = crate::controller::instance::RESTARTED_AT;

/// User and group of the processes, which are also those of the images.
pub(super) const USER: u32 = 65532;

const TUNING_DIRECTORY: &str = "/etc/reckon/tuning";
const KEYS_DIRECTORY: &str = "/etc/reckon/keys";
const DATABASE_CA_DIRECTORY: &str = "/etc/reckon/database-ca";
const REDIS_CA_DIRECTORY: &str = "/etc/reckon/redis-ca";

/// The key, in a Secret, of the clients' API keys.
const KEYS: &str = "api-keys";
/// The key, in a Secret, of the certificate authorities.
const AUTHORITIES: &str = "ca.crt";

/// The Deployment, without the fields that a plan decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Name of the tuning's `ConfigMap`.
    pub tuning: String,
    /// Digest of the Secrets that the pods read at startup.
    pub secrets: String,
    /// The pod template.
    pub template: Value,
    /// The pod template as input of a plan.
    pub planned: Template,
    record: Option<Record>,
    metadata: Value,
    selector: Value,
}

/// The Deployment's parts.
#[must_use]
pub fn desired(instance: &Instance, facts: &Facts, tuning: &str) -> Desired {
    let template = template(instance, facts, tuning);
    Desired {
        tuning: tuning.to_owned(),
        secrets: facts.secrets_digest.clone(),
        planned: Template {
            hash: digest(template.to_string().as_bytes()),
            pool: instance.budget.pool,
            grace: instance.grace(),
        },
        template,
        record: instance.record,
        metadata: metadata(instance, Component::Api, &instance.name),
        selector: selector(instance, Component::Api),
    }
}

impl Desired {
    /// The applied object. It does not contain `spec.replicas` and `spec.paused`, which belong to the autoscaler or are
    /// written separately by a plan.
    #[must_use]
    pub fn with(&self, min_ready: Duration, surge: Surge, former: Option<Former>) -> Value {
        let mut metadata = self.metadata.clone();
        metadata["annotations"] = json!({TEMPLATE: self.planned.hash});
        if let Some(record) = self.record {
            metadata["annotations"][ENFORCEMENT] = json!(record.to_string());
        }
        if let Some(former) = former {
            metadata["annotations"][FORMER_POOL] = json!(former.pool.to_string());
            metadata["annotations"][FORMER_SURGE] = json!(former.surge.to_string());
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "minReadySeconds": min_ready.as_secs(),
                "revisionHistoryLimit": 1,
                "strategy": strategy(surge),
                "selector": {"matchLabels": self.selector},
                "template": self.template,
            },
        })
    }
}

/// The Deployment's strategy. The budget's arithmetic depends on maxSurge, and on maxUnavailable 0.
#[must_use]
pub fn strategy(surge: Surge) -> Value {
    let surge = match surge {
        Surge::Pods(pods) => json!(pods),
        Surge::Percent(percent) => json!(format!("{percent}%")),
    };
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": 0}})
}

fn template(instance: &Instance, facts: &Facts, tuning: &str) -> Value {
    let pod = &instance.pod;
    let mut metadata = placement::metadata(instance, Component::Api);
    let annotations = &mut metadata["annotations"];
    for (name, value) in scrape() {
        // `spec.pod.annotations` may have another value.
        if annotations[name].is_null() {
            annotations[name] = json!(value);
        }
    }
    annotations[POOL] = json!(instance.budget.pool.to_string());
    annotations[GRACE] = json!(pod.termination_grace_period_seconds.to_string());
    annotations[TUNING] = json!(tuning);
    annotations[SECRETS] = json!(facts.secrets_digest);
    if let Some(restarted_at) = &instance.restarted_at {
        annotations[RESTARTED_AT] = json!(restarted_at);
    }
    let (volumes, mounts) = volumes(instance, tuning);
    let mut spec = json!({
        "serviceAccountName": instance.name,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": pod.termination_grace_period_seconds,
        "securityContext": pod_security(instance, USER),
        "topologySpreadConstraints": spread(instance),
        "volumes": volumes,
        "containers": [{
            "name": "api",
            "image": instance.image,
            "imagePullPolicy": "IfNotPresent",
            "args": ["serve"],
            "env": env(instance),
            "ports": [
                {"name": "http", "containerPort": network::HTTP_PORT, "protocol": "TCP"},
                {"name": "operations", "containerPort": network::OPS_PORT, "protocol": "TCP"},
            ],
            "resources": pod.resources,
            "securityContext": container_security(),
            "volumeMounts": mounts,
            "startupProbe": probe(network::LIVEZ, 1, 60),
            "livenessProbe": probe(network::LIVEZ, 10, 3),
            "readinessProbe": probe(network::READYZ, 2, 3),
        }],
    });
    placement::place_api(&mut spec, instance);
    json!({"metadata": metadata, "spec": spec})
}

/// Annotations by which a Prometheus without the Prometheus Operator finds the pods' metrics.
fn scrape() -> [(&'static str, String); 3] {
    [
        ("prometheus.io/scrape", "true".to_owned()),
        ("prometheus.io/port", network::OPS_PORT.to_string()),
        ("prometheus.io/path", network::METRICS.to_owned()),
    ]
}

/// The security context of a pod: the requirements of the `restricted` Pod Security Standard, and the user unless the
/// cluster chooses it.
pub(super) fn pod_security(instance: &Instance, user: u32) -> Value {
    let mut security = json!({
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    if instance.fixed_user_ids {
        for field in ["runAsUser", "runAsGroup", "fsGroup"] {
            security[field] = json!(user);
        }
    }
    security
}

/// The security context of a container: the requirements of the `restricted` Pod Security Standard, and a read-only
/// root file system.
pub(super) fn container_security() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": {"drop": ["ALL"]},
    })
}

fn probe(path: &str, period: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "operations", "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    })
}

/// Spreads the pods over nodes. They are spread over zones by a preferred affinity instead ([`placement::place_api`]).
/// With a second constraint, nodes without zones would be left out of the scores of both constraints, and many clusters
/// have no zones.
fn spread(instance: &Instance) -> Value {
    if let Some(own) = &instance.pod.topology_spread_constraints {
        return json!(own);
    }
    json!([{
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(instance, Component::Api)},
        // Only the pods of one rollout are spread. The pods that are being replaced do not count.
        "matchLabelKeys": ["pod-template-hash"],
    }])
}

fn env(instance: &Instance) -> Vec<Value> {
    let mut variables = vec![
        plain(env::LISTEN, &network::everywhere(network::HTTP_PORT)),
        plain(env::OPS_LISTEN, &network::everywhere(network::OPS_PORT)),
        tuning_env(),
        plain(env::IDENTITY, &instance.uid),
    ];
    match instance.keys_secret() {
        Some(_) => variables.push(plain(env::API_KEYS, &format!("{KEYS_DIRECTORY}/{KEYS}"))),
        None => variables.push(plain(env::AUTH, "off")),
    }
    variables.extend(database_env(instance, &instance.database_secret()));
    variables.extend(redis_env(instance));
    variables
}

/// Variables with the address of the database, and the login of `secret`.
pub(super) fn database_env(instance: &Instance, secret: &str) -> Vec<Value> {
    let database = instance.database();
    let mode = match database.tls.map(|tls| tls.mode).unwrap_or_default() {
        TlsMode::Disabled => "disabled",
        TlsMode::Preferred => "preferred",
        TlsMode::Required => "required",
        TlsMode::VerifyCA => "verify-ca",
        TlsMode::VerifyFull => "verify-full",
    };
    let mut variables = vec![
        plain(env::DB_HOST, database.host),
        plain(env::DB_PORT, &database.port.to_string()),
        plain(env::DB_NAME, database.name),
        secret_key(env::DB_USER, secret, "username"),
        secret_key(env::DB_PASSWORD, secret, "password"),
        plain(env::DB_TLS, mode),
    ];
    if database.tls.is_some_and(|tls| tls.ca_secret_name.is_some()) {
        variables.push(plain(
            env::DB_TLS_CA,
            &format!("{DATABASE_CA_DIRECTORY}/{AUTHORITIES}"),
        ));
        if mode == "verify-ca" {
            // The driver trusts the system's authorities too, and anyone can get a certificate from a public authority.
            let authorities = format!("{DATABASE_CA_DIRECTORY}/ca.crt");
            variables.push(plain("SSL_CERT_FILE", &authorities));
        }
    }
    variables
}

fn redis_env(instance: &Instance) -> Vec<Value> {
    let (Some(redis), Some((host, port))) = (&instance.redis, instance.redis_address()) else {
        return Vec::new();
    };
    let external = redis.external.as_ref();
    let tls = external.and_then(|external| external.tls.as_ref());
    let mut variables = vec![
        plain(env::REDIS_HOST, &host),
        plain(env::REDIS_PORT, &port.to_string()),
    ];
    if let Some(secret) = instance.redis_secret() {
        variables.push(secret_key(env::REDIS_USER, &secret, "username"));
        variables.push(secret_key(env::REDIS_PASSWORD, &secret, "password"));
    }
    if let Some(tls) = tls.filter(|tls| tls.enabled) {
        let mode = match tls.mode {
            RedisTlsMode::VerifyCA => "verify-ca",
            // Images that do not have `verify-full` yet use this name.
            RedisTlsMode::VerifyFull => "required",
        };
        variables.push(plain(env::REDIS_TLS, mode));
        if tls.ca_secret_name.is_some() {
            variables.push(plain(
                env::REDIS_TLS_CA,
                &format!("{REDIS_CA_DIRECTORY}/{AUTHORITIES}"),
            ));
        }
    }
    variables
}

pub(super) fn plain(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value})
}

pub(super) fn secret_key(name: &str, secret: &str, key: &str) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
}

fn volumes(instance: &Instance, tuning: &str) -> (Vec<Value>, Vec<Value>) {
    let (tuning, at) = tuning_volume(tuning);
    let (mut volumes, mut mounts) = (vec![tuning], vec![at]);
    let redis_ca = instance
        .redis
        .as_ref()
        .and_then(|redis| redis.external.as_ref()?.tls.as_ref())
        .filter(|tls| tls.enabled)
        .and_then(|tls| tls.ca_secret_name.clone());
    if let Some(secret) = instance.keys_secret() {
        volumes.push(secret_volume("keys", &secret, KEYS));
        mounts.push(mount("keys", KEYS_DIRECTORY));
    }
    if let Some((volume, mount)) = database_ca_volume(instance) {
        volumes.push(volume);
        mounts.push(mount);
    }
    if let Some(secret) = redis_ca {
        volumes.push(secret_volume("redis-ca", &secret, AUTHORITIES));
        mounts.push(mount("redis-ca", REDIS_CA_DIRECTORY));
    }
    (volumes, mounts)
}

/// The volume with the tuning and its mount.
pub(super) fn tuning_volume(tuning: &str) -> (Value, Value) {
    (
        json!({"name": "tuning", "configMap": {"name": tuning}}),
        mount("tuning", TUNING_DIRECTORY),
    )
}

/// The variable with the path of the tuning.
pub(super) fn tuning_env() -> Value {
    plain(env::TUNING, &format!("{TUNING_DIRECTORY}/{FILE}"))
}

/// The volume with the database's authorities and its mount, if there are any.
pub(super) fn database_ca_volume(instance: &Instance) -> Option<(Value, Value)> {
    let secret = instance.database().tls?.ca_secret_name.as_ref()?;
    Some((
        secret_volume("database-ca", secret, AUTHORITIES),
        mount("database-ca", DATABASE_CA_DIRECTORY),
    ))
}

/// A volume with one key of a Secret, as the file of that name: the pod does not need the other keys.
fn secret_volume(name: &str, secret: &str, key: &str) -> Value {
    let items = [json!({"key": key, "path": key})];
    json!({"name": name, "secret": {"secretName": secret, "items": items, "defaultMode": 0o440}})
}

fn mount(name: &str, directory: &str) -> Value {
    json!({"name": name, "mountPath": directory, "readOnly": true})
}
