//! The snapshot of a resource for the metrics.

use super::context::Context;
use super::status::Pods;
use crate::crd::{
    CONDITION_TYPES, EnforcementStatus, RecommendationServiceStatus, TuningStatus, known_reason,
};
use crate::metrics::{Condition, ConditionStatus, Replicas, Snapshot};
use crate::tuning::plan::{Live, worst_case_connections};
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;

/// The snapshot of a resource with this status, this Deployment, and the observed state of its budget. `live` is `None`
/// if the observed state is unknown. Pure.
#[must_use]
pub fn snapshot(
    service: &DynamicObject,
    status: &RecommendationServiceStatus,
    deployment: Option<&DynamicObject>,
    live: Option<&Live>,
    now: Timestamp,
) -> Snapshot {
    let pods = deployment.map(Pods::read).unwrap_or_default();
    let tuning = status.tuning.as_ref();
    Snapshot {
        uid: service.uid().unwrap_or_default(),
        conditions: conditions(status),
        replicas: Replicas {
            desired: pods.wanted,
            current: pods.there,
            ready: pods.ready,
            updated: pods.updated,
        },
        budget: tuning.map(|tuning| tuning.connection_budget),
        reserved: tuning.map(|tuning| tuning.reserved_connections),
        pool: tuning.map(|tuning| tuning.pool_per_pod),
        worst_case: live.and_then(|live| worst_case(live, tuning, now)),
        by_server: tuning.and_then(by_server),
        observed_generation: status.observed_generation,
    }
}

fn by_server(tuning: &TuningStatus) -> Option<bool> {
    let enforcement = tuning.enforcement?;
    Some(enforcement == EnforcementStatus::Server)
}

/// The maximum number of connections of pods and training. If the server enforces the budget, its limit is a bound too:
/// the limit of a provisioned account, plus the training's own account. An existing account, which others use too, is
/// bounded by the budget.
fn worst_case(live: &Live, tuning: Option<&TuningStatus>, now: Timestamp) -> Option<u32> {
    let Some(tuning) = tuning.filter(|tuning| by_server(tuning) == Some(true)) else {
        return worst_case_connections(live, now);
    };
    let allowed = match live.fence {
        Some(fence) => fence.saturating_add(live.training),
        None => tuning.connection_budget,
    };
    let planned = worst_case_connections(live, now);
    Some(planned.map_or(allowed, |planned| planned.min(allowed)))
}

/// The conditions. Types and reasons that others wrote into the status are left out, because label values are a closed
/// set.
fn conditions(status: &RecommendationServiceStatus) -> Vec<Condition> {
    let of_type = |type_| {
        let mut all = status.conditions.iter();
        let condition = all.find(|condition| condition.type_ == type_)?;
        Some(Condition {
            type_,
            status: ConditionStatus::parse(&condition.status),
            reason: known_reason(&condition.reason),
        })
    };
    CONDITION_TYPES.into_iter().filter_map(of_type).collect()
}

/// Records a snapshot for the metrics.
pub fn record(service: &DynamicObject, snapshot: Snapshot, ctx: &Context) {
    let namespace = service.namespace().unwrap_or_default();
    ctx.metrics
        .resources
        .put(&namespace, &service.name_any(), snapshot);
}

#[cfg(test)]
mod tests {
    use super::snapshot;
    use crate::controller::kind::Kind;
    use crate::controller::sample::{self, MINIMAL};
    use crate::crd::{EnforcementStatus, RecommendationServiceStatus, TuningStatus};
    use crate::metrics::{Condition, ConditionStatus, Replicas};
    use crate::tuning::Surge;
    use crate::tuning::plan::{Deletion, Live, LiveDeployment, LivePod, LiveTemplate, Pause};
    use jiff::Timestamp;
    use kube::api::DynamicObject;
    use serde_json::json;
    use std::time::Duration;

    fn now() -> Timestamp {
        "2026-03-04T05:06:07Z".parse().unwrap()
    }

