//! An upgrade of the operator changes no pod template of a resource that pins its image. `pinned.json` has the present
//! templates with their hashes, which also depend on the order of fields, and the tunings that the templates refer to
//! by a hash.

use super::config_map::FILE;
use super::{Facts, desired};
use crate::args::{Cli, Command};
use crate::controller::instance::{Defaults, Instance};
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use clap::Parser as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const WRITE: &str = "RECKON_WRITE_PINNED";
const GOLDEN: &str = "src/controller/desired/pinned.json";

#[test]
fn an_upgrade_of_the_operator_replaces_no_pod_of_a_resource_that_pins_its_image() {
    let own = defaults();
    let later = Defaults {
        api_image: "reckon/reckon-api:99.0.0".to_owned(),
        ..own.clone()
    };
    assert_ne!(own, later);
    let today = templates(&own);
    assert_eq!(
        differences(&templates(&later), &today),
        [""; 0],
        "the version of the operator is in the template"
    );

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os(WRITE).is_some() {
        let text = serde_json::to_string_pretty(&today).unwrap();
        std::fs::write(&path, text + "\n").unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let golden: Value = serde_json::from_str(&golden).unwrap_or_default();
    let differences = differences(&golden, &today);
    assert!(
        differences.is_empty(),
        "an upgrade to this operator would replace the pods of every service, those that pin their image too. If that is \
         meant, say so in CHANGELOG.md under breaking changes, and run\n\n    \
         {WRITE}=1 cargo test -p reckon-operator --lib pinned\n\n{}",
        differences.join("\n")
    );
}

#[test]
fn a_change_of_the_tuning_is_a_change_of_the_template() {
    let before = templates(&defaults());
    let service = sample::value(MINIMAL);
    let mut instance = Instance::parse(&sample::object(&service), &defaults()).unwrap();
    instance.tuning.store.queue_length += 1;
    let after = rendered(&instance);
    let changed: BTreeSet<String> = differences(&before["minimal"], &after)
        .iter()
        .filter_map(|line| line.split(": ").next().map(str::to_owned))
        .collect();
    for path in [
        "/hash",
        "/template/metadata/annotations/reckon.dev~1tuning",
        "/template/spec/volumes/0/configMap/name",
        "/tuning/store/queueLength",
    ] {
        assert!(changed.contains(path), "{path}: {changed:?}");
    }
}

/// The program's own defaults, with its version.
fn defaults() -> Defaults {
    let cli = Cli::parse_from(["reckon-operator", "run"]);
    let Command::Run(run) = cli.command else {
        panic!("another command: {cli:?}");
    };
    run.defaults()
}

/// The contents of `spec.template` of Deployments, for each sample.
fn templates(defaults: &Defaults) -> Value {
    let samples = [
        ("minimal", MINIMAL),
        ("full", FULL),
        ("provisioned", PROVISIONED),
    ];
    let templates: Map<String, Value> = samples
        .into_iter()
        .map(|(name, yaml)| {
            let mut service = sample::value(yaml);
            service["spec"]["image"] = json!("registry.example/reckon-api:1.0.0");
            let instance = Instance::parse(&sample::object(&service), defaults).unwrap();
            (name.to_owned(), rendered(&instance))
        })
        .collect();
    Value::Object(templates)
}

fn rendered(instance: &Instance) -> Value {
    let facts = Facts {
        secrets_digest: "5ec5e7".to_owned(),
        redis_digest: "0ed15a".to_owned(),
        migration_digest: "a1b2c3".to_owned(),
    };
    let resources = desired(instance, &facts);
    let tuning = resources.config_map["data"][FILE].as_str().unwrap();
    let tuning: Value = serde_yaml::from_str(tuning).unwrap();
    let mut rendered = json!({
        "hash": resources.deployment.planned.hash,
        "template": resources.deployment.template,
        "tuning": tuning,
    });
    if let Some(redis) = resources.redis {
        rendered["redis"] = redis.deployment["spec"]["template"].clone();
    }
    rendered
}

/// A line for each value that differs, with its path (RFC 6901).
fn differences(was: &Value, is: &Value) -> Vec<String> {
    fn compare(path: &str, was: &Value, is: &Value, lines: &mut Vec<String>) {
        match (was, is) {
            (Value::Object(old), Value::Object(new)) => {
                let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                    compare(&path, &was[name], &is[name], lines);
                }
            }
            (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
                for (number, (was, is)) in old.iter().zip(new).enumerate() {
                    compare(&format!("{path}/{number}"), was, is, lines);
                }
            }
            _ if was != is => lines.push(format!("{path}: was {was}, is {is}")),
            _ => {}
        }
    }
    let mut lines = Vec::new();
    compare("", was, is, &mut lines);
    lines
}
