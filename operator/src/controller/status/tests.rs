use super::connections::database_reason;
use super::{invalid, status, unread};
use crate::controller::apply::NameConflict;
use crate::controller::database::{Failure, Provisioning};
use crate::controller::error::Error;
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::observe::Observed;
use crate::controller::observe::secrets::SecretState;
use crate::controller::outcome::Outcome;
use crate::controller::sample::{self, MINIMAL, PROVISIONED};
use crate::controller::server_promises::Promise;
use crate::crd::{CONDITION_TYPES, EnforcementStatus, RecommendationServiceStatus};
use crate::health::{Health, Models};
use crate::tuning::budget::enforced;
use crate::tuning::enforcement::{Enforcement, Record, Why};
use crate::tuning::plan::{Action, Plan, Reason, Wait};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::DynamicObject;
use reckon_contract::health::{self, STARTING};
use reckon_contract::provisioning::{Facts, Flavour, Reason as Cause};
use serde_json::{Value, json};
use std::sync::Arc;

fn now() -> Timestamp {
    "2026-03-04T05:06:07.890Z".parse().unwrap()
}

/// One reconcile of a resource, and its expected status.
struct Fixture {
    service: DynamicObject,
    instance: Instance,
    observed: Observed,
    outcome: Outcome,
}

impl Fixture {
    /// Everything exists and is ready.
    fn of(yaml: &str) -> Self {
        Self::with(yaml, |_| {})
    }

    fn with(yaml: &str, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = sample::value(yaml);
        change(&mut value["spec"]);
        let service = sample::object(&value);
        let instance = Instance::parse(&service, &sample::defaults()).unwrap();
        let wanted = instance.budget.scale.min();
        let mut fixture = Self {
            service,
            observed: Observed {
                health: Some(Health {
                    answered: wanted,
                    ..Health::default()
                }),
                ..Observed::default()
            },
            outcome: Outcome {
                plan: Some(Plan {
                    action: None,
                    wait: None,
                    look_again: None,
                    lets_pods_go: false,
                    in_force: None,
                }),
                ..Outcome::default()
            },
            instance,
        };
        for (name, _) in fixture.instance.referenced_secrets() {
            fixture.secret(&name, complete());
        }
        if fixture.instance.mysql.provisioned.is_some() {
            fixture.outcome.database = Some(Provisioning::Done(Box::new(facts(1000))));
        }
        fixture.pods(wanted);
        if fixture.instance.migration_secret().is_some() {
            fixture.child(Kind::Job, "migrate", &json!({"status": {"succeeded": 1}}));
        }
        fixture
    }

    fn secret(&mut self, name: &str, state: SecretState) {
        self.observed.secrets.insert(name.to_owned(), state);
    }

    fn child(&mut self, kind: Kind, name: &str, data: &Value) {
        let mut child = DynamicObject::new(name, &kind.resource());
        child.data = data.clone();
        self.observed
            .children
            .insert((kind, name.to_owned()), Arc::new(child));
    }

    /// Sets how many of the wanted pods are ready.
    fn pods(&mut self, ready: u32) {
        let wanted = self.instance.budget.scale.min();
        let data = json!({
            "spec": {"replicas": wanted},
            "status": {"replicas": wanted, "readyReplicas": ready, "updatedReplicas": wanted},
        });
        let name = self.instance.name.clone();
        self.child(Kind::Deployment, &name, &data);
    }

    fn waits(&mut self, reason: Reason) {
        self.outcome.plan.as_mut().unwrap().wait = Some(Wait {
            reason,
            until: now(),
        });
    }

    fn report_database_error(&mut self, why: &str) {
        let health = self.observed.health.as_mut().unwrap();
        health.database_trouble = Some((health.answered, why.to_owned()));
    }

    fn status_at(&self, now: Timestamp) -> RecommendationServiceStatus {
        let status = status(
            &self.service,
            &self.instance,
            &self.observed,
            &self.outcome,
            now,
        );
        for condition in &status.conditions {
            assert_valid(condition);
        }
        status
    }

    fn condition(&self, type_: &str) -> String {
        line(&self.status_at(now()), type_)
    }
}

/// `Status Reason: message` of a condition.
fn line(status: &RecommendationServiceStatus, type_: &str) -> String {
    let mut all = status.conditions.iter();
    let condition = all.find(|condition| condition.type_ == type_).unwrap();
    format!(
        "{} {}: {}",
        condition.status, condition.reason, condition.message
    )
}

/// The API server's requirements of a condition, and our own of a sentence.
fn assert_valid(condition: &Condition) {
    let Condition {
        reason, message, ..
    } = condition;
    assert!(
        reason.starts_with(|first: char| first.is_ascii_uppercase())
            && reason.chars().all(|letter| letter.is_ascii_alphanumeric()),
        "{reason}"
    );
    assert!(
        message.contains(' ') && !message.ends_with('.'),
        "{message}"
    );
    for debug in ["Some(", "Error {", "Status {", "None", "\\\""] {
        assert!(!message.contains(debug), "{message}");
    }
}

