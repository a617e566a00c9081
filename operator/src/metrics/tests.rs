use super::{Condition, ConditionStatus, Metrics, Replicas, Snapshot, Verb};
use crate::crd::{CONDITION_REASONS, CONDITION_TYPES};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use reckon_harness::exposition::Exposition;
use reckon_harness::generated::compare;
use std::time::{Duration, Instant as Clock};
use tokio::time::{Instant, advance};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
/// Kinds that the operator writes.
const KINDS: [&str; 11] = [
    "ConfigMap",
    "CronJob",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "RecommendationService",
    "Secret",
    "Service",
    "ServiceAccount",
];

/// Metrics beside the watch whose resources they show.
struct Fixture {
    metrics: Metrics,
    watch: Writer<DynamicObject>,
}

impl Fixture {
    fn new() -> Self {
        let resource = ApiResource {
            group: "reckon.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "reckon.dev/v1alpha1".to_owned(),
            kind: "RecommendationService".to_owned(),
            plural: "recommendationservices".to_owned(),
        };
        let watch = Writer::new(resource);
        let metrics = Metrics::new("LEASE");
        metrics.resources.watch(watch.as_reader());
        Self { metrics, watch }
    }

    /// The watch reports a resource.
    fn exists(&mut self, namespace: &str, name: &str, uid: &str) {
        let service = object(namespace, name, uid);
        self.watch.apply_watcher_event(&Event::Apply(service));
    }

    /// The watch reports that it is gone.
    fn deleted(&mut self, namespace: &str, name: &str) {
        let service = object(namespace, name, "");
        self.watch.apply_watcher_event(&Event::Delete(service));
    }

    /// The metrics that this operator exposes while it leads since then.
    fn shown(&self, since: Instant) -> Exposition {
        Exposition::read(&self.metrics.text(Some(since)))
    }
}

fn object(namespace: &str, name: &str, uid: &str) -> DynamicObject {
    let value = serde_json::json!({
        "apiVersion": "reckon.dev/v1alpha1",
        "kind": "RecommendationService",
        "metadata": {"namespace": namespace, "name": name, "uid": uid, "generation": 4},
    });
    serde_json::from_value(value).unwrap()
}

fn condition(
    type_: &'static str,
    status: ConditionStatus,
    reason: Option<&'static str>,
) -> Condition {
    Condition {
        type_,
        status,
        reason,
    }
}

fn snapshot(uid: &str) -> Snapshot {
    Snapshot {
        uid: uid.to_owned(),
        conditions: CONDITION_TYPES
            .map(|type_| condition(type_, ConditionStatus::True, Some(CONDITION_REASONS[0])))
            .to_vec(),
        replicas: Replicas {
            desired: 3,
            current: 4,
            ready: 2,
            updated: 1,
        },
        budget: Some(60),
        reserved: Some(3),
        pool: Some(11),
        worst_case: Some(55),
        by_server: Some(true),
        observed_generation: Some(3),
    }
}

/// Every event that a metric counts has happened once.
fn whole() -> Fixture {
    let mut fixture = Fixture::new();
    fixture.exists("NAMESPACE", "NAME", "1");
    let resources = &fixture.metrics.resources;
    resources.put("NAMESPACE", "NAME", snapshot("1"));
    for kind in KINDS {
        for verb in [Verb::Create, Verb::Patch, Verb::Apply, Verb::Delete] {
            fixture.metrics.writes.accepted(kind, verb);
        }
    }
    fixture.metrics.reconciles.controller_started(16);
    fixture.metrics.reconciles.begin().end(true);
    fixture
}

