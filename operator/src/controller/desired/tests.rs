use super::autoscaler::autoscaler;
use super::{Facts, Resources, desired};
use crate::controller::instance::{Defaults, Instance};
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use crate::crd;
use crate::tuning::Scale;
use crate::tuning::plan::{HpaWrite, Lowered, ScaleDown};
use jiff::Timestamp;
use reckon_contract::Tuning;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

fn facts() -> Facts {
    Facts {
        secrets_digest: "5ec5e7".to_owned(),
        redis_digest: "0ed15a".to_owned(),
        migration_digest: "a1b2c3".to_owned(),
    }
}

const PACE: Duration = Duration::from_secs(55);

fn moment() -> Timestamp {
    "2026-03-04T05:06:07.008Z".parse().unwrap()
}

fn hpa_writes(instance: &Instance) -> Vec<HpaWrite> {
    let Scale::Auto { min, max } = instance.budget.scale else {
        return Vec::new();
    };
    let lowered = Some(Lowered {
        at: moment(),
        from: 9,
    });
    let write = |scale_down, lowered| HpaWrite {
        min,
        max,
        scale_down,
        lowered,
    };
    vec![
        write(ScaleDown::OnePod { period: PACE }, lowered),
        write(ScaleDown::Disabled { since: moment() }, None),
    ]
}

/// Everything that is applied for a resource, Deployment and autoscaler as plans write them.
fn manifests(instance: &Instance, facts: &Facts) -> Vec<Value> {
    let resources = desired(instance, facts);
    let Resources {
        service_account,
        config_map,
        deployment,
        service,
        metrics_service,
        disruption_budget,
        network_policy,
        migration,
        redis,
    } = resources;
    let mut all = vec![
        service_account,
        config_map,
        deployment.with(PACE, None),
        service,
        metrics_service,
    ];
    all.extend(disruption_budget);
    all.extend(network_policy);
    all.extend(migration);
    if let Some(redis) = redis {
        all.extend([redis.deployment, redis.service]);
        all.extend(redis.network_policy);
    }
    for write in hpa_writes(instance) {
        all.push(autoscaler(instance, &write, None));
        all.push(autoscaler(instance, &write, Some(PACE)));
    }
    all
}

fn yaml(instance: &Instance) -> String {
    let all = manifests(instance, &facts());
    let texts: Vec<String> = all
        .iter()
        .map(|object| serde_yaml::to_string(object).unwrap())
        .collect();
    texts.join("---\n")
}

#[test]
fn manifests_of_the_shortest_resource() {
    insta::assert_snapshot!(yaml(&sample::instance(MINIMAL)));
}

#[test]
fn manifests_of_a_resource_that_sets_every_field() {
    insta::assert_snapshot!(yaml(&sample::instance(FULL)));
}

#[test]
fn manifests_of_a_provisioned_database_and_a_managed_redis() {
    insta::assert_snapshot!(yaml(&sample::instance(PROVISIONED)));
}

#[test]
fn a_deployment_that_remembers_a_former_pool_says_so_beside_its_hash() {
    let resources = desired(&sample::instance(MINIMAL), &facts());
    let with = resources.deployment.with(PACE, Some(17));
    let without = resources.deployment.with(PACE, None);
    assert_eq!(
        with["metadata"]["annotations"],
        json!({
            "reckon.dev/template": resources.deployment.planned.hash,
            "reckon.dev/former-pool": "17",
        })
    );
    assert_eq!(with["spec"], without["spec"]);
}

/// Calls `visit` with every value below `value` and its path.
fn walk(path: &str, value: &Value, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, value);
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, field)| walk(&format!("{path}.{name}"), field, visit)),
        Value::Array(items) => items
            .iter()
            .for_each(|item| walk(&format!("{path}[]"), item, visit)),
        _ => {}
    }
}

fn every_manifest() -> Vec<Value> {
    [MINIMAL, FULL, PROVISIONED]
        .iter()
        .flat_map(|yaml| manifests(&sample::instance(yaml), &facts()))
        .collect()
}

#[test]
fn no_manifest_sends_a_null_or_an_empty_list_or_owns_what_others_write() {
    for manifest in every_manifest() {
        let kind = manifest["kind"].as_str().unwrap();
        walk(kind, &manifest, &mut |path, value| {
            assert!(!value.is_null(), "{path} is null");
            assert_ne!(value, &json!([]), "{path} is an empty list");
        });
        assert!(manifest["status"].is_null());
        let is_api = manifest["metadata"]["labels"]["app.kubernetes.io/component"] == "api";
        if kind == "Deployment" && is_api {
            for field in ["replicas", "paused"] {
                assert!(manifest["spec"].get(field).is_none(), "{field} is sent");
            }
        }
    }
}

