//! The children of a resource.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::Fixture;
use crate::operator::Operator;
use crate::spec;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use reckon_operator::controller::desired::disruption_budget::disruption_budget;
use reckon_operator::controller::desired::{Facts, desired, redis};
use reckon_operator::controller::instance::Instance;
use reckon_operator::controller::kind::Kind;
use reckon_operator::tuning::plan::Evictions;
use serde_json::Value;

#[tokio::test]
async fn a_minimal_resource_gets_every_child_it_needs() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "children-minimal").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let service = fixture.create("shop", spec::minimal()).await;
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;

    let account = fixture.until(Kind::ServiceAccount, "shop", |_| true).await;
    assert_eq!(account.data["automountServiceAccountToken"], false);
    let deployment = fixture.until(Kind::Deployment, "shop", |_| true).await;
    assert_eq!(deployment.data["spec"]["replicas"], 2);
    let pod = &deployment.data["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    let tuning = pod["volumes"][0]["configMap"]["name"].as_str().unwrap();
    let config_map = fixture.until(Kind::ConfigMap, tuning, |_| true).await;
    assert_eq!(config_map.data["immutable"], true);
    let yaml = config_map.data["data"]["tuning.yaml"].as_str().unwrap();
    let parsed = reckon_contract::Tuning::parse(yaml).unwrap();
    // (60 - 3 reserved) / (2 + 2)
    assert_eq!(parsed.tuning.store.pool_size, 14);

    let names = everything(&fixture).await;
    let names: Vec<String> = names
        .iter()
        .map(|(kind, object)| format!("{} {}", kind.name(), object.name_any()))
        .collect();
    assert_eq!(
        names,
        [
            "ServiceAccount shop",
            &format!("ConfigMap {tuning}"),
            "Deployment shop",
            "Service shop",
            "Service shop-metrics",
            "PodDisruptionBudget shop",
            "NetworkPolicy shop",
        ]
    );
    as_desired(&fixture, &service).await;
}

#[tokio::test]
async fn an_autoscaled_resource_with_a_managed_redis_gets_these_too() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "children-autoscaled").await;
    let _operator = Operator::start(cluster, &fixture.namespace, "one").await;
    let _controllers = Controllers::play(&fixture);
    let service = fixture.create("shop", spec::autoscaled()).await;
    let autoscaler = fixture
        .until(Kind::HorizontalPodAutoscaler, "shop", |hpa| {
            hpa.data["spec"]["maxReplicas"] == 6
        })
        .await;
    assert_eq!(autoscaler.data["spec"]["minReplicas"], 2);
    for kind in [Kind::Deployment, Kind::Service, Kind::NetworkPolicy] {
        fixture.until(kind, "shop-redis", |_| true).await;
    }
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    as_desired(&fixture, &service).await;
}

/// Every child in the namespace.
async fn everything(fixture: &Fixture) -> Vec<(Kind, DynamicObject)> {
    let mut children = Vec::new();
    for kind in Kind::ALL {
        let ours = ListParams::default().labels("app.kubernetes.io/managed-by=reckon-operator");
        let found = fixture.children(kind).list(&ours).await.unwrap();
        children.extend(found.into_iter().map(|child| (kind, child)));
    }
    children
}

/// Digest of the Secrets that the Deployment's pods read at their start.
fn digest(deployment: &DynamicObject) -> String {
    let annotations = &deployment.data["spec"]["template"]["metadata"]["annotations"];
    annotations["reckon.dev/secrets"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Every object of `desired` reads back with all that it says.
async fn as_desired(fixture: &Fixture, service: &DynamicObject) {
    let instance = Instance::parse(service, &spec::defaults()).unwrap();
    let deployment = fixture.until(Kind::Deployment, "shop", |_| true).await;
    let redis_digest = if instance.redis.is_some() {
        digest(
            &fixture
                .until(Kind::Deployment, "shop-redis", |_| true)
                .await,
        )
    } else {
        String::new()
    };
    let facts = Facts {
        secrets_digest: digest(&deployment),
        redis_digest,
        ..Facts::default()
    };
    let wanted = desired(&instance, &facts);
    let template = wanted.deployment.template;
    contains("template", &deployment.data["spec"]["template"], &template);
    let redis = wanted.redis.map(
        |redis::Desired {
             deployment,
             service,
             network_policy,
         }| {
            [
                (Kind::Deployment, Some(deployment)),
                (Kind::Service, Some(service)),
                (Kind::NetworkPolicy, network_policy),
            ]
        },
    );
    let children = [
        (Kind::ServiceAccount, Some(wanted.service_account)),
        (Kind::ConfigMap, Some(wanted.config_map)),
        (Kind::Service, Some(wanted.service)),
        (Kind::Service, Some(wanted.metrics_service)),
        (
            Kind::PodDisruptionBudget,
            Some(disruption_budget(&instance, Evictions::Open)),
        ),
        (Kind::NetworkPolicy, wanted.network_policy),
    ];
    for (kind, child) in children.into_iter().chain(redis.into_iter().flatten()) {
        let Some(child) = child else { continue };
        let name = child["metadata"]["name"].as_str().unwrap();
        let there = fixture.until(kind, name, |_| true).await;
        let mut there = serde_json::to_value(&there).unwrap();
        // Items of a list have no kind.
        for field in ["apiVersion", "kind"] {
            there[field] = child[field].clone();
        }
        contains(&format!("{} {name}", kind.name()), &there, &child);
    }
}

/// Fails unless `there` contains all fields of `wanted`.
fn contains(path: &str, there: &Value, wanted: &Value) {
    match (there, wanted) {
        (_, Value::Object(fields)) => {
            for (name, value) in fields.iter().filter(|(_, value)| !is_nothing(value)) {
                contains(&format!("{path}.{name}"), &there[name], value);
            }
        }
        (Value::Array(there), Value::Array(wanted)) => {
            assert_eq!(there.len(), wanted.len(), "{path}");
            for (number, (there, wanted)) in there.iter().zip(wanted).enumerate() {
                contains(&format!("{path}[{number}]"), there, wanted);
            }
        }
        _ => assert_eq!(there, wanted, "{path}"),
    }
}

/// Whether the server drops this value: it is null or empty.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}
