use super::{Defaults, Error, Instance};
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use crate::images::AllowedImages;
use crate::tuning::Scale;
use serde_json::{Value, json};

fn rejection(yaml: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value = sample::value(yaml);
    change(&mut value["spec"]);
    Instance::parse(&sample::object(&value), &sample::defaults())
        .unwrap_err()
        .to_string()
}

/// Requests and limits as JSON.
fn resources(instance: &Instance) -> Value {
    json!(instance.pod.resources)
}

#[test]
fn the_shortest_resource_gets_every_default() {
    let instance = sample::with(MINIMAL, |spec| {
        spec.as_object_mut().unwrap().remove("replicas");
    });
    assert_eq!(instance.budget.scale, Scale::Fixed(2));
    assert_eq!(
        resources(&instance),
        json!({"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "256Mi"}})
    );
    assert_eq!(instance.image, sample::defaults().api_image);
    assert!(!instance.image_is_pinned && !instance.paused);
    assert_eq!(instance.keys_secret().as_deref(), Some("tiny-api-keys"));
    assert_eq!(instance.database_secret(), "db-login");
    assert_eq!(
        (instance.migration_secret(), instance.redis_secret()),
        (None, None)
    );
    let database = instance.database();
    assert_eq!(
        (database.host, database.port, database.tls),
        ("db.example", 3306, None)
    );
    let tuning = &instance.tuning;
    // (30 - 3) / (2 + 2)
    assert_eq!(tuning.store.pool_size, 6);
    assert_eq!(tuning.cache.memory.max_bytes, 64 << 20);
    assert_eq!(tuning.server.threads, Some(1));
    assert!(instance.network_policy.enabled);
}

#[test]
fn sizes_follow_the_resources_of_the_pod() {
    // The given resources, the filled-in requests and limits, threads, and the cache in MiB.
    for (given, filled, threads, cache) in [
        (
            json!({"limits": {"memory": "1Gi"}}),
            json!({"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}),
            1,
            256,
        ),
        (
            json!({"requests": {"memory": "512Mi", "cpu": "3"}}),
            json!({"requests": {"cpu": "3", "memory": "512Mi"}, "limits": {"memory": "512Mi"}}),
            3,
            128,
        ),
        (
            json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "2500m", "memory": "400Mi"}}),
            json!({"requests": {"cpu": "500m", "memory": "400Mi"}, "limits": {"cpu": "2500m", "memory": "400Mi"}}),
            3,
            100,
        ),
        (
            json!({"limits": {"cpu": "4"}}),
            json!({"requests": {"cpu": "4", "memory": "256Mi"}, "limits": {"cpu": "4", "memory": "256Mi"}}),
            4,
            64,
        ),
    ] {
        let instance = sample::with(MINIMAL, |spec| spec["pod"] = json!({"resources": given}));
        assert_eq!(resources(&instance), filled);
        assert_eq!(instance.tuning.server.threads, Some(threads), "{given}");
        assert_eq!(
            instance.tuning.cache.memory.max_bytes,
            cache << 20,
            "{given}"
        );
        // The limit without the cache and 64 MiB, divided by 32 KiB.
        let limit = cache * 4;
        let connections = u32::try_from((limit - cache - 64) * 32).unwrap();
        assert_eq!(
            instance.tuning.server.max_connections,
            Some(connections),
            "{given}"
        );
    }
}

#[test]
fn values_set_in_the_resource_override_the_defaults() {
    let instance = sample::instance(FULL);
    assert_eq!(instance.budget.scale, Scale::Auto { min: 3, max: 8 });
    assert_eq!(instance.target_cpu_percent, 60);
    assert!(instance.image_is_pinned);
    assert_eq!(
        instance.restarted_at.as_deref(),
        Some("2026-01-02T03:04:05Z")
    );
    let tuning = &instance.tuning;
    assert_eq!(tuning.server.threads, Some(3));
    assert_eq!(tuning.server.max_connections, Some(4000));
    // 40 % of 1 GiB
    assert_eq!(tuning.cache.memory.max_bytes, (1 << 30) * 40 / 100);
    assert_eq!(tuning.cache.stale_seconds, 600);
    assert_eq!(tuning.cache.shared.ttl_seconds, 1800);
    assert!(tuning.auth.reads);
    // No statement outlives its request.
    assert_eq!(tuning.store.query_timeout_milliseconds, 1500);
    assert_eq!(instance.migration_secret().as_deref(), Some("db-owner"));
    assert_eq!(instance.redis_secret().as_deref(), Some("redis-login"));
    assert_eq!(instance.keys_secret().as_deref(), Some("clients"));
}

#[test]
fn all_secrets_that_a_resource_refers_to_are_listed_with_their_keys() {
    let login = vec!["username", "password"];
    let full = sample::instance(FULL).referenced_secrets();
    let expected = [
        ("clients", vec!["api-keys"]),
        ("db-ca", vec!["ca.crt"]),
        ("db-login", login.clone()),
        ("db-owner", login.clone()),
        ("db-trainer", login.clone()),
        ("redis-ca", vec!["ca.crt"]),
        ("redis-login", login.clone()),
    ];
    assert_eq!(full.len(), expected.len(), "{full:?}");
    for (name, keys) in expected {
        assert_eq!(full[name], keys, "{name}");
    }
    let provisioned = sample::instance(PROVISIONED);
    assert_eq!(provisioned.referenced_secrets()["db-admin"], login);
    assert_eq!(provisioned.database_secret(), "recommendations-mysql");
    // The operator's own account, not the administrator's.
    let migration = Some("recommendations-mysql-migration");
    assert_eq!(provisioned.migration_secret().as_deref(), migration);
    assert_eq!(provisioned.migration_account_secret().as_deref(), migration);
    assert_eq!(
        provisioned.redis_secret().as_deref(),
        Some("recommendations-redis")
    );
    assert_eq!(provisioned.keys_secret(), None);
}

#[test]
fn a_secret_that_is_named_twice_is_listed_once_with_all_keys() {
    let instance = sample::with(MINIMAL, |spec| {
        spec["mysql"]["migrate"] =
            json!({"enabled": true, "credentials": {"secretName": "db-login"}});
        spec["mysql"]["external"]["tls"] =
            json!({"mode": "VerifyFull", "caSecretName": "db-login"});
    });
    let secrets = instance.referenced_secrets();
    assert_eq!(secrets.len(), 1);
    assert_eq!(secrets["db-login"], ["username", "password", "ca.crt"]);
}

#[test]
fn an_invalid_resource_is_rejected_with_the_field_and_the_allowed_values() {
    type Edit = fn(&mut Value);
    let cases: [(Edit, &str); 11] = [
        (
            |spec| spec["mysql"]["external"] = Value::Null,
            "mysql needs exactly one of external and provisioned",
        ),
        (
            |spec| {
                let admin = json!({"secretName": "a"});
                spec["mysql"]["provisioned"] =
                    json!({"host": "h", "database": "d", "admin": admin});
            },
            "mysql needs exactly one of external and provisioned",
        ),
        (
            |spec| spec["redis"] = json!({}),
            "redis needs exactly one of external and managed",
        ),
        (
            |spec| {
                let (admin, tls) = (
                    json!({"secretName": "a"}),
                    json!({"mode": "VerifyCA", "caSecretName": "ca"}),
                );
                spec["mysql"]["external"] = Value::Null;
                spec["mysql"]["provisioned"] =
                    json!({"host": "h", "database": "d", "admin": admin, "tls": tls});
            },
            "mysql.provisioned.tls.mode must not be VerifyCA: use VerifyFull",
        ),
        (
            |spec| {
                spec["mysql"]["external"]["tls"] =
                    json!({"mode": "VerifyCA", "caSecretName": "ca"});
                spec["redis"] = json!({"external": {"host": "cache", "tls": {"enabled": true}}});
            },
            "redis.external.tls.caSecretName is needed beside mysql.external.tls.mode: VerifyCA",
        ),
        (
            |spec| spec["autoscaling"] = json!({"maxReplicas": 3}),
            "replicas must not be set beside autoscaling",
        ),
        (
            |spec| spec["replicas"] = json!(0),
            "replicas is 0: expected at least 1",
        ),
        (
            |spec| {
                spec["replicas"] = Value::Null;
                spec["autoscaling"] = json!({"minReplicas": 4, "maxReplicas": 3});
            },
            "autoscaling.minReplicas must be at least 1 and at most autoscaling.maxReplicas",
        ),
        (
            |spec| spec["replicas"] = json!(12),
            "mysql.connectionBudget is too small: 12 replicas need 31 connections (2 x (12 + 2) + 3 reserved), and the budget is 30",
        ),
        (
            |spec| spec["pod"] = json!({"resources": {"limits": {"memory": "lots"}}}),
            "pod.resources.limits.memory is \"lots\": ",
        ),
        (
            |spec| spec["pod"] = json!({"resources": {"requests": {"cpu": "x"}}}),
            "pod.resources.requests.cpu is \"x\": ",
        ),
    ];
    for (edit, expected) in cases {
        let message = rejection(MINIMAL, edit);
        assert!(message.starts_with(expected), "{message}");
        assert!(!message.ends_with(": "), "{message}");
    }
}

#[test]
fn a_resource_of_another_schema_is_unreadable_and_its_error_names_the_field() {
    let message = rejection(MINIMAL, |spec| {
        spec["mysql"]["connectionBudget"] = json!("many");
    });
    assert!(
        message.starts_with("the resource cannot be read: "),
        "{message}"
    );
    assert!(message.contains("many"), "{message}");
    let mut value = sample::value(MINIMAL);
    value["metadata"].as_object_mut().unwrap().remove("uid");
    let error = Instance::parse(&sample::object(&value), &sample::defaults()).unwrap_err();
    assert!(matches!(error, Error::Incomplete("uid")), "{error}");
}

#[test]
fn every_image_that_would_run_must_be_allowed() {
    let parsed = |yaml: &str, patterns: &[&str]| {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.into()).collect();
        let defaults = Defaults {
            allowed_images: AllowedImages::new(&patterns),
            ..sample::defaults()
        };
        let parsed = Instance::new(&sample::service(yaml), &defaults);
        parsed.map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(parsed(FULL, &["registry.example/*"]), Ok(()));
    assert_eq!(
        parsed(FULL, &["registry.example.com/*", "reckon/*"]),
        Err(
            "image would run the image \"registry.example/reckon-api:1.0.0\", which this operator does not allow: \
             use one that matches registry.example.com/*, reckon/* (--allowed-images)"
                .to_owned()
        )
    );
    assert!(parsed(MINIMAL, &["registry.example/*"]).is_err());
    let said = parsed(PROVISIONED, &["reckon/*"]).unwrap_err();
    assert!(
        said.starts_with("redis.managed would run the image \"redis:7.2.16\""),
        "{said}"
    );
    assert_eq!(parsed(PROVISIONED, &["reckon/*", "redis:*"]), Ok(()));
    // Whatever image the resource names, provisioning runs the operator's own image.
    let pinned = format!("{PROVISIONED}  image: registry.example/reckon-api:1.0.0\n");
    let said = parsed(&pinned, &["registry.example/*", "redis:*"]).unwrap_err();
    assert!(
        said.starts_with("mysql.provisioned would run the image \"reckon/reckon-api:1.2.3\""),
        "{said}"
    );
}

#[test]
fn a_training_needs_an_algorithm_with_a_model_and_a_schedule_that_exists() {
    let training = |training: Value, algorithm: &'static str| {
        move |spec: &mut Value| {
            spec["recommendation"] = json!({"algorithm": algorithm});
            spec["training"] = training;
        }
    };
    assert_eq!(
        rejection(MINIMAL, training(json!({}), "Classic")),
        "training needs recommendation.algorithm: NextBasket, or an experiment with it"
    );
    let service = |experiment: Value| {
        let mut value = sample::value(MINIMAL);
        value["spec"]["recommendation"] = json!({"algorithm": "Classic", "experiment": experiment});
        value["spec"]["training"] = json!({});
        serde_json::from_value::<crate::crd::RecommendationService>(value).unwrap()
    };
    let trained = service(json!({"algorithm": "NextBasket", "percent": 5}));
    assert!(Instance::new(&trained, &sample::defaults()).is_ok());
    let reversed = json!({"schedule": "50-10 3 * * *"});
    let message = rejection(MINIMAL, training(reversed, "NextBasket"));
    assert!(message.starts_with("training.schedule is"), "{message}");
    // The default algorithm has a model.
    let tight = |spec: &mut Value| {
        spec["training"] = json!({});
        spec["mysql"]["connectionBudget"] = json!(9);
    };
    let message = rejection(MINIMAL, tight);
    assert!(message.contains("+ 1 for training"), "{message}");
}

