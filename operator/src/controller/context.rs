//! The state that all stages of a reconcile share.

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

/// Everything that a reconcile needs besides the resource.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Values for fields that a resource leaves unset.
    pub defaults: Defaults,
    /// The watched objects of the cluster.
    pub stores: Stores,
    /// Whether this operator leads, and may write.
    pub leadership: Leadership,
    /// The result of the last write of each child.
    pub memo: Memo,
    /// Cached states of Secrets.
    pub secrets: SecretCache,
    /// Provisioning Jobs that were just created.
    pub known_jobs: KnownJobs,
    /// Health of database and cache, as the pods report it.
    pub health: HealthBook,
    /// When each event that a plan waits for was first observed.
    pub moments: Moments,
    /// Rollouts that an upgrade of the operator started.
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
    /// A context that may write while this operator has the `leadership`. All contexts of a process share the slots of
    /// `upgrades`.
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

    /// Checks before each write that this operator leads.
    ///
    /// # Errors
    /// This operator does not lead.
    pub fn may_act(&self) -> Result<(), Error> {
        if self.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }

    /// Drops the state of resources, children and Secrets that no longer exist.
    pub(super) fn drop_state_of_deleted_objects(&self) {
        let services = &self.stores.services;
        let service = |namespace: &str, name: &str| services.get(&named(name, namespace)).is_some();
        self.memo.keep(|kind, namespace, name| {
            let children = self.stores.children.get(&kind);
            children.is_some_and(|children| children.contains(namespace, name))
        });
        self.metrics.resources.keep_existing();
        self.known_jobs.keep(service);
        self.moments.keep(service);
        self.health.keep(service);
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
