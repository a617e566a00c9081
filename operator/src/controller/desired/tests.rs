use super::autoscaler::autoscaler;
use super::disruption_budget::disruption_budget;
use super::provision::{INPUTS, Wanted};
use super::{Facts, Resources, desired};
use crate::controller::instance::{Defaults, Instance};
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use crate::crd;
use crate::tuning::plan::{Evictions, Former, HpaWrite, Lowered, ScaleDown};
use crate::tuning::{Scale, Surge};
use jiff::Timestamp;
use reckon_contract::Tuning;
use reckon_contract::provisioning::{Owner, Step, Task};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::num::NonZeroU32;
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
        write(
            ScaleDown::Pods {
                count: 1,
                period: PACE,
            },
            lowered,
        ),
        write(ScaleDown::Disabled { since: moment() }, None),
    ]
}

/// Every applied object of a resource, with Deployment and autoscaler as plans write them.
fn manifests(instance: &Instance, facts: &Facts) -> Vec<Value> {
    let resources = desired(instance, facts);
    let Resources {
        service_account,
        config_map,
        deployment,
        service,
        metrics_service,
        network_policy,
        migration_policy,
        provision_policy,
        migration,
        training,
        training_policy,
        redis,
    } = resources;
    let mut all = vec![
        service_account,
        config_map,
        deployment.with(PACE, Surge::Pods(1), None),
        service,
        metrics_service,
    ];
    all.push(disruption_budget(instance, Evictions::Open));
    all.extend(network_policy);
    all.extend(migration_policy);
    all.extend(provision_policy);
    all.extend(migration);
    all.extend(training_policy);
    all.extend(training);
    if let Some(redis) = redis {
        all.extend([redis.deployment, redis.service]);
        all.extend(redis.network_policy);
    }
    for write in hpa_writes(instance) {
        all.push(autoscaler(instance, &write, None));
        all.push(autoscaler(instance, &write, Some(PACE)));
    }
    if instance.mysql.provisioned.is_some() {
        let writing = ensure_writing(60, Some(&["purchase", "searches"]));
        let steps = [ensure(60), writing, Step::AddPassword];
        all.extend(steps.map(|step| provision(instance, step, "").job(instance, 1, 0)));
    }
    all
}

fn ensure(connections: u32) -> Step {
    ensure_writing(connections, None)
}

fn ensure_writing(connections: u32, tables: Option<&[&str]>) -> Step {
    let tables = tables.map(|tables| tables.iter().map(|name| (*name).to_owned()));
    Step::Ensure {
        max_user_connections: NonZeroU32::new(connections).unwrap(),
        writes: tables.map(Iterator::collect),
    }
}

