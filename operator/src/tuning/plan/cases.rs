//! Single decisions, by table.

mod autoscaler;
mod budget;
mod creation;
mod evictions;
mod pods;
mod rollout;
mod step;
mod training;

use super::{
    Action, Deletion, Evictions, Live, LiveDeployment, LiveHpa, LivePod, LiveTemplate, Pause, Plan,
    Reason, ScaleDown, Target, Template, Wait,
};
use crate::tuning::{Scale, Surge, pace};
use jiff::Timestamp;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn ago(seconds: u64) -> Timestamp {
    now() - Duration::from_secs(seconds)
}

/// The plan after the steps that forbid or allow evictions. `evictions` has the cases of these steps.
fn plan(live: &Live, target: &Target, now: Timestamp) -> Plan {
    let mut live = live.clone();
    for _ in 0..3 {
        let plan = super::plan(&live, target, now);
        live.evictions = match plan.action {
            Some(Action::WriteDisruptionBudget(Evictions::Open)) => Some(Evictions::Open),
            Some(Action::WriteDisruptionBudget(Evictions::Held { .. })) => {
                Some(Evictions::Held { since: ago(60) })
            }
            _ => return plan,
        };
    }
    panic!("evictions are opened and held: {live:?}");
}

fn template(hash: &str, pool: u32) -> Template {
    Template {
        hash: hash.to_owned(),
        pool,
        grace: GRACE,
    }
}

/// At most 10 replicas within 150 connections, 3 of them reserved.
fn target() -> Target {
    Target {
        template: template("a", 12),
        scale: Scale::Auto { min: 2, max: 10 },
        step: 1,
        budget: 150,
        reserved: 3,
        training: false,
        fence: true,
        enforced: None,
    }
}

fn pod(name: &str) -> LivePod {
    LivePod {
        name: name.to_owned(),
        node: Some("worker-1".to_owned()),
        pool: Some(12),
        grace: Some(GRACE),
        created: Some(ago(3600)),
        is_controlled: true,
        deletion: None,
    }
}

fn terminating_pod(name: &str, due: Timestamp) -> LivePod {
    LivePod {
        deletion: Some(Deletion { due }),
        ..pod(name)
    }
}

/// The state that [`target`] wants, with 2 replicas.
fn settled() -> Live {
    Live {
        deployment: Some(LiveDeployment {
            template: LiveTemplate {
                hash: Some("a".to_owned()),
                pool: Some(12),
                grace: Some(GRACE),
            },
            min_ready: pace(GRACE),
            surge: Some(Surge::Pods(1)),
            pause: Pause::Off,
            replicas: 2,
            lowered: None,
            generation: 4,
            observed_generation: 4,
            current: 2,
            updated: 2,
            available: 2,
            former: None,
        }),
        hpa: Some(LiveHpa {
            min: 2,
            max: 10,
            scale_down: Some(ScaleDown::Pods {
                count: 1,
                period: pace(GRACE),
            }),
            lowered: None,
        }),
        pods: vec![pod("one"), pod("two")],
        training: 0,
        evictions: Some(Evictions::Open),
        fence: Some(147),
    }
}

/// [`settled`] after `change`.
fn live(change: impl FnOnce(&mut Live, &mut LiveDeployment, &mut LiveHpa)) -> Live {
    let mut live = settled();
    let (mut deployment, mut hpa) = (live.deployment.take().unwrap(), live.hpa.take().unwrap());
    change(&mut live, &mut deployment, &mut hpa);
    (live.deployment, live.hpa) = (Some(deployment), Some(hpa));
    live
}

fn held(hpa: &mut LiveHpa) {
    hpa.scale_down = Some(ScaleDown::Disabled { since: ago(60) });
}

fn waits(plan: &Plan) -> (&'static str, String) {
    assert_eq!(plan.action, None);
    let reason = &plan.wait.as_ref().unwrap().reason;
    (reason.name(), reason.to_string())
}

#[test]
fn a_settled_service_needs_no_write() {
    let plan = plan(&settled(), &target(), now());
    assert!(plan.settled(), "{plan:?}");
    assert_eq!(plan.in_force, Some(147));
}

#[test]
fn a_plan_with_a_write_or_a_wait_is_not_settled() {
    let settled = plan(&settled(), &target(), now());
    assert!(settled.settled());
    let write = Plan {
        action: Some(Action::Unpause),
        ..settled.clone()
    };
    let wait = Plan {
        wait: Some(Wait {
            reason: Reason::Unobserved,
            until: now(),
        }),
        ..settled
    };
    assert!(!write.settled() && !wait.settled());
}