fn complete() -> SecretState {
    SecretState::Complete {
        digest: "5ec5e7".to_owned(),
        unkeyed: String::new(),
        version: "1".to_owned(),
        annotations: std::collections::BTreeMap::new(),
    }
}

fn facts(max_connections: u32) -> Facts {
    Facts {
        flavour: Flavour::MySql,
        version: (8, 4, 0),
        version_text: "8.4.0".to_owned(),
        max_connections,
    }
}

fn failed(reason: Cause, message: &str) -> Provisioning {
    Provisioning::Failed(Failure {
        reason,
        message: message.to_owned(),
    })
}

#[test]
fn a_provisioned_server_that_is_not_verified_is_named_while_it_answers() {
    let fixture = Fixture::with(PROVISIONED, |spec| {
        spec["mysql"]["provisioned"]["tls"] = json!({"mode": "Required"});
    });
    let status = fixture.status_at(now());
    insta::assert_snapshot!(line(&status, "DatabaseReachable"), @"True Connected: the database recommendations at db.example:3306 is reachable, but the server's certificate is not verified (mysql.provisioned.tls.mode: Required); an attacker who answers at db.example:3306 could get the administrator's password; use VerifyFull");
    let absent = Fixture::with(PROVISIONED, |spec| {
        spec["mysql"]["provisioned"]["tls"] = Value::Null;
    });
    let status = absent.status_at(now());
    assert!(line(&status, "DatabaseReachable").contains("tls.mode: Preferred"));
}

#[test]
fn the_conditions_of_a_healthy_resource() {
    let fixture = Fixture::of(PROVISIONED);
    let status = fixture.status_at(now());
    let all: Vec<String> = status
        .conditions
        .iter()
        .map(|condition| format!("{} {}", condition.type_, line(&status, &condition.type_)))
        .collect();
    insta::assert_snapshot!(all.join("\n"), @"
    Ready True PodsReady: 2 of 2 pods are ready; serving at http://recommendations.shop.svc
    Progressing False UpToDate: up to date
    Degraded False UpToDate: pods, database and cache are healthy
    DatabaseReachable True Connected: the database recommendations at db.example:3306 is reachable
    CacheReachable True Connected: the Redis at recommendations-redis:6379 is reachable
    IndexesReady True Migrated: tables and indexes exist
    ModelReady Unknown NotReported: the pods do not report which model they use: they still rank by Classic, or their image is too old
    BudgetFeasible True WithinBudget: (60 connections - 3 reserved) / (2 replicas + 2 x 1 replaced at once) = 14 for each pod
    Paused False Active: changes are applied
    ");
    assert_eq!((status.replicas, status.ready_replicas), (2, 2));
    assert_eq!(status.observed_generation, Some(3));
    assert_eq!(status.image.as_deref(), Some("reckon/reckon-api:1.2.3"));
    assert_eq!(
        status.url.as_deref(),
        Some("http://recommendations.shop.svc")
    );
    let tuning = status.tuning.unwrap();
    assert_eq!((tuning.pool_per_pod, tuning.max_pods), (14, 4));
}

#[test]
fn the_types_of_conditions_equal_the_declared_ones() {
    let status = Fixture::of(PROVISIONED).status_at(now());
    let types = status.conditions.iter().map(|it| it.type_.as_str());
    assert_eq!(types.collect::<Vec<_>>(), CONDITION_TYPES);
}

#[test]
fn a_resource_without_redis_has_no_condition_of_a_cache() {
    let status = Fixture::of(MINIMAL).status_at(now());
    assert!(
        !status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "CacheReachable")
    );
    assert_eq!(
        line(&status, "IndexesReady"),
        "Unknown NotManaged: tables and indexes are not managed, since spec.mysql.migrate.enabled is false"
    );
}

#[test]
fn a_missing_secret_is_named_with_its_keys_and_its_namespace() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.pods(0);
    fixture.secret("db-login", SecretState::Missing);
    let sentence = "SecretMissing: in the namespace shop there is no Secret db-login (with username and password); the pods start once this is corrected";
    assert_eq!(fixture.condition("Ready"), format!("False {sentence}"));
    fixture.pods(1);
    assert_eq!(
        fixture.condition("Degraded"),
        format!("True {sentence}; the ready pods continue to serve")
    );
    let keys = vec!["password"];
    fixture.secret("db-login", SecretState::Incomplete { keys });
    assert!(fixture.condition("Degraded").starts_with(
        "True SecretMissing: in the namespace shop the Secret db-login lacks password; the"
    ));
}

#[test]
fn a_database_that_pods_cannot_use_is_reported_with_its_address_and_their_reason() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.pods(0);
    fixture.report_database_error("access denied");
    let sentence = "False AccessDenied: 1 of 1 pods cannot use the database shop at db.example:3306: access denied";
    assert!(
        fixture.condition("DatabaseReachable").starts_with(sentence),
        "{}",
        fixture.condition("DatabaseReachable")
    );
    assert!(fixture.condition("Ready").starts_with(sentence));
    fixture.observed.health = None;
    assert_eq!(
        fixture.condition("DatabaseReachable"),
        "Unknown NoPodAnswers: no pod has reported whether the database shop at db.example:3306 is reachable"
    );
}