/// Dashboards and alerts name these: a change is one for CHANGELOG.md.
#[tokio::test]
async fn the_names_types_and_labels_of_the_metrics_are_these() {
    let since = Instant::now();
    insta::assert_snapshot!(whole().shown(since).shape(), @r"
    controller_runtime_active_workers gauge controller=recommendationservice
    controller_runtime_max_concurrent_reconciles gauge controller=recommendationservice
    controller_runtime_reconcile counter controller=recommendationservice result=error|success
    controller_runtime_reconcile_errors counter controller=recommendationservice
    controller_runtime_reconcile_time_seconds histogram controller=recommendationservice le=N
    leader_election_master_status gauge name=LEASE
    process_cpu_seconds counter
    process_max_fds gauge
    process_open_fds gauge
    process_resident_memory_bytes gauge
    process_start_time_seconds gauge
    process_threads gauge
    process_virtual_memory_bytes gauge
    reckon_operator_budget_actions counter action=clear_former_pool|create_deployment|create_training|delete_autoscaler|pause|scale|set_fence|set_strategy|unpause|write_autoscaler|write_disruption_budget|write_template
    reckon_operator_build info version=N
    reckon_operator_last_reconcile_timestamp_seconds gauge
    reckon_operator_panics counter task=health|reconcile|servers
    reckon_operator_resources gauge
    reckon_operator_writes counter kind=ConfigMap|CronJob|Deployment|HorizontalPodAutoscaler|Job|NetworkPolicy|PodDisruptionBudget|RecommendationService|Secret|Service|ServiceAccount verb=apply|create|delete|patch
    reckon_recommendationservice_budget_connections gauge name=NAME namespace=NAMESPACE
    reckon_recommendationservice_condition gauge name=NAME namespace=NAMESPACE status=false|true|unknown type=BudgetFeasible|CacheReachable|DatabaseReachable|Degraded|IndexesReady|ModelReady|Paused|Progressing|Ready
    reckon_recommendationservice_condition_reason gauge name=NAME namespace=NAMESPACE reason=AccessDenied status=true type=BudgetFeasible|CacheReachable|DatabaseReachable|Degraded|IndexesReady|ModelReady|Paused|Progressing|Ready
    reckon_recommendationservice_generation gauge name=NAME namespace=NAMESPACE
    reckon_recommendationservice_observed_generation gauge name=NAME namespace=NAMESPACE
    reckon_recommendationservice_pool_connections gauge name=NAME namespace=NAMESPACE
    reckon_recommendationservice_replicas gauge name=NAME namespace=NAMESPACE state=current|desired|ready|updated
    reckon_recommendationservice_reserved_connections gauge name=NAME namespace=NAMESPACE
    reckon_recommendationservice_server_enforces_budget gauge name=NAME namespace=NAMESPACE
    reckon_recommendationservice_worst_case_connections gauge name=NAME namespace=NAMESPACE
    workqueue_depth gauge name=recommendationservice
    ");
}

#[tokio::test]
async fn the_page_has_every_metric() {
    let since = Instant::now();
    compare(PAGE, "operator", &whole().shown(since).table());
}

#[tokio::test]
async fn the_series_of_a_resource_are_these() {
    let since = Instant::now();
    let fixture = whole();
    let conditions = vec![
        condition("Ready", ConditionStatus::True, Some("PodsReady")),
        condition("Degraded", ConditionStatus::False, Some("UpToDate")),
        condition("CacheReachable", ConditionStatus::Unknown, None),
    ];
    let snapshot = Snapshot {
        conditions,
        ..snapshot("1")
    };
    fixture.metrics.resources.put("NAMESPACE", "NAME", snapshot);
    let text = fixture.metrics.text(Some(since));
    let own = text.lines().filter(|line| line.contains("{namespace="));
    insta::assert_snapshot!(own.collect::<Vec<_>>().join("\n"), @r#"
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="Ready",status="true"} 1
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="Ready",status="false"} 0
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="Ready",status="unknown"} 0
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="Degraded",status="true"} 0
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="Degraded",status="false"} 1
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="Degraded",status="unknown"} 0
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="CacheReachable",status="true"} 0
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="CacheReachable",status="false"} 0
    reckon_recommendationservice_condition{namespace="NAMESPACE",name="NAME",type="CacheReachable",status="unknown"} 1
    reckon_recommendationservice_condition_reason{namespace="NAMESPACE",name="NAME",type="Ready",status="true",reason="PodsReady"} 1
    reckon_recommendationservice_condition_reason{namespace="NAMESPACE",name="NAME",type="Degraded",status="false",reason="UpToDate"} 1
    reckon_recommendationservice_condition_reason{namespace="NAMESPACE",name="NAME",type="CacheReachable",status="unknown",reason="other"} 1
    reckon_recommendationservice_replicas{namespace="NAMESPACE",name="NAME",state="desired"} 3
    reckon_recommendationservice_replicas{namespace="NAMESPACE",name="NAME",state="current"} 4
    reckon_recommendationservice_replicas{namespace="NAMESPACE",name="NAME",state="ready"} 2
    reckon_recommendationservice_replicas{namespace="NAMESPACE",name="NAME",state="updated"} 1
    reckon_recommendationservice_budget_connections{namespace="NAMESPACE",name="NAME"} 60
    reckon_recommendationservice_reserved_connections{namespace="NAMESPACE",name="NAME"} 3
    reckon_recommendationservice_pool_connections{namespace="NAMESPACE",name="NAME"} 11
    reckon_recommendationservice_worst_case_connections{namespace="NAMESPACE",name="NAME"} 55
    reckon_recommendationservice_server_enforces_budget{namespace="NAMESPACE",name="NAME"} 1
    reckon_recommendationservice_generation{namespace="NAMESPACE",name="NAME"} 4
    reckon_recommendationservice_observed_generation{namespace="NAMESPACE",name="NAME"} 3
    "#);
}

