use super::secrets::SecretState;
use super::{Facts, Observed};
use crate::controller::instance::Instance;
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use std::collections::BTreeMap;

/// What is known when every Secret is there, one of them with other values.
fn facts(instance: &Instance, changed: &str) -> Facts {
    let mut names: Vec<String> = instance.referenced_secrets().into_keys().collect();
    names.extend(["mysql", "redis", "api-keys"].map(|what| instance.child(what)));
    let mut observed = Observed::default();
    for name in names {
        let digest = if name == changed { "ffffff" } else { "000000" };
        let state = SecretState::Complete {
            digest: digest.to_owned(),
            version: "1".to_owned(),
            annotations: BTreeMap::new(),
        };
        observed.secrets.insert(name, state);
    }
    observed.facts(instance)
}

/// For each Secret whether its change replaces pods, a managed Redis, and runs the migration again.
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
fn a_changed_secret_reaches_those_that_read_it_once_and_nobody_else() {
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
            // Pods take up other keys by themselves.
            ("clients", false, false, false),
        ],
    );
    table(
        PROVISIONED,
        &[
            ("db-admin", false, false, true),
            ("db-ca", true, false, true),
            ("recommendations-mysql", true, false, false),
            ("recommendations-redis", true, true, false),
        ],
    );
}

#[test]
fn digests_on_pods_are_short() {
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let facts = facts(&sample::instance(yaml), "");
        assert_eq!(facts.secrets_digest.len(), 6);
        assert!(facts.redis_digest.len() <= 6 && facts.migration_digest.len() <= 6);
    }
}
