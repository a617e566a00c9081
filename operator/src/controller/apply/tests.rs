use super::children::deployment;
use super::{Applied, MIGRATION_RETRY_PAUSE, children, keep, named};
use crate::controller::desired::{self, Facts, Resources, desired};
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::observe::{Observed, live};
use crate::controller::sample::{self, FULL, PROVISIONED};
use crate::tuning::Surge;
use crate::tuning::plan::Former;
use jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

fn now() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().unwrap()
}

fn resources(instance: &Instance) -> Resources {
    desired(instance, &Facts::default())
}

fn add(observed: &mut Observed, kind: Kind, name: &str, data: &Value) {
    let mut child = DynamicObject::new(name, &kind.resource());
    child.data = data.clone();
    observed
        .children
        .insert((kind, name.to_owned()), Arc::new(child));
}

#[test]
fn a_failed_migration_is_repeated_after_a_pause() {
    let instance = sample::instance(PROVISIONED);
    let resources = resources(&instance);
    let job = resources.migration.as_ref().unwrap();
    let name = job["metadata"]["name"].as_str().unwrap();
    let is_kept = |conditions: Value| {
        let mut observed = Observed::default();
        let status = json!({"status": {"conditions": conditions}});
        add(&mut observed, Kind::Job, name, &status);
        let wanted = children(&instance, &resources, &observed);
        let kept = keep(&wanted, &instance, &observed, now());
        kept.contains(&(Kind::Job, name.to_owned()))
    };
    let failed = |at: Timestamp| json!([{"type": "Failed", "status": "True", "lastTransitionTime": at.to_string()}]);
    assert!(is_kept(json!([])));
    assert!(is_kept(failed(now())));
    assert!(is_kept(failed(
        now() - MIGRATION_RETRY_PAUSE + Duration::from_secs(1)
    )));
    assert!(!is_kept(failed(now() - MIGRATION_RETRY_PAUSE)));
}

#[test]
fn deployment_autoscaler_and_tunings_in_use_are_never_orphans() {
    let instance = sample::instance(FULL);
    let observed = Observed {
        tunings_in_use: vec!["recommendations-tuning-old".to_owned()],
        ..Observed::default()
    };
    let wanted = children(&instance, &resources(&instance), &observed);
    let kept = keep(&wanted, &instance, &observed, now());
    for (kind, name) in [
        (Kind::Deployment, "recommendations"),
        (Kind::HorizontalPodAutoscaler, "recommendations"),
        (Kind::ConfigMap, "recommendations-tuning-old"),
    ] {
        assert!(kept.contains(&(kind, name.to_owned())), "{kind:?} {name}");
    }
    assert!(!kept.contains(&(Kind::Deployment, "recommendations-redis".to_owned())));
}

#[test]
fn a_deployment_is_restored_and_another_template_is_left_to_a_plan() {
    let instance = sample::instance(FULL);
    let resources = resources(&instance);
    let is_applied = |resources: &Resources, observed: &Observed| {
        children(&instance, resources, observed)
            .iter()
            .find(|child| child.kind == Kind::Deployment)
            .map(|child| child.body.clone())
    };
    assert_eq!(is_applied(&resources, &Observed::default()), None);
    let pace = Duration::from_secs(77);
    let body = deployment(
        &instance,
        &resources,
        pace,
        Surge::Pods(1),
        Some(Former { pool: 9, surge: 1 }),
    );
    let observed = Observed {
        live: live::live(Some(&sample::object(&body)), None, Vec::new(), None),
        ..Observed::default()
    };
    assert_eq!(is_applied(&resources, &observed), Some(body));
    let facts = Facts {
        secrets_digest: "ffffff".to_owned(),
        ..Facts::default()
    };
    assert_eq!(is_applied(&desired(&instance, &facts), &observed), None);
}

#[test]
fn a_foreign_identity_or_secret_prevents_every_pod() {
    let applied = |children: &[(Kind, &str)], secrets: &[&str]| {
        let children: Vec<_> = children
            .iter()
            .map(|(kind, name)| (*kind, (*name).to_owned()))
            .collect();
        let secrets: Vec<_> = secrets.iter().map(|name| (*name).to_owned()).collect();
        Applied {
            conflicts: named(&children, &secrets),
            ..Applied::default()
        }
    };
    assert!(!applied(&[(Kind::Service, "shop"), (Kind::Job, "shop")], &[]).forbids_pods());
    assert!(applied(&[(Kind::ServiceAccount, "shop")], &[]).forbids_pods());
    assert!(applied(&[], &["shop-redis"]).forbids_pods());

    let instance = sample::instance(PROVISIONED);
    let resources = resources(&instance);
    let body = resources
        .deployment
        .with(Duration::from_secs(30), Surge::Pods(1), None);
    let observed = Observed {
        live: live::live(Some(&sample::object(&body)), None, Vec::new(), None),
        ..Observed::default()
    };
    let children = children(&instance, &resources, &observed);
    let mut pods: Vec<_> = children
        .iter()
        .filter(|child| child.runs_pods())
        .map(|child| child.name.as_str())
        .collect();
    pods.sort_unstable();
    let migration = resources.migration.unwrap()["metadata"]["name"].clone();
    let migration = migration.as_str().unwrap();
    assert_eq!(
        pods,
        ["recommendations", migration, "recommendations-redis"]
    );
}

#[test]
fn a_training_is_created_by_a_plan_and_repaired_like_any_other_child() {
    let instance = sample::instance(FULL);
    let resources = resources(&instance);
    let name = desired::training::name(&instance);
    let is_applied = |observed: &Observed| {
        let children = children(&instance, &resources, observed);
        children.iter().any(|child| child.kind == Kind::CronJob)
    };
    let mut observed = Observed::default();
    assert!(!is_applied(&observed));
    add(&mut observed, Kind::CronJob, &name, &json!({}));
    assert!(is_applied(&observed));
}

#[test]
fn the_tuning_of_a_training_that_runs_is_kept() {
    let instance = sample::instance(FULL);
    let resources = resources(&instance);
    let is_kept = |active: Value| {
        let mut observed = Observed::default();
        let name = desired::training::name(&instance);
        let status = json!({"status": {"active": active}});
        add(&mut observed, Kind::CronJob, &name, &status);
        add(
            &mut observed,
            Kind::ConfigMap,
            "recommendations-tuning-old",
            &json!({}),
        );
        let wanted = children(&instance, &resources, &observed);
        let kept = keep(&wanted, &instance, &observed, now());
        assert!(kept.contains(&(Kind::CronJob, name)));
        kept.contains(&(Kind::ConfigMap, "recommendations-tuning-old".to_owned()))
    };
    assert!(is_kept(json!([{"name": "recommendations-train-1"}])));
    assert!(!is_kept(json!([])) && !is_kept(Value::Null));
}
