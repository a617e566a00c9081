//! Two operators, of which one acts.

use crate::cluster::Cluster;
use crate::operator::{LEASES, Operator};
use crate::scene::Scene;
use crate::spec;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use kube::runtime::wait::await_condition;
use reckon_operator::controller::kind::Kind;
use std::time::{Duration, Instant};

/// A Lease is good for 15 s after its last renewal was seen, at most 2 s late.
const TAKEN_OVER: Duration = Duration::from_secs(17);
/// What a busy machine adds to that.
const BUSY: Duration = Duration::from_secs(2);
/// Two looks at the Lease, and a busy machine.
const HANDED_OVER: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_and_one_that_stops_hands_over() {
    let cluster = Cluster::shared().await;
    let scene = Scene::new(cluster, "leadership").await;
    let mut first = Operator::start(cluster, &scene.namespace, "first").await;
    leads(&scene, "first").await;
    let mut second = Operator::start(cluster, &scene.namespace, "second").await;
    assert!(first.leads().await && !second.leads().await);

    first.process.kill();
    let killed = Instant::now();
    scene.create("shop", spec::minimal()).await;
    scene.until(Kind::ServiceAccount, "shop", |_| true).await;
    let after = killed.elapsed();
    println!("SIGKILL: the other operator acted after {after:.1?}");
    assert!(after <= TAKEN_OVER + BUSY, "{after:?}");
    leads(&scene, "second").await;

    let third = Operator::start(cluster, &scene.namespace, "third").await;
    let began = Instant::now();
    let exit = second.process.stop().await;
    assert_eq!(exit.status.code(), Some(0));
    scene.create("other", spec::minimal()).await;
    scene.until(Kind::ServiceAccount, "other", |_| true).await;
    let after = began.elapsed();
    println!(
        "SIGTERM: ended after {:.1?}, the other operator acted after {after:.1?}",
        exit.after
    );
    assert!(after <= HANDED_OVER, "{after:?}");
    leads(&scene, "third").await;
    drop(third);
}

async fn leads(scene: &Scene, identity: &str) {
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), LEASES);
    let holds = |lease: Option<&Lease>| {
        let spec = lease.and_then(|lease| lease.spec.as_ref());
        spec.is_some_and(|spec| spec.holder_identity.as_deref() == Some(identity))
    };
    let waiting = await_condition(leases, &scene.namespace, holds);
    tokio::time::timeout(crate::scene::SOON, waiting)
        .await
        .unwrap_or_else(|_| panic!("{identity} does not lead"))
        .unwrap();
}
