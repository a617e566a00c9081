//! Health of database, shared cache and model, as the pods report it.

use crate::tuning::enforcement::Report;
use reckon_contract::health::Model;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How many pods of a service are queried. A few are enough, because pods of one template observe the same state of a
/// server.
pub const QUERIED_PODS: u32 = 3;

/// How long a report about a pod's sessions counts.
const REPORT_AGE: Duration = Duration::from_mins(10);

/// The health that pods report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Pods that answered.
    pub answered: u32,
    /// How many of the pods cannot reach the database, with the reason of one pod.
    pub database_trouble: Option<(u32, String)>,
    /// How many of the pods cannot reach the shared cache, with the reason of one pod.
    pub cache_trouble: Option<(u32, String)>,
    /// The models of the pods that report a model; `None`: no pod reports one.
    pub models: Option<Models>,
}

/// The trained models that pods use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// Pods that report whether they use a model.
    pub reported: u32,
    /// How many of these pods use a model.
    pub loaded: u32,
    /// How many of these pods cannot use the newest model, with the reason of one pod.
    pub trouble: Option<(u32, String)>,
    /// The newest model in use, with the time of its training in seconds since 1970 if it is known.
    pub newest: Option<(Option<u64>, String)>,
}

impl Models {
    /// Adds the report of a pod.
    pub(crate) fn add(&mut self, model: Model) {
        self.reported += 1;
        if let Some(version) = model.version {
            self.loaded += 1;
            self.newest = self.newest.take().max(Some((model.created, version)));
        }
        if let Some(problem) = model.problem {
            let count = self.trouble.as_ref().map_or(0, |(count, _)| *count);
            self.trouble = Some((count + 1, problem));
        }
    }
}

/// Namespace and name of a service.
type Key = (String, String);

/// The last reports of the pods, by namespace and name of the service.
#[derive(Debug, Default)]
pub struct HealthBook {
    known: Mutex<HashMap<Key, Known>>,
}

#[derive(Debug, Default)]
struct Known {
    health: Option<Health>,
    /// Reports by name of the pod; only of pods that exist.
    reports: BTreeMap<String, (Report, Instant)>,
}

/// The answers of one round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The combined answer of a few pods. `None`: none answered.
    pub health: Option<Health>,
    /// What pods report about their sessions, by name.
    pub reports: Vec<(String, Report)>,
    /// Names of the pods whose reports count.
    pub pods: HashSet<String>,
}

impl HealthBook {
    /// The last report of a service's pods; `None`: no pod answered.
    #[must_use]
    pub fn of(&self, namespace: &str, name: &str) -> Option<Health> {
        let known = self.known.lock().ok()?;
        let known = known.get(&(namespace.to_owned(), name.to_owned()))?;
        known.health.clone()
    }

    /// What the pods last reported about their sessions, by name of the pod.
    #[must_use]
    pub fn reports(&self, namespace: &str, name: &str) -> BTreeMap<String, Report> {
        let Ok(known) = self.known.lock() else {
            return BTreeMap::new();
        };
        let known = known.get(&(namespace.to_owned(), name.to_owned()));
        let reports = known.into_iter().flat_map(|known| &known.reports);
        let fresh = reports.filter(|(_, (_, at))| at.elapsed() < REPORT_AGE);
        fresh
            .map(|(pod, (report, _))| (pod.clone(), *report))
            .collect()
    }

    /// Records the answers of a round; returns whether they differ from those of the last round. A pod that did not
    /// answer keeps its last report for a while.
    pub(crate) fn note(&self, namespace: &str, name: &str, round: Round) -> bool {
        let Ok(mut known) = self.known.lock() else {
            return false;
        };
        let known = known
            .entry((namespace.to_owned(), name.to_owned()))
            .or_default();
        let mut differs = known.health != round.health;
        known.health = round.health;
        let there = known.reports.len();
        known
            .reports
            .retain(|pod, (_, at)| round.pods.contains(pod) && at.elapsed() < REPORT_AGE);
        differs |= known.reports.len() != there;
        for (pod, report) in round.reports {
            let before = known.reports.insert(pod, (report, Instant::now()));
            differs |= before.map(|(report, _)| report) != Some(report);
        }
        differs
    }

    /// Drops services for which `is_there` is false.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        if let Ok(mut known) = self.known.lock() {
            known.retain(|(namespace, name), _| is_there(namespace, name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HealthBook, Report, Round};
    use std::time::Duration;
    use tokio::time::advance;

    fn round(reports: &[(&str, Report)], pods: &[&str]) -> Round {
        let owned = reports.iter().map(|(pod, it)| ((*pod).to_owned(), *it));
        Round {
            health: None,
            reports: owned.collect(),
            pods: pods.iter().map(|pod| (*pod).to_owned()).collect(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_is_kept_while_its_pod_exists_and_for_ten_minutes_of_silence() {
        let book = HealthBook::default();
        let starts = ("one", Report::Starting);
        let names = || book.reports("shop", "tiny").into_keys().collect::<Vec<_>>();
        assert!(book.note("shop", "tiny", round(&[starts], &["one", "two"])));
        assert!(!book.note("shop", "tiny", round(&[starts], &["one", "two"])));
        let unknown = ("two", Report::Unknown);
        assert!(book.note("shop", "tiny", round(&[unknown], &["one", "two"])));
        assert_eq!(names(), ["one", "two"]);
        assert!(book.reports("shop", "other").is_empty());
        // The pod no longer exists.
        assert!(book.note("shop", "tiny", round(&[], &["two"])));
        assert_eq!(names(), ["two"]);
        advance(Duration::from_secs(599)).await;
        assert_eq!(names(), ["two"]);
        advance(Duration::from_secs(2)).await;
        assert!(names().is_empty());
        book.keep(|_, _| false);
        assert!(book.known.lock().unwrap().is_empty());
    }
}
