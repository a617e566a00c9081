//! What the pods say of their database and shared cache.

use std::collections::HashMap;
use std::sync::Mutex;

/// Pods of a service that are asked: what one sees of a server, others of the same template see.
pub const ASKED: u32 = 3;

/// What pods say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Pods that answered.
    pub answered: u32,
    /// Of these, those that cannot ask the database, with the reason of one.
    pub database_trouble: Option<(u32, String)>,
    /// Of these, those that cannot ask the shared cache, with the reason of one.
    pub cache_trouble: Option<(u32, String)>,
}

/// What pods said last, by namespace and name of the service.
#[derive(Debug, Default)]
pub struct HealthBook {
    known: Mutex<HashMap<(String, String), Health>>,
}

impl HealthBook {
    /// What the pods of a service said last; `None`: none answered.
    #[must_use]
    pub fn of(&self, namespace: &str, name: &str) -> Option<Health> {
        let known = self.known.lock().ok()?;
        known.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Notes what they say; whether that is new.
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
