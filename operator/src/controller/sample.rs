//! Resources for tests: the shortest one, and two that together set every field.

use super::instance::{Defaults, Instance};
use crate::crd::RecommendationService;
use crate::images::AllowedImages;
use kube::api::DynamicObject;
use serde_json::Value;

/// Only the required fields.
pub const MINIMAL: &str = include_str!("sample/minimal.yaml");
/// Existing servers, with every protection, and an autoscaler.
pub const FULL: &str = include_str!("sample/full.yaml");
/// A database and a Redis that the operator manages.
pub const PROVISIONED: &str = include_str!("sample/provisioned.yaml");

pub fn defaults() -> Defaults {
    Defaults {
        api_image: "reckon/reckon-api:1.2.3".to_owned(),
        redis_image: "redis:7.2.16".to_owned(),
        allowed_images: AllowedImages::default(),
        fixed_user_ids: true,
        operator_namespace: "reckon-system".to_owned(),
    }
}

/// A sample with the fields that the API server adds.
pub fn value(yaml: &str) -> Value {
    let mut value: Value = serde_yaml::from_str(yaml).unwrap();
    value["apiVersion"] = "reckon.dev/v1alpha1".into();
    value["kind"] = "RecommendationService".into();
    value["metadata"]["namespace"] = "shop".into();
    value["metadata"]["uid"] = "5f0c7f9e-8b0a-4b0e-9b62-0d5a3f1c2e4d".into();
    value["metadata"]["generation"] = 3.into();
    value
}

pub fn service(yaml: &str) -> RecommendationService {
    serde_json::from_value(value(yaml)).unwrap()
}

pub fn object(value: &Value) -> DynamicObject {
    serde_json::from_value(value.clone()).unwrap()
}

pub fn instance(yaml: &str) -> Instance {
    Instance::new(&service(yaml), &defaults()).unwrap()
}

/// The instance of a sample whose `spec` is changed.
pub fn with(yaml: &str, change: impl FnOnce(&mut Value)) -> Instance {
    let mut value = value(yaml);
    change(&mut value["spec"]);
    Instance::parse(&object(&value), &defaults()).unwrap()
}
