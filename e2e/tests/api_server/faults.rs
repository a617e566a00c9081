//! An API server that answers with errors, late or never, and watches that report nothing or end at once.

use crate::cluster::Cluster;
use crate::fixture::{Fixture, SOON};
use crate::http_proxy::{HttpProxy, Mode, TimedRequest};
use crate::operator::Operator;
use crate::spec;
use http::StatusCode;
use reckon_operator::controller::kind::Kind;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long each fault lasts: longer than a Lease may be held without a renewal (10 s).
const FAULT: Duration = Duration::from_secs(12);
/// Requests within any second of a fault: each of the 13 watches, each resource and the Lease are tried with growing pauses, the
/// first of which are short.
const MOST: usize = 150;
/// Mean number of requests a second over the whole fault.
const MEAN: usize = 20;

#[tokio::test]
async fn faults_of_the_api_server_cost_few_requests_and_are_recovered_from() {
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "faults").await;
    let proxy = HttpProxy::to(cluster).await;
    let operator = Operator::start_with(&proxy.kubeconfig(), &[&fixture.namespace], "one").await;
    fixture.create("shop", spec::minimal()).await;
    fixture.until(Kind::Deployment, "shop", |_| true).await;
    let faults = [
        Mode::Refusing(StatusCode::CONFLICT),
        Mode::Answering(StatusCode::TOO_MANY_REQUESTS),
        Mode::Answering(StatusCode::INTERNAL_SERVER_ERROR),
        Mode::Late(Duration::from_secs(3)),
        Mode::Silent,
        Mode::Deaf,
        Mode::Brief,
    ];
    let (mut worst, mut total) = (0, 0);
    for (number, fault) in faults.into_iter().enumerate() {
        let began = Instant::now();
        proxy.set_mode(fault);
        let port = json!({"service": {"port": 8080 + number}});
        fixture.change("shop", port).await;
        fixture.delete(Kind::Service, "shop-metrics").await;
        let other = format!("shop-{number}");
        fixture.create(&other, spec::minimal()).await;
        // The time is what is tried.
        sleep(FAULT).await;
        let asked = proxy.requests_since(began);
        let most = most_in_a_second(&asked);
        proxy.set_mode(Mode::Well);
        let back = Instant::now();
        fixture
            .until(Kind::Service, "shop", |service| {
                service.data["spec"]["ports"][0]["port"] == 8080 + number
            })
            .await;
        fixture.until(Kind::Service, "shop-metrics", |_| true).await;
        fixture.until(Kind::Deployment, &other, |_| true).await;
        let after = back.elapsed();
        println!(
            "{fault:?}: {} requests in {FAULT:?}, {most} within a second; recovered after {after:.1?}; {:?}",
            asked.len(),
            counts(&asked)
        );
        worst = worst.max(most);
        total = total.max(asked.len());
        assert!(after < SOON, "{fault:?}: {after:?}");
        assert!(operator.process.is_running());
    }
    assert!(worst <= MOST, "{worst}");
    assert!(
        total <= MEAN * usize::try_from(FAULT.as_secs()).unwrap(),
        "{total}"
    );
}

/// The most requests within a second.
fn most_in_a_second(asked: &[TimedRequest]) -> usize {
    let within = |first: &TimedRequest| {
        let second = first.0..first.0 + Duration::from_secs(1);
        asked.iter().filter(|(at, _)| second.contains(at)).count()
    };
    asked.iter().map(within).max().unwrap_or(0)
}

/// How often each request came, the most frequent first.
fn counts(asked: &[TimedRequest]) -> Vec<(usize, &str)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, what) in asked {
        *counts.entry(what).or_default() += 1;
    }
    let mut counts: Vec<_> = counts
        .into_iter()
        .map(|(what, count)| (count, what))
        .collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts.truncate(10);
    counts
}
