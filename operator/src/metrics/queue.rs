//! Resources whose change waits for a reconcile. kube's scheduler does not show its own queue.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Namespace and name of each waiting resource, only once even if it changed several times.
#[derive(Debug, Default)]
pub struct Queue(Mutex<HashSet<(String, String)>>);

impl Queue {
    /// A change was handed to the scheduler.
    pub fn add(&self, namespace: Option<&str>, name: &str) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(key(namespace, name));
    }

    /// The scheduler started a reconcile, or dropped the change since the resource does not exist.
    pub fn remove(&self, namespace: Option<&str>, name: &str) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&key(namespace, name));
    }

    /// Number of waiting resources.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn key(namespace: Option<&str>, name: &str) -> (String, String) {
    (namespace.unwrap_or_default().to_owned(), name.to_owned())
}