#[test]
fn an_experiment_needs_another_algorithm() {
    for algorithm in ["Classic", "NextBasket"] {
        let message = rejection(MINIMAL, |spec| {
            let experiment = json!({"algorithm": algorithm, "percent": 5});
            spec["recommendation"] = json!({"algorithm": algorithm, "experiment": experiment});
        });
        assert_eq!(
            message,
            "recommendation.experiment.algorithm must be another one than recommendation.algorithm"
        );
    }
}

#[test]
fn only_an_operators_own_user_gets_privileges_and_only_while_events_are_enabled() {
    let tables = |yaml: &str, spec: Value| {
        let instance = sample::with(yaml, |own| {
            for field in ["events", "tables"] {
                own[field] = spec[field].clone();
            }
        });
        instance.written_tables().into_iter().collect::<Vec<_>>()
    };
    let enabled = json!({"events": {"enabled": true}});
    assert_eq!(
        tables(PROVISIONED, enabled.clone()),
        ["purchase", "searches"]
    );
    assert!(tables(PROVISIONED, json!({"events": {"enabled": false}})).is_empty());
    assert!(tables(PROVISIONED, json!({})).is_empty());
    assert!(tables(MINIMAL, enabled).is_empty());
    let mapped = json!({
        "events": {"enabled": true},
        "tables": {"searches": {"table": ""}, "purchases": {"table": "orders"}},
    });
    assert_eq!(tables(PROVISIONED, mapped), ["orders"]);
}
