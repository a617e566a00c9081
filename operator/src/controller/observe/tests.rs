use super::secrets::{self, SecretState};
use super::{Facts, Observed, is_same, live};
use crate::controller::desired::desired;
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::resources;
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use crate::tuning::Surge;
use kube::api::ObjectMeta;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The facts when every Secret exists, one of them with other values.
fn facts(instance: &Instance, changed: &str) -> Facts {
    observed(instance, changed).facts(instance)
}

fn observed(instance: &Instance, changed: &str) -> Observed {
    let mut names: Vec<String> = instance.referenced_secrets().into_keys().collect();
    names
        .extend(["mysql", "mysql-migration", "redis", "api-keys"].map(|what| instance.child(what)));
    let mut observed = Observed::default();
    for name in names {
        let digest = if name == changed { "ffffff" } else { "000000" };
        let state = SecretState::Complete {
            digest: digest.to_owned(),
            unkeyed: "000000".to_owned(),
            version: "1".to_owned(),
            annotations: BTreeMap::new(),
        };
        observed.secrets.insert(name, state);
    }
    observed
}

/// For each Secret: whether its change replaces pods, replaces a managed Redis, and runs the migration again.
fn table(yaml: &str, expected: &[(&str, bool, bool, bool)]) {
    let instance = sample::instance(yaml);
    let before = facts(&instance, "");
    for (name, pods, redis, migration) in expected {
        let after = facts(&instance, name);
        let changes = (
            after.secrets_digest != before.secrets_digest,
            after.redis_digest != before.redis_digest,
            after.migration_digest != before.migration_digest,
        );
        assert_eq!(changes, (*pods, *redis, *migration), "{name}");
    }
}

#[test]
fn a_changed_secret_changes_the_digests_of_its_readers_only() {
    table(
        MINIMAL,
        &[
            ("db-login", true, false, false),
            ("tiny-api-keys", false, false, false),
        ],
    );
    table(
        FULL,
        &[
            ("db-login", true, false, false),
            ("db-ca", true, false, true),
            ("db-owner", false, false, true),
            ("redis-login", true, false, false),
            ("redis-ca", true, false, false),
            // Pods reload changed keys by themselves.
            ("clients", false, false, false),
        ],
    );
    table(
        PROVISIONED,
        &[
            ("db-admin", false, false, false),
            ("recommendations-mysql-migration", false, false, true),
            ("db-ca", true, false, true),
            ("recommendations-mysql", true, false, false),
            ("recommendations-redis", true, true, false),
        ],
    );
}

#[test]
fn pods_from_before_digests_had_keys_keep_theirs_until_a_secret_or_anything_else_changes() {
    let instance = sample::instance(PROVISIONED);
    let mut observed = observed(&instance, "");
    let old = observed.digests(&instance, SecretState::unkeyed, secrets::unkeyed);
    let new = observed.facts(&instance);
    assert_eq!(old.secrets_digest.len(), 6);
    assert_eq!(new.secrets_digest.len(), 16);
    let made = |facts: &Facts| {
        let resources = desired(&instance, facts);
        sample::object(
            &resources
                .deployment
                .with(Duration::from_secs(30), Surge::Pods(1), None),
        )
    };
    let set = |facts: &Facts, observed: &mut Observed| {
        let deployment = made(facts);
        observed.live = live::live(Some(&deployment), None, Vec::new(), None);
        let key = (Kind::Deployment, instance.name.clone());
        observed.children.insert(key, Arc::new(deployment));
    };
    let digest =
        |instance: &Instance, observed: &Observed| resources(instance, observed).deployment.secrets;
    set(&old, &mut observed);
    assert_eq!(digest(&instance, &observed), old.secrets_digest);
    let mut other = instance.clone();
    other
        .pod
        .labels
        .insert("team".to_owned(), "shop".to_owned());
    assert_eq!(digest(&other, &observed), new.secrets_digest);
    set(&new, &mut observed);
    assert_eq!(digest(&instance, &observed), new.secrets_digest);

    set(&old, &mut observed);
    let changed = SecretState::Complete {
        digest: "1".to_owned(),
        unkeyed: "ffffff".to_owned(),
        version: "2".to_owned(),
        annotations: BTreeMap::new(),
    };
    observed.secrets.insert(instance.database_secret(), changed);
    let facts = observed.facts(&instance);
    assert_eq!(digest(&instance, &observed), facts.secrets_digest);
    assert_ne!(facts.secrets_digest, new.secrets_digest);
}

#[test]
fn nothing_is_deleted_for_a_resource_that_has_changed_or_gone_since_it_was_parsed() {
    let instance = sample::instance(MINIMAL);
    let meta = |uid: &str, generation: i64, ending: Option<&str>| -> ObjectMeta {
        serde_json::from_value(
            json!({"uid": uid, "generation": generation, "deletionTimestamp": ending}),
        )
        .unwrap()
    };
    let generation = instance.generation;
    assert!(is_same(&meta(&instance.uid, generation, None), &instance));
    for other in [
        meta("made-anew", generation, None),
        meta(&instance.uid, generation + 1, None),
        meta(&instance.uid, generation, Some("2026-03-04T05:06:07Z")),
    ] {
        assert!(!is_same(&other, &instance), "{other:?}");
    }
}
