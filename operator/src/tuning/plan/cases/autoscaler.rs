//! Writes of the autoscaler, and its removal.

use super::plan;
use super::{GRACE, ago, held, live, now, pod, settled, target, template, terminating_pod, waits};
use crate::tuning::plan::{Action, HPA_SYNC, HpaWrite, Lowered, SETTLE, ScaleDown, Target};
use crate::tuning::{Scale, pace};
use std::time::Duration;

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
    let unrecorded = live(|_, deployment, hpa| {
        held(hpa);
        (hpa.max, deployment.replicas) = (4, 10);
    });
    let waiting = plan(&unrecorded, &fewer, now()).wait.unwrap();
    assert_eq!(waiting.reason.name(), "WaitingForAutoscaler");
    assert_eq!(waiting.until, now() + Duration::from_secs(30));
    let later = plan(&after, &fewer, now() + HPA_SYNC).action;
    assert!(
        matches!(later, Some(Action::WriteTemplate { .. })),
        "{later:?}"
    );
}

#[test]
fn lowering_the_minimum_disables_scale_down_for_a_period() {
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
    let scale_down = ScaleDown::Pods {
        count: 1,
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
fn maximum_and_minimum_are_lowered_in_one_write_that_disables_scale_down() {
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
fn an_unrelated_write_of_the_autoscaler_keeps_a_recent_lowering() {
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
fn a_scale_down_faster_than_the_pace_is_slowed_at_once() {
    let fast = live(|_, deployment, hpa| {
        deployment.generation = 5;
        hpa.scale_down = Some(ScaleDown::Pods {
            count: 1,
            period: Duration::from_secs(10),
        });
    });
    let slowed = HpaWrite {
        min: 2,
        max: 10,
        scale_down: ScaleDown::Pods {
            count: 1,
            period: pace(GRACE),
        },
        lowered: None,
    };
    let plan = plan(&fast, &target(), now());
    assert_eq!(plan.action, Some(Action::WriteHpa(slowed)));
}

#[test]
fn scale_down_is_enabled_again_after_a_period_and_the_delay_of_late_pods() {
    let period = pace(GRACE);
    for (age, is_allowed) in [(30, false), (34, false), (35, true)] {
        let held = live(|_, _, hpa| hpa.scale_down = Some(ScaleDown::Disabled { since: ago(age) }));
        let plan = plan(&held, &target(), now());
        let is_write = matches!(&plan.action, Some(Action::WriteHpa(write))
            if write.scale_down == ScaleDown::Pods { count: 1, period });
        assert_eq!(is_write, is_allowed, "{age}: {plan:?}");
        assert_eq!(plan.wait.is_none(), is_allowed);
    }
}

#[test]
fn minimum_and_maximum_become_the_fixed_number_before_the_autoscaler_is_deleted() {
    let fixed = Target {
        scale: Scale::Fixed(3),
        ..target()
    };
    let scale_down = ScaleDown::Pods {
        count: 1,
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
fn an_autoscaler_is_deleted_once_minimum_and_maximum_are_the_fixed_number() {
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
            .push(terminating_pod("three", now() + Duration::from_secs(5)));
    });
    let plan = plan(&half, &fixed, now());
    assert_eq!(waits(&plan).0, "WaitingForTermination");
}
