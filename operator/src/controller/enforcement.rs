//! The wanted resource under the decision about what enforces its budget (the server or a plan). Pure.

use super::desired::deployment::ENFORCEMENT;
use super::instance::Instance;
use super::kind::Kind;
use super::observe::Observed;
use crate::crd::BudgetEnforcement;
use crate::tuning::budget::{Budget, enforced};
use crate::tuning::enforcement::{Account, Enforcement, Evidence, Record, Why, enforcement};
use kube::ResourceExt as _;

/// The resource with the pools and the tuning of the decision. `is_held`: the wanted image waits, so the pods keep an
/// image that may be older than this operator.
#[must_use]
pub fn decided(instance: &Instance, observed: &Observed, is_held: bool) -> Instance {
    let record = recorded(instance, observed);
    let provisioned = instance.mysql.provisioned.is_some();
    let evidence = Evidence {
        is_allowed: instance.mysql.budget_enforcement == BudgetEnforcement::Auto,
        account: if provisioned {
            Account::Provisioned(observed.live.fence)
        } else {
            Account::External
        },
        pods: &observed.witnesses,
        record,
        is_elastic: !instance.image_is_pinned && !is_held,
        budget: instance.budget.connections,
    };
    let decision = enforcement(&evidence);
    let fitting = match decision {
        Enforcement::Server { limit } => sum(instance, observed, limit, record),
        Enforcement::Plan { .. } => None,
    };
    let decision = match (decision, fitting) {
        (Enforcement::Server { limit }, None) => Enforcement::Plan {
            why: Why::TooSmall { limit },
        },
        (decision, _) => decision,
    };
    let budget = fitting.unwrap_or(instance.budget);
    let record = decision.record(record, is_larger(observed, budget.pool));
    instance.clone().under(decision, record, budget)
}

/// The decision that the Deployment records.
#[must_use]
pub fn recorded(instance: &Instance, observed: &Observed) -> Option<Record> {
    let deployment = observed.child(Kind::Deployment, &instance.name)?;
    deployment.annotations().get(ENFORCEMENT)?.parse().ok()
}

/// The sum under the server's limit; `None`: the limit allows fewer pods than a plan would, or fewer than the running
/// pods.
fn sum(
    instance: &Instance,
    observed: &Observed,
    limit: u32,
    record: Option<Record>,
) -> Option<Budget> {
    let planned = &instance.budget;
    let sum = enforced(
        planned.connections,
        limit,
        planned.reserved,
        planned.training,
        instance.wanted_scale,
        planned.each,
    )?;
    let begins = !matches!(record, Some(Record::Server(_)));
    let others = planned.reserved + planned.training + planned.each;
    // If the running pods use up the limit, no new pod would get its base.
    let is_crowded = begins && used(observed).saturating_add(others) > limit;
    (sum.scale.max() >= planned.scale.max() && !is_crowded).then_some(sum)
}

/// Connections that the pods may hold, without those that are terminating.
fn used(observed: &Observed) -> u32 {
    let staying = observed.live.pods.iter();
    let staying = staying.filter(|pod| pod.deletion.is_none());
    staying.filter_map(|pod| pod.pool).sum()
}

/// Whether a pod has a greater pool than this, or can still be created with one.
fn is_larger(observed: &Observed, pool: u32) -> bool {
    let deployment = observed.live.deployment.as_ref();
    let template = deployment.and_then(|deployment| deployment.template.pool);
    let former = deployment.and_then(|deployment| deployment.former);
    let pods = observed.live.pods.iter().filter_map(|pod| pod.pool);
    pods.chain(template)
        .chain(former.map(|former| former.pool))
        .any(|there| there > pool)
}

#[cfg(test)]
mod tests {
    use super::{Enforcement, Observed, Record, Why, decided};
    use crate::controller::desired::{Facts, desired};
    use crate::controller::instance::Instance;
    use crate::controller::kind::Kind;
    use crate::controller::sample::{self, MINIMAL, PROVISIONED};
    use crate::tuning::Surge;
    use crate::tuning::enforcement::{Report, Witness};
    use crate::tuning::plan::LivePod;
    use kube::api::DynamicObject;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;

    /// One pod of this pool, with this report and recorded decision.
    fn observed(name: &str, pool: u32, report: Option<Report>, record: Option<&str>) -> Observed {
        let mut observed = Observed::default();
        let mut deployment = DynamicObject::new(name, &Kind::Deployment.resource());
        let annotations = deployment.metadata.annotations.get_or_insert_default();
        if let Some(record) = record {
            annotations.insert("reckon.dev/enforcement".to_owned(), record.to_owned());
        }
        let key = (Kind::Deployment, name.to_owned());
        observed.children.insert(key, Arc::new(deployment));
        observed.live.pods.push(LivePod {
            name: "one".to_owned(),
            node: None,
            pool: Some(pool),
            grace: None,
            created: None,
            is_controlled: true,
            deletion: None,
        });
        observed.witnesses.push(Witness {
            name: "one".to_owned(),
            has_run: true,
            report,
        });
        observed
    }

    fn limit(connections: u32) -> Report {
        Report::Limit {
            account: Some(7),
            connections,
        }
    }

