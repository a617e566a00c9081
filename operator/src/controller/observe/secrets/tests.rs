use super::{SecretState, Use, foreign, judge, keyed, problem, unkeyed};
use crate::controller::sample::{self, PROVISIONED};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const LOGIN: [&str; 2] = ["username", "password"];
const KEY: &[u8] = b"a key";

fn secret(name: &str, values: &Value) -> Secret {
    let data: serde_json::Map<String, Value> = values
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| {
            let bytes = k8s_openapi::ByteString(value.as_str().unwrap().into());
            (key.clone(), json!(bytes))
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "resourceVersion": "7",
            "annotations": {"reckon.dev/fence": "40", "somebody/else": "x"},
        },
        "data": data,
    }))
    .unwrap()
}

fn login(name: &str, password: &str) -> SecretState {
    let values = json!({"username": "shop", "password": password, "other": "x"});
    judge(&secret(name, &values), &LOGIN, KEY)
}

#[test]
fn a_secret_without_the_keys_that_are_needed_is_incomplete() {
    for (values, missing) in [
        (json!({}), vec!["username", "password"]),
        (json!({"username": "shop"}), vec!["password"]),
        (
            json!({"username": "shop", "password": ""}),
            vec!["password"],
        ),
        (json!({"password": "secret"}), vec!["username"]),
    ] {
        let state = judge(&secret("db", &values), &LOGIN, KEY);
        assert_eq!(state, SecretState::Incomplete { keys: missing });
        assert_eq!((state.digest(), state.fence()), ("", None));
    }
    let bare: Secret = serde_json::from_value(json!({"metadata": {"name": "db"}})).unwrap();
    let keys = vec!["ca.crt"];
    assert_eq!(
        judge(&bare, &["ca.crt"], KEY),
        SecretState::Incomplete { keys }
    );
}

#[test]
fn an_empty_user_name_is_the_default_user_of_redis() {
    let values = json!({"username": "", "password": "secret"});
    let state = judge(&secret("redis", &values), &LOGIN, KEY);
    assert!(matches!(state, SecretState::Complete { .. }), "{state:?}");
}

#[test]
fn a_complete_secret_keeps_the_operators_annotations_and_no_value() {
    let state = login("db", "a long password");
    let SecretState::Complete {
        version,
        annotations,
        ..
    } = &state
    else {
        panic!("{state:?}");
    };
    assert_eq!(version, "7");
    assert_eq!(annotations.len(), 1);
    assert_eq!(state.fence(), Some(40));
    assert_eq!(state.annotation("somebody/else"), None);
    let kept = format!("{state:?}");
    assert!(!kept.contains("a long password") && !kept.contains("shop"));
}

#[test]
fn a_digest_changes_with_values_name_and_key_and_nothing_else() {
    let digest = |state: SecretState| state.digest().to_owned();
    let one = digest(login("db", "secret"));
    assert_eq!(one.len(), 16);
    assert_eq!(one, digest(login("db", "secret")));
    assert_ne!(one, digest(login("db", "secret2")));
    assert_ne!(one, digest(login("other", "secret")));
    let more = json!({"username": "shop", "password": "secret", "other": "changed"});
    assert_eq!(one, digest(judge(&secret("db", &more), &LOGIN, KEY)));
    let other_key = judge(&secret("db", &more), &LOGIN, b"another key");
    assert_ne!(one, other_key.digest());
    // Without the key, passwords cannot be tested; the unkeyed digest does not depend on the key.
    let unkeyed = other_key.unkeyed();
    assert_eq!(unkeyed, login("db", "secret").unkeyed());
    assert!(unkeyed.len() == 6 && !one.starts_with(unkeyed));
}

#[test]
fn the_boundaries_between_parts_change_the_digest() {
    type Digest = fn(&[&[u8]]) -> String;
    let digests: [Digest; 2] = [|parts| keyed(KEY, parts), unkeyed];
    for digest in digests {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        assert_ne!(digest(&[b"ab"]), digest(&[b"ab", b""]));
    }
}

#[test]
fn a_problem_of_a_secret_names_it_and_its_keys() {
    let text = |state| problem("db", &["username", "password"], &state);
    assert_eq!(
        text(SecretState::Missing).unwrap(),
        "there is no Secret db (with username and password)"
    );
    let keys = vec!["username", "password"];
    assert_eq!(
        text(SecretState::Incomplete { keys }).unwrap(),
        "the Secret db lacks username and password"
    );
    assert_eq!(text(login("db", "secret")), None);
}

#[test]
fn a_secret_that_the_operator_creates_must_belong_to_the_resource() {
    let instance = sample::instance(PROVISIONED);
    let owned = |uid: &str, controller: bool| -> ObjectMeta {
        serde_json::from_value(json!({"ownerReferences": [{
            "apiVersion": "reckon.dev/v1alpha1",
            "kind": "RecommendationService",
            "name": instance.name,
            "uid": uid,
            "controller": controller,
        }]}))
        .unwrap()
    };
    let forbids = |metadata: &ObjectMeta| {
        [Use::Made, Use::Referenced].map(|purpose| purpose.forbids(metadata, &instance))
    };
    // As every version of the operator has created them.
    assert_eq!(forbids(&owned(&instance.uid, true)), [false, false]);
    for foreign in [
        ObjectMeta::default(),
        owned("of-another-resource", true),
        owned(&instance.uid, false),
    ] {
        assert_eq!(forbids(&foreign), [true, false], "{foreign:?}");
    }
}

#[test]
fn a_foreign_secret_has_neither_digest_nor_annotations_and_is_named() {
    let state = SecretState::Foreign;
    assert_eq!((state.digest(), state.fence()), ("", None));
    let instance = sample::instance(PROVISIONED);
    let mut states: BTreeMap<String, SecretState> = instance
        .referenced_secrets()
        .into_keys()
        .map(|name| (name, login("x", "y")))
        .collect();
    states.insert("recommendations-redis".to_owned(), login("x", "y"));
    assert!(foreign(&instance, &states).is_empty());
    states.insert("recommendations-mysql".to_owned(), SecretState::Foreign);
    assert_eq!(foreign(&instance, &states), ["recommendations-mysql"]);
}
