//! How many pods are replaced at once.

use super::plan;
use super::{GRACE, ago, held, live, now, pod, target, template, terminating_pod, waits};
use crate::tuning::plan::{
    Action, Former, HpaWrite, Live, LiveDeployment, LiveHpa, LivePod, Pause, ScaleDown, Target,
    worst_case,
};
use crate::tuning::{Surge, pace};

/// Two pods at once: (10 + 2 x 2) x 10 connections.
fn wide() -> Target {
    Target {
        template: template("a", 10),
        step: 2,
        ..target()
    }
}

fn count(count: u32) -> ScaleDown {
    ScaleDown::Pods {
        count,
        period: pace(GRACE),
    }
}

/// The state that [`wide`] wants, after `change`.
fn settled(change: impl FnOnce(&mut Live, &mut LiveDeployment, &mut LiveHpa)) -> Live {
    live(|live, deployment, hpa| {
        deployment.template.pool = Some(10);
        deployment.surge = Some(Surge::Pods(2));
        hpa.scale_down = Some(count(2));
        live.pods.iter_mut().for_each(|pod| pod.pool = Some(10));
        change(live, deployment, hpa);
    })
}

fn strategy(step: u32) -> Action {
    Action::SetStrategy {
        min_ready: pace(GRACE),
        surge: Surge::Pods(step),
        former: None,
    }
}

fn scale_down(scale_down: ScaleDown) -> Action {
    Action::WriteHpa(HpaWrite {
        min: 2,
        max: 10,
        scale_down,
        lowered: None,
    })
}

#[test]
fn a_greater_step_is_written_without_a_rollout_and_then_the_autoscaler_follows() {
    assert!(plan(&settled(|_, _, _| {}), &wide(), now()).settled());
    let narrow = settled(|_, deployment, hpa| {
        (deployment.surge, hpa.scale_down) = (Some(Surge::Pods(1)), Some(count(1)));
    });
    assert_eq!(plan(&narrow, &wide(), now()).action, Some(strategy(2)));
    let half = settled(|_, _, hpa| hpa.scale_down = Some(count(1)));
    let write = plan(&half, &wide(), now()).action;
    assert_eq!(write, Some(scale_down(count(2))));
}

#[test]
fn a_smaller_step_waits_until_the_autoscaler_removes_no_pod_and_none_is_terminating() {
    let narrow = Target { step: 1, ..wide() };
    let disabled = ScaleDown::Disabled { since: now() };
    let first = plan(&settled(|_, _, _| {}), &narrow, now()).action;
    assert_eq!(first, Some(scale_down(disabled)));
    let heard = settled(|_, _, hpa| hpa.scale_down = Some(disabled));
    let plan_of = |live: &Live| plan(live, &narrow, now());
    assert_eq!(waits(&plan_of(&heard)).0, "WaitingForAutoscaler");
    let busy = settled(|live, _, hpa| {
        held(hpa);
        live.pods.push(terminating_pod("three", now()));
    });
    assert_eq!(waits(&plan_of(&busy)).0, "WaitingForTermination");
    let quiet = settled(|_, _, hpa| held(hpa));
    assert_eq!(plan_of(&quiet).action, Some(strategy(1)));
}

#[test]
fn a_rollout_from_one_template_replaces_several_pods_and_a_superseding_one_goes_one_by_one() {
    let next = Target {
        template: template("b", 10),
        ..wide()
    };
    let write = |surge, former| {
        Some(Action::WriteTemplate {
            template: next.template.clone(),
            min_ready: pace(GRACE),
            surge: Surge::Pods(surge),
            former,
        })
    };
    let clean = settled(|_, _, hpa| held(hpa));
    assert_eq!(plan(&clean, &next, now()).action, write(2, None));
    let rolling = settled(|live, deployment, hpa| {
        held(hpa);
        deployment.pause = Pause::On(Some(ago(60)));
        (deployment.current, deployment.updated) = (4, 2);
        live.pods.extend(["three", "four"].map(|name| LivePod {
            pool: Some(10),
            ..pod(name)
        }));
    });
    let former = Former { pool: 10, surge: 2 };
    assert_eq!(plan(&rolling, &next, now()).action, write(1, Some(former)));
    // With a greater pool there is no room for two extra pods, so they are removed first.
    let greater = Target {
        template: template("b", 12),
        step: 1,
        ..wide()
    };
    let removes = Action::SetStrategy {
        min_ready: pace(GRACE),
        surge: Surge::Pods(1),
        former: Some(former),
    };
    assert_eq!(plan(&rolling, &greater, now()).action, Some(removes));
}

#[test]
fn a_pause_lowers_the_surge_to_the_extra_pods_that_exist() {
    let next = Target {
        template: template("b", 10),
        ..wide()
    };
    for (current, pods, surge) in [(4, 4, 2), (4, 3, 1), (2, 4, 1)] {
        let rolling = settled(|live, deployment, hpa| {
            held(hpa);
            (deployment.current, deployment.updated) = (current, 1);
            live.pods = (0..pods).map(|number| pod(&number.to_string())).collect();
        });
        let Some(Action::Pause {
            surge: written,
            former,
            ..
        }) = plan(&rolling, &next, now()).action
        else {
            panic!("no pause");
        };
        assert_eq!(written, Surge::Pods(surge));
        assert_eq!(former.map(|former| former.surge), (surge < 2).then_some(2));
    }
}

#[test]
fn beside_a_stuck_pod_a_rollout_goes_one_by_one_if_there_is_room_for_that_only() {
    let next = Target {
        template: template("b", 10),
        ..wide()
    };
    let stuck = settled(|live, _, hpa| {
        held(hpa);
        live.pods.push(LivePod {
            pool: Some(10),
            ..terminating_pod("three", ago(60))
        });
    });
    let action = plan(&stuck, &next, now()).action;
    assert!(
        matches!(
            action,
            Some(Action::WriteTemplate {
                surge: Surge::Pods(1),
                former: None,
                ..
            })
        ),
        "{action:?}"
    );
}

#[test]
fn the_worst_case_replaces_as_many_pods_as_the_surge_the_autoscaler_or_the_former_surge_allow() {
    for (surge, removed, former, step) in [(1, 1, 0, 1), (3, 1, 0, 3), (1, 3, 0, 3), (1, 1, 3, 3)] {
        let live = settled(|_, deployment, hpa| {
            deployment.surge = Some(Surge::Pods(surge));
            hpa.scale_down = Some(count(removed));
            deployment.former = Some(Former {
                pool: 10,
                surge: former,
            });
        });
        assert_eq!(worst_case(&live, now()).step, step);
    }
}
