//! What is as it should be is not written.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::operator::Operator;
use crate::requests::{Requests, counted, since, writes};
use crate::scene::{SOON, Scene, condition};
use crate::spec;
use kube::Client;
use kube::api::ListParams;
use reckon_harness::eventually::eventually;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const RESOURCES: usize = 50;
/// For how long nothing may be written.
const WATCHED: Duration = Duration::from_secs(30);
/// Without a write for so long, nothing is being done any more: more than the pauses between the steps of a plan.
const QUIET: Duration = Duration::from_secs(5);
/// Of a resource: `ServiceAccount`, `ConfigMap`, Deployment, two Services, `PodDisruptionBudget`, `NetworkPolicy`.
const CHILDREN: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_resources_at_rest_cost_no_write_and_a_restart_changes_nothing() {
    let cluster = Cluster::own().await;
    let scene = Scene::new(&cluster, "steady").await;
    let mut operator = Operator::start(&cluster, &scene.namespace, "one").await;
    let controllers = Controllers::play(&scene);
    let began = Instant::now();
    for number in 0..RESOURCES {
        scene
            .create(&format!("shop-{number}"), spec::minimal())
            .await;
    }
    eventually(Duration::from_mins(2), async || settled(&scene).await).await;
    drop(controllers);
    quiet(&scene.client).await;
    println!("{RESOURCES} resources at rest after {:?}", began.elapsed());

    let before = counted(&scene.client).await;
    let versions = scene.versions().await;
    // The time is what is measured.
    sleep(WATCHED).await;
    let asked = since(&before, &counted(&scene.client).await);
    println!("requests in {WATCHED:?}: {asked:?}");
    assert_eq!(writes(&asked), 0, "{asked:?}");

    operator.process.stop().await;
    let before = counted(&scene.client).await;
    let operator = Operator::start(&cluster, &scene.namespace, "two").await;
    eventually(SOON, async || {
        let asked = since(&before, &counted(&scene.client).await);
        (writes(&asked) > 0).then_some(())
    })
    .await;
    quiet(&scene.client).await;
    let asked = since(&before, &counted(&scene.client).await);
    println!("requests of a restart: {asked:?}");
    assert!(writes(&asked) <= CHILDREN * RESOURCES as u64, "{asked:?}");
    assert_eq!(
        scene.versions().await,
        versions,
        "a restart changed something"
    );
    drop(operator);
}

async fn settled(scene: &Scene) -> Result<(), String> {
    let services = scene.services().list(&ListParams::default()).await.unwrap();
    let progressing = services
        .iter()
        .map(|service| condition(service, "Progressing"))
        .filter(|condition| condition["reason"] != "AsWanted");
    let progressing: Vec<_> = progressing.collect();
    match progressing.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} still change, one: {first}", progressing.len())),
    }
}

/// Waits until nothing has been written for [`QUIET`].
async fn quiet(client: &Client) {
    let mut last: (Requests, Instant) = (counted(client).await, Instant::now());
    while last.1.elapsed() < QUIET {
        let now = counted(client).await;
        if writes(&since(&last.0, &now)) > 0 {
            last = (now, Instant::now());
        }
        sleep(QUIET / 10).await;
    }
}