    /// Pool, base and limit of the pods' tuning, and the record.
    fn outcome(instance: &Instance) -> (u32, Option<u32>, Option<u32>, Option<String>) {
        let store = &instance.tuning.store;
        (
            store.pool_size,
            store.min_pool_size,
            store.account_limit,
            instance.record.map(|record| record.to_string()),
        )
    }

    #[test]
    fn an_existing_database_begins_planned_and_its_pods_are_those_of_older_operators() {
        let instance = sample::instance(MINIMAL);
        let decided = decided(&instance, &Observed::default(), false);
        assert_eq!(outcome(&decided), (9, None, None, None));
        let of = |instance| desired(instance, &Facts::default()).deployment.planned;
        assert_eq!(of(&decided), of(&instance));
    }

    #[test]
    fn reports_of_a_limit_lead_to_elastic_pods_and_a_request_back_to_planned_ones() {
        let instance = sample::instance(MINIMAL);
        let observed_ = observed("tiny", 9, Some(limit(30)), None);
        let server = decided(&instance, &observed_, false);
        // 30 - 3 - 1 x 2
        let recorded = Some("server:30".to_owned());
        assert_eq!(outcome(&server), (25, Some(2), Some(30), recorded));
        assert_eq!(server.tuning.store.min_account_limit, Some(30));

        let requested = sample::with(MINIMAL, |spec| {
            spec["mysql"]["budgetEnforcement"] = json!("Plan");
        });
        let record = Some("server:30");
        let leaving = decided(&requested, &observed("tiny", 25, None, record), false);
        let recorded = Some("leaving:30".to_owned());
        assert_eq!(outcome(&leaving), (9, Some(2), None, recorded));
        let record = Some("leaving:30");
        let left = decided(&requested, &observed("tiny", 9, None, record), false);
        assert_eq!(outcome(&left), (9, Some(2), None, Some("plan".to_owned())));
    }

    #[test]
    fn a_limit_that_is_too_small_for_the_pods_that_run_waits_for_smaller_ones() {
        let instance = sample::instance(MINIMAL);
        for (pool, limit_, fits) in [(9, 14, true), (9, 13, false), (2, 7, true), (2, 6, false)] {
            let observed = observed("tiny", pool, Some(limit(limit_)), None);
            let decided = decided(&instance, &observed, false);
            let expected = if fits {
                Enforcement::Server { limit: limit_ }
            } else {
                let why = Why::TooSmall { limit: limit_ };
                Enforcement::Plan { why }
            };
            assert_eq!(decided.enforcement, Some(expected), "{pool} {limit_}");
        }
        // After it has begun, `Server` stays.
        let observed = observed("tiny", 9, Some(limit(13)), Some("server:30"));
        let decided = decided(&instance, &observed, false);
        assert_eq!(decided.record, Some(Record::Server(13)));
    }

    #[test]
    fn a_provisioned_service_begins_under_the_servers_limit_unless_its_image_waits() {
        let instance = sample::instance(PROVISIONED);
        let mut fenced = Observed::default();
        fenced.live.fence = Some(57);
        let begun = decided(&instance, &fenced, false);
        // (60 - 3 - 1 x 2) / 2. The present limit does not matter, because the operator itself changes it.
        let recorded = Some("server:60".to_owned());
        assert_eq!(outcome(&begun), (27, Some(2), Some(1_000_000), recorded));
        let held = decided(&instance, &fenced, true);
        assert_eq!(
            held.enforcement,
            Some(Enforcement::Plan { why: Why::OldImage })
        );
        assert_eq!(outcome(&held).0, 14);
        let new = decided(&instance, &Observed::default(), false);
        assert_eq!(
            new.enforcement,
            Some(Enforcement::Plan {
                why: Why::NoAccount
            })
        );
    }

    #[test]
    fn a_deployment_under_the_servers_limit_is_written_like_this() {
        let instance = sample::instance(PROVISIONED);
        let mut fenced = Observed::default();
        fenced.live.fence = Some(57);
        let instance = decided(&instance, &fenced, false);
        let resources = desired(&instance, &Facts::default());
        let body = resources
            .deployment
            .with(Duration::ZERO, Surge::Percent(25), None);
        assert_eq!(
            body["metadata"]["annotations"]["reckon.dev/enforcement"],
            "server:60"
        );
        let strategy = json!({
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0},
        });
        assert_eq!(body["spec"]["strategy"], strategy);
        assert_eq!(body["spec"]["minReadySeconds"], 0);
        let pod = &body["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(pod["reckon.dev/pool"], "27");
        let yaml = resources.config_map["data"]["tuning.yaml"]
            .as_str()
            .unwrap();
        for line in ["poolSize: 27", "minPoolSize: 2", "accountLimit: 1000000"] {
            assert!(yaml.contains(line), "{yaml}");
        }
        reckon_contract::Tuning::parse(yaml).unwrap();
    }

    #[test]
    fn pods_that_store_events_keep_one_connection_more() {
        let instance = sample::with(MINIMAL, |spec| {
            spec["events"] = json!({"enabled": true});
        });
        let decided = decided(
            &instance,
            &observed("tiny", 9, Some(limit(30)), None),
            false,
        );
        // 30 - 3 - 1 x 3
        assert_eq!(outcome(&decided).1, Some(3));
        assert_eq!(outcome(&decided).0, 24);
    }
}
