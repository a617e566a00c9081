//! A changed template, and pods that delay or pause a rollout.

use super::plan;
use super::{GRACE, ago, held, live, now, pod, settled, target, template, terminating_pod, waits};
use crate::tuning::plan::{
    Action, Former, HpaWrite, Live, LivePod, LiveTemplate, Pause, SETTLE, ScaleDown, Target,
};
use crate::tuning::{Surge, pace};
use std::time::Duration;

#[test]
fn a_longer_grace_period_set_by_admission_slows_the_pace_without_a_rollout() {
    let longer = live(|_, deployment, _| {
        deployment.template.grace = Some(GRACE * 3);
    });
    let slower = Action::SetStrategy {
        min_ready: pace(GRACE * 3),
        surge: Surge::Pods(1),
        former: None,
    };
    assert_eq!(plan(&longer, &target(), now()).action, Some(slower));
    let paced = live(|_, deployment, hpa| {
        deployment.template.grace = Some(GRACE * 3);
        deployment.min_ready = pace(GRACE * 3);
        hpa.scale_down = Some(ScaleDown::Pods {
            count: 1,
            period: pace(GRACE * 3),
        });
    });
    assert!(plan(&paced, &target(), now()).settled());
}

#[test]
fn a_template_edited_by_another_client_is_replaced_like_any_other() {
    let mut edited = live(|_, _, hpa| held(hpa));
    edited.clear_template();
    let action = plan(&edited, &target(), now()).action;
    assert!(
        matches!(action, Some(Action::WriteTemplate { .. })),
        "{action:?}"
    );
    edited.pods.push(terminating_pod("three", now() + GRACE));
    assert_eq!(
        waits(&plan(&edited, &target(), now())).0,
        "WaitingForTermination"
    );
}

#[test]
fn a_rollout_waits_for_the_autoscaler_and_for_terminating_pods() {
    let target = Target {
        template: template("b", 12),
        ..target()
    };
    let disabled = HpaWrite {
        min: 2,
        max: 10,
        scale_down: ScaleDown::Disabled { since: now() },
        lowered: None,
    };
    assert_eq!(
        plan(&settled(), &target, now()).action,
        Some(Action::WriteHpa(disabled))
    );

    let heard = live(|_, _, hpa| hpa.scale_down = Some(ScaleDown::Disabled { since: now() }));
    let waiting = plan(&heard, &target, now());
    assert_eq!(waits(&waiting).0, "WaitingForAutoscaler");
    assert_eq!(waiting.wait.unwrap().until, now() + SETTLE);
    let write = plan(&heard, &target, now() + SETTLE).action;
    let template = target.template.clone();
    let min_ready = Duration::from_secs(30);
    assert_eq!(
        write,
        Some(Action::WriteTemplate {
            template,
            min_ready,
            surge: Surge::Pods(1),
            former: None
        })
    );

    let busy = live(|live, _, hpa| {
        held(hpa);
        live.pods.push(terminating_pod("three", now()));
    });
    assert_eq!(
        waits(&plan(&busy, &target, now())).0,
        "WaitingForTermination"
    );
}

#[test]
fn a_failing_rollout_is_paused_before_the_next_one() {
    let target = Target {
        template: template("c", 12),
        ..target()
    };
    let bad = |pause| {
        live(|live, deployment, hpa| {
            held(hpa);
            deployment.template.hash = Some("b".to_owned());
            (deployment.current, deployment.updated, deployment.pause) = (3, 1, pause);
            live.pods.push(pod("three"));
        })
    };
    assert_eq!(
        plan(&bad(Pause::Off), &target, now()).action,
        Some(Action::Pause {
            at: now(),
            surge: Surge::Pods(1),
            former: None
        })
    );
    // Another user's pause is replaced by the operator's own.
    assert_eq!(
        plan(&bad(Pause::On(None)), &target, now()).action,
        Some(Action::Pause {
            at: now(),
            surge: Surge::Pods(1),
            former: None
        })
    );
    assert_eq!(
        waits(&plan(&bad(Pause::On(Some(now()))), &target, now())).0,
        "WaitingForPause"
    );
    let write = plan(&bad(Pause::On(Some(ago(5)))), &target, now()).action;
    assert!(
        matches!(
            write,
            Some(Action::WriteTemplate {
                former: Some(Former { pool: 12, surge: 1 }),
                ..
            })
        ),
        "{write:?}"
    );
    let same = Target {
        template: template("b", 12),
        ..target
    };
    assert_eq!(
        plan(&bad(Pause::On(Some(ago(5)))), &same, now()).action,
        Some(Action::Unpause)
    );
}

