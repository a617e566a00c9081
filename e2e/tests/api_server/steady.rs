//! Objects that are already right are not written.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::{Fixture, SOON, condition};
use crate::operator::Operator;
use crate::requests::{counted, quiet, since, writes};
use crate::spec;
use kube::api::ListParams;
use reckon_harness::eventually::eventually;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const RESOURCES: usize = 50;
/// For how long nothing may be written.
const WATCHED: Duration = Duration::from_mins(1);
/// The children of a resource: `ServiceAccount`, `ConfigMap`, Deployment, two Services, `PodDisruptionBudget`,
/// `NetworkPolicy`.
const CHILDREN: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_resources_at_rest_cost_no_write_and_a_restart_changes_nothing() {
    let cluster = Cluster::own().await;
    let fixture = Fixture::new(&cluster, "steady").await;
    let mut operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    let controllers = Controllers::play(&fixture);
    let began = Instant::now();
    for number in 0..RESOURCES {
        fixture
            .create(&format!("shop-{number}"), spec::minimal())
            .await;
    }
    eventually(Duration::from_mins(2), async || settled(&fixture).await).await;
    drop(controllers);
    quiet(&fixture.client).await;
    println!("{RESOURCES} resources at rest after {:?}", began.elapsed());

    let before = counted(&fixture.client).await;
    let versions = fixture.versions().await;
    // The time is what is measured.
    sleep(WATCHED).await;
    let asked = since(&before, &counted(&fixture.client).await);
    println!("requests in {WATCHED:?}: {asked:?}");
    assert_eq!(writes(&asked), 0, "{asked:?}");

    operator.process.stop().await;
    let before = counted(&fixture.client).await;
    let operator = Operator::start(&cluster, &fixture.namespace, "two").await;
    eventually(SOON, async || {
        let asked = since(&before, &counted(&fixture.client).await);
        (writes(&asked) > 0).then_some(())
    })
    .await;
    quiet(&fixture.client).await;
    let asked = since(&before, &counted(&fixture.client).await);
    println!("requests of a restart: {asked:?}");
    assert!(writes(&asked) <= CHILDREN * RESOURCES as u64, "{asked:?}");
    assert_eq!(
        fixture.versions().await,
        versions,
        "a restart changed something"
    );
    drop(operator);
}

/// Whether every resource says that it has all it wants.
pub async fn settled(fixture: &Fixture) -> Result<(), String> {
    let services = fixture
        .services()
        .list(&ListParams::default())
        .await
        .unwrap();
    let progressing = services
        .iter()
        .map(|service| condition(service, "Progressing"))
        .filter(|condition| condition["reason"] != "UpToDate");
    let progressing: Vec<_> = progressing.collect();
    match progressing.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} still change, one: {first}", progressing.len())),
    }
}