#[test]
fn every_manifest_is_the_resources_own_and_in_its_namespace() {
    for manifest in every_manifest() {
        let metadata = &manifest["metadata"];
        assert_eq!(metadata["namespace"], "shop");
        assert_eq!(
            metadata["labels"]["app.kubernetes.io/managed-by"],
            "reckon-operator"
        );
        let owner = &metadata["ownerReferences"][0];
        assert_eq!(
            (&owner["controller"], &owner["kind"]),
            (&json!(true), &json!("RecommendationService"))
        );
        let name = metadata["name"].as_str().unwrap();
        assert!(name.len() <= 63, "{name}");
    }
}

/// Pod templates, with the kind that makes pods of them.
fn templates() -> Vec<(String, Value)> {
    let with_pods = every_manifest()
        .into_iter()
        .filter(|manifest| manifest["spec"]["template"].is_object());
    with_pods
        .map(|manifest| {
            let name = format!("{} {}", manifest["kind"], manifest["metadata"]["name"]);
            (name, manifest["spec"]["template"].clone())
        })
        .collect()
}

#[test]
fn every_pod_is_allowed_under_the_restricted_pod_security_standard_and_has_no_token() {
    let templates = templates();
    assert!(templates.len() >= 6, "{}", templates.len());
    for (name, template) in templates {
        let pod = &template["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
        assert_eq!(pod["enableServiceLinks"], false, "{name}");
        let security = &pod["securityContext"];
        assert_eq!(security["runAsNonRoot"], true, "{name}");
        assert_ne!(security["runAsUser"], 0, "{name}");
        assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
        for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
            assert!(pod.get(field).is_none(), "{name}: {field}");
        }
        for container in pod["containers"].as_array().unwrap() {
            let security = &container["securityContext"];
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            assert!(container["resources"]["limits"]["memory"].is_string());
            assert!(container["resources"]["requests"]["cpu"].is_string());
        }
        for volume in pod["volumes"].as_array().into_iter().flatten() {
            assert!(volume["configMap"].is_object() || volume["secret"].is_object());
        }
    }
}

#[test]
fn every_selector_finds_the_pods_of_its_own_component_and_no_others() {
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let all = manifests(&sample::instance(yaml), &facts());
        let pods: Vec<&Value> = all
            .iter()
            .filter(|manifest| manifest["spec"]["template"].is_object())
            .map(|manifest| &manifest["spec"]["template"]["metadata"]["labels"])
            .collect();
        for manifest in &all {
            let spec = &manifest["spec"];
            let selector = match manifest["kind"].as_str().unwrap() {
                "Deployment" | "PodDisruptionBudget" => &spec["selector"]["matchLabels"],
                "Service" => &spec["selector"],
                "NetworkPolicy" => &spec["podSelector"]["matchLabels"],
                _ => continue,
            };
            let selector = selector.as_object().unwrap();
            let found: Vec<&Value> = pods
                .iter()
                .filter(|labels| selector.iter().all(|(name, value)| labels[name] == *value))
                .map(|labels| &labels["app.kubernetes.io/component"])
                .collect();
            let own = &manifest["metadata"]["labels"]["app.kubernetes.io/component"];
            assert_eq!(found, [own], "{} {selector:?}", manifest["kind"]);
        }
    }
}

#[test]
fn every_volume_is_mounted_and_every_file_that_a_variable_names_is_below_a_mount() {
    for (name, template) in templates() {
        let container = &template["spec"]["containers"][0];
        let names = |list: &Value| -> BTreeSet<String> {
            let list = list.as_array().into_iter().flatten();
            list.map(|item| item["name"].as_str().unwrap().to_owned())
                .collect()
        };
        let mounts = &container["volumeMounts"];
        assert_eq!(names(&template["spec"]["volumes"]), names(mounts), "{name}");
        for variable in container["env"].as_array().unwrap() {
            let Some(path) = variable["value"]
                .as_str()
                .filter(|value| value.starts_with('/'))
            else {
                continue;
            };
            let mut mounts = mounts.as_array().unwrap().iter();
            assert!(
                mounts.any(|mount| path.starts_with(mount["mountPath"].as_str().unwrap())),
                "{name}: {path}"
            );
        }
    }
}

#[test]
fn the_samples_set_every_field_between_them() {
    let schema = serde_json::to_value(crd::crd().unwrap()).unwrap();
    let spec = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let samples = [FULL, PROVISIONED].map(|yaml| sample::value(yaml)["spec"].clone());
    let samples: Vec<&Value> = samples.iter().collect();
    require("spec", spec, &samples);
}

/// Kubernetes' own types, which are handed on as they are.
const HANDED_ON: [&str; 5] = [
    "affinity",
    "metricsFrom",
    "resources",
    "tolerations",
    "topologySpreadConstraints",
];

fn require(path: &str, schema: &Value, samples: &[&Value]) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let set: Vec<&Value> = samples
            .iter()
            .filter_map(|sample| sample.get(name))
            .collect();
        assert!(!set.is_empty(), "no sample sets {path}");
        if !HANDED_ON.contains(&name.as_str()) {
            require(&path, field, &set);
        }
    }
}