/// A step for the resource.
fn provision(instance: &Instance, step: Step, digests: &str) -> Wanted {
    let owner = Owner {
        cluster: "6a1f9d0e-7f0f-4b57-9a54-0a6d2f6f5f11".to_owned(),
        namespace: instance.namespace.clone(),
        name: instance.name.clone(),
        uid: instance.uid.clone(),
    };
    Wanted::new(instance, Task { owner, step }, digests)
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
fn a_deployment_with_a_former_pool_records_it_beside_its_hash() {
    let resources = desired(&sample::instance(MINIMAL), &facts());
    let with = resources
        .deployment
        .with(PACE, Surge::Pods(1), Some(Former { pool: 17, surge: 4 }));
    let without = resources.deployment.with(PACE, Surge::Pods(1), None);
    assert_eq!(
        with["metadata"]["annotations"],
        json!({
            "reckon.dev/template": resources.deployment.planned.hash,
            "reckon.dev/former-pool": "17",
            "reckon.dev/former-surge": "4",
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
fn no_manifest_sends_a_null_or_an_empty_list_or_owns_fields_of_others() {
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
fn every_manifest_is_owned_by_the_resource_and_in_its_namespace() {
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

/// Pod templates, with the kind that creates pods from them.
fn templates() -> Vec<(String, Value)> {
    with_pods(every_manifest())
}

fn with_pods(manifests: Vec<Value>) -> Vec<(String, Value)> {
    let template = |manifest: Value| {
        let spec = match manifest["kind"].as_str() {
            Some("CronJob") => &manifest["spec"]["jobTemplate"]["spec"],
            _ => &manifest["spec"],
        };
        let name = format!("{} {}", manifest["kind"], manifest["metadata"]["name"]);
        (name, spec["template"].clone())
    };
    let templates = manifests.into_iter().map(template);
    templates
        .filter(|(_, template)| template.is_object())
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
        let templates = with_pods(all.clone());
        let pods: Vec<&Value> = templates
            .iter()
            .map(|(_, template)| &template["metadata"]["labels"])
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
            let found: BTreeSet<&str> = pods
                .iter()
                .filter(|labels| selector.iter().all(|(name, value)| labels[name] == *value))
                .map(|labels| labels["app.kubernetes.io/component"].as_str().unwrap())
                .collect();
            let own = &manifest["metadata"]["labels"]["app.kubernetes.io/component"];
            let own = BTreeSet::from([own.as_str().unwrap()]);
            assert_eq!(found, own, "{} {selector:?}", manifest["kind"]);
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

/// Kubernetes' own types, which are passed on unchanged.
const HANDED_ON: [&str; 7] = [
    "affinity",
    "dnsTo",
    "from",
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
fn the_api_accepts_the_written_tuning_with_the_same_meaning() {
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let instance = sample::instance(yaml);
        let written = desired(&instance, &facts()).config_map;
        let parsed = Tuning::parse(written["data"]["tuning.yaml"].as_str().unwrap()).unwrap();
        assert_eq!(parsed.tuning, instance.tuning);
        assert!(parsed.unknown.is_empty());
    }
}

#[test]
fn verify_ca_trusts_only_the_given_authority() {
    let instance = sample::with(FULL, |spec| {
        spec["mysql"]["external"]["tls"]["mode"] = "VerifyCA".into();
        spec["redis"]["external"]["tls"]["mode"] = "VerifyCA".into();
    });
    let template = desired(&instance, &facts()).deployment.template;
    let variables = template["spec"]["containers"][0]["env"].clone();
    let value = |name: &str| {
        let mut variables = variables.as_array().unwrap().iter();
        let variable = variables.find(|variable| variable["name"] == name);
        variable.map(|variable| variable["value"].as_str().unwrap().to_owned())
    };
    assert_eq!(value("DB_TLS").as_deref(), Some("verify-ca"));
    assert_eq!(value("REDIS_TLS").as_deref(), Some("verify-ca"));
    assert_eq!(value("SSL_CERT_FILE"), value("DB_TLS_CA"));
    assert!(value("DB_TLS_CA").is_some());
}

#[test]
fn another_default_image_changes_nothing_but_the_image_and_nothing_of_a_pinned_resource() {
    let later = Defaults {
        api_image: "reckon/reckon-api:9.9.9".to_owned(),
        ..sample::defaults()
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
fn without_metrics_from_no_peer_may_read_metrics() {
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
fn disabled_children_are_absent() {
    let open = sample::with(PROVISIONED, |spec| {
        spec["networkPolicy"] = json!({"enabled": false});
        spec["mysql"]["migrate"] = json!({"enabled": false});
        spec["replicas"] = json!(1);
    });
    let resources = desired(&open, &facts());
    assert_eq!(resources.network_policy, None);
    assert_eq!(resources.migration_policy, None);
    assert_eq!(resources.provision_policy, None);
    assert_eq!(resources.redis.unwrap().network_policy, None);
    assert_eq!(resources.migration, None);
}

#[test]
fn evictions_are_held_by_an_unreachable_minimum_and_otherwise_one_pod_may_be_evicted() {
    let instance = sample::instance(MINIMAL);
    let open = disruption_budget(&instance, Evictions::Open);
    assert_eq!(open["spec"]["maxUnavailable"], 1);
    assert_eq!(open["spec"]["minAvailable"], Value::Null);
    let since = "2026-03-04T05:06:07Z".parse().unwrap();
    let held = disruption_budget(&instance, Evictions::Held { since });
    assert_eq!(held["spec"]["minAvailable"], 2_147_483_647);
    assert_eq!(held["spec"]["maxUnavailable"], Value::Null);
    assert_eq!(
        held["spec"]["unhealthyPodEvictionPolicy"],
        "IfHealthyBudget"
    );
    assert_eq!(held["spec"]["selector"], open["spec"]["selector"]);
    let annotation = &held["metadata"]["annotations"]["reckon.dev/evictions-held-since"];
    assert_eq!(annotation, "2026-03-04T05:06:07.000Z");
}

#[test]
fn a_pod_gets_one_key_of_each_secret_that_it_mounts_and_a_variable_names_its_file() {
    let mut mounted = 0;
    for (name, template) in templates() {
        let container = &template["spec"]["containers"][0];
        for volume in template["spec"]["volumes"].as_array().into_iter().flatten() {
            if volume["secret"].is_null() {
                continue;
            }
            mounted += 1;
            let [item] = volume["secret"]["items"].as_array().unwrap().as_slice() else {
                panic!("{name}: {volume}");
            };
            assert_eq!(item["key"], item["path"]);
            let mut mounts = container["volumeMounts"].as_array().unwrap().iter();
            let mount = mounts.find(|mount| mount["name"] == volume["name"]);
            let directory = mount.unwrap()["mountPath"].as_str().unwrap();
            let file = format!("{directory}/{}", item["path"].as_str().unwrap());
            let mut variables = container["env"].as_array().unwrap().iter();
            assert!(
                variables.any(|variable| variable["value"] == file),
                "{name}: {file}"
            );
        }
    }
    assert!(mounted >= 7, "{mounted}");
}

#[test]
fn no_argument_of_a_container_contains_a_secret() {
    for (name, template) in templates() {
        let container = &template["spec"]["containers"][0];
        let secret = container["env"].as_array().unwrap().iter();
        let secret = secret.filter(|variable| variable["valueFrom"]["secretKeyRef"].is_object());
        for variable in secret {
            // Kubernetes would insert the variable's value.
            let reference = format!("$({})", variable["name"].as_str().unwrap());
            for field in ["command", "args"] {
                let words = container[field].to_string();
                assert!(!words.contains(&reference), "{name}: {words}");
            }
        }
    }
}

#[test]
fn pods_prefer_different_zones_unless_the_resource_sets_how_they_spread() {
    let anti_affinity = |pod: Value| {
        let instance = sample::with(PROVISIONED, |spec| spec["pod"] = pod.clone());
        let template = desired(&instance, &facts()).deployment.template;
        template["spec"]["affinity"]["podAntiAffinity"].clone()
    };
    let zone = "/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm/topologyKey";
    let key = |anti_affinity: Value| anti_affinity.pointer(zone).cloned();
    let zones = Some(json!("topology.kubernetes.io/zone"));
    assert_eq!(key(anti_affinity(json!({}))), zones);
    let nodes = json!({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}});
    assert_eq!(key(anti_affinity(json!({"affinity": nodes}))), zones);
    let own = json!({"requiredDuringSchedulingIgnoredDuringExecution": []});
    let pod = json!({"affinity": {"podAntiAffinity": own.clone()}});
    assert_eq!(anti_affinity(pod), own);
    let pod = json!({"topologySpreadConstraints": []});
    assert_eq!(anti_affinity(pod), Value::Null);
}

#[test]
fn pods_of_every_kind_get_the_pod_settings_of_the_resource() {
    let node = json!({"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}],
    }});
    let apart = json!({"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"team": "shop"}}},
    ]});
    let pod = json!({
        "nodeSelector": {"kubernetes.io/arch": "arm64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "priorityClassName": "important",
        "imagePullSecrets": [{"name": "registry"}],
        "affinity": {"nodeAffinity": node, "podAntiAffinity": apart},
        "labels": {"team": "shop"},
        "annotations": {"team.example/owner": "shop"},
    });
    let instance = sample::with(PROVISIONED, |spec| {
        train(spec);
        spec["pod"] = pod.clone();
    });
    let resources = desired(&instance, &facts());
    let template = |object: &Value| object["spec"]["template"].clone();
    let api = resources.deployment.template;
    let redis = template(&resources.redis.unwrap().deployment);
    let migration = template(&resources.migration.unwrap());
    let provision = template(&provision(&instance, ensure(60), "").job(&instance, 1, 0));
    let training = template(&resources.training.unwrap()["spec"]["jobTemplate"]);
    for template in [&api, &redis, &migration, &provision, &training] {
        for field in [
            "nodeSelector",
            "tolerations",
            "priorityClassName",
            "imagePullSecrets",
        ] {
            assert_eq!(template["spec"][field], pod[field], "{field}");
        }
        assert_eq!(template["spec"]["affinity"]["nodeAffinity"], node);
        assert_eq!(template["metadata"]["labels"]["team"], "shop");
        let annotations = &template["metadata"]["annotations"];
        assert_eq!(annotations["team.example/owner"], "shop");
    }
    assert_eq!(api["spec"]["affinity"]["podAntiAffinity"], apart);
    for template in [redis, migration, provision, training] {
        assert!(template["spec"]["affinity"]["podAntiAffinity"].is_null());
    }
}

#[test]
fn prometheus_finds_the_apis_pods_unless_the_resource_overrides_it() {
    let scraped = |yaml, annotations: Value| {
        let instance = sample::with(yaml, |spec| {
            spec["pod"] = json!({"annotations": annotations});
        });
        let template = desired(&instance, &facts()).deployment.template;
        let annotations = &template["metadata"]["annotations"];
        ["scrape", "port", "path"].map(|what| annotations[format!("prometheus.io/{what}")].clone())
    };
    let port = reckon_contract::network::OPS_PORT.to_string();
    assert_eq!(
        scraped(MINIMAL, json!({})),
        [json!("true"), json!(port), json!("/metrics")]
    );
    let own = json!({"prometheus.io/scrape": "false", "prometheus.io/port": "1"});
    assert_eq!(
        scraped(MINIMAL, own),
        [json!("false"), json!("1"), json!("/metrics")]
    );
}

#[test]
fn a_job_has_no_sidecar_unless_the_resource_enables_it() {
    let metadata = |pod: Value| {
        let instance = sample::with(PROVISIONED, |spec| spec["pod"] = pod);
        let migration = desired(&instance, &facts()).migration.unwrap();
        let provision = provision(&instance, ensure(60), "").job(&instance, 1, 0);
        [migration, provision].map(|job| {
            assert!(job["spec"]["activeDeadlineSeconds"].is_u64());
            job["spec"]["template"]["metadata"].clone()
        })
    };
    for alone in metadata(json!({})) {
        assert_eq!(alone["labels"]["sidecar.istio.io/inject"], "false");
        assert_eq!(alone["annotations"]["sidecar.istio.io/inject"], "false");
        assert_eq!(alone["annotations"]["linkerd.io/inject"], "disabled");
    }
    for with_proxy in metadata(json!({"labels": {"sidecar.istio.io/inject": "true"}})) {
        assert_eq!(with_proxy["labels"]["sidecar.istio.io/inject"], "true");
    }
}

#[test]
fn only_pods_of_the_operators_own_image_get_the_administrators_login() {
    let instance = sample::with(PROVISIONED, |spec| {
        spec["image"] = json!("registry.example/somebody:1");
    });
    let mut administered = 0;
    for (name, template) in with_pods(manifests(&instance, &facts())) {
        let container = &template["spec"]["containers"][0];
        if container["env"].to_string().contains("db-admin") {
            assert_eq!(container["args"], json!(["provision"]), "{name}");
            assert_eq!(container["image"], sample::defaults().api_image);
            administered += 1;
        }
    }
    assert_eq!(administered, 3);
}

#[test]
fn a_provisioning_job_differs_for_other_inputs_and_for_each_run() {
    let instance = sample::instance(PROVISIONED);
    let inputs = |wanted: &Wanted| wanted.inputs.clone();
    let wanted = provision(&instance, ensure(60), "a");
    // A separate step sets the fence.
    assert_eq!(
        inputs(&wanted),
        inputs(&provision(&instance, ensure(7), "a"))
    );
    // Once everything has been revoked, no other step is needed.
    assert_eq!(
        inputs(&wanted),
        inputs(&provision(&instance, ensure_writing(60, Some(&[])), "a"))
    );
    let elsewhere = sample::with(PROVISIONED, |spec| {
        spec["mysql"]["provisioned"]["host"] = json!("other.example");
    });
    let mut upgraded = instance.clone();
    upgraded.provision_image.push('4');
    let fence = |connections| Step::SetFence {
        max_user_connections: NonZeroU32::new(connections).unwrap(),
    };
    let all = [
        inputs(&wanted),
        inputs(&provision(&instance, ensure(60), "b")),
        inputs(&provision(&elsewhere, ensure(60), "a")),
        inputs(&provision(&upgraded, ensure(60), "a")),
        inputs(&provision(&instance, fence(60), "a")),
        inputs(&provision(&instance, fence(7), "a")),
        inputs(&provision(&instance, Step::AddPassword, "a")),
        inputs(&provision(&instance, ensure_writing(60, Some(&["a"])), "a")),
        inputs(&provision(&instance, ensure_writing(60, Some(&["b"])), "a")),
    ];
    assert_eq!(BTreeSet::from(all.clone()).len(), all.len(), "{all:?}");
    let (first, second) = (wanted.job(&instance, 1, 0), wanted.job(&instance, 2, 0));
    let annotation = |job: &Value| job["metadata"]["annotations"][INPUTS].clone();
    assert_eq!(annotation(&first), annotation(&second));
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

#[test]
fn a_cluster_that_assigns_user_ids_gets_pods_without_any() {
    let assigning = Defaults {
        fixed_user_ids: false,
        ..sample::defaults()
    };
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let instance = Instance::new(&sample::service(yaml), &assigning).unwrap();
        for manifest in manifests(&instance, &facts()) {
            walk("", &manifest, &mut |path, value| {
                for field in [".runAsUser", ".runAsGroup", ".fsGroup"] {
                    assert!(!path.ends_with(field), "{path}: {value}");
                }
                if path.ends_with(".template.spec.securityContext") {
                    assert_eq!(value["runAsNonRoot"], true);
                }
            });
        }
    }
}

#[test]
fn only_clients_that_are_named_and_the_operator_reach_the_api() {
    let http = |policy: Value| {
        let instance = sample::with(MINIMAL, |spec| spec["networkPolicy"] = policy);
        let policy = desired(&instance, &facts()).network_policy.unwrap();
        let rule = policy["spec"]["ingress"][0].clone();
        assert_eq!(rule["ports"][0]["port"], "http");
        rule
    };
    assert!(http(json!({})).get("from").is_none());
    let operator = json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "reckon-system"}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "reckon-operator"}},
    });
    assert_eq!(http(json!({"from": []}))["from"], json!([operator]));
    let frontend = json!({"podSelector": {"matchLabels": {"app": "frontend"}}});
    let named = http(json!({"from": [frontend]}));
    assert_eq!(named["from"], json!([frontend, operator]));
}

#[test]
fn pods_of_every_kind_connect_only_where_the_resource_allows() {
    let policies = |policy: Value| {
        let instance = sample::with(PROVISIONED, |spec| {
            train(spec);
            spec["networkPolicy"] = policy;
        });
        let resources = desired(&instance, &facts());
        let redis = resources.redis.unwrap().network_policy;
        let migration = resources.migration_policy.clone().unwrap();
        let others = [resources.provision_policy, resources.training_policy];
        for other in others.map(Option::unwrap) {
            let mut alike = migration["spec"].clone();
            let selector = &other["spec"]["podSelector"];
            assert_ne!(alike["podSelector"], *selector);
            alike["podSelector"] = selector.clone();
            assert_eq!(other["spec"], alike);
        }
        [resources.network_policy, resources.migration_policy, redis]
            .map(|policy| policy.unwrap()["spec"].clone())
    };
    let both = json!(["Ingress", "Egress"]);
    let [api, migration, redis] = policies(json!({}));
    for open in [&api, &migration] {
        assert_eq!(open["policyTypes"], json!(["Ingress"]));
    }
    assert!(migration.get("ingress").is_none());
    assert_eq!(redis["policyTypes"], both);
    assert!(redis.get("egress").is_none());

    let block = json!({"to": [{"ipBlock": {"cidr": "10.20.0.0/16"}}]});
    let [api, migration, _] = policies(json!({"egressCidrs": ["10.20.0.0/16"]}));
    for limited in [&api, &migration] {
        assert_eq!(limited["policyTypes"], both);
        assert_eq!(limited["egress"][0], block);
        let dns = &limited["egress"][1];
        assert_eq!(
            dns["to"][0]["podSelector"]["matchLabels"]["k8s-app"],
            "kube-dns"
        );
        // A rule with ports but without peers would allow every address.
        for rule in limited["egress"].as_array().unwrap() {
            assert!(
                rule["to"].as_array().is_some_and(|to| !to.is_empty()),
                "{rule}"
            );
        }
    }
    assert_eq!(migration["egress"].as_array().unwrap().len(), 2);

    let [_, none, _] = policies(json!({"egressCidrs": ["10.20.0.0/16"], "dnsTo": []}));
    assert_eq!(none["egress"], json!([block]));
    let own = json!([{"namespaceSelector": {"matchLabels": {"a": "b"}}}]);
    let [_, other, _] = policies(json!({"egressCidrs": ["10.20.0.0/16"], "dnsTo": own}));
    assert_eq!(other["egress"][1]["to"], own);
}

/// A sample that trains with the defaults.
fn trained(yaml: &str) -> Instance {
    sample::with(yaml, train)
}

fn train(spec: &mut Value) {
    spec["training"] = json!({});
}

#[test]
fn a_training_has_one_pod_at_a_time_and_a_deadline() {
    let cron_job = desired(&trained(MINIMAL), &facts()).training.unwrap();
    let spec = &cron_job["spec"];
    assert_eq!(cron_job["metadata"]["name"], "tiny-train");
    assert_eq!(spec["concurrencyPolicy"], "Forbid");
    assert_eq!(spec["timeZone"], "Etc/UTC");
    assert_eq!(spec["suspend"], false);
    let schedule = spec["schedule"].as_str().unwrap();
    assert!(schedule.ends_with(" 3 * * *"), "{schedule}");
    let job = &spec["jobTemplate"]["spec"];
    assert_eq!(job["podReplacementPolicy"], "Failed");
    let pod = &job["template"]["spec"];
    for of in [job, pod] {
        assert_eq!(of["activeDeadlineSeconds"], 1800);
    }
    let container = &pod["containers"][0];
    assert_eq!(container["args"], json!(["train"]));
    assert_eq!(
        container["resources"],
        json!({"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "512Mi"}})
    );
    // Otherwise the operator would take its Jobs for children of the resource.
    let labels = &spec["jobTemplate"]["metadata"]["labels"];
    assert!(labels["app.kubernetes.io/managed-by"].is_null(), "{labels}");
}

#[test]
fn a_training_logs_in_with_its_own_account_or_the_one_that_is_named() {
    let login = |instance: &Instance| {
        let cron_job = desired(instance, &facts()).training.unwrap();
        let pod = &cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        let env = pod["containers"][0]["env"].as_array().unwrap().clone();
        let password = env.iter().find(|it| it["name"] == "DB_PASSWORD").unwrap();
        password["valueFrom"]["secretKeyRef"]["name"].clone()
    };
    assert_eq!(login(&trained(MINIMAL)), "db-login");
    assert_eq!(login(&sample::instance(FULL)), "db-trainer");
    let provisioned = trained(PROVISIONED);
    assert_eq!(login(&provisioned), "recommendations-mysql-training");
    let job = provision(&provisioned, ensure(60), "").job(&provisioned, 1, 0);
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].to_string();
    assert!(env.contains("recommendations-mysql-training"), "{env}");
    let job = provision(&sample::instance(PROVISIONED), ensure(60), "");
    let job = job.job(&sample::instance(PROVISIONED), 1, 0).to_string();
    assert!(!job.contains("training"), "{job}");
}

#[test]
fn a_training_changes_the_pods_only_by_its_connection() {
    // (30 - 3) / 3 is 9, and (31 - 3 - 1) / 3 too.
    let before = sample::instance(MINIMAL);
    let after = sample::with(MINIMAL, |spec| {
        spec["mysql"]["connectionBudget"] = json!(31);
        spec["training"] = json!({});
    });
    let template = |instance| desired(instance, &facts()).deployment.template;
    assert_eq!(template(&before), template(&after));
    assert_eq!(desired(&before, &facts()).training, None);
    assert_eq!(desired(&before, &facts()).training_policy, None);
}