#[test]
fn the_message_depends_on_how_many_pods_lost_the_database() {
    let mut fixture = Fixture::of(MINIMAL);
    let mut text = |ready, answered, lost| {
        fixture.pods(ready);
        fixture.observed.health = Some(Health {
            answered,
            database_trouble: Some((lost, "access denied".to_owned())),
            ..Health::default()
        });
        let text = fixture.condition("Degraded");
        text.rsplit_once("; ").unwrap().1.to_owned()
    };
    let all = "clients get cached answers, or 503 if no answer is cached";
    let some = "affected pods serve cached answers, or 503 if no answer is cached";
    assert_eq!(text(1, 1, 1), all);
    assert_eq!(text(10, 3, 3), all);
    assert_eq!(text(2, 3, 1), some);
    assert_eq!(text(10, 1, 1), some);
}

#[test]
fn every_reason_of_a_pod_has_a_condition_reason_and_advice() {
    let mut reasons: Vec<&str> = health::Reason::ALL
        .into_iter()
        .map(|reason| {
            let word = reason.as_str();
            let mut fixture = Fixture::of(MINIMAL);
            fixture.pods(1);
            fixture.report_database_error(word);
            let text = fixture.condition("Degraded");
            let (_, advice) = text.split_once(&format!(": {word}; ")).unwrap();
            let consequence = "; clients get cached answers, or 503 if no answer is cached";
            let advice = advice.strip_suffix(consequence).unwrap();
            assert!(advice.len() > 10, "{text}");
            database_reason(word)
        })
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), health::Reason::ALL.len(), "{reasons:?}");
    assert_eq!(database_reason("on fire"), "DatabaseFailing");
}

#[test]
fn a_pod_that_has_not_connected_yet_is_reported() {
    assert_eq!(database_reason(STARTING), "Connecting");
}

#[test]
fn a_migration_that_fails_is_the_cause_of_missing_tables() {
    let mut fixture = Fixture::of(PROVISIONED);
    fixture.pods(0);
    fixture.report_database_error("missing table or column");
    fixture.observed.migration_log = Some("error: CREATE command denied".to_owned());
    let sentence = "False MigrationFailed: creating tables and indexes failed and is retried; the login in the Secret recommendations-mysql-migration needs the CREATE, ALTER and INDEX privileges; output of the Job: error: CREATE command denied";
    assert_eq!(fixture.condition("Ready"), sentence);
    assert_eq!(fixture.condition("IndexesReady"), sentence);
}

#[test]
fn a_failed_provisioning_step_is_the_reason_of_all_later_conditions() {
    let mut fixture = Fixture::of(PROVISIONED);
    fixture.pods(0);
    fixture.report_database_error("unknown database");
    fixture.outcome.database = Some(failed(
        Cause::AccessDenied,
        "the database server refuses the account root: using password: YES",
    ));
    let sentence = "False AccessDenied: the database server refuses the account root: using password: YES; check user name and password (Secret db-admin)";
    assert_eq!(fixture.condition("Ready"), sentence);
    assert_eq!(fixture.condition("DatabaseReachable"), sentence);
    fixture.outcome.database = Some(failed(
        Cause::Unreachable,
        "cannot reach the database server db.example:3306: connection refused",
    ));
    assert_eq!(
        fixture.condition("Ready"),
        "False Unreachable: cannot reach the database server db.example:3306: connection refused"
    );
}

#[test]
fn a_name_conflict_is_reported_before_everything_else() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.pods(0);
    fixture.secret("db-login", SecretState::Missing);
    fixture.outcome.applied.conflicts.push(NameConflict {
        kind: "Service",
        name: "tiny".to_owned(),
    });
    assert_eq!(
        fixture.condition("Ready"),
        "False NameConflict: Service tiny already exists and is not managed by this resource, so it is not changed: rename this resource, or delete the Service if it is not needed"
    );
}

#[test]
fn a_foreign_secret_is_named_with_the_remedy() {
    let mut fixture = Fixture::of(PROVISIONED);
    let mut text = |name: &str| {
        fixture.outcome.applied.conflicts = vec![NameConflict {
            kind: NameConflict::SECRET,
            name: name.to_owned(),
        }];
        fixture.outcome.plan = None;
        assert_eq!(
            fixture.condition("Progressing"),
            "False NameConflict: no pod can be changed; see Degraded"
        );
        fixture.condition("Degraded")
    };
    assert_eq!(
        text("recommendations-mysql"),
        "True NameConflict: Secret recommendations-mysql already exists and is not managed by this resource; the operator does not read or change it, and does not create or change pods until this is resolved; rename the Secret or this resource; the ready pods continue to serve"
    );
    assert!(
        text("recommendations-api-keys").contains("or set spec.auth.secretName to use its keys")
    );
}

