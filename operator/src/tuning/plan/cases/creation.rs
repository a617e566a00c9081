//! The Deployment is created, and then its first replicas.

use super::plan;
use super::{GRACE, live, now, pod, settled, target, terminating_pod, waits};
use crate::tuning::plan::{
    Action, Adopt, HpaWrite, Live, LiveDeployment, LivePod, ScaleDown, Target,
};
use crate::tuning::{Scale, Surge};
use std::time::Duration;

#[test]
fn creation_sets_the_account_limit_first_and_the_replicas_last() {
    let target = target();
    let mut there = Live {
        fence: Some(0),
        ..Live::default()
    };
    assert_eq!(
        plan(&there, &target, now()).action,
        Some(Action::SetFence(147))
    );
    there.fence = Some(147);
    let create = Action::CreateDeployment {
        template: target.template.clone(),
        min_ready: Duration::from_secs(30),
        surge: Surge::Pods(1),
        adopt: None,
    };
    assert_eq!(plan(&there, &target, now()).action, Some(create));

    there.deployment = settled().deployment.map(|it| LiveDeployment {
        replicas: 1,
        current: 1,
        updated: 1,
        ..it
    });
    there.pods = vec![pod("one")];
    let scale_down = ScaleDown::Pods {
        count: 1,
        period: Duration::from_secs(30),
    };
    let hpa = HpaWrite {
        min: 2,
        max: 10,
        scale_down,
        lowered: None,
    };
    assert_eq!(
        plan(&there, &target, now()).action,
        Some(Action::WriteHpa(hpa))
    );
    let fixed = Target {
        scale: Scale::Fixed(3),
        ..target
    };
    assert_eq!(
        plan(&there, &fixed, now()).action,
        Some(Action::Scale {
            replicas: 3,
            lowered: None
        })
    );
}

#[test]
fn orphaned_pods_are_adopted_by_a_paused_deployment_with_as_many_replicas() {
    let orphans = Live {
        deployment: None,
        ..settled()
    };
    let adopting = |live: &Live, target: &Target| match plan(live, target, now()).action {
        Some(Action::CreateDeployment { adopt, .. }) => adopt,
        other => panic!("{other:?}"),
    };
    let adopt = |replicas| {
        Some(Adopt {
            replicas,
            at: now(),
        })
    };
    assert_eq!(adopting(&orphans, &target()), adopt(2));
    let fewer = Target {
        scale: Scale::Fixed(1),
        ..target()
    };
    let alone = Live {
        hpa: None,
        ..orphans.clone()
    };
    assert_eq!(adopting(&alone, &fewer), adopt(1));
    // The plan waits for terminating pods.
    let mut ending = orphans;
    ending.pods.push(terminating_pod("three", now() + GRACE));
    let (name, sentence) = waits(&plan(&ending, &target(), now()));
    assert_eq!(name, "WaitingForTermination");
    assert_eq!(sentence, "waiting for pods to terminate: three");
}

#[test]
fn no_deployment_is_created_beside_pods_without_a_controller() {
    let foreign = LivePod {
        is_controlled: false,
        ..pod("foreign")
    };
    let live = Live {
        pods: vec![foreign],
        ..Live::default()
    };
    let plan = plan(&live, &target(), now());
    assert_eq!(waits(&plan).0, "WaitingForPod");
    assert_eq!(plan.wait.unwrap().until, now() + Duration::from_mins(1));
}

#[test]
fn a_deployment_that_was_scaled_to_zero_is_scaled_to_the_minimum() {
    let none = live(|live, deployment, _| {
        deployment.replicas = 0;
        (deployment.current, deployment.updated, deployment.available) = (0, 0, 0);
        live.pods.clear();
    });
    let minimum = Action::Scale {
        replicas: 2,
        lowered: None,
    };
    assert_eq!(plan(&none, &target(), now()).action, Some(minimum));
}
