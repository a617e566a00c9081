//! One service that Prometheus watches: the alerts about it that fire, or have fired.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Prometheus;
use crate::eventually::eventually;

/// Half an hour of the alerts is 12 s here; the rest is for a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A fault, and the alerts that it causes.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Description of the fault.
    pub what: &'static str,
    /// The affected service.
    pub service: &'static str,
    /// Alerts that fire.
    pub fires: &'static [&'static str],
    /// Alerts that may fire too, for some time.
    pub also: &'static [&'static str],
}

/// A service that is watched since it was well.
pub struct Watched<'a> {
    prometheus: &'a Prometheus,
    fault: Fault,
    began: Instant,
}

impl<'a> Watched<'a> {
    /// Waits until no alert fires.
    pub async fn without_alerts(prometheus: &'a Prometheus, fault: Fault) -> Self {
        let fixture = Self {
            prometheus,
            fault,
            began: Instant::now(),
        };
        eventually(TIMEOUT, async || fixture.are_firing(&BTreeSet::new()).await).await;
        Self {
            began: Instant::now(),
            ..fixture
        }
    }

    /// Waits until every alert of the fault has fired.
    pub async fn fires(&self) {
        let expected: BTreeSet<String> = self
            .fault
            .fires
            .iter()
            .map(|&name| name.to_owned())
            .collect();
        // Each alert has fired, but not all at the same time, because ranges of two seconds are short for actions that
        // are retried every few seconds.
        eventually(TIMEOUT, async || {
            let fired = self.fired().await;
            expected
                .is_subset(&fired)
                .then_some(())
                .ok_or_else(|| format!("{}: {fired:?}", self.fault.service))
        })
        .await;
        println!(
            "{}: fires after {:.1} s",
            self.fault.what,
            self.began.elapsed().as_secs_f64()
        );
    }

    /// Waits until no alert fires any more. All alerts that fired must belong to the fault.
    pub async fn ends(&self) {
        let ended = Instant::now();
        eventually(TIMEOUT, async || self.are_firing(&BTreeSet::new()).await).await;
        let fired = self.fired().await;
        println!(
            "{}: ends {:.1} s after the remedy; fired: {fired:?}",
            self.fault.what,
            ended.elapsed().as_secs_f64()
        );
        let expected = |name: &String| {
            [self.fault.fires, self.fault.also]
                .concat()
                .contains(&name.as_str())
        };
        assert!(fired.iter().all(expected), "{}: {fired:?}", self.fault.what);
    }

    /// The alerts that have fired since the service had no alert.
    async fn fired(&self) -> BTreeSet<String> {
        let milliseconds = self.began.elapsed().as_millis() + 1;
        let service = self.fault.service;
        let alerts = format!("ALERTS{{alertstate=\"firing\",service=\"{service}\"}}");
        let fired = format!("max by (alertname) (max_over_time({alerts}[{milliseconds}ms]))");
        self.names(&fired).await
    }

    async fn are_firing(&self, expected: &BTreeSet<String>) -> Result<(), String> {
        let firing = self.firing().await;
        (firing == *expected)
            .then_some(())
            .ok_or_else(|| format!("{}: {firing:?}", self.fault.service))
    }

    async fn firing(&self) -> BTreeSet<String> {
        let service = self.fault.service;
        let query = format!("ALERTS{{alertstate=\"firing\",service=\"{service}\"}}");
        self.names(&query).await
    }

    async fn names(&self, query: &str) -> BTreeSet<String> {
        let samples = self.prometheus.query(query).await;
        samples
            .into_iter()
            .map(|mut sample| sample.labels.remove("alertname").unwrap())
            .collect()
    }
}