#[test]
fn a_rejected_write_is_reported_with_the_message_of_the_api_server() {
    let refusal = json!({
        "status": "Failure",
        "message": "services \"tiny\" is forbidden: quota exceeded",
        "reason": "Forbidden",
        "code": 403,
    });
    let refused = || kube::Error::Api(serde_json::from_value(refusal.clone()).unwrap());
    let mut fixture = Fixture::of(MINIMAL);
    fixture.outcome.error = Some(Error::write("Service", "tiny")(refused()));
    assert_eq!(
        fixture.condition("Degraded"),
        "True ReconcileFailed: failed to write Service tiny: services \"tiny\" is forbidden: quota exceeded; the ready pods continue to serve"
    );
    fixture.outcome.error = Some(Error::read("pods")(refused()));
    assert_eq!(
        fixture.condition("Degraded"),
        "True ReconcileFailed: failed to read pods: services \"tiny\" is forbidden: quota exceeded; the ready pods continue to serve"
    );
}

#[test]
fn a_maximum_that_does_not_fit_is_reported_with_the_sum_and_the_sufficient_budget() {
    let fixture = Fixture::with(MINIMAL, |spec| {
        spec["replicas"].take();
        spec["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20});
    });
    assert_eq!(
        fixture.condition("BudgetFeasible"),
        "False MaxReplicasLimited: spec.autoscaling.maxReplicas 20 does not fit into the connection budget, so 11 is used; lower maxReplicas, or raise spec.mysql.connectionBudget to 47 if the server can provide that many; each pod needs 2 connections: (30 connections - 3 reserved) / (11 replicas + 2 x 1 replaced at once) = 2 for each pod"
    );
    let enough = Fixture::with(MINIMAL, |spec| {
        spec["replicas"].take();
        spec["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 20});
        spec["mysql"]["connectionBudget"] = json!(47);
    });
    assert_eq!(
        enough.condition("BudgetFeasible"),
        "True WithinBudget: (47 connections - 3 reserved) / (20 replicas + 2 x 1 replaced at once) = 2 for each pod"
    );
}

#[test]
fn a_budget_beyond_the_servers_limit_is_reported_with_both() {
    let mut fixture = Fixture::of(PROVISIONED);
    fixture.outcome.database = Some(Provisioning::Done(Box::new(facts(59))));
    assert_eq!(
        fixture.condition("BudgetFeasible"),
        "False ExceedsServerLimit: the budget of 60 connections exceeds the server's max_connections of 59: lower spec.mysql.connectionBudget, or raise max_connections"
    );
    fixture.outcome.database = Some(Provisioning::Done(Box::new(facts(60))));
    assert!(fixture.condition("BudgetFeasible").starts_with("True "));
}

#[test]
fn the_last_limit_of_a_server_counts_while_it_is_unreachable() {
    let mut fixture = Fixture::of(PROVISIONED);
    fixture.outcome.database = None;
    assert!(
        fixture
            .condition("BudgetFeasible")
            .starts_with("True WithinBudget")
    );
    fixture.observed.server_limit = Some(59);
    assert!(
        fixture
            .condition("BudgetFeasible")
            .starts_with("False ExceedsServerLimit")
    );
}

#[test]
fn exceeding_budgets_are_reported_without_names_or_numbers_of_other_namespaces() {
    let mut fixture = Fixture::of(PROVISIONED);
    let limit = |max_connections| Some(Provisioning::Done(Box::new(facts(max_connections))));
    let neighbours = [("data", "big", 500), ("shop", "a", 40), ("shop", "b", 40)];
    let neighbour = |(namespace, name, connections): (&str, &str, u32)| Promise {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        connections,
    };
    fixture.observed.neighbours = neighbours.map(neighbour).to_vec();
    fixture.outcome.database = limit(639);
    assert_eq!(
        fixture.condition("BudgetFeasible"),
        "False ExceedsServerLimit: the budgets of all resources that use this server exceed its max_connections of 639: this resource has 60, the others are a (40), b (40), resources in other namespaces; lower spec.mysql.connectionBudget of one of them, or raise max_connections"
    );
    fixture.outcome.database = limit(640);
    assert!(fixture.condition("BudgetFeasible").starts_with("True "));

    let least = [("shop", "c", 1), ("shop", "d", u32::MAX)].map(neighbour);
    fixture.observed.neighbours.extend(least);
    let text = fixture.condition("BudgetFeasible");
    assert!(
        text.contains(
            ": this resource has 60, the others are a (40), b (40), c (1), 1 more in this namespace, resources in other namespaces; "
        ),
        "{text}"
    );
    assert!(!text.contains("data") && !text.contains("500"), "{text}");

    // A budget above the limit is reported as such, whatever the others promise; without a known limit nothing is
    // reported.
    fixture.outcome.database = limit(59);
    assert!(
        fixture
            .condition("BudgetFeasible")
            .starts_with("False ExceedsServerLimit: the budget of 60 connections exceeds")
    );
    fixture.outcome.database = None;
    assert!(fixture.condition("BudgetFeasible").starts_with("True "));
}

#[test]
fn a_migration_is_reported_while_it_runs_when_it_failed_and_when_it_is_complete() {
    let mut fixture = Fixture::of(PROVISIONED);
    assert_eq!(
        fixture.condition("IndexesReady"),
        "True Migrated: tables and indexes exist"
    );
    fixture.child(Kind::Job, "migrate", &json!({"status": {"active": 1}}));
    assert!(
        fixture
            .condition("IndexesReady")
            .starts_with("False Migrating: ")
    );
    fixture.pods(0);
    fixture.observed.migration_log = Some("error: no right to CREATE".to_owned());
    let indexes = fixture.condition("IndexesReady");
    assert_eq!(
        indexes,
        "False MigrationFailed: creating tables and indexes failed and is retried; the login is in the Secret recommendations-mysql-migration; output of the Job: error: no right to CREATE"
    );
    assert!(
        fixture
            .condition("Ready")
            .starts_with("False MigrationFailed: ")
    );
}

#[test]
fn a_rollout_that_waits_for_a_pod_to_terminate_names_pod_and_node() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.waits(Reason::Stuck {
        pod: "tiny-1".to_owned(),
        node: Some("node-7".to_owned()),
    });
    let text = fixture.condition("Progressing");
    assert!(
        text.starts_with("False WaitingForPod: pod tiny-1 "),
        "{text}"
    );
    assert!(
        text.contains("node-7") && text.contains("delete the node"),
        "{text}"
    );
    fixture.waits(Reason::RolloutRunning {
        updated: 1,
        replicas: 2,
    });
    assert_eq!(
        fixture.condition("Progressing"),
        "True RolloutRunning: rolling out: 1 of 2 pods have been replaced"
    );
}

#[test]
fn a_rollout_without_progress_says_that_pods_can_be_evicted_again() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.waits(Reason::RolloutRunning {
        updated: 1,
        replicas: 2,
    });
    fixture.outcome.plan.as_mut().unwrap().lets_pods_go = true;
    assert_eq!(
        fixture.condition("Progressing"),
        "True RolloutRunning: rolling out: 1 of 2 pods have been replaced; pods can be evicted, because nothing has changed for 10 minutes, and the budget can then be exceeded"
    );
}