#[tokio::test(start_paused = true)]
async fn the_series_of_a_resource_end_with_the_resource_and_with_the_leadership() {
    let own = |shown: &Exposition, name| {
        let of = [("namespace", "team"), ("name", name)];
        let families = shown.names().filter(|name| name.contains("service_"));
        families
            .map(|family| shown.sum_of(family, &of))
            .sum::<f64>()
    };
    let mut fixture = Fixture::new();
    let since = Instant::now();
    for (name, uid) in [("shop", "1"), ("blog", "2")] {
        fixture.exists("team", name, uid);
        fixture.metrics.resources.put("team", name, snapshot(uid));
    }
    let whole = own(&fixture.shown(since), "shop");
    assert!(whole > 100.0, "{whole}");

    fixture.deleted("team", "shop");
    let shown = fixture.shown(since);
    assert!((own(&shown, "blog") - whole).abs() < 0.5);
    assert!(own(&shown, "shop").abs() < 0.5);
    assert!((shown.sum("reckon_operator_resources", None) - 1.0).abs() < 0.5);

    // Created again under its name: only its generation is known.
    fixture.exists("team", "shop", "3");
    assert!((own(&fixture.shown(since), "shop") - 4.0).abs() < 0.5);
    fixture.metrics.resources.keep_existing();
    assert_eq!(fixture.metrics.resources.remembered(), 1);
    fixture.metrics.resources.put("team", "shop", snapshot("3"));
    assert!((own(&fixture.shown(since), "shop") - whole).abs() < 0.5);

    let standby = Exposition::read(&fixture.metrics.text(None));
    assert!(standby.names().all(|name| !name.contains("service_")));
    assert!((standby.sum("reckon_operator_resources", None) - 2.0).abs() < 0.5);

    // This operator leads again, and has reconciled none of them since.
    advance(Duration::from_mins(1)).await;
    let again = Instant::now();
    assert!((own(&fixture.shown(again), "shop") - 4.0).abs() < 0.5);
    advance(Duration::from_secs(1)).await;
    fixture.metrics.resources.put("team", "shop", snapshot("3"));
    assert!((own(&fixture.shown(again), "shop") - whole).abs() < 0.5);
}

#[tokio::test]
async fn unknown_values_have_no_series() {
    let since = Instant::now();
    let mut fixture = Fixture::new();
    fixture.exists("team", "shop", "1");
    let unknown = Snapshot {
        conditions: Vec::new(),
        budget: None,
        reserved: None,
        pool: None,
        worst_case: None,
        by_server: None,
        observed_generation: None,
        ..snapshot("1")
    };
    fixture.metrics.resources.put("team", "shop", unknown);
    let text = fixture.metrics.text(Some(since));
    let own = text.lines().filter(|line| line.contains("{namespace="));
    assert_eq!(own.count(), 5, "{text}");
}

#[tokio::test]
async fn the_size_of_a_scrape_grows_with_the_resources_only() {
    const RESOURCES: usize = 1000;
    let since = Instant::now();
    let mut fixture = Fixture::new();
    let (_, empty) = fixture.shown(since).size();
    for number in 0..RESOURCES {
        let (name, uid) = (format!("shop-{number}"), format!("uid-{number}"));
        fixture.exists("team", &name, &uid);
        fixture.metrics.resources.put("team", &name, snapshot(&uid));
    }
    let began = Clock::now();
    let text = fixture.metrics.text(Some(since));
    println!("{} bytes in {:?}", text.len(), began.elapsed());
    let (_, samples) = Exposition::read(&text).size();
    // 9 conditions with 3 statuses and a reason, 4 states of pods, 4 numbers of connections, who enforces them, 2 generations.
    assert_eq!(samples - empty, RESOURCES * (9 * 4 + 4 + 5 + 2));
    assert_eq!(fixture.shown(since).size().1, samples);
}

#[tokio::test]
async fn a_reconcile_is_active_until_it_ends_or_is_dropped() {
    let metrics = Metrics::new("LEASE");
    let shown = || Exposition::read(&metrics.text(None));
    let active = || shown().sum("controller_runtime_active_workers", None);
    assert_eq!(
        shown().single("reckon_operator_last_reconcile_timestamp_seconds"),
        None
    );
    let (one, other, third) = (
        metrics.reconciles.begin(),
        metrics.reconciles.begin(),
        metrics.reconciles.begin(),
    );
    assert!((active() - 3.0).abs() < 0.5);
    drop(one);
    assert!((active() - 2.0).abs() < 0.5);
    other.end(true);
    third.end(false);
    assert!(active().abs() < 0.5);
    let shown = shown();
    for (family, labels, expected) in [
        (
            "controller_runtime_reconcile",
            Some(("result", "success")),
            1.0,
        ),
        (
            "controller_runtime_reconcile",
            Some(("result", "error")),
            1.0,
        ),
        ("controller_runtime_reconcile_errors", None, 1.0),
        ("controller_runtime_reconcile_time_seconds", None, 2.0),
    ] {
        let is = shown.sum(family, labels);
        assert!((is - expected).abs() < 0.5, "{family}: {is}");
    }
    let last = shown.single("reckon_operator_last_reconcile_timestamp_seconds");
    // 2020.
    assert!(last.unwrap() > 1.577e9);
}

#[test]
fn a_resource_waits_once_however_often_it_changes() {
    let metrics = Metrics::new("LEASE");
    let depth = || {
        Exposition::read(&metrics.text(None))
            .single("workqueue_depth")
            .unwrap()
    };
    for (namespace, name) in [("a", "shop"), ("a", "shop"), ("b", "shop")] {
        metrics.queue.add(Some(namespace), name);
    }
    assert!((depth() - 2.0).abs() < 0.5);
    metrics.queue.remove(Some("a"), "shop");
    metrics.queue.remove(Some("a"), "shop");
    assert!((depth() - 1.0).abs() < 0.5);
}
