use super::{Kind, fingerprint_of, slim, template_of};
use crate::controller::desired::disruption_budget::disruption_budget;
use crate::controller::desired::{Facts, deployment, desired};
use crate::controller::sample::{self, MINIMAL, PROVISIONED};
use crate::tuning::Surge;
use crate::tuning::plan::Evictions;
use serde_json::{Value, json};
use std::time::Duration;

fn fingerprint(kind: Kind, value: &Value) -> String {
    let mut object = sample::object(value);
    slim(kind, &mut object);
    fingerprint_of(&object).to_owned()
}

fn deployment() -> Value {
    let resources = desired(&sample::instance(MINIMAL), &Facts::default());
    let mut value = resources
        .deployment
        .with(Duration::from_secs(30), Surge::Pods(1), None);
    value["spec"]["replicas"] = json!(2);
    value["status"] = json!({"replicas": 2});
    value["metadata"]["resourceVersion"] = json!("5");
    value["metadata"]["generation"] = json!(1);
    value
}

type Edit = fn(&mut Value);

#[test]
fn ordinary_writes_of_controllers_do_not_change_the_fingerprint() {
    let before = fingerprint(Kind::Deployment, &deployment());
    let edits: [Edit; 8] = [
        |it| it["status"] = json!({"replicas": 3, "conditions": []}),
        |it| it["spec"]["replicas"] = json!(3),
        |it| it["spec"]["paused"] = json!(true),
        |it| it["spec"]["minReadySeconds"] = json!(130),
        |it| it["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = json!("4"),
        |it| it["metadata"]["annotations"][deployment::FORMER_POOL] = json!("9"),
        |it| it["metadata"]["resourceVersion"] = json!("6"),
        |it| it["metadata"]["managedFields"] = json!([{"manager": "x"}]),
    ];
    for edit in edits {
        let mut value = deployment();
        edit(&mut value);
        assert_eq!(before, fingerprint(Kind::Deployment, &value), "{value}");
    }
}

#[test]
fn edits_by_others_change_the_fingerprint() {
    let before = fingerprint(Kind::Deployment, &deployment());
    let edits: [Edit; 7] = [
        |it| it["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("other"),
        |it| it["metadata"]["labels"]["new"] = json!("label"),
        |it| it["metadata"]["annotations"][deployment::TEMPLATE] = json!("other"),
        |it| it["metadata"]["annotations"]["somebody/else"] = json!("x"),
        |it| it["metadata"]["ownerReferences"] = json!([]),
        |it| it["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = json!(2),
        |it| it["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other"),
    ];
    for edit in edits {
        let mut value = deployment();
        edit(&mut value);
        assert_ne!(before, fingerprint(Kind::Deployment, &value), "{value}");
    }
}

#[test]
fn the_replicas_of_a_managed_redis_are_the_operators() {
    let resources = desired(&sample::instance(PROVISIONED), &Facts::default());
    let redis = resources.redis.unwrap().deployment;
    let mut edited = redis.clone();
    edited["spec"]["replicas"] = json!(0);
    assert_ne!(
        fingerprint(Kind::Deployment, &redis),
        fingerprint(Kind::Deployment, &edited)
    );
}

#[test]
fn a_fingerprint_changes_with_edits_of_every_other_kind_and_not_with_their_status() {
    let resources = desired(&sample::instance(PROVISIONED), &Facts::default());
    let edits: [(Kind, Value, Edit); 5] = [
        (Kind::Service, resources.service, |it| {
            it["spec"]["ports"][0]["port"] = json!(81);
        }),
        (Kind::ConfigMap, resources.config_map, |it| {
            it["data"]["tuning.yaml"] = json!("");
        }),
        (Kind::ServiceAccount, resources.service_account, |it| {
            it["automountServiceAccountToken"] = json!(true);
        }),
        (
            Kind::NetworkPolicy,
            resources.network_policy.unwrap(),
            |it| it["spec"]["ingress"] = json!([]),
        ),
        (
            Kind::PodDisruptionBudget,
            disruption_budget(&sample::instance(PROVISIONED), Evictions::Open),
            |it| it["spec"]["maxUnavailable"] = json!(0),
        ),
    ];
    for (kind, value, edit) in edits {
        let before = fingerprint(kind, &value);
        let mut edited = value.clone();
        edited["status"] = json!({"disruptionsAllowed": 1});
        assert_eq!(before, fingerprint(kind, &edited), "{kind:?}");
        edit(&mut edited);
        assert_ne!(before, fingerprint(kind, &edited), "{kind:?}");
    }
}

#[test]
fn a_changed_pod_template_is_distinguished_from_a_changed_deployment() {
    let template = |edit: Edit| {
        let mut value = deployment();
        edit(&mut value);
        let mut object = sample::object(&value);
        slim(Kind::Deployment, &mut object);
        template_of(&object).to_owned()
    };
    let before = template(|_| {});
    assert_eq!(before, template(|it| it["spec"]["strategy"] = json!({})));
    let edit: Edit = |it| it["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["x"]);
    assert_ne!(before, template(edit));
}

#[test]
fn slimmed_objects_keep_the_fields_that_are_read() {
    let mut object = sample::object(&deployment());
    slim(Kind::Deployment, &mut object);
    assert_eq!(object.data["spec"]["replicas"], 2);
    assert_eq!(object.data["status"]["replicas"], 2);
    let template = &object.data["spec"]["template"];
    assert!(template["metadata"]["annotations"].is_object());
    assert_eq!(
        template["spec"],
        json!({"containers": [{"image": "reckon/reckon-api:1.2.3"}], "terminationGracePeriodSeconds": 20})
    );
    assert_eq!(object.metadata.managed_fields, None);
}
