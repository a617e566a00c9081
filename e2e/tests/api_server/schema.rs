//! What the API server rejects by the schema alone, and what it accepts.

use crate::cluster::Cluster;
use crate::fixture::Fixture;
use crate::spec;
use kube::api::DynamicObject;
use reckon_operator::crd::crd;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn every_rule_rejects_an_invalid_example_with_its_message() {
    let fixture = Fixture::new(Cluster::shared().await, "schema-rules").await;
    let mut rules = BTreeSet::new();
    let definition = serde_json::to_value(crd().unwrap()).unwrap();
    messages(&definition, &mut rules);
    assert!(rules.len() >= 13, "{rules:?}");
    let external = spec::minimal()["mysql"]["external"].clone();
    let tls = json!({"mode": "Required", "caSecretName": "ca"});
    let examples = [
        json!({"replicas": 2, "autoscaling": {"maxReplicas": 3}}),
        json!({"mysql": {"connectionBudget": 10}}),
        json!({"cache": null}),
        json!({"pod": {"terminationGracePeriodSeconds": 10}}),
        json!({"rateLimit": {}}),
        json!({"rateLimit": {"connectionsPerClient": 4, "burst": 4}}),
        json!({"mysql": {"provisioned": {"host": "db", "database": "shop", "admin": {"secretName": "admin"}}}}),
        json!({"mysql": {"external": {"tls": tls}}}),
        json!({"mysql": {"external": {"tls": {"mode": "VerifyCA"}}}}),
        json!({"mysql": {"external": null, "provisioned": {
            "host": "db", "database": "shop", "admin": {"secretName": "admin"},
            "tls": {"mode": "VerifyCA", "caSecretName": "ca"},
        }}}),
        json!({
            "mysql": {"external": {"tls": {"mode": "VerifyCA", "caSecretName": "ca"}}},
            "redis": {"external": {"host": "cache", "tls": {"enabled": true}}},
        }),
        json!({"redis": {}}),
        json!({"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}),
        json!({"auth": {"secretName": "keys", "disabled": {}}}),
        json!({"pod": {"labels": {"reckon.dev/own": "1"}}}),
        json!({"tables": {"searches": {"table": ""}, "purchases": {"table": ""}}}),
        json!({"tables": {"searches": {"table": "a", "onlySuccessful": true}}}),
        json!({"tables": {"purchases": {"success": "", "onlySuccessful": true}}}),
        json!({"recommendation": {"algorithm": "Classic"}, "training": {}}),
        json!({"training": {"schedule": "60 3 * * *"}}),
        json!({"recommendation": {"algorithm": "NextBasket", "experiment": {"algorithm": "NextBasket", "percent": 5}}}),
    ];
    assert!(!external.is_null());
    for example in examples {
        let said = rejection(&fixture, "shop", merged(example.clone())).await;
        let refusing = rules.iter().find(|rule| said.contains(*rule)).cloned();
        let refusing = refusing.unwrap_or_else(|| panic!("{example} is refused otherwise: {said}"));
        rules.remove(&refusing);
    }
    for name in ["1shop", "a-name-that-is-one-letter-too-long-for-us-all"] {
        let said = rejection(&fixture, name, spec::minimal()).await;
        assert!(
            said.contains("metadata.name must be at most 40 characters"),
            "{said}"
        );
        rules.retain(|rule| !said.contains(rule));
    }
    assert!(rules.is_empty(), "rules without a bad example: {rules:?}");
}

#[tokio::test]
async fn an_explicit_null_is_the_same_as_an_absent_field() {
    let fixture = Fixture::new(Cluster::shared().await, "schema-null").await;
    let definition = serde_json::to_value(crd().unwrap()).unwrap();
    let schema =
        &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let provisioned = json!({
        "mysql": {
            "external": null,
            "provisioned": {"host": "db", "database": "shop", "admin": {"secretName": "admin"}, "tls": {"mode": "Required"}},
            "migrate": {"enabled": true, "credentials": {"secretName": "admin"}},
        },
        "redis": {"external": {"host": "cache", "tls": {"enabled": true}, "credentials": {"secretName": "login"}}},
        "autoscaling": {"maxReplicas": 3},
        "auth": {"disabled": {}},
        "events": {"enabled": true},
    });
    let external = json!({
        "mysql": {"external": {"tls": {"mode": "VerifyFull", "caSecretName": "ca"}}},
        "redis": {"managed": {}},
        "replicas": 3,
        "cache": {"memory": {"allowStale": true}, "shared": {}},
        "rateLimit": {"requestsPerSecond": 5},
        "auth": {"secretName": "keys"},
        "recommendation": {"algorithm": "NextBasket", "experiment": {"algorithm": "Classic", "percent": 5}},
        "training": {"schedule": "0 3 * * *", "resources": {}, "credentials": {"secretName": "trainer"}},
        "server": {},
        "service": {},
        "networkPolicy": {},
        "pod": {"resources": {}},
    });
    let mut accepted = 0;
    for whole in [merged(provisioned), merged(external)] {
        stored(&fixture, whole.clone()).await.unwrap();
        let mut paths = Vec::new();
        optional("", schema, &whole, &mut paths);
        for path in paths {
            let (section, field) = path.rsplit_once('/').unwrap();
            let with = |value: Option<Value>| {
                let mut spec = whole.clone();
                let section = spec.pointer_mut(section).unwrap().as_object_mut().unwrap();
                section.remove(field);
                section.extend(value.map(|value| (field.to_owned(), value)));
                spec
            };
            let null = stored(&fixture, with(Some(Value::Null))).await;
            let absent = stored(&fixture, with(None)).await;
            assert_eq!(null, absent, "{path}");
            accepted += usize::from(null.is_ok());
        }
    }
    println!("{accepted} explicit nulls are accepted and the same as absent fields");
    assert!(accepted > 60, "{accepted}");
}

#[tokio::test]
async fn invalid_values_are_rejected_by_the_name_of_their_field() {
    let fixture = Fixture::new(Cluster::shared().await, "schema-wrong").await;
    let wrong = [
        ("spec.replicas", json!({"replicas": 0})),
        ("spec.replicas", json!({"replicas": "two"})),
        ("spec.replicas", json!({"replicas": 1.5})),
        ("spec.image", json!({"image": ""})),
        ("spec.paused", json!({"paused": "yes"})),
        ("spec.rollout.maxSurge", json!({"rollout": {"maxSurge": 0}})),
        (
            "spec.redis.managed.maxMemory",
            json!({"redis": {"managed": {"maxMemory": "1 GB"}}}),
        ),
        (
            "spec.redis.external.port",
            json!({"redis": {"external": {"host": "cache", "port": 0}}}),
        ),
        (
            "spec.autoscaling.maxReplicas",
            json!({"autoscaling": {"minReplicas": 2}}),
        ),
        (
            "spec.autoscaling.targetCPUUtilizationPercentage",
            json!({"autoscaling": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 0}}),
        ),
        (
            "spec.cache.memory.percentOfLimit",
            json!({"cache": {"memory": {"percentOfLimit": 76}}}),
        ),
        (
            "spec.cache.memory.ttlSeconds",
            json!({"cache": {"memory": {"ttlSeconds": 0}}}),
        ),
        (
            "spec.cache.staleSeconds",
            json!({"cache": {"staleSeconds": 604_801}}),
        ),
        (
            "spec.server.requestTimeoutMilliseconds",
            json!({"server": {"requestTimeoutMilliseconds": 99}}),
        ),
        (
            "spec.service.type",
            json!({"service": {"type": "ExternalName"}}),
        ),
        ("spec.service.port", json!({"service": {"port": 0}})),
        (
            "spec.pod.terminationGracePeriodSeconds",
            json!({"pod": {"terminationGracePeriodSeconds": 121}}),
        ),
        (
            "spec.pod.tolerations",
            json!({"pod": {"tolerations": "all"}}),
        ),
        (
            "spec.networkPolicy.enabled",
            json!({"networkPolicy": {"enabled": "no"}}),
        ),
        (
            "spec.training.deadlineSeconds",
            json!({"training": {"deadlineSeconds": 59}}),
        ),
        ("spec.mysgl", json!({"mysgl": {}})),
        (
            "spec.cache.memory.ttl",
            json!({"cache": {"memory": {"ttl": 5}}}),
        ),
    ];
    for (field, wrong) in wrong.into_iter().chain(wrong_databases()) {
        let said = rejection(&fixture, "shop", merged(wrong.clone())).await;
        assert!(said.contains(field), "{wrong}: {said}");
    }
}

/// The same for `spec.mysql`.
fn wrong_databases() -> impl Iterator<Item = (&'static str, Value)> {
    let wrong = [
        ("spec.mysql", json!({"mysql": null})),
        (
            "spec.mysql.connectionBudget",
            json!({"mysql": {"connectionBudget": 5}}),
        ),
        (
            "spec.mysql.connectionBudget",
            json!({"mysql": {"connectionBudget": null}}),
        ),
        (
            "spec.mysql.budgetEnforcement",
            json!({"mysql": {"budgetEnforcement": "Server"}}),
        ),
        (
            "spec.mysql.reservedConnections",
            json!({"mysql": {"reservedConnections": -1}}),
        ),
        (
            "spec.mysql.external.port",
            json!({"mysql": {"external": {"port": 65536}}}),
        ),
        (
            "spec.mysql.external.host",
            json!({"mysql": {"external": {"host": ""}}}),
        ),
        (
            "spec.mysql.external.tls.mode",
            json!({"mysql": {"external": {"tls": {"mode": "On"}}}}),
        ),
        (
            "spec.mysql.external.credentials.secretName",
            json!({"mysql": {"external": {"credentials": {"secretName": null}}}}),
        ),
    ];
    wrong.into_iter()
}

/// Messages of all rules below.
fn messages(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "x-kubernetes-validations" {
                    let rules = value.as_array().into_iter().flatten();
                    found.extend(
                        rules
                            .filter_map(|rule| rule["message"].as_str())
                            .map(str::to_owned),
                    );
                }
                messages(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| messages(item, found)),
        _ => {}
    }
}

