//! The budget becomes smaller.

use super::plan;
use super::{GRACE, held, live, now, pod, settled, target, template, waits};
use crate::tuning::plan::{Action, Live, LivePod, LiveTemplate, Target};
use std::time::Duration;

#[test]
fn a_smaller_budget_applies_once_the_pods_fit_and_the_account_limit_follows() {
    let smaller = Target {
        template: template("b", 6),
        budget: 75,
        ..target()
    };
    let mixed = live(|live, deployment, hpa| {
        held(hpa);
        deployment.template = LiveTemplate {
            hash: Some("b".to_owned()),
            pool: Some(6),
            grace: Some(GRACE),
        };
        (deployment.current, deployment.updated) = (3, 1);
        live.pods.push(LivePod {
            pool: Some(6),
            ..pod("three")
        });
    });
    let during = plan(&mixed, &smaller, now());
    assert_eq!(
        waits(&during).1,
        "rolling out: 1 of 2 pods have been replaced"
    );
    assert_eq!(during.in_force, Some(144));
    let mut done = mixed;
    done.pods.drain(..2);
    done.pods.push(LivePod {
        pool: Some(6),
        ..pod("four")
    });
    let deployment = done.deployment.as_mut().unwrap();
    (deployment.current, deployment.updated) = (2, 2);
    done.hpa = settled().hpa;
    let after = plan(&done, &smaller, now());
    assert_eq!(
        (after.action, after.in_force),
        (Some(Action::SetFence(72)), Some(72))
    );
}

#[test]
fn the_account_limit_is_lowered_once_the_pools_are_smaller() {
    let live = Live {
        fence: Some(200),
        ..settled()
    };
    let lowered = plan(&live, &target(), now());
    assert_eq!(lowered.action, Some(Action::SetFence(147)));
    // Pods with a greater pool remain.
    let mut greater = live;
    greater.pods[0].pool = Some(15);
    let plan = plan(&greater, &target(), now());
    assert_eq!(waits(&plan).0, "WaitingForConnections");
    assert_eq!(plan.wait.unwrap().until, now() + Duration::from_mins(1));
}
