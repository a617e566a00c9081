//! Single decisions, by table.

use super::{
    Action, Adopt, Deletion, HPA_SYNC, HpaWrite, Live, LiveDeployment, LiveHpa, LivePod,
    LiveTemplate, Lowered, Pause, Plan, SETTLE, ScaleDown, Target, Template, plan,
};
use crate::tuning::{Scale, pace};
use jiff::Timestamp;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn ago(seconds: u64) -> Timestamp {
    now() - Duration::from_secs(seconds)
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
        budget: 150,
        reserved: 3,
        fence: true,
    }
}

fn pod(name: &str) -> LivePod {
    LivePod {
        name: name.to_owned(),
        node: Some("worker-1".to_owned()),
        pool: Some(12),
        grace: Some(GRACE),
        is_controlled: true,
        deletion: None,
    }
}

fn going(name: &str, due: Timestamp) -> LivePod {
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
            pause: Pause::Off,
            replicas: 2,
            lowered: None,
            generation: 4,
            observed_generation: 4,
            current: 2,
            updated: 2,
            available: 2,
            former_pool: None,
        }),
        hpa: Some(LiveHpa {
            min: 2,
            max: 10,
            scale_down: Some(ScaleDown::OnePod {
                period: pace(GRACE),
            }),
            lowered: None,
        }),
        pods: vec![pod("one"), pod("two")],
        fence: Some(150),
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
fn nothing_is_written_when_all_is_there() {
    let plan = plan(&settled(), &target(), now());
    assert!(plan.settled(), "{plan:?}");
    assert_eq!(plan.in_force, Some(147));
}

