//! What all stages share.

use super::error::Error;
use super::events::Events;
use super::instance::Defaults;
use super::known_jobs::KnownJobs;
use super::memo::Memo;
use super::moments::Moments;
use super::secret_state::SecretCache;
use super::stores::{Service, Stores, named};
use super::upgrade::Upgrades;
use crate::health::HealthBook;
use crate::lease::Leadership;
use crate::metrics::Metrics;
use kube::runtime::reflector::ObjectRef;
use kube::{Client, ResourceExt as _};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use tokio::sync::OnceCell;

/// Everything that a reconcile needs beside the resource.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator adds where a resource says nothing.
    pub defaults: Defaults,
    /// What is known of the cluster.
    pub stores: Stores,
    /// Whether this operator acts.
    pub leadership: Leadership,
    /// What was written.
    pub memo: Memo,
    /// What is known of Secrets.
    pub secrets: SecretCache,
    /// Jobs of provisioning that were made just now.
    pub known_jobs: KnownJobs,
    /// What the pods say of database and cache.
    pub health: HealthBook,
    /// When what a plan waits for was first seen.
    pub moments: Moments,
    /// Rollouts that an upgrade of the operator began.
    pub upgrades: Upgrades,
    /// UID of the cluster.
    pub cluster: OnceCell<String>,
    /// Events.
    pub events: Events,
    /// The operator's own metrics.
    pub metrics: Arc<Metrics>,
    pub(super) failures: Mutex<HashMap<Service, u32>>,
}

impl Context {
    /// A context that acts while `leadership` is held. All contexts of a process share the places of `upgrades`.
    #[must_use]
    pub fn new(
        client: Client,
        defaults: Defaults,
        stores: Stores,
        leadership: Leadership,
        events: Events,
        metrics: Arc<Metrics>,
        upgrades: Upgrades,
    ) -> Self {
        metrics.resources.watch(stores.services.clone());
        Self {
            client,
            defaults,
            stores,
            leadership,
            events,
            metrics,
            memo: Memo::default(),
            secrets: SecretCache::default(),
            known_jobs: KnownJobs::default(),
            health: HealthBook::default(),
            moments: Moments::default(),
            upgrades,
            cluster: OnceCell::new(),
            failures: Mutex::default(),
        }
    }

    /// Asked before each write.
    ///
    /// # Errors
    /// Another operator acts.
    pub fn may_act(&self) -> Result<(), Error> {
        if self.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }

    /// Forgets what belongs to resources, children and Secrets that are gone.
    pub(super) fn forget_what_is_gone(&self) {
        let services = &self.stores.services;
        let service = |namespace: &str, name: &str| services.get(&named(name, namespace)).is_some();
        self.memo.keep(|kind, namespace, name| {
            let children = self.stores.children.get(&kind);
            children.is_some_and(|children| children.contains(namespace, name))
        });
        self.metrics.resources.keep_existing();
        self.known_jobs.keep(service);
        self.moments.keep(service);
        self.secrets.keep(|namespace, name| {
            let secret = ObjectRef::new(name).within(namespace);
            self.stores.secrets.get(&secret).is_some()
        });
        let everywhere = self.stores.everywhere();
        let uids: HashSet<String> = everywhere
            .iter()
            .filter_map(|service| service.uid())
            .collect();
        self.upgrades.keep(|uid| uids.contains(uid));
        if let Ok(mut failures) = self.failures.lock() {
            failures.retain(|reference, _| services.get(reference).is_some());
        }
    }
}
