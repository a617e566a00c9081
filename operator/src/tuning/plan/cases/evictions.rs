//! When pods may be evicted.

use super::{ago, held, live, now, pod, settled, target, template, terminating_pod, waits};
use crate::tuning::plan::{Action, Evictions, Live, Pause, Plan, SETTLE, Target, plan};
use std::time::Duration;

const OPEN: Action = Action::WriteDisruptionBudget(Evictions::Open);

fn hold() -> Action {
    Action::WriteDisruptionBudget(Evictions::Held { since: now() })
}

fn since(seconds: u64) -> Evictions {
    Evictions::Held {
        since: ago(seconds),
    }
}

fn at(live: &Live) -> Plan {
    plan(live, &target(), now())
}

fn rollout() -> Target {
    Target {
        template: template("b", 12),
        ..target()
    }
}

/// A rollout whose newest pod was created that long ago.
fn rolling(created: u64) -> Live {
    live(|live, deployment, hpa| {
        live.evictions = Some(since(created + 30));
        live.pods.push(pod("three"));
        live.pods[2].created = Some(ago(created));
        (deployment.current, deployment.updated) = (3, 1);
        held(hpa);
    })
}

#[test]
fn a_missing_or_edited_budget_is_written_before_anything_else() {
    let edited = live(|live, _, hpa| {
        live.evictions = None;
        hpa.max = 4;
    });
    assert_eq!(at(&edited).action, Some(OPEN));
    let mut going_on = rolling(30);
    going_on.evictions = None;
    assert_eq!(at(&going_on).action, Some(hold()));
    let nothing = Live {
        fence: Some(5),
        ..Live::default()
    };
    assert_eq!(at(&nothing).action, Some(OPEN));
}

#[test]
fn a_rollout_holds_evictions_and_begins_once_that_has_settled() {
    let quiet = live(|_, _, hpa| held(hpa));
    assert_eq!(plan(&quiet, &rollout(), now()).action, Some(hold()));
    for (seconds, begins) in [(SETTLE.as_secs() - 1, false), (SETTLE.as_secs(), true)] {
        let mut live = quiet.clone();
        live.evictions = Some(since(seconds));
        let next = plan(&live, &rollout(), now());
        if begins {
            assert!(
                matches!(next.action, Some(Action::WriteTemplate { .. })),
                "{next:?}"
            );
        } else {
            assert_eq!(waits(&next).0, "WaitingForEvictions");
        }
    }
}

#[test]
fn a_paused_deployment_is_resumed_once_evictions_are_held() {
    let mut live = live(|_, deployment, hpa| {
        deployment.pause = Pause::On(Some(ago(60)));
        held(hpa);
    });
    assert_eq!(at(&live).action, Some(hold()));
    live.evictions = Some(since(60));
    assert_eq!(at(&live).action, Some(Action::Unpause));
}

#[test]
fn a_terminating_pod_holds_evictions_until_it_is_gone_and_the_target_stays_reached() {
    let due = now() + Duration::from_secs(5);
    let mut evicted = live(|live, _, _| live.pods.push(terminating_pod("three", due)));
    assert_eq!(at(&evicted).action, Some(hold()));
    evicted.evictions = Some(since(10));
    let held = at(&evicted);
    assert!(held.settled(), "{held:?}");
    assert!(held.look_again.is_some_and(|again| again > due));
    let mut gone = settled();
    gone.evictions = Some(since(20));
    assert_eq!(at(&gone).action, Some(OPEN));
}

#[test]
fn more_pods_than_wanted_and_smaller_promises_hold_evictions() {
    let due = now() + Duration::from_secs(5);
    let surplus = live(|live, deployment, _| {
        live.pods
            .extend([pod("three"), terminating_pod("four", due)]);
        deployment.current = 3;
    });
    assert_eq!(at(&surplus).action, Some(hold()));
    let mut unobserved = settled();
    unobserved.evictions = Some(since(20));
    unobserved.pods.pop();
    let held = at(&unobserved);
    assert_eq!(held.action, None, "outdated reads do not open it");
    assert!(held.look_again.is_some());
}

#[test]
fn pods_with_greater_pools_than_the_target_allows_hold_evictions() {
    let mut greater = settled();
    greater.evictions = Some(since(20));
    assert_eq!(at(&greater).action, Some(OPEN));
    greater.pods[1].pool = Some(13);
    let held = at(&greater);
    assert_eq!(held.action, None);
    assert!(held.look_again.is_some());
}

#[test]
fn a_rollout_with_held_evictions_is_checked_again_after_a_minute() {
    let again = at(&rolling(30)).look_again;
    assert_eq!(again, Some(now() + Duration::from_mins(1)));
}

#[test]
fn evictions_are_allowed_again_after_ten_minutes_without_progress() {
    for (created, lets_go) in [(599, false), (600, true)] {
        let mut live = rolling(created);
        live.evictions = Some(since(created));
        let next = at(&live);
        assert_eq!(next.lets_pods_go, lets_go);
        assert_eq!(next.action, lets_go.then_some(OPEN));
        assert_eq!(next.wait.unwrap().reason.name(), "RolloutRunning");
        // The `PodDisruptionBudget` stays unchanged.
        live.evictions = Some(Evictions::Open);
        assert_eq!(at(&live).action, (!lets_go).then(hold));
    }
    // The next rollout forbids evictions again, when it can begin.
    let mut stuck = rolling(3600);
    stuck.evictions = Some(Evictions::Open);
    let deployment = stuck.deployment.as_mut().unwrap();
    deployment.pause = Pause::On(Some(ago(60)));
    assert_eq!(plan(&stuck, &rollout(), now()).action, Some(hold()));
}
