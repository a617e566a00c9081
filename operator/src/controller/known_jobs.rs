//! This process's records of provisioning Jobs, besides the Jobs' own annotations.

use super::error::Error;
use super::instance::Instance;
use reckon_contract::provisioning::Step;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::time::Instant;

/// Namespace and name of a resource.
type Key = (String, String);

/// A created Job that the watch has not reported yet.
#[derive(Debug)]
pub(super) struct Unseen {
    pub(super) name: String,
    pub(super) step: Step,
    pub(super) since: Instant,
}

/// This process's records, besides the Jobs' own annotations.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) unseen: Option<Unseen>,
    /// UID of a Job, and the last known reason why its pod did not start. The reason is kept because the pod may be
    /// gone when the Job ends.
    pub(super) stalled: Option<(String, String)>,
}

/// The records for each resource.
#[derive(Debug, Default)]
pub struct KnownJobs {
    known: Mutex<HashMap<Key, Known>>,
}

impl KnownJobs {
    /// Drops resources for which `is_there` is false.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        if let Ok(mut known) = self.known.lock() {
            known.retain(|(namespace, name), _| is_there(namespace, name));
        }
    }

    pub(super) fn with<T>(
        &self,
        instance: &Instance,
        f: impl FnOnce(&mut Known) -> T,
    ) -> Result<T, Error> {
        let mut known = self.known.lock().map_err(|_| Error::Poisoned)?;
        let key = (instance.namespace.clone(), instance.name.clone());
        Ok(f(known.entry(key).or_default()))
    }
}
