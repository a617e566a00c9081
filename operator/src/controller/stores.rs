//! The watched objects of the cluster: one watch for each kind. Also determines which resources a change triggers.

mod by_owner;
mod changes;
mod service;

pub use service::{Service, named, service_resource};

use super::desired::labels;
use super::json_text::pack;
use super::kind::{Kind, keep_own_annotations, slim};
use by_owner::{Belongs, ByOwner, ByOwnerWriter};
use changes::Changes;
use futures_util::StreamExt as _;
use futures_util::stream::Stream;
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tracing::warn;

/// The watched objects of one namespace, or of all.
pub struct Stores {
    /// The resources, with their status as text. They are not parsed, so that an invalid one cannot stop the watch of
    /// the others.
    pub services: Store<DynamicObject>,
    /// The resources of the other namespaces, which this operator watches one by one.
    pub elsewhere: Vec<Store<DynamicObject>>,
    /// Children, reduced to the fields that are needed.
    pub children: BTreeMap<Kind, Arc<ByOwner<DynamicObject>>>,
    /// The API's pods that may hold connections.
    pub pods: Arc<ByOwner<PartialObjectMeta<Pod>>>,
    /// All Secrets, names and versions only.
    pub secrets: Store<PartialObjectMeta<Secret>>,
    /// Addresses of the API's pods.
    pub addresses: Arc<ByOwner<EndpointSlice>>,
    /// Receives the resources to reconcile.
    pub wake: UnboundedSender<Service>,
}

impl Stores {
    /// Starts to watch. Sends each resource that a change affects to `wake`.
    #[must_use]
    pub fn watch(
        client: &Client,
        namespace: Option<&str>,
        wake: &UnboundedSender<Service>,
    ) -> Self {
        let scope = Scope { client, namespace };
        let managed = watched().labels(labels::MANAGED_BY);
        let resource = service_resource();
        let services = spawn(
            watcher(scope.dynamic(&resource), watched()),
            resource.clone(),
            slim_service,
            {
                let resource = resource.clone();
                move |service| vec![ObjectRef::from_obj_with(service, resource.clone())]
            },
            wake.clone(),
        );
        let children = Kind::ALL.into_iter().map(|kind| {
            let watch = watcher(scope.dynamic(&kind.resource()), managed.clone());
            let slim = move |child: &mut DynamicObject| slim(kind, child);
            (kind, group(watch, kind.name(), slim, owner, Some(wake)))
        });
        let alive = watched()
            .labels(labels::API_PODS)
            .fields("status.phase!=Failed,status.phase!=Succeeded");
        let watch = watcher(scope.typed::<PartialObjectMeta<Pod>>(), alive);
        let pods = group(watch, "Pod", slim_pod, instance, Some(wake));
        let secrets = spawn(
            watcher(scope.typed::<PartialObjectMeta<Secret>>(), watched()),
            (),
            |secret: &mut PartialObjectMeta<Secret>| {
                secret.metadata.managed_fields = None;
                secret.metadata.labels = None;
                keep_own_owner(&mut secret.metadata);
                keep_own_annotations(&mut secret.metadata);
            },
            {
                let services = services.clone();
                move |secret| users_of(secret, &services)
            },
            wake.clone(),
        );
        let metrics = watched().labels("reckon.dev/metrics=true");
        let addresses = group(
            watcher(scope.typed::<EndpointSlice>(), metrics),
            "EndpointSlice",
            |slice| slice.metadata.managed_fields = None,
            served,
            None,
        );
        Self {
            services,
            elsewhere: Vec::new(),
            children: children.collect(),
            pods,
            secrets,
            addresses,
            wake: wake.clone(),
        }
    }

    /// Every resource that this operator watches.
    #[must_use]
    pub fn everywhere(&self) -> Vec<Arc<DynamicObject>> {
        let stores = [&self.services].into_iter().chain(&self.elsewhere);
        stores.flat_map(Store::state).collect()
    }

    /// Waits until every watch has listed its objects once.
    pub async fn ready(&self) {
        self.services.wait_until_ready().await.ok();
        self.secrets.wait_until_ready().await.ok();
        for children in self.children.values() {
            children.listed().await;
        }
        self.pods.listed().await;
        self.addresses.listed().await;
    }
}

/// The configuration of a watch, with a small page size for lists. A page is in memory as whole trees, of which only a
/// small part is kept. With the usual page size, 500 Deployments take 20 MB.
fn watched() -> watcher::Config {
    watcher::Config::default().page_size(50)
}

struct Scope<'a> {
    client: &'a Client,
    namespace: Option<&'a str>,
}

impl Scope<'_> {
    fn dynamic(&self, resource: &ApiResource) -> Api<DynamicObject> {
        match self.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, resource),
            None => Api::all_with(self.client.clone(), resource),
        }
    }

    fn typed<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        match self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }
}