#[test]
fn the_tuning_that_is_written_is_one_that_the_api_takes_and_means_the_same() {
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let instance = sample::instance(yaml);
        let written = desired(&instance, &facts()).config_map;
        let parsed = Tuning::parse(written["data"]["tuning.yaml"].as_str().unwrap()).unwrap();
        assert_eq!(parsed.tuning, instance.tuning);
        assert!(parsed.unknown.is_empty());
    }
}

#[test]
fn an_authority_that_is_trusted_for_any_name_is_the_only_one() {
    let environment = |redis_authority: bool| {
        let instance = sample::with(FULL, |spec| {
            spec["mysql"]["external"]["tls"]["mode"] = "VerifyCA".into();
            let tls = &mut spec["redis"]["external"]["tls"];
            if redis_authority {
                tls["mode"] = "VerifyCA".into();
            } else {
                tls.as_object_mut().unwrap().remove("caSecretName");
            }
        });
        let template = desired(&instance, &facts()).deployment.template;
        let variables = template["spec"]["containers"][0]["env"].clone();
        move |name: &str| {
            let mut variables = variables.as_array().unwrap().iter();
            let variable = variables.find(|variable| variable["name"] == name);
            variable.map(|variable| variable["value"].as_str().unwrap().to_owned())
        }
    };
    let value = environment(true);
    assert_eq!(value("DB_TLS").as_deref(), Some("verify-ca"));
    assert_eq!(value("REDIS_TLS").as_deref(), Some("verify-ca"));
    assert_eq!(value("SSL_CERT_FILE"), value("DB_TLS_CA"));
    assert!(value("DB_TLS_CA").is_some());

    // Redis's certificate is one of the system's authorities.
    let value = environment(false);
    assert_eq!(value("REDIS_TLS").as_deref(), Some("required"));
    assert_eq!(value("SSL_CERT_FILE"), None);
}

#[test]
fn another_default_image_changes_nothing_but_the_image_and_nothing_of_a_pinned_resource() {
    let later = Defaults {
        api_image: "reckon/reckon-api:9.9.9".to_owned(),
        redis_image: sample::defaults().redis_image,
    };
    let before = desired(&sample::instance(MINIMAL), &facts());
    let upgraded = Instance::new(&sample::service(MINIMAL), &later).unwrap();
    let after = desired(&upgraded, &facts());
    assert_ne!(
        before.deployment.planned.hash,
        after.deployment.planned.hash
    );
    let mut template = after.deployment.template.clone();
    template["spec"]["containers"][0]["image"] = json!(sample::defaults().api_image);
    assert_eq!(before.deployment.template, template);

    let pinned = Instance::new(&sample::service(FULL), &later).unwrap();
    assert_eq!(
        desired(&sample::instance(FULL), &facts()),
        desired(&pinned, &facts())
    );
}

#[test]
fn other_secrets_replace_the_pods_that_read_them_at_their_start() {
    let instance = sample::instance(PROVISIONED);
    let before = desired(&instance, &facts());
    let changed = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        desired(&instance, &facts)
    };
    let after = changed(|facts| facts.secrets_digest.push('0'));
    assert_ne!(
        before.deployment.planned.hash,
        after.deployment.planned.hash
    );
    assert_eq!(
        (&before.redis, &before.migration),
        (&after.redis, &after.migration)
    );

    let after = changed(|facts| facts.redis_digest.push('0'));
    assert_ne!(before.redis, after.redis);
    assert_eq!(before.deployment, after.deployment);

    let after = changed(|facts| facts.migration_digest.push('0'));
    assert_ne!(before.migration, after.migration);
    assert_eq!(before.deployment, after.deployment);
}

#[test]
fn nobody_reads_metrics_when_nobody_is_named() {
    let ingress = |from: Value| {
        let instance = sample::with(MINIMAL, |spec| {
            spec["networkPolicy"] = json!({"metricsFrom": from});
        });
        let policy = desired(&instance, &facts()).network_policy.unwrap();
        policy["spec"]["ingress"].clone()
    };
    assert_eq!(
        ingress(json!([])),
        json!([{"ports": [{"port": "http", "protocol": "TCP"}]}])
    );
    let one = json!([{"podSelector": {"matchLabels": {"a": "b"}}}]);
    assert_eq!(ingress(one.clone())[1]["from"], one);
}

#[test]
fn what_is_turned_off_is_not_there() {
    let open = sample::with(PROVISIONED, |spec| {
        spec["networkPolicy"] = json!({"enabled": false});
        spec["mysql"]["migrate"] = json!({"enabled": false});
        spec["replicas"] = json!(1);
    });
    let resources = desired(&open, &facts());
    assert_eq!(resources.network_policy, None);
    assert_eq!(resources.redis.unwrap().network_policy, None);
    assert_eq!(resources.migration, None);
    assert_eq!(
        resources.disruption_budget, None,
        "one pod's node must drain"
    );
}
