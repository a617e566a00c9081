//! Which pods may hold sessions, and their last reports about these sessions. Pure.

use crate::tuning::enforcement::{Report, Witness};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use std::collections::{BTreeMap, HashSet};

/// The pods of a service, with their last reports. A pod without an address has never run.
#[must_use]
pub fn witnesses(
    pods: &[PartialObjectMeta<Pod>],
    addresses: &[EndpointSlice],
    reports: &BTreeMap<String, Report>,
) -> Vec<Witness> {
    let endpoints = addresses.iter().flat_map(|slice| &slice.endpoints);
    let have_one: HashSet<&str> = endpoints
        .filter_map(|endpoint| endpoint.target_ref.as_ref()?.name.as_deref())
        .collect();
    let witness = |pod: &PartialObjectMeta<Pod>| {
        let name = pod.name_any();
        let is_terminating = pod.metadata.deletion_timestamp.is_some();
        Witness {
            has_run: is_terminating || have_one.contains(name.as_str()),
            report: reports.get(&name).copied(),
            name,
        }
    };
    pods.iter().map(witness).collect()
}

#[cfg(test)]
mod tests {
    use super::{Report, Witness, witnesses};
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn a_pod_without_an_address_has_not_run_unless_it_is_terminating() {
        let slices = serde_json::from_value(json!([{"addressType": "IPv4", "endpoints": [
            {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "runs"}},
            {"addresses": ["10.0.0.2"]},
        ]}]));
        let pods = serde_json::from_value(json!([
            {"metadata": {"name": "runs"}},
            {"metadata": {"name": "pending"}},
            {"metadata": {"name": "ends", "deletionTimestamp": "2026-03-04T05:06:07Z"}},
        ]));
        let reports = BTreeMap::from([("runs".to_owned(), Report::Starting)]);
        let witness = |name: &str, has_run, report| Witness {
            name: name.to_owned(),
            has_run,
            report,
        };
        let pods: Vec<_> = pods.unwrap();
        let slices: Vec<_> = slices.unwrap();
        assert_eq!(
            witnesses(&pods, &slices, &reports),
            [
                witness("runs", true, Some(Report::Starting)),
                witness("pending", false, None),
                witness("ends", true, None),
            ]
        );
    }
}
