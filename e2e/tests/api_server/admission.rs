//! Other programs that reject or change objects when they are written: policies, injectors, defaults and quotas.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::requests::{counted, quiet, since, writes};
use crate::spec;
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt as _};
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

/// Time without a write: longer than the operator waits before it checks again.
const WATCHED: Duration = Duration::from_secs(20);
/// Time after which an API server replaces its set of admission policies.
const POLICY_REFRESH: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_sample_of_an_admission_policy_rejects_foreign_images_and_servers() {
    let fixture = Fixture::new(Cluster::shared().await, "admission-sample").await;
    let sample = include_str!("../../../k8s/samples/admission-policy.yaml");
    for document in serde_yaml::Deserializer::from_str(sample) {
        let mut object = Value::deserialize(document).unwrap();
        if object["kind"] == "ValidatingAdmissionPolicyBinding" {
            // Others use the same server.
            let own = json!({"kubernetes.io/metadata.name": fixture.namespace});
            object["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": own}});
        }
        create(&fixture.client, object).await;
    }
    let attempt = async |spec: Value| {
        let service = spec::service("shop", &spec);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let created = fixture.services().create(&dry, &service).await;
        created.map(drop).map_err(|error| error.to_string())
    };
    let with = |change: &dyn Fn(&mut Value)| {
        let mut spec = spec::minimal();
        spec["mysql"]["external"]["host"] = json!("shop.db.example.com");
        change(&mut spec);
        spec
    };
    let foreign = |spec: &mut Value| spec["image"] = json!("attacker.example/reckon/reckon-api:1");
    eventually(SOON, async || match attempt(with(&foreign)).await {
        Err(said) if said.contains("spec.image attacker.example/reckon/reckon-api:1 is not") => {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
    .await;
    let said = attempt(with(&|spec| {
        spec["mysql"]["external"]["host"] = json!("db.attacker.example");
    }));
    let said = said.await.unwrap_err();
    assert!(said.contains("host db.attacker.example is not"), "{said}");
    let said = attempt(with(&|spec| spec["auth"] = json!({"disabled": {}}))).await;
    assert!(said.unwrap_err().contains("spec.auth.disabled is not"));

    attempt(with(&|_| {})).await.unwrap();
    attempt(with(&|spec| {
        spec["image"] = json!("registry.example.com/reckon/reckon-api:1");
        spec["mysql"]["external"]["host"] = json!("mysql");
    }))
    .await
    .unwrap();
}

#[tokio::test]
async fn an_image_that_the_operator_does_not_allow_never_runs_and_is_named() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "admission-images").await;
    let allowed = [("RECKON_ALLOWED_IMAGES", "reckon/*, registry.example.com/*")];
    let namespaces = [fixture.namespace.as_str()];
    let _operator = Operator::start_set(
        &cluster.operator_kubeconfig().await,
        &namespaces,
        "one",
        &allowed,
    )
    .await;
    let mut spec = spec::minimal();
    spec["image"] = json!("attacker.example/reckon-api:1");
    fixture.create("shop", spec).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "InvalidSpec")
        .await;
    assert!(
        said.contains("attacker.example/reckon-api:1")
            && said.contains("reckon/*, registry.example.com/*"),
        "{said}"
    );
    let deployments = fixture.children(Kind::Deployment);
    assert!(deployments.get_opt("shop").await.unwrap().is_none());
    fixture
        .change("shop", json!({"image": "registry.example.com/api:1"}))
        .await;
    fixture.until(Kind::Deployment, "shop", |_| true).await;
    fixture
        .change("shop", json!({"redis": {"managed": {}}}))
        .await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "InvalidSpec")
        .await;
    assert!(said.contains("redis.managed would run"), "{said}");
    assert!(deployments.get_opt("shop-redis").await.unwrap().is_none());
}