#[test]
fn a_service_is_made_with_its_fence_first_and_its_replicas_last() {
    let target = target();
    let mut there = Live {
        fence: Some(0),
        ..Live::default()
    };
    assert_eq!(
        plan(&there, &target, now()).action,
        Some(Action::SetFence(150))
    );
    there.fence = Some(150);
    let create = Action::CreateDeployment {
        template: target.template.clone(),
        min_ready: Duration::from_secs(30),
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
    let scale_down = ScaleDown::OnePod {
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
fn pods_that_a_deployment_left_behind_are_taken_over_by_a_paused_one_of_their_number() {
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
    // Pods that are terminating are waited for.
    let mut ending = orphans;
    ending.pods.push(going("three", now() + GRACE));
    let (name, sentence) = waits(&plan(&ending, &target(), now()));
    assert_eq!(name, "WaitingForTermination");
    assert_eq!(sentence, "waiting for pods to terminate: three");
}

#[test]
fn a_pod_that_no_controller_made_is_named_instead_of_waited_for_without_a_word() {
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
fn a_longer_grace_that_admission_has_set_slows_the_pace_and_is_no_other_template() {
    let longer = live(|_, deployment, _| {
        deployment.template.grace = Some(GRACE * 3);
    });
    let slower = Action::SetMinReady(pace(GRACE * 3));
    assert_eq!(plan(&longer, &target(), now()).action, Some(slower));
    let paced = live(|_, deployment, hpa| {
        deployment.template.grace = Some(GRACE * 3);
        deployment.min_ready = pace(GRACE * 3);
        hpa.scale_down = Some(ScaleDown::OnePod {
            period: pace(GRACE * 3),
        });
    });
    assert!(plan(&paced, &target(), now()).settled());
}

#[test]
fn a_template_that_is_not_as_it_was_written_is_replaced_like_any_other() {
    let mut edited = live(|_, _, hpa| held(hpa));
    edited.forget_template();
    let action = plan(&edited, &target(), now()).action;
    assert!(
        matches!(action, Some(Action::WriteTemplate { .. })),
        "{action:?}"
    );
    edited.pods.push(going("three", now() + GRACE));
    assert_eq!(
        waits(&plan(&edited, &target(), now())).0,
        "WaitingForTermination"
    );
}

#[test]
fn a_rollout_waits_until_the_autoscaler_has_heard_and_no_pod_is_terminating() {
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
            former_pool: None
        })
    );

    let busy = live(|live, _, hpa| {
        held(hpa);
        live.pods.push(going("three", now()));
    });
    assert_eq!(
        waits(&plan(&busy, &target, now())).0,
        "WaitingForTermination"
    );
}

#[test]
fn a_rollout_that_cannot_end_is_paused_before_it_is_superseded() {
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
        Some(Action::Pause { at: now() })
    );
    // Another user's pause is replaced by the operator's own.
    assert_eq!(
        plan(&bad(Pause::On(None)), &target, now()).action,
        Some(Action::Pause { at: now() })
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
                former_pool: Some(12),
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
fn a_greater_maximum_waits_for_smaller_pools_and_a_greater_pool_for_a_smaller_maximum() {
    let more = Target {
        template: template("b", 6),
        scale: Scale::Auto { min: 2, max: 20 },
        ..target()
    };
    let there = live(|_, _, hpa| held(hpa));
    let first = plan(&there, &more, now()).action;
    assert!(
        matches!(first, Some(Action::WriteTemplate { .. })),
        "{first:?}"
    );

    let fewer = Target {
        template: template("b", 24),
        scale: Scale::Auto { min: 2, max: 4 },
        ..target()
    };
    let lowered = Lowered {
        at: now(),
        from: 10,
    };
    let scale_down = ScaleDown::Disabled { since: ago(60) };
    let write = HpaWrite {
        min: 2,
        max: 4,
        scale_down,
        lowered: Some(lowered),
    };
    assert_eq!(
        plan(&there, &fewer, now()).action,
        Some(Action::WriteHpa(write))
    );
    let after = live(|_, _, hpa| {
        held(hpa);
        (hpa.max, hpa.lowered) = (4, Some(lowered));
    });
    let waiting = plan(&after, &fewer, now());
    assert_eq!(
        waits(&waiting).1,
        "waiting for the autoscaler to scale down from 10 to 4 replicas"
    );
    let later = plan(&after, &fewer, now() + HPA_SYNC).action;
    assert!(
        matches!(later, Some(Action::WriteTemplate { .. })),
        "{later:?}"
    );
}

#[test]
fn a_smaller_budget_is_in_force_when_the_pods_fit_and_the_fence_follows() {
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
        (Some(Action::SetFence(75)), Some(72))
    );
}

#[test]
fn a_minimum_is_lowered_with_scale_down_forbidden_for_a_period() {
    let lower = Target {
        scale: Scale::Auto { min: 1, max: 10 },
        ..target()
    };
    let disabled = ScaleDown::Disabled { since: now() };
    let write = HpaWrite {
        min: 1,
        max: 10,
        scale_down: disabled,
        lowered: None,
    };
    assert_eq!(
        plan(&settled(), &lower, now()).action,
        Some(Action::WriteHpa(write))
    );
    let there = live(|_, _, hpa| (hpa.min, hpa.scale_down) = (1, Some(disabled)));
    assert_eq!(
        waits(&plan(&there, &lower, now())).0,
        "WaitingForAutoscaler"
    );
    let scale_down = ScaleDown::OnePod {
        period: pace(GRACE),
    };
    let allow = HpaWrite {
        scale_down,
        ..write
    };
    let later = now() + SETTLE + pace(GRACE);
    assert_eq!(
        plan(&there, &lower, later).action,
        Some(Action::WriteHpa(allow))
    );
}

#[test]
fn a_pod_that_does_not_go_is_named_with_its_node_unless_there_is_room_for_it() {
    let next = Target {
        template: template("b", 12),
        ..target()
    };
    let stuck = live(|live, _, hpa| {
        held(hpa);
        live.pods.push(going("three", ago(31)));
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
        fence: Some(159),
        ..stuck
    };
    let write = plan(&there, &room, now()).action;
    assert!(
        matches!(write, Some(Action::WriteTemplate { .. })),
        "{write:?}"
    );
}

#[test]
fn a_pod_that_is_late_stops_a_rollout_and_scale_down() {
    let rolling = live(|live, deployment, hpa| {
        held(hpa);
        (deployment.current, deployment.updated) = (3, 1);
        live.pods.extend([pod("three"), going("four", ago(4))]);
    });
    assert_eq!(
        plan(&rolling, &target(), now()).action,
        Some(Action::Pause { at: now() })
    );
    let scaled = live(|live, _, _| live.pods.push(going("three", ago(4))));
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
fn pods_that_do_not_tell_their_pool_let_nothing_grow_but_are_replaced() {
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
            former_pool: None
        })
    );
    assert_eq!(first.in_force, None);
    // An unknown grace period does not lower the pace either.
    let quick = live(|live, _, _| live.pods[0].grace = None);
    assert_eq!(
        plan(&quick, &target(), now()).action,
        Some(Action::SetMinReady(min_ready))
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
                former_pool: Some(10_000),
                ..
            })
        ),
        "{write:?}"
    );
}

