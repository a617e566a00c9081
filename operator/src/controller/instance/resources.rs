//! Requests and limits of a pod.

use super::error::Error;
use crate::tuning::quantity::Quantity;
use k8s_openapi::api::core::v1::ResourceRequirements;
use std::collections::BTreeMap;

/// Request and limit of memory of a pod of the API that sets none.
pub(super) const POD_MEMORY: &str = "256Mi";
/// Request of CPU of a pod that sets none.
const DEFAULT_CPU: &str = "250m";

/// The given requests and limits, completed with the defaults.
pub(super) fn resources(
    given: Option<ResourceRequirements>,
    default_memory: &str,
) -> ResourceRequirements {
    let mut resources = given.unwrap_or_default();
    let quantity =
        |text: &str| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.to_owned());
    let mut requests = resources.requests.take().unwrap_or_default();
    let mut limits = resources.limits.take().unwrap_or_default();
    let memory = limits
        .get("memory")
        .or_else(|| requests.get("memory"))
        .cloned()
        .unwrap_or_else(|| quantity(default_memory));
    // Request and limit are equal: a pod with guaranteed memory is evicted last.
    limits
        .entry("memory".to_owned())
        .or_insert_with(|| memory.clone());
    requests.entry("memory".to_owned()).or_insert(memory);
    let cpu = limits
        .get("cpu")
        .cloned()
        .unwrap_or_else(|| quantity(DEFAULT_CPU));
    // An autoscaler needs a request to measure against.
    requests.entry("cpu".to_owned()).or_insert(cpu);
    resources.requests = Some(requests);
    resources.limits = Some(limits);
    resources
}

/// A quantity by its name; `field` is named if it is invalid.
pub(super) fn parse_quantity(
    quantities: Option<&BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>,
    name: &str,
    field: &'static str,
) -> Result<Option<Quantity>, Error> {
    let Some(quantity) = quantities.and_then(|quantities| quantities.get(name)) else {
        return Ok(None);
    };
    let parsed = quantity.0.parse().map_err(|error| Error::Field {
        field,
        problem: format!("is {:?}: {error}", quantity.0),
    })?;
    Ok(Some(parsed))
}