/// The optional fields of every present section.
fn optional(path: &str, schema: &Value, whole: &Value, found: &mut Vec<String>) {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        if !required.contains(&json!(name)) {
            found.push(path.clone());
        }
        if whole[name].is_object() {
            optional(&path, field, &whole[name], found);
        }
    }
}

/// The minimal resource with other values.
fn merged(patch: Value) -> Value {
    fn merge(into: &mut Value, patch: Value) {
        match patch {
            Value::Object(fields) if into.is_object() => {
                for (name, value) in fields {
                    merge(&mut into[name], value);
                }
            }
            other => *into = other,
        }
    }
    let mut spec = spec::minimal();
    merge(&mut spec, patch);
    spec
}

/// The spec as the server would store it, or why it would not.
async fn stored(fixture: &Fixture, spec: Value) -> Result<Value, String> {
    create(fixture, "shop", spec)
        .await
        .map(|stored| stored.data["spec"].clone())
}

async fn rejection(fixture: &Fixture, name: &str, spec: Value) -> String {
    let done = create(fixture, name, spec.clone()).await;
    done.map(|_| format!("{spec} is accepted")).unwrap_err()
}

async fn create(fixture: &Fixture, name: &str, spec: Value) -> Result<DynamicObject, String> {
    let url = format!(
        "/apis/reckon.dev/v1alpha1/namespaces/{}/recommendationservices?dryRun=All&fieldValidation=Strict",
        fixture.namespace
    );
    let service = serde_json::to_vec(&spec::service(name, &spec)).unwrap();
    let request = http::Request::post(url)
        .header("content-type", "application/json")
        .body(service)
        .unwrap();
    let created = fixture.client.request(request).await;
    created.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        error => panic!("{error}"),
    })
}