#[test]
fn progress_is_reported_from_the_first_secret_to_the_last_pod() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.outcome.plan.as_mut().unwrap().action = Some(Action::DeleteHpa);
    assert!(
        fixture
            .condition("Progressing")
            .starts_with("True Changing: ")
    );
    fixture.outcome.plan.as_mut().unwrap().action = None;
    fixture.pods(0);
    assert_eq!(
        fixture.condition("Progressing"),
        "True PodsStarting: 0 of 1 pods are ready"
    );
    fixture.outcome.upgrade_waits = true;
    assert!(
        fixture
            .condition("Progressing")
            .starts_with("True WaitingForOthers: ")
    );
    fixture.outcome.upgrade_waits = false;
    fixture.outcome.plan = None;
    assert!(
        fixture
            .condition("Progressing")
            .starts_with("True Preparing: ")
    );
}

#[test]
fn a_paused_resource_continues_to_report_its_state() {
    let mut fixture = Fixture::with(MINIMAL, |spec| spec["paused"] = json!(true));
    fixture.outcome = Outcome::default();
    assert!(fixture.condition("Paused").starts_with("True Paused: "));
    assert_eq!(
        fixture.condition("Progressing"),
        "False Paused: nothing is changed while spec.paused is true"
    );
    assert!(fixture.condition("Ready").starts_with("True "));
    fixture.report_database_error("unreachable");
    assert!(
        fixture
            .condition("Degraded")
            .starts_with("True DatabaseUnreachable: ")
    );
}

#[test]
fn pods_that_do_not_start_are_reported_with_the_message_of_the_kubelet() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.pods(0);
    fixture.observed.health = None;
    assert_eq!(
        fixture.condition("Ready"),
        "False PodsStarting: 0 of 1 pods are ready"
    );
    let sentence = "pod tiny-1: ImagePullBackOff: no such image";
    fixture.observed.pod_trouble = Some(sentence.to_owned());
    assert_eq!(
        fixture.condition("Ready"),
        format!("False PodsFailing: {sentence}")
    );
}

#[test]
fn an_unreachable_cache_makes_the_resource_degraded_and_leaves_it_ready() {
    let mut fixture = Fixture::of(PROVISIONED);
    fixture.observed.health.as_mut().unwrap().cache_trouble = Some((1, "timeout".to_owned()));
    let sentence = "CacheUnreachable: 1 of 2 pods cannot use the Redis at recommendations-redis:6379 (timeout): responses stay correct but are slower, and invalidation requests are rejected; check that Redis is running, and its host and port";
    assert_eq!(
        fixture.condition("CacheReachable"),
        format!("False {sentence}")
    );
    assert_eq!(fixture.condition("Degraded"), format!("True {sentence}"));
    assert!(fixture.condition("Ready").starts_with("True PodsReady: "));
}

/// Parses an invalid resource, after `before` was written.
fn rejected_status(change: impl FnOnce(&mut Value), before: &Value) -> RecommendationServiceStatus {
    let mut value = sample::value(MINIMAL);
    value["metadata"]["generation"] = json!(4);
    value["status"] = before.clone();
    change(&mut value["spec"]);
    let service = sample::object(&value);
    let error = Instance::parse(&service, &sample::defaults()).unwrap_err();
    let status = invalid(&service, &error, None, now());
    status.conditions.iter().for_each(assert_valid);
    status
}