#[test]
fn an_autoscaler_is_pinned_before_it_is_removed() {
    let fixed = Target {
        scale: Scale::Fixed(3),
        ..target()
    };
    let scale_down = ScaleDown::OnePod {
        period: pace(GRACE),
    };
    let lowered = Some(Lowered {
        at: now(),
        from: 10,
    });
    let down = HpaWrite {
        min: 2,
        max: 3,
        scale_down,
        lowered,
    };
    assert_eq!(
        plan(&settled(), &fixed, now()).action,
        Some(Action::WriteHpa(down))
    );
    let pinned = |min, at| {
        live(|_, _, hpa| (hpa.min, hpa.max, hpa.lowered) = (min, 3, Some(Lowered { at, from: 10 })))
    };
    assert_eq!(
        waits(&plan(&pinned(2, now()), &fixed, now())).0,
        "WaitingForAutoscaler"
    );
    let up = HpaWrite {
        min: 3,
        max: 3,
        scale_down,
        lowered: None,
    };
    assert_eq!(
        plan(&pinned(2, ago(30)), &fixed, now()).action,
        Some(Action::WriteHpa(up))
    );
    assert_eq!(
        plan(&pinned(3, ago(30)), &fixed, now()).action,
        Some(Action::DeleteHpa)
    );
}