/// Mutations as by an injector of sidecars, a mirror of registries and a labeller: to every object at its creation and
/// at each change.
fn mutations() -> [(&'static str, &'static str, &'static str, &'static str); 3] {
    let sidecar = r#"object.spec.template.spec.containers.exists(c, c.name == "proxy") ? [] : [JSONPatch{
        op: "add", path: "/spec/template/spec/containers/-",
        value: Object.spec.template.spec.containers{name: "proxy", image: "mesh.example/proxy:1"}}]"#;
    let mirror = r#"object.spec.template.spec.containers[0].image.startsWith("mirror.example/") ? [] : [JSONPatch{
        op: "replace", path: "/spec/template/spec/containers/0/image",
        value: "mirror.example/" + object.spec.template.spec.containers[0].image}]"#;
    let label = r#"[JSONPatch{op: "add", path: "/metadata/labels/team.example~1cost-centre", value: "4711"}]"#;
    [
        ("sidecar", "apps", "deployments", sidecar),
        ("mirror", "apps", "deployments", mirror),
        ("label", "", "services", label),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_changes_children_causes_no_writes_at_rest() {
    let flags = "--feature-gates=MutatingAdmissionPolicy=true --runtime-config=admissionregistration.k8s.io/v1beta1=true";
    let cluster = Cluster::with(flags).await;
    let fixture = Fixture::new(&cluster, "admission-mutated").await;
    for (name, group, resource, expression) in mutations() {
        mutate(&fixture, name, group, resource, expression).await;
    }
    let defaults = json!({
        "metadata": {"name": "defaults"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "3"}, "defaultRequest": {"cpu": "1"}}]},
    });
    let ranges: Api<LimitRange> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let defaults = serde_json::from_value(defaults).unwrap();
    ranges
        .create(&PostParams::default(), &defaults)
        .await
        .unwrap();

    let mut operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    let controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::autoscaled()).await;
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    fixture
        .until_condition("shop", "Progressing", "False", "UpToDate")
        .await;
    let deployment = fixture.until(Kind::Deployment, "shop", |_| true).await;
    let containers = &deployment.data["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[1]["name"], "proxy", "{containers}");
    let image = containers[0]["image"].as_str().unwrap();
    assert!(image.starts_with("mirror.example/reckon/"), "{image}");
    let service = fixture.until(Kind::Service, "shop", |_| true).await;
    assert_eq!(service.labels()["team.example/cost-centre"], "4711");

    drop(controllers);
    quiet(&fixture.client).await;
    let (before, versions) = (counted(&fixture.client).await, fixture.versions().await);
    // The time is what is measured.
    sleep(WATCHED).await;
    let asked = since(&before, &counted(&fixture.client).await);
    println!("requests in {WATCHED:?} with children that others changed: {asked:?}");
    assert_eq!(writes(&asked), 0, "{asked:?}");

    operator.process.stop().await;
    let before = counted(&fixture.client).await;
    let _operator = Operator::start(&cluster, &fixture.namespace, "two").await;
    eventually(SOON, async || {
        let asked = since(&before, &counted(&fixture.client).await);
        (writes(&asked) > 0).then_some(())
    })
    .await;
    quiet(&fixture.client).await;
    assert_eq!(
        fixture.versions().await,
        versions,
        "a restart changed what others had changed"
    );

    // And a change of the resource arrives all the same.
    fixture
        .change("shop", json!({"service": {"port": 8080}}))
        .await;
    fixture
        .until(Kind::Service, "shop", |service| {
            service.data["spec"]["ports"][0]["port"] == 8080
                && service.labels()["team.example/cost-centre"] == "4711"
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_leaves_no_pods_or_too_few_is_named_and_costs_no_write() {
    let cluster = Cluster::own().await;
    let fixture = Fixture::new(&cluster, "admission-quota").await;
    let quotas: Api<ResourceQuota> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let limit = async |pods: &str| {
        let hard = json!({"pods": pods});
        let quota = json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "few"},
            "spec": {"hard": hard},
        });
        let manager = PatchParams::apply("test").force();
        quotas
            .patch("few", &manager, &Patch::Apply(&quota))
            .await
            .unwrap();
        // This is the work of the controller of quotas, which does not run here.
        let used = json!({"status": {"hard": hard, "used": {"pods": "0"}}});
        quotas
            .patch_status("few", &PatchParams::default(), &Patch::Merge(&used))
            .await
            .unwrap();
    };
    limit("0").await;
    let _operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    let controllers = Controllers::play(&fixture);
    fixture.create("shop", spec::minimal()).await;
    let said = fixture
        .until_condition("shop", "Ready", "False", "PodsFailing")
        .await;
    assert!(
        said.contains("no pod can be made") && said.contains("exceeded quota: few"),
        "{said}"
    );

    limit("1").await;
    let said = fixture
        .until_condition("shop", "Degraded", "True", "PodsFailing")
        .await;
    assert!(said.contains("exceeded quota: few"), "{said}");
    fixture
        .until_condition("shop", "Ready", "True", "PodsReady")
        .await;
    // The controllers retry; the operator does not write.
    drop(controllers);
    quiet(&fixture.client).await;
    let before = counted(&fixture.client).await;
    // The time is what is measured.
    sleep(WATCHED).await;
    let asked = since(&before, &counted(&fixture.client).await);
    println!("requests in {WATCHED:?} with a quota that is too small: {asked:?}");
    assert_eq!(writes(&asked), 0, "{asked:?}");

    let _controllers = Controllers::play(&fixture);
    quotas
        .delete("few", &DeleteParams::default())
        .await
        .unwrap();
    fixture
        .until_condition("shop", "Degraded", "False", "UpToDate")
        .await;
}

