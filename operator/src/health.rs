//! Health of database, shared cache and model, as the pods report it.

use reckon_contract::health::Model;
use std::collections::HashMap;
use std::sync::Mutex;

/// How many pods of a service are queried: pods of one template observe the same state of a server.
pub const QUERIED_PODS: u32 = 3;

/// The health that pods report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Pods that answered.
    pub answered: u32,
    /// How many of them cannot reach the database, with the reason of one.
    pub database_trouble: Option<(u32, String)>,
    /// How many of them cannot reach the shared cache, with the reason of one.
    pub cache_trouble: Option<(u32, String)>,
    /// The models of the pods that report one. `None`: none does.
    pub models: Option<Models>,
}

/// The trained models that pods use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models {
    /// Pods that report whether they use a model.
    pub reported: u32,
    /// How many of them use one.
    pub loaded: u32,
    /// How many of them cannot use the newest one, with the reason of one pod.
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

/// The last report of the pods, by namespace and name of the service.
#[derive(Debug, Default)]
pub struct HealthBook {
    known: Mutex<HashMap<(String, String), Health>>,
}

impl HealthBook {
    /// The last report of a service's pods; `None`: no pod answered.
    #[must_use]
    pub fn of(&self, namespace: &str, name: &str) -> Option<Health> {
        let known = self.known.lock().ok()?;
        known.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Records a report; returns whether it differs from the last one.
    pub(crate) fn note(&self, namespace: &str, name: &str, health: Option<Health>) -> bool {
        let Ok(mut known) = self.known.lock() else {
            return false;
        };
        let key = (namespace.to_owned(), name.to_owned());
        match health {
            Some(health) => known.insert(key, health.clone()) != Some(health),
            None => known.remove(&key).is_some(),
        }
    }
}
