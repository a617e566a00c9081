//! An API server that does not answer for a while.

use crate::cluster::Cluster;
use crate::fixture::{Fixture, SOON};
use crate::operator::Operator;
use crate::spec;
use reckon_operator::controller::kind::Kind;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Longer than the Lease can be held without an answer (10 s), and than any request waits for one (20 s).
const OUTAGE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_operator_survives_an_outage_of_the_api_server_and_continues_afterwards() {
    let cluster = Cluster::own().await;
    let fixture = Fixture::new(&cluster, "outage").await;
    let operator = Operator::start(&cluster, &fixture.namespace, "one").await;
    fixture.create("before", spec::minimal()).await;
    fixture.until(Kind::Deployment, "before", |_| true).await;

    cluster.signal_server(Signal::STOP);
    // The passing of time is what is tested.
    tokio::time::sleep(OUTAGE).await;
    assert!(operator.process.is_running());
    assert!(
        operator.get("/livez").await.contains("200 OK"),
        "it is not alive"
    );
    assert!(!operator.leads().await, "it acts without a Lease");
    cluster.signal_server(Signal::CONT);

    let back = Instant::now();
    fixture.create("after", spec::minimal()).await;
    fixture.delete(Kind::Service, "before").await;
    fixture.until(Kind::Deployment, "after", |_| true).await;
    fixture.until(Kind::Service, "before", |_| true).await;
    println!(
        "after an outage of {OUTAGE:?} it acted within {:.1?}",
        back.elapsed()
    );
    assert!(back.elapsed() < SOON);
    assert!(operator.process.is_running());
}
