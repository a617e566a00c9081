//! Objects, grouped by the resource that they belong to. So the cost of a reconcile does not depend on the number of
//! other objects.

use super::service::{Service, named};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Name of the resource that an object belongs to, in the same namespace.
pub type Belongs<K> = fn(&K) -> Option<String>;

/// The objects of one watch, each as one string: trees and their many small strings take ten times the memory. Objects
/// that belong to no resource are not kept.
pub struct ByOwner<K> {
    known: RwLock<Known>,
    listed: watch::Sender<bool>,
    kind: PhantomData<fn() -> K>,
}

/// Namespace and name.
type Name = (String, String);

#[derive(Default)]
struct Known {
    groups: HashMap<Name, Vec<Kept>>,
    /// The resource that each object belongs to.
    places: HashMap<Name, Box<str>>,
}

struct Kept {
    name: Box<str>,
    text: Box<str>,
}

impl<K> Default for ByOwner<K> {
    fn default() -> Self {
        Self {
            known: RwLock::default(),
            listed: watch::Sender::new(false),
            kind: PhantomData,
        }
    }
}

impl<K: DeserializeOwned> ByOwner<K> {
    /// The objects that belong to a resource.
    #[must_use]
    pub fn of(&self, namespace: &str, service: &str) -> Vec<K> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let group = known.groups.get(&key(namespace, service));
        let texts = group.into_iter().flatten();
        // The strings were serialized here, so they parse.
        texts
            .filter_map(|kept| serde_json::from_str(&kept.text).ok())
            .collect()
    }
}

impl<K> ByOwner<K> {
    /// Whether an object of this name exists and belongs to a resource.
    #[must_use]
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.places.contains_key(&key(namespace, name))
    }

    /// Waits until all objects were listed once.
    pub async fn listed(&self) {
        let mut listed = self.listed.subscribe();
        // The sender is `self`.
        listed.wait_for(|listed| *listed).await.ok();
    }
}

/// Keeps a [`ByOwner`] up to date with the events of its watch.
pub struct ByOwnerWriter<K> {
    grouped: Arc<ByOwner<K>>,
    belongs: Belongs<K>,
    fresh: Known,
}

impl<K: Resource + Serialize> ByOwnerWriter<K> {
    /// No event has been received yet.
    #[must_use]
    pub fn new(grouped: Arc<ByOwner<K>>, belongs: Belongs<K>) -> Self {
        Self {
            grouped,
            belongs,
            fresh: Known::default(),
        }
    }

    /// Records an event, and returns the resources that it may affect.
    ///
    /// A list follows an expired watch. A list does not contain the objects that were deleted in the meantime, so it
    /// may affect all resources. It is used only when it is complete.
    pub fn apply(&mut self, event: Event<K>) -> HashSet<Service> {
        let mut known = self
            .grouped
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Apply(object) => {
                let was = known.remove(&object);
                let is = known.insert(&object, self.belongs);
                was.into_iter().chain(is).collect()
            }
            Event::Delete(object) => known.remove(&object).into_iter().collect(),
            Event::Init => {
                self.fresh = Known::default();
                HashSet::new()
            }
            Event::InitApply(object) => {
                self.fresh.insert(&object, self.belongs);
                HashSet::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut *known, std::mem::take(&mut self.fresh));
                self.grouped.listed.send_replace(true);
                let services = before.groups.keys().chain(known.groups.keys());
                services
                    .map(|(namespace, name)| named(name, namespace))
                    .collect()
            }
        }
    }
}

impl Known {
    /// Adds an object, and returns the resource that it belongs to.
    fn insert<K: Resource + Serialize>(
        &mut self,
        object: &K,
        belongs: Belongs<K>,
    ) -> Option<Service> {
        let service = belongs(object)?;
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let reference = named(&service, &namespace);
        let kept = Kept {
            name: name.as_str().into(),
            text: serde_json::to_string(object).ok()?.into(),
        };
        self.places
            .insert((namespace.clone(), name), service.as_str().into());
        self.groups
            .entry((namespace, service))
            .or_default()
            .push(kept);
        Some(reference)
    }

    /// Removes an object, and returns the resource that it belonged to.
    fn remove(&mut self, object: &impl Resource) -> Option<Service> {
        let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
        let service = self.places.remove(&key(&namespace, &name))?.into_string();
        let reference = named(&service, &namespace);
        let key = (namespace, service);
        if let Some(group) = self.groups.get_mut(&key) {
            group.retain(|kept| *kept.name != *name);
            if group.is_empty() {
                self.groups.remove(&key);
            }
        }
        Some(reference)
    }
}

