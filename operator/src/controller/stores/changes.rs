//! The objects that a watch's event changes.

use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher::Event;
use std::hash::Hash;
use std::sync::Arc;

/// Follows the events of a watch, each after the store has applied it.
pub struct Changes<K: Resource + 'static>
where
    K::DynamicType: Clone + Eq + Hash,
{
    store: Store<K>,
    resource: K::DynamicType,
    before: Vec<Arc<K>>,
}

impl<K> Changes<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Clone + Eq + Hash,
{
    /// No event has been received yet.
    pub fn new(store: Store<K>, resource: K::DynamicType) -> Self {
        Self {
            store,
            resource,
            before: Vec::new(),
        }
    }

    /// The objects that were created, changed or deleted.
    ///
    /// A list follows an expired watch. Any object in it may have changed, and every object that is missing from it was
    /// deleted. A list is used only when it is complete, because the store does not contain it until then.
    pub fn changed(&mut self, event: Event<K>) -> Vec<Arc<K>> {
        match event {
            Event::Apply(object) | Event::Delete(object) => vec![Arc::new(object)],
            Event::Init => {
                self.before = self.store.state();
                Vec::new()
            }
            Event::InitApply(_) => Vec::new(),
            Event::InitDone => {
                let mut changed = std::mem::take(&mut self.before);
                changed.retain(|object| {
                    let reference = ObjectRef::from_obj_with(&**object, self.resource.clone());
                    self.store.get(&reference).is_none()
                });
                changed.extend(self.store.state());
                changed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Changes;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt as _;
    use kube::api::ObjectMeta;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;

    fn object(name: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                namespace: Some("shop".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    #[test]
    fn objects_missing_from_a_complete_list_have_changed() {
        let mut writer = Writer::<ConfigMap>::new(());
        let mut stored = Changes::new(writer.as_reader(), ());
        let mut apply = |event: Event<ConfigMap>| {
            writer.apply_watcher_event(&event);
            let changed = stored.changed(event);
            let mut names: Vec<String> = changed.iter().map(|object| object.name_any()).collect();
            names.sort_unstable();
            names
        };
        let none: [&str; 0] = [];
        assert_eq!(apply(Event::Init), none);
        assert_eq!(apply(Event::InitApply(object("kept"))), none);
        assert_eq!(apply(Event::InitApply(object("gone"))), none);
        assert_eq!(apply(Event::InitDone), ["gone", "kept"]);
        assert_eq!(apply(Event::Apply(object("kept"))), ["kept"]);
        assert_eq!(apply(Event::Apply(object("ended"))), ["ended"]);
        assert_eq!(apply(Event::Delete(object("ended"))), ["ended"]);

        // If a list breaks off, it starts again.
        assert_eq!(apply(Event::Init), none);
        assert_eq!(apply(Event::InitApply(object("kept"))), none);
        assert_eq!(apply(Event::Init), none);
        assert_eq!(apply(Event::InitApply(object("kept"))), none);
        assert_eq!(apply(Event::InitApply(object("new"))), none);
        assert_eq!(apply(Event::InitDone), ["gone", "kept", "new"]);
    }
}