    fn status() -> RecommendationServiceStatus {
        let condition = |type_: &str, status: &str, reason: &str| {
            json!({"type": type_, "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-03-04T05:06:07Z"})
        };
        let conditions = json!([
            condition("Somebodys/Own", "True", "UpToDate"),
            condition("Degraded", "False", "UpToDate"),
            condition("Ready", "True", "PodsReady"),
            condition("DatabaseReachable", "Unknown", "SomebodysOwn"),
        ]);
        RecommendationServiceStatus {
            observed_generation: Some(2),
            tuning: Some(TuningStatus {
                connection_budget: 60,
                reserved_connections: 3,
                pool_per_pod: 14,
                ..TuningStatus::default()
            }),
            conditions: serde_json::from_value(conditions).unwrap(),
            ..RecommendationServiceStatus::default()
        }
    }

    fn deployment() -> DynamicObject {
        let mut deployment = DynamicObject::new("tiny", &Kind::Deployment.resource());
        deployment.data = json!({
            "spec": {"replicas": 3},
            "status": {"replicas": 4, "readyReplicas": 2, "updatedReplicas": 1},
        });
        deployment
    }

    /// Two replicas of 14 connections, and a pod that should have ended a minute ago.
    fn live() -> Live {
        let pod = LivePod {
            name: "stuck".to_owned(),
            node: None,
            pool: Some(14),
            grace: None,
            created: None,
            is_controlled: true,
            deletion: Some(Deletion {
                due: now() - Duration::from_mins(1),
            }),
        };
        Live {
            deployment: Some(LiveDeployment {
                template: LiveTemplate {
                    pool: Some(14),
                    ..LiveTemplate::default()
                },
                min_ready: Duration::ZERO,
                surge: Some(Surge::Pods(1)),
                pause: Pause::Off,
                replicas: 2,
                lowered: None,
                generation: 1,
                observed_generation: 1,
                current: 2,
                updated: 2,
                available: 2,
                former: None,
            }),
            pods: vec![pod],
            ..Live::default()
        }
    }

    #[test]
    fn a_snapshot_is_built_from_status_deployment_and_budget() {
        let service = sample::object(&sample::value(MINIMAL));
        let is = snapshot(
            &service,
            &status(),
            Some(&deployment()),
            Some(&live()),
            now(),
        );
        assert_eq!(is.uid, service.metadata.uid.unwrap());
        let condition = |type_, status, reason| Condition {
            type_,
            status,
            reason,
        };
        assert_eq!(
            is.conditions,
            [
                condition("Ready", ConditionStatus::True, Some("PodsReady")),
                condition("Degraded", ConditionStatus::False, Some("UpToDate")),
                condition("DatabaseReachable", ConditionStatus::Unknown, None),
            ]
        );
        let replicas = Replicas {
            desired: 3,
            current: 4,
            ready: 2,
            updated: 1,
        };
        assert_eq!(is.replicas, replicas);
        assert_eq!(
            (is.budget, is.reserved, is.pool, is.observed_generation),
            (Some(60), Some(3), Some(14), Some(2))
        );
        // (2 + 2 + 1 that is stuck) x 14
        assert_eq!((is.worst_case, is.by_server), (Some(70), None));
    }

    #[test]
    fn the_server_bounds_the_worst_case_if_it_enforces_the_budget() {
        let service = sample::object(&sample::value(MINIMAL));
        let worst_case = |enforcement, fence, training| {
            let mut status = status();
            let tuning = status.tuning.as_mut().unwrap();
            tuning.enforcement = Some(enforcement);
            let live = Live {
                training,
                fence,
                ..live()
            };
            let is = snapshot(&service, &status, None, Some(&live), now());
            (is.worst_case, is.by_server)
        };
        let server = EnforcementStatus::Server;
        assert_eq!(worst_case(server, None, 0), (Some(60), Some(true)));
        assert_eq!(worst_case(server, Some(56), 1), (Some(57), Some(true)));
        let plan = EnforcementStatus::Plan;
        assert_eq!(worst_case(plan, Some(56), 0), (Some(70), Some(false)));
    }

    #[test]
    fn values_not_observed_are_absent() {
        let service = sample::object(&sample::value(MINIMAL));
        let nothing = RecommendationServiceStatus::default();
        let is = snapshot(&service, &nothing, None, None, now());
        assert_eq!(is.conditions, []);
        assert_eq!(is.replicas, Replicas::default());
        assert_eq!(
            (is.budget, is.reserved, is.pool, is.worst_case),
            (None, None, None, None)
        );
        // A pod without a known pool.
        let mut unknown = live();
        unknown.pods[0].pool = None;
        let is = snapshot(&service, &status(), None, Some(&unknown), now());
        assert_eq!(is.worst_case, None);
    }
}
