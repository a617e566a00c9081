//! References to resources, by name.

use crate::crd::RecommendationService;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::reflector::ObjectRef;

/// A reference to a resource, by name.
pub type Service = ObjectRef<DynamicObject>;

/// The kind of the resources themselves.
#[must_use]
pub fn service_resource() -> ApiResource {
    ApiResource::erase::<RecommendationService>(&())
}

/// A reference to the resource of this name.
#[must_use]
pub fn named(name: &str, namespace: &str) -> Service {
    ObjectRef::new_with(name, service_resource()).within(namespace)
}
