//! Waits for pods.

use super::plan;
use super::{ago, held, live, now, pod, settled, target, template, terminating_pod, waits};
use crate::tuning::Scale;
use crate::tuning::plan::{Action, HpaWrite, Live, LivePod, Target};
use std::time::Duration;

#[test]
fn a_wait_for_a_pod_without_a_controller_names_the_pod() {
    let copy = LivePod {
        is_controlled: false,
        ..pod("shop-debug")
    };
    let more = Target {
        scale: Scale::Auto { min: 3, max: 10 },
        ..target()
    };
    let beside = live(|live, _, _| live.pods.push(copy.clone()));
    let (name, sentence) = waits(&plan(&beside, &more, now()));
    assert_eq!(name, "WaitingForPod");
    assert!(
        sentence.contains("may hold connections: shop-debug; delete them"),
        "{sentence}"
    );
    let alone = Live {
        deployment: None,
        pods: vec![copy],
        ..settled()
    };
    let (_, sentence) = waits(&plan(&alone, &target(), now()));
    assert!(sentence.contains("shop-debug"), "{sentence}");
}

#[test]
fn a_wait_for_a_stuck_pod_names_its_node_and_is_skipped_if_the_budget_has_room() {
    let next = Target {
        template: template("b", 12),
        ..target()
    };
    let stuck = live(|live, _, hpa| {
        held(hpa);
        live.pods.push(terminating_pod("three", ago(31)));
    });
    let (name, sentence) = waits(&plan(&stuck, &next, now()));
    assert_eq!(name, "WaitingForPod");
    assert!(
        sentence.starts_with("pod three does not terminate on node worker-1"),
        "{sentence}"
    );
    // An extra pod fits: 13 x 12 = 156.
    let room = Target {
        budget: 159,
        ..next
    };
    let there = Live {
        fence: Some(156),
        ..stuck
    };
    let write = plan(&there, &room, now()).action;
    assert!(
        matches!(write, Some(Action::WriteTemplate { .. })),
        "{write:?}"
    );
}

#[test]
fn an_inconsistent_observation_is_repeated() {
    let more = Target {
        scale: Scale::Auto { min: 3, max: 10 },
        ..target()
    };
    let unobserved = live(|_, deployment, _| deployment.generation = 5);
    assert_eq!(
        waits(&plan(&unobserved, &more, now())).0,
        "WaitingForDeployment"
    );
    let apart = live(|live, _, _| drop(live.pods.pop()));
    assert_eq!(waits(&plan(&apart, &more, now())).0, "WaitingForDeployment");
    let write = plan(&settled(), &more, now()).action;
    assert!(
        matches!(write, Some(Action::WriteHpa(HpaWrite { min: 3, .. }))),
        "{write:?}"
    );
}

#[test]
fn a_pod_that_terminates_in_time_needs_no_wait() {
    let live = live(|live, _, _| {
        live.pods
            .push(terminating_pod("three", now() + Duration::from_secs(5)));
    });
    let plan = plan(&live, &target(), now());
    assert!(plan.settled(), "{plan:?}");
}

#[test]
fn pods_are_named_as_foreign_only_if_there_are_more_than_the_deployment_counts() {
    let foreign = || LivePod {
        is_controlled: false,
        ..pod("foreign")
    };
    let rollout = Target {
        template: template("b", 12),
        ..target()
    };
    for (pods, current, reason) in [
        (vec![pod("one"), pod("two"), foreign()], 2, "WaitingForPod"),
        (
            vec![pod("one"), pod("two"), pod("three")],
            2,
            "WaitingForDeployment",
        ),
        (vec![foreign()], 2, "WaitingForDeployment"),
        (
            vec![pod("one"), pod("two"), foreign()],
            3,
            "WaitingForDeployment",
        ),
    ] {
        let live = live(|live, deployment, hpa| {
            held(hpa);
            live.pods.clone_from(&pods);
            (deployment.current, deployment.updated) = (current, current);
        });
        let plan = plan(&live, &rollout, now());
        assert_eq!(waits(&plan).0, reason, "{pods:?}");
    }
}

#[test]
fn a_wait_for_a_terminating_pod_ends_when_it_is_late_or_stuck() {
    let rollout = Target {
        template: template("b", 12),
        ..target()
    };
    // Seconds from now: when the pod is due, and when to check again.
    for (due, until) in [
        (5, 5 + 3 + 1),
        (60, 30),
        (-4, -4 + 30 + 1),
        (-10, -10 + 30 + 1),
    ] {
        let due = now() + jiff::SignedDuration::from_secs(due);
        let live = live(|live, _, hpa| {
            held(hpa);
            live.pods.push(terminating_pod("three", due));
        });
        let wait = plan(&live, &rollout, now()).wait.unwrap();
        assert_eq!(wait.reason.name(), "WaitingForTermination");
        assert_eq!(wait.until, now() + jiff::SignedDuration::from_secs(until));
    }
}