#[test]
fn a_resource_that_became_invalid_is_ready_and_degraded_while_its_pods_serve() {
    let fixture = Fixture::of(MINIMAL);
    let before = fixture.status_at(now());
    let mut service = fixture.service.clone();
    service.data["status"] = json!(before);
    service.data["spec"]["mysql"]["connectionBudget"] = json!(8);
    let error = Instance::parse(&service, &sample::defaults()).unwrap_err();
    let running = fixture.observed.child(Kind::Deployment, "tiny").unwrap();
    let status = invalid(&service, &error, Some(running), now());
    status.conditions.iter().for_each(assert_valid);
    assert_eq!(line(&status, "Ready"), line(&before, "Ready"));
    let text = line(&status, "Degraded");
    assert!(
        text.starts_with("True InvalidSpec: mysql.connectionBudget is too small"),
        "{text}"
    );
    assert!(
        text.ends_with("; the pods of the last valid state continue to serve"),
        "{text}"
    );
    assert!(line(&status, "BudgetFeasible").starts_with("False TooSmall: "));
}

#[test]
fn an_error_before_the_first_read_is_reported_and_keeps_the_previous_conditions() {
    let fixture = Fixture::of(MINIMAL);
    let before = fixture.status_at(now());
    let mut service = fixture.service.clone();
    let new = unread(&service, &Error::TimedOut, now());
    assert_eq!(
        line(&new, "Ready"),
        "Unknown ReconcileFailed: the reconcile was not finished within 60 s"
    );
    service.data["status"] = json!(before);
    let status = unread(&service, &Error::TimedOut, now());
    status.conditions.iter().for_each(assert_valid);
    assert_eq!(
        line(&status, "Degraded"),
        "True ReconcileFailed: the reconcile was not finished within 60 s"
    );
    for type_ in ["Ready", "DatabaseReachable", "Paused"] {
        assert_eq!(line(&status, type_), line(&before, type_));
    }
    assert_eq!(status.url, before.url);
}

#[test]
fn a_rollout_that_is_stuck_is_reported_with_its_pod_and_its_cause() {
    let mut fixture = Fixture::of(MINIMAL);
    fixture.waits(Reason::RolloutRunning {
        updated: 1,
        replicas: 1,
    });
    let stuck = "the rollout was marked as stuck at 2026-03-04T05:16:07Z: pod tiny-2 has not been ready since 2026-03-04T05:06:07Z";
    fixture.observed.stuck_rollout = Some(stuck.to_owned());
    assert_eq!(
        fixture.condition("Progressing"),
        format!("False RolloutStuck: {stuck}")
    );
    assert_eq!(
        fixture.condition("Degraded"),
        format!(
            "True RolloutStuck: {stuck}; see its log and its events; the ready pods continue to serve"
        )
    );
    fixture.observed.pod_trouble = Some("pod tiny-2: CrashLoopBackOff".to_owned());
    let text = fixture.condition("Degraded");
    assert!(
        text.contains(&format!("{stuck}; pod tiny-2: CrashLoopBackOff; ")),
        "{text}"
    );
    fixture.observed.pod_trouble = None;
    fixture.observed.health = Some(Health {
        answered: 2,
        database_trouble: Some((1, "access denied".to_owned())),
        ..Health::default()
    });
    let text = fixture.condition("Degraded");
    assert!(
        text.contains("1 of 2 pods cannot use the database"),
        "{text}"
    );
}

#[test]
fn a_grace_that_admission_has_changed_is_reported() {
    let mut fixture = Fixture::of(MINIMAL);
    let data = json!({
        "spec": {"replicas": 1, "template": {
            "metadata": {"annotations": {"reckon.dev/grace-seconds": "20"}},
            "spec": {"terminationGracePeriodSeconds": 60},
        }},
        "status": {"replicas": 1, "readyReplicas": 1, "updatedReplicas": 1},
    });
    fixture.child(Kind::Deployment, "tiny", &data);
    let text = fixture.condition("BudgetFeasible");
    assert!(text.starts_with("True WithinBudget: "), "{text}");
    assert!(
        text.contains("terminationGracePeriodSeconds is 60 instead of 20"),
        "{text}"
    );
}

#[test]
fn an_invalid_resource_keeps_its_previous_conditions_and_reports_the_error() {
    let before = Fixture::of(MINIMAL).status_at(now());
    let status = rejected_status(
        |spec| spec["autoscaling"] = json!({"maxReplicas": 3}),
        &json!(before),
    );
    assert_eq!(
        line(&status, "Ready"),
        "False InvalidSpec: replicas must not be set beside autoscaling"
    );
    assert!(line(&status, "Progressing").starts_with("False InvalidSpec: "));
    assert_eq!(
        line(&status, "DatabaseReachable"),
        line(&before, "DatabaseReachable")
    );
    assert_eq!(
        (status.observed_generation, status.ready_replicas),
        (Some(4), 0)
    );
    assert_eq!(status.url, before.url);
}