/// Keeps a store up to date for the lifetime of the process.
fn spawn<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    resource: K::DynamicType,
    slim: impl FnMut(&mut K) + Send + 'static,
    affected: impl Fn(&K) -> Vec<Service> + Send + 'static,
    wake: UnboundedSender<Service>,
) -> Store<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    K::DynamicType: Clone + Debug + Eq + Hash + Send + Sync + Unpin,
{
    let writer = Writer::new(resource.clone());
    let store = writer.as_reader();
    let kind = K::kind(&resource).into_owned();
    let mut stored = Changes::new(store.clone(), resource);
    let events = events.default_backoff().modify(slim).reflect(writer);
    follow(events, kind, move |event| {
        let changed = stored.changed(event);
        let services: HashSet<Service> = changed.iter().flat_map(|it| affected(it)).collect();
        for service in services {
            wake.send(service).ok();
        }
    });
    store
}

/// Keeps objects by their resource up to date for the lifetime of the process.
fn group<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    kind: &str,
    slim: impl FnMut(&mut K) + Send + 'static,
    belongs: Belongs<K>,
    wake: Option<&UnboundedSender<Service>>,
) -> Arc<ByOwner<K>>
where
    K: Resource + Serialize + Send + Sync + 'static,
{
    let grouped = Arc::new(ByOwner::default());
    let mut keeper = ByOwnerWriter::new(Arc::clone(&grouped), belongs);
    let wake = wake.cloned();
    let events = events.default_backoff().modify(slim);
    follow(events, kind.to_owned(), move |event| {
        let services = keeper.apply(event);
        let Some(wake) = &wake else { return };
        for service in services {
            wake.send(service).ok();
        }
    });
    grouped
}

/// Follows the events of a watch. The watch itself recovers from errors.
fn follow<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    kind: String,
    mut handle: impl FnMut(Event<K>) + Send + 'static,
) {
    tokio::spawn(events.for_each(move |event| {
        match event {
            Ok(event) => handle(event),
            Err(error) => warn!(kind, %error, "watch failed, restarting it"),
        }
        std::future::ready(())
    }));
}

/// The resource that controls a child.
fn owner(child: &DynamicObject) -> Option<String> {
    let resource = service_resource();
    let mut owners = child.metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| {
        owner.controller == Some(true)
            && owner.kind == resource.kind
            && owner.api_version == resource.api_version
    })?;
    Some(owner.name.clone())
}

/// The resource that a pod's label names.
fn instance(pod: &PartialObjectMeta<Pod>) -> Option<String> {
    pod.labels().get(labels::INSTANCE).cloned()
}

/// The resource whose pods have these addresses.
fn served(slice: &EndpointSlice) -> Option<String> {
    let service = slice.labels().get("kubernetes.io/service-name")?;
    Some(service.strip_suffix("-metrics")?.to_owned())
}

/// Drops all owner references except the controller's, because the operator only needs to know which resource controls
/// the object.
fn keep_own_owner(meta: &mut ObjectMeta) {
    let resource = service_resource();
    let mut owners = meta.owner_references.take().unwrap_or_default();
    owners.retain(|owner| owner.controller == Some(true) && owner.kind == resource.kind);
    meta.owner_references = Some(owners).filter(|owners| !owners.is_empty());
}

/// Drops the parts of a pod that are not read.
fn slim_pod(pod: &mut PartialObjectMeta<Pod>) {
    let meta = &mut pod.metadata;
    meta.managed_fields = None;
    if let Some(labels) = &mut meta.labels {
        labels.retain(|name, _| name == labels::INSTANCE);
    }
    keep_own_annotations(meta);
}

/// Drops the parts of a resource that are not read.
fn slim_service(service: &mut DynamicObject) {
    let meta = &mut service.metadata;
    meta.managed_fields = None;
    meta.labels = None;
    keep_own_annotations(meta);
    if let Some(status) = service.data.get_mut("status") {
        pack(status);
    }
}

/// Resources whose name or spec matches the Secret's name. A few false matches do no harm.
fn users_of(secret: &PartialObjectMeta<Secret>, services: &Store<DynamicObject>) -> Vec<Service> {
    let name = secret.name_any();
    let services: Vec<Arc<DynamicObject>> = services.state_filter(|service| {
        let own = service.metadata.name.as_deref().unwrap_or_default();
        service.metadata.namespace == secret.metadata.namespace
            && (name.starts_with(own) || mentions(&service.data["spec"], &name))
    });
    services
        .iter()
        .map(|service| ObjectRef::from_obj_with(&**service, service_resource()))
        .collect()
}

fn mentions(value: &serde_json::Value, text: &str) -> bool {
    match value {
        serde_json::Value::String(own) => own == text,
        serde_json::Value::Array(items) => items.iter().any(|item| mentions(item, text)),
        serde_json::Value::Object(fields) => fields.values().any(|field| mentions(field, text)),
        _ => false,
    }
}