#[test]
fn what_was_read_at_different_moments_is_read_again() {
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
fn a_scale_down_faster_than_the_pace_is_slowed_at_once() {
    let fast = live(|_, deployment, hpa| {
        deployment.generation = 5;
        hpa.scale_down = Some(ScaleDown::OnePod {
            period: Duration::from_secs(10),
        });
    });
    let slowed = HpaWrite {
        min: 2,
        max: 10,
        scale_down: ScaleDown::OnePod {
            period: pace(GRACE),
        },
        lowered: None,
    };
    let plan = plan(&fast, &target(), now());
    assert_eq!(plan.action, Some(Action::WriteHpa(slowed)));
}

#[test]
fn a_maximum_and_a_minimum_are_lowered_together_and_nothing_is_removed_for_a_period() {
    let many = live(|live, deployment, hpa| {
        (hpa.min, hpa.max) = (3, 12);
        deployment.replicas = 3;
        (deployment.current, deployment.updated, deployment.available) = (3, 3, 3);
        live.pods.push(pod("three"));
    });
    let lowered = HpaWrite {
        min: 2,
        max: 10,
        scale_down: ScaleDown::Disabled { since: now() },
        lowered: Some(Lowered {
            at: now(),
            from: 12,
        }),
    };
    let plan = plan(&many, &target(), now());
    assert_eq!(plan.action, Some(Action::WriteHpa(lowered)));
}

#[test]
fn what_somebody_scaled_to_nothing_is_scaled_to_the_minimum() {
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

#[test]
fn an_autoscaler_is_removed_once_minimum_and_maximum_are_the_fixed_number() {
    let fixed = Target {
        scale: Scale::Fixed(2),
        ..target()
    };
    let pinned = live(|_, _, hpa| hpa.max = 2);
    assert_eq!(plan(&pinned, &fixed, now()).action, Some(Action::DeleteHpa));
    // The minimum must wait.
    let half = live(|live, _, hpa| {
        (hpa.min, hpa.max) = (1, 2);
        live.pods
            .push(going("three", now() + Duration::from_secs(5)));
    });
    let plan = plan(&half, &fixed, now());
    assert_eq!(waits(&plan).0, "WaitingForTermination");
}

#[test]
fn a_pod_that_goes_its_way_is_not_waited_for() {
    let live = live(|live, _, _| {
        live.pods
            .push(going("three", now() + Duration::from_secs(5)));
    });
    let plan = plan(&live, &target(), now());
    assert!(plan.settled(), "{plan:?}");
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
        wait: Some(super::Wait {
            reason: super::Reason::Unobserved,
            until: now(),
        }),
        ..settled
    };
    assert!(!write.settled() && !wait.settled());
}

#[test]
fn an_autoscaler_that_is_written_for_another_reason_keeps_a_lowering_while_it_counts() {
    for (age, is_kept) in [(10, true), (30, false), (60, false)] {
        let lowering = Some(Lowered {
            at: ago(age),
            from: 12,
        });
        let live = live(|_, _, hpa| {
            hpa.scale_down = None;
            hpa.lowered = lowering;
        });
        let Some(Action::WriteHpa(write)) = plan(&live, &target(), now()).action else {
            panic!("no write of the autoscaler");
        };
        assert_eq!(write.lowered, lowering.filter(|_| is_kept), "{age}");
    }
}

#[test]
fn a_late_pod_for_which_there_is_room_stops_no_rollout() {
    let rolling = live(|live, deployment, hpa| {
        held(hpa);
        deployment.updated = 1;
        live.pods.push(going("three", ago(5)));
    });
    for (budget, stops) in [(150, true), (1000, false)] {
        let target = Target { budget, ..target() };
        let rolling = Live {
            fence: Some(budget),
            ..rolling.clone()
        };
        let plan = plan(&rolling, &target, now());
        let is_pause = matches!(plan.action, Some(Action::Pause { .. }));
        assert_eq!(is_pause, stops, "{budget}: {plan:?}");
    }
}

#[test]
fn pods_are_named_as_foreign_only_when_there_are_more_than_the_deployment_counts() {
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
            live.pods.push(going("three", due));
        });
        let wait = plan(&live, &rollout, now()).wait.unwrap();
        assert_eq!(wait.reason.name(), "WaitingForTermination");
        assert_eq!(wait.until, now() + jiff::SignedDuration::from_secs(until));
    }
}

#[test]
fn a_deployment_is_not_made_beside_pods_without_a_controller() {
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
fn the_accounts_limit_is_lowered_once_pods_hold_less() {
    let live = Live {
        fence: Some(200),
        ..settled()
    };
    let lowered = plan(&live, &target(), now());
    assert_eq!(lowered.action, Some(Action::SetFence(150)));
    // Pods with a greater pool remain.
    let mut greater = live;
    greater.pods[0].pool = Some(15);
    let plan = plan(&greater, &target(), now());
    assert_eq!(waits(&plan).0, "WaitingForConnections");
    assert_eq!(plan.wait.unwrap().until, now() + Duration::from_mins(1));
}

#[test]
fn an_autoscaler_may_remove_pods_again_once_a_period_and_what_is_late_have_passed() {
    let period = pace(GRACE);
    for (age, is_allowed) in [(30, false), (34, false), (35, true)] {
        let held = live(|_, _, hpa| hpa.scale_down = Some(ScaleDown::Disabled { since: ago(age) }));
        let plan = plan(&held, &target(), now());
        let is_write = matches!(&plan.action, Some(Action::WriteHpa(write))
            if write.scale_down == ScaleDown::OnePod { period });
        assert_eq!(is_write, is_allowed, "{age}: {plan:?}");
        assert_eq!(plan.wait.is_none(), is_allowed);
    }
}
