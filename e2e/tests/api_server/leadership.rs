//! Several operators, of which one acts.

use crate::cluster::Cluster;
use crate::fixture::Fixture;
use crate::operator::{LEASES, Operator};
use crate::spec;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use reckon_harness::eventually::eventually;
use reckon_operator::controller::kind::Kind;
use serde_json::json;
use std::time::{Duration, Instant};

/// Maximum time until another operator takes over: a Lease is valid for 15 s after its last renewal was observed, at
/// most 2 s late.
const TAKEN_OVER: Duration = Duration::from_secs(17);
/// How often a Lease is checked.
const RETRY: Duration = Duration::from_secs(2);
/// The delay of a busy machine.
const BUSY: Duration = Duration::from_secs(2);
/// Two checks of the Lease, plus the delay of a busy machine.
const HANDED_OVER: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_and_one_that_stops_hands_over() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "leadership").await;
    let mut first = Operator::start(cluster, &fixture.namespace, "first").await;
    leads(&fixture, "first").await;
    let mut second = Operator::start(cluster, &fixture.namespace, "second").await;
    assert!(first.leads().await && !second.leads().await);

    first.process.kill();
    let killed = Instant::now();
    fixture.create("shop", spec::minimal()).await;
    fixture.until(Kind::ServiceAccount, "shop", |_| true).await;
    let after = killed.elapsed();
    println!("SIGKILL: the other operator acted after {after:.1?}");
    assert!(after <= TAKEN_OVER + BUSY, "{after:?}");
    leads(&fixture, "second").await;

    let third = Operator::start(cluster, &fixture.namespace, "third").await;
    let began = Instant::now();
    let exit = second.process.stop().await;
    assert_eq!(exit.status.code(), Some(0));
    fixture.create("other", spec::minimal()).await;
    fixture.until(Kind::ServiceAccount, "other", |_| true).await;
    let after = began.elapsed();
    println!(
        "SIGTERM: ended after {:.1?}, the other operator acted after {after:.1?}",
        exit.after
    );
    assert!(after <= HANDED_OVER, "{after:?}");
    leads(&fixture, "third").await;
    drop(third);
}

async fn leads(fixture: &Fixture, identity: &str) {
    let leases: Api<Lease> = Api::namespaced(fixture.client.clone(), LEASES);
    let holds = |lease: Option<&Lease>| {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        spec.is_some_and(|spec| spec.holder_identity.as_deref() == Some(identity))
    };
    let waiting = await_condition(leases, &fixture.namespace, holds);
    tokio::time::timeout(crate::fixture::SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("{identity} does not lead"))
        .unwrap();
}

#[tokio::test]
async fn a_leader_that_resumes_after_its_lease_expired_writes_nothing() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "leadership-frozen").await;
    let first = Operator::start(cluster, &fixture.namespace, "first").await;
    leads(&fixture, "first").await;
    let second = Operator::start(cluster, &fixture.namespace, "second").await;
    fixture.create("shop", spec::minimal()).await;
    fixture.until(Kind::Deployment, "shop", |_| true).await;
    let before = settled_writes(&first).await;
    assert!(before > 0 && writes(&second).await == 0);

    first.process.freeze().await;
    leads(&fixture, "second").await;
    // The first one has these to do when it wakes up.
    for number in 0..5 {
        let name = format!("shop-{number}");
        fixture.create(&name, spec::minimal()).await;
        fixture.until(Kind::Deployment, &name, |_| true).await;
    }
    fixture
        .change("shop", json!({"service": {"port": 8080}}))
        .await;
    first.process.thaw();
    eventually(crate::fixture::SOON, async || {
        first.get("/livez").await.contains("200 OK")
    })
    .await;
    fixture.delete(Kind::Service, "shop-metrics").await;
    fixture.until(Kind::Service, "shop-metrics", |_| true).await;
    assert!(!first.leads().await);
    // It must do nothing, and there is no condition to wait for.
    tokio::time::sleep(2 * RETRY).await;
    assert_eq!(writes(&first).await, before, "it wrote without a Lease");
    assert!(second.leads().await && writes(&second).await > 0);
}

/// Objects that an operator has written since its start.
async fn writes(operator: &Operator) -> u64 {
    let metrics = operator.get("/metrics").await;
    let lines = metrics.lines();
    let written = lines.filter(|line| line.starts_with("reckon_operator_writes_total{"));
    let counts = written.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    counts.sum()
}

/// The same, once nothing has been written for two seconds.
async fn settled_writes(operator: &Operator) -> u64 {
    let mut last = (writes(operator).await, Instant::now());
    while last.1.elapsed() < Duration::from_secs(2) {
        let now = writes(operator).await;
        if now != last.0 {
            last = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    last.0
}