fn key(namespace: &str, name: &str) -> Name {
    (namespace.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{ByOwner, ByOwnerWriter};
    use crate::controller::stores::named;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;
    use kube::runtime::watcher::Event;
    use serde_json::json;
    use std::sync::Arc;

    fn object(name: &str, service: Option<&str>) -> ConfigMap {
        let labels = service.map(|service| json!({"of": service}));
        let metadata = json!({"name": name, "namespace": "shop", "labels": labels});
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    }

    fn belongs(object: &ConfigMap) -> Option<String> {
        object.labels().get("of").cloned()
    }

    struct Watch {
        grouped: Arc<ByOwner<ConfigMap>>,
        keeper: ByOwnerWriter<ConfigMap>,
    }

    impl Watch {
        fn new() -> Self {
            let grouped = Arc::new(ByOwner::default());
            let keeper = ByOwnerWriter::new(Arc::clone(&grouped), belongs);
            Self { grouped, keeper }
        }

        /// Names of the resources that an event triggers.
        fn apply(&mut self, event: Event<ConfigMap>) -> Vec<String> {
            let mut woken: Vec<String> = self
                .keeper
                .apply(event)
                .into_iter()
                .inspect(|service| assert_eq!(*service, named(&service.name, "shop")))
                .map(|service| service.name)
                .collect();
            woken.sort_unstable();
            woken
        }

        fn of(&self, service: &str) -> Vec<String> {
            let own = self.grouped.of("shop", service);
            let mut names: Vec<String> = own.iter().map(ConfigMap::name_any).collect();
            names.sort_unstable();
            names
        }
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn an_object_is_found_by_the_resource_that_it_belongs_to_until_it_belongs_to_another() {
        let mut watch = Watch::new();
        for (name, service) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
            let event = Event::Apply(object(name, Some(service)));
            assert_eq!(watch.apply(event), [service]);
        }
        assert_eq!(watch.of("a"), ["a1", "a2"]);
        assert!(watch.grouped.of("other", "a").is_empty());
        assert!(watch.grouped.contains("shop", "a1") && !watch.grouped.contains("other", "a1"));

        assert_eq!(
            watch.apply(Event::Apply(object("a1", Some("b")))),
            ["a", "b"]
        );
        assert_eq!(
            (watch.of("a"), watch.of("b")),
            (
                vec!["a2".to_owned()],
                vec!["a1".to_owned(), "b1".to_owned()]
            )
        );
        assert_eq!(watch.apply(Event::Apply(object("a1", None))), ["b"]);
        assert_eq!(watch.apply(Event::Apply(object("a1", None))), NONE);
        assert!(!watch.grouped.contains("shop", "a1"));
        assert_eq!(watch.apply(Event::Delete(object("b1", Some("b")))), ["b"]);
        assert_eq!(watch.apply(Event::Delete(object("b1", Some("b")))), NONE);
        assert_eq!(watch.of("b"), NONE);
        assert_eq!(watch.grouped.known.read().unwrap().groups.len(), 1);
    }

    #[test]
    fn a_complete_list_replaces_the_store_and_triggers_all_resources() {
        let mut watch = Watch::new();
        let mut list = |names: &[(&str, &str)], ends: bool| {
            assert_eq!(watch.apply(Event::Init), NONE);
            for (name, service) in names {
                let event = Event::InitApply(object(name, Some(service)));
                assert_eq!(watch.apply(event), NONE);
            }
            let before = (watch.of("a"), watch.of("b"), watch.of("c"));
            let woken = ends.then(|| watch.apply(Event::InitDone));
            let after = (watch.of("a"), watch.of("b"), watch.of("c"));
            assert!(ends || before == after);
            (
                woken.unwrap_or_default(),
                [after.0, after.1, after.2].concat(),
            )
        };
        let (woken, all) = list(&[("a1", "a"), ("b1", "b")], true);
        assert_eq!(
            (woken.join(" "), all.join(" ")),
            ("a b".to_owned(), "a1 b1".to_owned())
        );
        // If a list breaks off, the earlier objects stay.
        let (woken, all) = list(&[("c1", "c")], false);
        assert_eq!(
            (woken.join(" "), all.join(" ")),
            (String::new(), "a1 b1".to_owned())
        );
        // Objects that the list lacks were deleted.
        let (woken, all) = list(&[("b1", "b"), ("c2", "c")], true);
        assert_eq!(
            (woken.join(" "), all.join(" ")),
            ("a b c".to_owned(), "b1 c2".to_owned())
        );
    }

    #[tokio::test]
    async fn the_store_is_listed_once_a_list_is_complete() {
        let mut watch = Watch::new();
        assert!(!*watch.grouped.listed.borrow());
        watch.apply(Event::Init);
        watch.apply(Event::InitDone);
        watch.grouped.listed().await;
    }
}