async fn mutate(fixture: &Fixture, name: &str, group: &str, resource: &str, expression: &str) {
    let version = "admissionregistration.k8s.io/v1beta1";
    let policy = json!({
        "apiVersion": version,
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [group],
                "apiVersions": ["*"],
                "resources": [resource],
                "operations": ["CREATE", "UPDATE"],
            }]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
        },
    });
    let binding = json!({
        "apiVersion": version,
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name},
    });
    for object in [policy, binding] {
        create(&fixture.client, object).await;
    }
    // Until the server uses the new policy.
    let probe = match resource {
        "services" => json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "probe", "namespace": fixture.namespace, "labels": {"a": "b"}},
            "spec": {"ports": [{"port": 1}]},
        }),
        _ => json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "probe", "namespace": fixture.namespace},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": [{"name": "probe", "image": "probe"}]},
                },
            },
        }),
    };
    let sign = match name {
        "sidecar" => "mesh.example/proxy",
        "mirror" => "mirror.example/probe",
        _ => "4711",
    };
    eventually(SOON, async || {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let (api, object) = generic(&fixture.client, probe.clone());
        // The server replaces its set of policies once a second, and one run has shown an older set again.
        for _ in 0..4 {
            match api.create(&dry, &object).await {
                Ok(made) if serde_json::to_string(&made).unwrap().contains(sign) => {}
                other => return Err(format!("{other:?}")),
            }
            sleep(POLICY_REFRESH / 2).await;
        }
        Ok(())
    })
    .await;
}

async fn create(client: &Client, object: Value) {
    let (api, object) = generic(client, object);
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// Any object, and the objects of its kind.
fn generic(client: &Client, object: Value) -> (Api<DynamicObject>, DynamicObject) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let types = object.types.clone().unwrap();
    let (group, version) = types
        .api_version
        .split_once('/')
        .unwrap_or(("", &types.api_version));
    let plural = types.kind.to_lowercase();
    let plural = plural
        .strip_suffix('y')
        .map_or(format!("{plural}s"), |stem| format!("{stem}ies"));
    let kind = GroupVersionKind::gvk(group, version, &types.kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
    let api = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, object)
}
