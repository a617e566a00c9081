//! What this process knows of the Jobs of provisioning beside what stands with them.

use super::error::Error;
use super::instance::Instance;
use reckon_contract::provisioning::Step;
use std::collections::HashMap;
use std::sync::Mutex;
use tokio::time::Instant;

/// Namespace and name of a resource.
type Key = (String, String);

/// A Job that was made and that the watch has not told yet.
#[derive(Debug)]
pub(super) struct Unseen {
    pub(super) name: String,
    pub(super) step: Step,
    pub(super) since: Instant,
}

/// What this process knows beside what stands with the Jobs.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) unseen: Option<Unseen>,
    /// UID of a Job, and why its pod did not start when that was asked last: with the Job's end, the pod may be gone.
    pub(super) stalled: Option<(String, String)>,
}

/// The same by resource.
#[derive(Debug, Default)]
pub struct KnownJobs {
    known: Mutex<HashMap<Key, Known>>,
}

impl KnownJobs {
    /// Forgets resources that `is_there` does not know.
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