#[test]
fn a_budget_that_is_too_small_is_reported_with_the_required_one() {
    let status = rejected_status(
        |spec| spec["mysql"]["connectionBudget"] = json!(8),
        &Value::Null,
    );
    let sentence = "mysql.connectionBudget is too small: 1 replicas need 9 connections (2 x (1 + 2) + 3 reserved), and the budget is 8";
    assert_eq!(
        line(&status, "BudgetFeasible"),
        format!("False TooSmall: {sentence}")
    );
    assert_eq!(
        line(&status, "Ready"),
        format!("False InvalidSpec: {sentence}")
    );
}

#[test]
fn an_unchanged_status_is_equal_and_a_transition_has_its_time() {
    let mut fixture = Fixture::of(MINIMAL);
    let first = fixture.status_at(now());
    // As the API server returns it.
    fixture.service.data["status"] = json!(first);
    let later: Timestamp = "2026-03-04T06:00:00.5Z".parse().unwrap();
    assert_eq!(first, fixture.status_at(later));

    fixture.pods(0);
    fixture.report_database_error("timeout");
    let second = fixture.status_at(later);
    fixture.service.data["status"] = json!(second);
    assert_eq!(second, fixture.status_at(now()));
    let time = |status: &RecommendationServiceStatus, type_: &str| {
        let mut all = status.conditions.iter();
        let condition = all.find(|condition| condition.type_ == type_).unwrap();
        condition.last_transition_time.0.to_string()
    };
    assert_eq!(time(&first, "Ready"), "2026-03-04T05:06:07Z");
    assert_eq!(time(&second, "Ready"), "2026-03-04T06:00:00Z");
    assert_eq!(time(&second, "Paused"), "2026-03-04T05:06:07Z");

    // A new message with the same status is no transition.
    fixture.report_database_error("access denied");
    let third = fixture.status_at("2026-03-04T07:00:00Z".parse().unwrap());
    assert_ne!(third, second);
    assert_eq!(time(&third, "Ready"), "2026-03-04T06:00:00Z");
}

/// A service that ranks by a model, whose pods report these models; the last training began and succeeded at these times.
fn modelled(training: &Value, models: Option<Models>, runs: &Value) -> Fixture {
    let mut fixture = Fixture::with(MINIMAL, |spec| {
        if !training.is_null() {
            spec["training"] = training.clone();
        }
    });
    fixture.observed.health.as_mut().unwrap().models = models;
    fixture.child(Kind::CronJob, "tiny-train", &json!({"status": runs}));
    fixture
}

/// A model of that age in days.
fn model(days: i64) -> Models {
    let created = now().as_second() - days * 24 * 3600;
    Models {
        reported: 1,
        loaded: 1,
        newest: Some((u64::try_from(created).ok(), "7f3a".to_owned())),
        ..Models::default()
    }
}

fn without_a_model() -> Models {
    Models {
        reported: 1,
        ..Models::default()
    }
}

/// A daily training.
fn daily() -> Value {
    json!({"schedule": "5 3 * * *"})
}

/// A training that succeeded.
fn succeeded() -> Value {
    json!({"lastScheduleTime": "2026-03-04T03:00:00Z", "lastSuccessfulTime": "2026-03-04T03:02:00Z"})
}

const OWN_HISTORY: &str = "recommendations are computed from each user's own history";

#[test]
fn the_condition_of_the_model_names_the_model_in_use_and_its_age() {
    let damaged = Models {
        trouble: Some((1, "wrong checksum".to_owned())),
        ..without_a_model()
    };
    for (models, expected) in [
        (
            Some(model(1)),
            "True ModelLoaded: model 7f3a is in use, trained at 2026-03-03T05:06:07Z",
        ),
        (Some(model(14)), "True ModelLoaded: model 7f3a"),
        (
            Some(model(15)),
            "False ModelOutdated: model 7f3a is in use, trained at 2026-02-17T05:06:07Z, which is more than 14 days ago",
        ),
        (
            Some(damaged),
            "False ModelInvalid: 1 of 1 pods cannot use the newest model: wrong checksum; recommendations are computed",
        ),
        (
            None,
            "Unknown NotReported: the pods do not report which model they use",
        ),
    ] {
        let condition = modelled(&daily(), models, &succeeded()).condition("ModelReady");
        assert!(condition.starts_with(expected), "{condition}");
    }
}

#[test]
fn a_missing_model_is_a_problem_only_where_it_is_trained() {
    let running = json!({"active": [{"name": "a"}], "lastScheduleTime": "2026-03-04T03:00:00Z"});
    let off = json!({"suspend": true});
    let never = json!({});
    for (training, runs, expected, words) in [
        (
            &daily(),
            &never,
            "False NoModel: ",
            "runs on the schedule \"5 3 * * *\" (UTC)",
        ),
        (&daily(), &running, "False NoModel: ", OWN_HISTORY),
        (
            &off,
            &never,
            "False NoModel: ",
            "spec.training.suspend is true",
        ),
        (
            &Value::Null,
            &never,
            "Unknown NotTrained: ",
            "spec.training is not set",
        ),
    ] {
        let fixture = modelled(training, Some(without_a_model()), runs);
        let condition = fixture.condition("ModelReady");
        assert!(condition.starts_with(expected), "{condition}");
        assert!(condition.contains(words), "{condition}");
    }
    let elsewhere = modelled(&Value::Null, Some(model(1)), &never);
    let condition = elsewhere.condition("ModelReady");
    assert!(condition.starts_with("True ModelLoaded: "), "{condition}");
}

