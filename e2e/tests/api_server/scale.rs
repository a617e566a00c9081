//! Many resources: the time in addition to that of their plain writes, and the operator's memory and processor time.
//! `RECKON_SCALE_RESOURCES` is the number of resources, for example 1000 or 5000. The bounds are those of a release
//! build.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON};
use crate::histogram::Histogram;
use crate::operator::Operator;
use crate::requests::{counted, quiet, since, writes};
use crate::spec;
use crate::steady::settled;
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use reckon_harness::eventually::eventually;
use reckon_operator::controller::desired::disruption_budget::{HELD_SINCE, disruption_budget};
use reckon_operator::controller::desired::{FIELD_MANAGER, Facts, Resources, desired};
use reckon_operator::controller::instance::Instance;
use reckon_operator::controller::kind::Kind;
use reckon_operator::tuning::Surge;
use reckon_operator::tuning::plan::Evictions;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Default of `RECKON_SCALE_RESOURCES`.
const RESOURCES: usize = 100;
/// The number of resources that the operator reconciles at the same time.
const AT_ONCE: usize = 16;
/// Maximum time of the operator in addition to the same writes by plain requests.
const BEYOND: Duration = Duration::from_mins(1);
/// Maximum memory of the operator's process with up to [`MANY`] resources, in bytes; twice as much with up to 5,000.
const MEMORY: usize = 64 << 20;
/// Resources of a large cluster. With as many, nothing may be written for [`WATCHED_LONG`].
const MANY: usize = 1_000;
/// The 99th percentile of a reconcile without a change, in seconds.
const NO_OP: f64 = 0.01;
/// The number of scrapes of a Prometheus in five minutes.
const SCRAPES: usize = 10;
/// Maximum size of all series of a resource in a scrape, in bytes.
const SERIES: usize = 5_000;
/// For how long nothing may be written.
const WATCHED: Duration = Duration::from_secs(30);
/// The same for [`MANY`] resources.
const WATCHED_LONG: Duration = Duration::from_mins(5);
/// Resources that are edited, one after the other.
const EDITS: usize = 200;
/// The 99th percentile of the time from an edit to the first write. It includes the time for which the operator gathers events.
const EDIT: Duration = Duration::from_millis(250);
/// Time between two checks of many objects, so that the checks do not take most of the time.
const PACE: Duration = Duration::from_millis(250);
/// Children of a resource, without its Secret.
const CHILDREN: [(Kind, usize); 6] = [
    (Kind::ServiceAccount, 1),
    (Kind::ConfigMap, 1),
    (Kind::Service, 2),
    (Kind::PodDisruptionBudget, 1),
    (Kind::NetworkPolicy, 1),
    (Kind::Deployment, 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_resources_take_little_more_than_their_writes() {
    let resources =
        std::env::var("RECKON_SCALE_RESOURCES").map_or(RESOURCES, |text| text.parse().unwrap());
    let names: Vec<String> = (0..resources)
        .map(|number| format!("shop-{number}"))
        .collect();
    let cluster = Cluster::own().await;
    let plain = Fixture::new(&cluster, "scale-plain").await;
    let before = counted(&plain.client).await;
    let began = Instant::now();
    concurrently(&names, async |name| write(&plain, name).await).await;
    let alone = began.elapsed();
    let asked = since(&before, &counted(&plain.client).await);
    println!(
        "{resources} resources by plain requests: {alone:.1?}, {} writes",
        writes(&asked)
    );

    let fixture = Fixture::new(&cluster, "scale").await;
    let operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    eventually(SOON, async || operator.leads().await).await;
    let empty = operator.process.resident_bytes();
    let before = counted(&fixture.client).await;
    let began = Instant::now();
    let creating = concurrently(&names, async |name| {
        fixture.create(name, spec::minimal()).await;
    });
    tokio::join!(creating, complete(&fixture, resources, alone + BEYOND));
    let operated = began.elapsed();
    let asked = since(&before, &counted(&fixture.client).await);
    println!(
        "{resources} resources by the operator: {operated:.1?}, of {:.1?} of CPU; {} requests, {} writes: {asked:?}",
        cpu(&operator),
        asked.values().sum::<u64>(),
        writes(&asked)
    );
    assert_eq!(children(&fixture).await, children(&plain).await);
    assert!(operated <= alone + BEYOND, "{operated:?} and {alone:?}");

    let controllers = Controllers::play(&fixture);
    eventually(Duration::from_mins(10), async || {
        sleep(PACE).await;
        settled(&fixture).await
    })
    .await;
    drop(controllers);
    quiet(&fixture.client).await;
    let (used, before) = (cpu(&operator), counted(&fixture.client).await);
    // The time is what is measured.
    let watched = if resources < MANY {
        WATCHED
    } else {
        WATCHED_LONG
    };
    sleep(watched).await;
    let asked = since(&before, &counted(&fixture.client).await);
    println!(
        "at rest for {watched:?}: {asked:?}, {:.1?} of CPU",
        cpu(&operator).saturating_sub(used)
    );
    assert_eq!(writes(&asked), 0, "{asked:?}");

    let memory = operator.process.resident_bytes();
    println!(
        "resident memory: {:.1} MiB, and {:.1} MiB without any resource",
        mebibytes(memory),
        mebibytes(empty)
    );
    scrapes(&operator, resources).await;
    no_ops(&fixture, &operator, &names).await;
    edits(&fixture, &names).await;
    let memory = memory.max(operator.process.resident_bytes());
    println!("resident memory at the end: {:.1} MiB", mebibytes(memory));
    let most = if resources > MANY { 2 * MEMORY } else { MEMORY };
    assert!(memory < most, "{memory}");
}

/// Edits resources, and measures how long the operator's first write takes: before the Deployment changes, it holds evictions.
async fn edits(fixture: &Fixture, names: &[String]) {
    let budgets = fixture.children(Kind::PodDisruptionBudget);
    let parameters = WatchParams::default();
    let now = budgets
        .list_metadata(&ListParams::default().limit(1))
        .await
        .unwrap();
    let version = now.metadata.resource_version.unwrap();
    let mut changes = budgets.watch(&parameters, &version).await.unwrap().boxed();
    let edit = json!({"spec": {"pod": {"annotations": {"example.com/edited": "yes"}}}});
    let mut times = Vec::new();
    for name in names.iter().take(EDITS) {
        let began = Instant::now();
        fixture
            .services()
            .patch(name, &PatchParams::default(), &Patch::Merge(&edit))
            .await
            .unwrap();
        loop {
            let change = timeout(SOON, changes.next()).await.unwrap();
            if let Some(Ok(WatchEvent::Modified(budget))) = change
                && budget.name_any() == *name
                && budget.annotations().contains_key(HELD_SINCE)
            {
                break;
            }
        }
        times.push(began.elapsed());
    }
    times.sort();
    let slowest = times[(times.len() * 99).div_ceil(100) - 1];
    println!(
        "{} edits caused a write: 50 of 100 within {:.1?}, 99 of 100 within {slowest:.1?}",
        times.len(),
        times[times.len() / 2]
    );
    if !cfg!(debug_assertions) {
        assert!(slowest <= EDIT, "{slowest:?}");
    }
}

/// Reads the metrics as a Prometheus does, which shows every resource.
async fn scrapes(operator: &Operator, resources: usize) {
    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..SCRAPES {
        let began = Instant::now();
        let text = operator.get("/metrics").await;
        times.push(began.elapsed());
        size = text.len();
        let generations = "reckon_recommendationservice_generation{";
        assert_eq!(text.matches(generations).count(), resources);
    }
    times.sort();
    println!(
        "a scrape: {size} bytes, {:.1?} (median of {SCRAPES}); resident memory after them: {:.1} MiB",
        times[SCRAPES / 2],
        mebibytes(operator.process.resident_bytes())
    );
    assert!(size < resources * SERIES + 100_000, "{size}");
}

/// Wakes every resource though nothing is to be done.
async fn no_ops(fixture: &Fixture, operator: &Operator, names: &[String]) {
    const METRIC: &str = "controller_runtime_reconcile_time_seconds";
    let reconciles = async || Histogram::of(&operator.get("/metrics").await, METRIC);
    let (before, asked) = (reconciles().await, counted(&fixture.client).await);
    let touch = json!({"metadata": {"annotations": {"example.com/touched": "yes"}}});
    let services = fixture.services();
    let touch = Patch::Merge(touch);
    // One after the other, because together they would wait for a processor and not for the operator.
    for name in names {
        let parameters = PatchParams::default();
        services.patch(name, &parameters, &touch).await.unwrap();
    }
    let done = eventually(Duration::from_mins(2), async || {
        sleep(PACE).await;
        let done = reconciles().await.since(&before);
        (done.count() >= names.len()).then_some(done)
    })
    .await;
    let asked = since(&asked, &counted(&fixture.client).await);
    assert_eq!(writes(&asked), names.len() as u64, "{asked:?}");
    let slowest = done.bound(99);
    println!(
        "{} reconciles with nothing to do: 50 of 100 within {} s, 99 of 100 within {slowest} s; {done:?}",
        done.count(),
        done.bound(50)
    );
    if !cfg!(debug_assertions) {
        assert!(slowest <= NO_OP, "{slowest}");
    }
}

/// What the operator writes for a resource until its children are there, and the resource.
async fn write(fixture: &Fixture, name: &str) {
    let service = fixture.create(name, spec::minimal()).await;
    let instance = Instance::parse(&service, &spec::defaults()).unwrap();
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let secret = json!({
        "metadata": {"name": instance.child("api-keys")},
        "stringData": {"api-keys": "only-a-test\n"},
    });
    let secret = serde_json::from_value(secret).unwrap();
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .unwrap();
    let Resources {
        service_account,
        config_map,
        deployment,
        service,
        metrics_service,
        network_policy,
        migration_policy: None,
        migration: None,
        training: None,
        training_policy: None,
        provision_policy: None,
        redis: None,
    } = desired(&instance, &Facts::default())
    else {
        panic!("the shortest resource has more children than before");
    };
    for (kind, body) in [
        (Kind::ServiceAccount, service_account),
        (Kind::ConfigMap, config_map),
        (Kind::Service, service),
        (Kind::Service, metrics_service),
        (
            Kind::PodDisruptionBudget,
            disruption_budget(&instance, Evictions::Open),
        ),
        (Kind::NetworkPolicy, network_policy.unwrap()),
        (
            Kind::Deployment,
            deployment.with(instance.grace(), Surge::Pods(1), None),
        ),
    ] {
        apply(fixture, kind, &body).await;
    }
}

async fn apply(fixture: &Fixture, kind: Kind, body: &Value) {
    let name = body["metadata"]["name"].as_str().unwrap();
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    fixture
        .children(kind)
        .patch(name, &parameters, &Patch::Apply(body))
        .await
        .unwrap();
}

/// Waits until there are as many objects of each kind as there are to be.
async fn complete(fixture: &Fixture, resources: usize, within: Duration) {
    for (kind, each) in CHILDREN {
        let first = ListParams::default().limit(1);
        eventually(within, async || {
            sleep(PACE).await;
            // Counted by the server, which says how many would follow.
            let list = fixture.children(kind).list_metadata(&first).await.unwrap();
            let more = list.metadata.remaining_item_count.unwrap_or(0);
            let there = list.items.len() + usize::try_from(more).unwrap();
            let all = each * resources;
            if there == all {
                Ok(())
            } else {
                Err(format!("{there} of {all} {kind:?}"))
            }
        })
        .await;
    }
}

/// Kind and name of all.
async fn children(fixture: &Fixture) -> BTreeSet<(Kind, String)> {
    let mut children = BTreeSet::new();
    for (kind, _) in CHILDREN {
        let (api, all) = (fixture.children(kind), ListParams::default());
        let list = api.list_metadata(&all).await.unwrap();
        let names = list.into_iter().map(|child| child.name_any());
        children.extend(names.map(|name| (kind, name)));
    }
    children
}

async fn concurrently(names: &[String], work: impl AsyncFn(&str)) {
    let work = &work;
    stream::iter(names)
        .for_each_concurrent(AT_ONCE, async |name| work(name).await)
        .await;
}

/// Processor time of the operator so far: `utime` and `stime` of `proc_pid_stat(5)`, in ticks of 10 ms.
fn cpu(operator: &Operator) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", operator.process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2);
    Duration::from_millis(ticks.map(|ticks| ticks.parse::<u64>().unwrap() * 10).sum())
}

#[expect(clippy::cast_precision_loss, reason = "it is printed with one digit")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