#[test]
fn pods_of_unknown_pool_size_block_growth_and_are_replaced() {
    let unknown = live(|live, deployment, hpa| {
        held(hpa);
        deployment.template = LiveTemplate {
            grace: Some(GRACE),
            ..LiveTemplate::default()
        };
        for pod in &mut live.pods {
            (pod.pool, pod.grace) = (None, None);
        }
        deployment.min_ready = pace(Duration::from_mins(2));
        hpa.max = 3;
    });
    let first = plan(&unknown, &target(), now());
    let min_ready = Duration::from_secs(130);
    let template = target().template;
    assert_eq!(
        first.action,
        Some(Action::WriteTemplate {
            template,
            min_ready,
            surge: Surge::Pods(1),
            former: None
        })
    );
    assert_eq!(first.in_force, None);
    // An unknown grace period does not shorten the pace either.
    let quick = live(|live, _, _| live.pods[0].grace = None);
    assert_eq!(
        plan(&quick, &target(), now()).action,
        Some(Action::SetStrategy {
            min_ready,
            surge: Surge::Pods(1),
            former: None,
        })
    );

    let rolling = live(|live, deployment, hpa| {
        held(hpa);
        (deployment.current, deployment.updated, deployment.min_ready) = (3, 1, min_ready);
        live.pods.push(LivePod {
            pool: None,
            grace: None,
            ..pod("three")
        });
        hpa.max = 3;
    });
    assert_eq!(waits(&plan(&rolling, &target(), now())).0, "RolloutRunning");
    // Pods of a superseded template with an unknown pool may still be created, with the maximum pool.
    let next = Target {
        template: self::template("b", 12),
        ..target()
    };
    let mut paused = rolling;
    paused.deployment.as_mut().unwrap().pause = Pause::On(Some(ago(60)));
    let write = plan(&paused, &next, now()).action;
    assert!(
        matches!(
            write,
            Some(Action::WriteTemplate {
                former: Some(Former {
                    pool: 10_000,
                    surge: 1
                }),
                ..
            })
        ),
        "{write:?}"
    );
}

#[test]
fn a_late_pod_pauses_a_rollout_and_disables_scale_down() {
    let rolling = live(|live, deployment, hpa| {
        held(hpa);
        (deployment.current, deployment.updated) = (3, 1);
        live.pods
            .extend([pod("three"), terminating_pod("four", ago(4))]);
    });
    assert_eq!(
        plan(&rolling, &target(), now()).action,
        Some(Action::Pause {
            at: now(),
            surge: Surge::Pods(1),
            former: None
        })
    );
    let scaled = live(|live, _, _| live.pods.push(terminating_pod("three", ago(4))));
    let write = plan(&scaled, &target(), now()).action;
    assert!(
        matches!(
            write,
            Some(Action::WriteHpa(HpaWrite {
                scale_down: ScaleDown::Disabled { .. },
                ..
            }))
        ),
        "{write:?}"
    );
}

#[test]
fn a_late_pod_pauses_no_rollout_if_the_budget_has_room() {
    let rolling = live(|live, deployment, hpa| {
        held(hpa);
        deployment.updated = 1;
        live.pods.push(terminating_pod("three", ago(5)));
    });
    for (budget, stops) in [(150, true), (1000, false)] {
        let target = Target { budget, ..target() };
        let rolling = Live {
            fence: Some(budget - 3),
            ..rolling.clone()
        };
        let plan = plan(&rolling, &target, now());
        let is_pause = matches!(plan.action, Some(Action::Pause { .. }));
        assert_eq!(is_pause, stops, "{budget}: {plan:?}");
    }
}