#[test]
fn a_training_that_failed_is_reported_with_the_model_that_stays_in_use() {
    let first = json!({"lastScheduleTime": "2026-03-04T03:00:00Z"});
    let later = json!({"lastScheduleTime": "2026-03-04T03:00:00Z", "lastSuccessfulTime": "2026-03-03T03:02:00Z"});
    for (models, runs, words) in [
        (model(1), later, "; model 7f3a is in use"),
        (without_a_model(), first, OWN_HISTORY),
    ] {
        let condition = modelled(&daily(), Some(models), &runs).condition("ModelReady");
        let expected = "False TrainingFailed: the training of 2026-03-04T03:00:00Z failed";
        assert!(condition.starts_with(expected), "{condition}");
        assert!(condition.contains(words), "{condition}");
    }
}

#[test]
fn a_service_that_counts_rows_has_no_condition_of_a_model() {
    let classic = |spec: &mut Value| spec["recommendation"] = json!({"algorithm": "Classic"});
    let status = Fixture::with(MINIMAL, classic).status_at(now());
    let types: Vec<_> = status.conditions.iter().map(|it| &it.type_).collect();
    assert!(
        !types.iter().any(|type_| *type_ == "ModelReady"),
        "{types:?}"
    );
}

#[test]
fn the_connection_of_the_training_is_a_term_of_the_budget() {
    let fixture = modelled(&json!({}), None, &json!({}));
    let tuning = fixture.status_at(now()).tuning.unwrap();
    // (30 - 3 - 1) / (1 + 2)
    assert_eq!((tuning.training_connections, tuning.pool_per_pod), (1, 8));
    assert_eq!(
        fixture.condition("BudgetFeasible"),
        "True WithinBudget: (30 connections - 3 reserved - 1 for training) / (1 replicas + 2 x 1 replaced at once) = 8 for each pod"
    );
}

/// The fixture under a decision.
fn under(yaml: &str, decision: Enforcement, record: Option<Record>) -> Fixture {
    let mut fixture = Fixture::of(yaml);
    let instance = fixture.instance;
    let budget = match decision {
        Enforcement::Server { limit } => {
            let there = &instance.budget;
            let scale = instance.wanted_scale;
            enforced(
                there.connections,
                limit,
                there.reserved,
                0,
                scale,
                there.each,
            )
            .unwrap()
        }
        Enforcement::Plan { .. } => instance.budget,
    };
    fixture.instance = instance.under(decision, record, budget);
    fixture
}

#[test]
fn the_budgets_message_names_what_enforces_it_and_why_the_server_does_not() {
    let server = |limit| Enforcement::Server { limit };
    assert_eq!(
        under(MINIMAL, server(25), None).condition("BudgetFeasible"),
        "True WithinBudget: enforced by the server: account limit 25 <= budget 30; (25 connections - 3 reserved - 1 x 2 for new pods) / 1 replicas = 20 for each pod"
    );
    assert_eq!(
        under(PROVISIONED, server(60), None).condition("BudgetFeasible"),
        "True WithinBudget: enforced by the server: account limit 57 <= budget 60; (60 connections - 3 reserved - 1 x 2 for new pods) / 2 replicas = 27 for each pod"
    );
    let why = Why::NoLimit { budget: 30 };
    assert_eq!(
        under(MINIMAL, Enforcement::Plan { why }, None).condition("BudgetFeasible"),
        "True WithinBudget: (30 connections - 3 reserved) / (1 replicas + 2 x 1 replaced at once) = 9 for each pod; enforced by the operator's plan: the account has no limit; ALTER USER ... WITH MAX_USER_CONNECTIONS 30 on the server makes rollouts faster"
    );
}

#[test]
fn the_status_is_server_until_no_pod_has_a_greater_pool_as_long_as_the_limit_holds() {
    let requested = Enforcement::Plan {
        why: Why::Requested,
    };
    let gone = Enforcement::Plan {
        why: Why::NoLimit { budget: 30 },
    };
    let leaving = Some(Record::Leaving(30));
    for (decision, record, expected) in [
        (
            Enforcement::Server { limit: 30 },
            None,
            EnforcementStatus::Server,
        ),
        (requested.clone(), leaving, EnforcementStatus::Server),
        (
            requested.clone(),
            Some(Record::Plan),
            EnforcementStatus::Plan,
        ),
        (requested, None, EnforcementStatus::Plan),
        (gone, leaving, EnforcementStatus::Plan),
    ] {
        let is_server = decision.is_server();
        let fixture = under(MINIMAL, decision, record);
        let tuning = fixture.status_at(now()).tuning.unwrap();
        assert_eq!(tuning.enforcement, Some(expected), "{record:?}");
        assert_eq!(tuning.min_pool_per_pod, is_server.then_some(2));
        assert!(tuning.rollout_seconds_estimate < if is_server { 30 } else { 60 });
    }
}
