//! One state and one target at a time: 10 replicas of 14 connections within 150, 3 of them reserved, so a fence of 147.

use super::super::{
    Action, Deletion, Evictions, Former, HpaWrite, Live, LiveDeployment, LiveHpa, LivePod,
    LiveTemplate, Lowered, Pause, Plan, Reason, ScaleDown, Target, Template, plan,
};
use super::LATER;
use crate::tuning::budget::{MIN_POOL, enforced};
use crate::tuning::plan::timing::HPA_SYNC;
use crate::tuning::{Scale, Surge};
use jiff::Timestamp;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(20);
const QUARTER: Option<Surge> = Some(Surge::Percent(25));

fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn target(budget: u32, max: u32) -> Target {
    let scale = Scale::Auto { min: 2, max };
    let sum = enforced(budget, budget, 3, 0, scale, MIN_POOL).unwrap();
    Target {
        template: Template {
            hash: "a".to_owned(),
            pool: sum.pool,
            grace: GRACE,
        },
        scale,
        step: 1,
        budget,
        reserved: 3,
        training: false,
        fence: true,
        enforced: sum.enforced,
    }
}

fn pod(name: &str, pool: u32) -> LivePod {
    LivePod {
        name: name.to_owned(),
        node: None,
        pool: Some(pool),
        grace: Some(GRACE),
        created: None,
        is_controlled: true,
        deletion: None,
    }
}

/// Ten pods of this pool and template.
fn running(hash: &str, pool_size: u32) -> Live {
    Live {
        deployment: Some(LiveDeployment {
            template: LiveTemplate {
                hash: Some(hash.to_owned()),
                pool: Some(pool_size),
                grace: Some(GRACE),
            },
            min_ready: Duration::ZERO,
            surge: QUARTER,
            pause: Pause::Off,
            replicas: 10,
            lowered: None,
            generation: 4,
            observed_generation: 4,
            current: 10,
            updated: 10,
            available: 10,
            former: None,
        }),
        hpa: Some(LiveHpa {
            min: 2,
            max: 10,
            scale_down: Some(ScaleDown::Default),
            lowered: None,
        }),
        pods: (0..10)
            .map(|number| pod(&number.to_string(), pool_size))
            .collect(),
        training: 0,
        evictions: Some(Evictions::Open),
        fence: Some(147),
    }
}

fn changed(change: impl FnOnce(&mut Live, &mut LiveDeployment, &mut LiveHpa)) -> Live {
    let mut live = running("a", 14);
    let (mut deployment, mut hpa) = (live.deployment.take().unwrap(), live.hpa.take().unwrap());
    change(&mut live, &mut deployment, &mut hpa);
    (live.deployment, live.hpa) = (Some(deployment), Some(hpa));
    live
}

fn at(live: &Live, target: &Target) -> Plan {
    plan(live, target, now())
}

fn bounds(max: u32, lowered: Option<Lowered>) -> Action {
    Action::WriteHpa(HpaWrite {
        min: 2,
        max,
        scale_down: ScaleDown::Default,
        lowered,
    })
}

#[test]
fn nothing_is_written_to_a_service_that_is_as_wanted() {
    let plan = at(&running("a", 14), &target(150, 10));
    assert!(plan.settled(), "{plan:?}");
    assert_eq!(plan.in_force, Some(147));
}

#[test]
fn a_template_is_written_at_once_beside_terminating_pods_and_unfinished_rollouts() {
    let live = changed(|live, deployment, _| {
        live.pods.push(LivePod {
            deletion: Some(Deletion { due: now() + GRACE }),
            ..pod("ends", 14)
        });
        deployment.updated = 4;
        deployment.observed_generation = 3;
    });
    let mut wanted = target(150, 10);
    wanted.template.hash = "b".to_owned();
    let expected = Action::WriteTemplate {
        template: wanted.template.clone(),
        min_ready: Duration::ZERO,
        surge: Surge::Percent(25),
        former: Some(Former { pool: 14, surge: 3 }),
    };
    assert_eq!(at(&live, &wanted).action, Some(expected));
}

#[test]
fn planned_settings_are_replaced_by_the_defaults_of_kubernetes() {
    let planned = ScaleDown::Pods {
        count: 1,
        period: Duration::from_secs(30),
    };
    let live = changed(|_, deployment, hpa| {
        hpa.scale_down = Some(planned);
        deployment.surge = Some(Surge::Pods(1));
        deployment.min_ready = Duration::from_secs(30);
        deployment.pause = Pause::On(Some(now()));
    });
    let wanted = target(150, 10);
    assert_eq!(at(&live, &wanted).action, Some(bounds(10, None)));
    let mut live = live;
    live.hpa = running("a", 14).hpa;
    let strategy = Action::SetStrategy {
        min_ready: Duration::ZERO,
        surge: Surge::Percent(25),
        former: None,
    };
    assert_eq!(at(&live, &wanted).action, Some(strategy));
    let deployment = live.deployment.as_mut().unwrap();
    (deployment.surge, deployment.min_ready) = (QUARTER, Duration::ZERO);
    assert_eq!(at(&live, &wanted).action, Some(Action::Unpause));
}

#[test]
fn pools_shrink_before_the_maximum_of_pods_grows() {
    // 20 x 6 + 5 x 2 = 130.
    let more = target(150, 20);
    assert_eq!(more.template.pool, 6);
    let write = at(&running("a", 14), &more).action;
    let Some(Action::WriteTemplate { surge, .. }) = write else {
        panic!("{write:?}");
    };
    assert_eq!(surge, Surge::Percent(25));
    // The new template is not rolled out yet.
    let mut rolling = running("a", 6);
    rolling.pods[0].pool = Some(14);
    rolling.deployment.as_mut().unwrap().updated = 9;
    let waits = at(&rolling, &more);
    assert_eq!(waits.action, None);
    assert_eq!(waits.wait.unwrap().reason.name(), "RolloutRunning");
    assert_eq!(at(&running("a", 6), &more).action, Some(bounds(20, None)));
}

#[test]
fn a_rollout_that_replaces_greater_pools_adds_as_many_pods_as_get_their_base() {
    // Ten pods leave 147 - 10 x 14 = 7 of the limit; a new one needs 3.
    let mut wanted = target(150, 10);
    wanted.enforced.as_mut().unwrap().base = 3;
    wanted.template.hash = "b".to_owned();
    let write = at(&running("a", 14), &wanted).action;
    assert!(
        matches!(
            write,
            Some(Action::WriteTemplate {
                surge: Surge::Pods(2),
                ..
            })
        ),
        "{write:?}"
    );
}

#[test]
fn bounds_are_lowered_at_once_and_recorded_for_a_later_plan() {
    let lowered = Lowered {
        at: now(),
        from: 10,
    };
    let live = running("a", 14);
    assert_eq!(
        at(&live, &target(150, 5)).action,
        Some(bounds(5, Some(lowered)))
    );
}

#[test]
fn a_fixed_number_of_pods_removes_the_autoscaler_first() {
    let fixed = |replicas| Target {
        scale: Scale::Fixed(replicas),
        ..target(150, 10)
    };
    let live = running("a", 14);
    assert_eq!(at(&live, &fixed(4)).action, Some(Action::DeleteHpa));
    let alone = Live { hpa: None, ..live };
    let lowered = Lowered {
        at: now(),
        from: 10,
    };
    let scale = Action::Scale {
        replicas: 4,
        lowered: Some(lowered),
    };
    assert_eq!(at(&alone, &fixed(4)).action, Some(scale));
    // There are more pods than the pools leave room for.
    let waits = at(&alone, &fixed(11));
    let reason = waits.wait.unwrap().reason;
    assert!(
        matches!(reason, Reason::TooManyConnections { .. }),
        "{reason:?}"
    );
}

#[test]
fn a_fence_is_raised_first_and_lowered_last() {
    let greater = target(190, 10);
    let raise = at(&running("a", 14), &greater).action;
    assert_eq!(raise, Some(Action::SetFence(187)));
    let smaller = target(100, 10);
    assert_eq!(smaller.template.pool, 9);
    let write = at(&running("a", 14), &smaller).action;
    assert!(
        matches!(write, Some(Action::WriteTemplate { .. })),
        "{write:?}"
    );
    // The last greater pod is still terminating.
    let mut rolled = running("a", 9);
    let last = pod("last", 14);
    rolled.pods.push(LivePod {
        deletion: Some(Deletion { due: now() }),
        ..last.clone()
    });
    let waits = at(&rolled, &smaller);
    assert_eq!((waits.action, waits.in_force), (None, Some(147)));
    rolled.pods.pop();
    assert_eq!(at(&rolled, &smaller).action, Some(Action::SetFence(97)));
    // A pod of a dead node does not delay the write.
    rolled.pods.push(LivePod {
        deletion: Some(Deletion {
            due: now() - Duration::from_mins(1),
        }),
        ..last
    });
    assert_eq!(at(&rolled, &smaller).action, Some(Action::SetFence(97)));
}

#[test]
fn a_training_comes_after_the_fence_that_leaves_its_connection_free() {
    let wanted = Target {
        training: true,
        ..target(150, 10)
    };
    let live = running("a", 14);
    assert_eq!(at(&live, &wanted).action, Some(Action::SetFence(146)));
    let fenced = Live {
        fence: Some(146),
        ..live.clone()
    };
    assert_eq!(at(&fenced, &wanted).action, Some(Action::CreateTraining));
    // The account of an external database has no fence.
    let external = Target {
        fence: false,
        ..wanted
    };
    let open = Live {
        fence: None,
        ..live
    };
    assert_eq!(at(&open, &external).action, Some(Action::CreateTraining));
    assert_eq!(at(&open, &external).in_force, Some(150));
}

#[test]
fn pools_and_fence_grow_once_a_training_that_is_no_longer_wanted_has_ended() {
    // 10 x 15 + 3 x 2 = 156.
    let wanted = Target {
        template: Template {
            hash: "b".to_owned(),
            pool: 15,
            grace: GRACE,
        },
        ..target(159, 10)
    };
    let trains = Live {
        training: 1,
        fence: Some(155),
        ..running("a", 14)
    };
    let waits = at(&trains, &wanted);
    assert_eq!(waits.action, None);
    assert_eq!(waits.wait.unwrap().reason, Reason::TrainingEnding);
    let ended = Live {
        training: 0,
        ..trains
    };
    assert_eq!(at(&ended, &wanted).action, Some(Action::SetFence(156)));
}

#[test]
fn a_deployment_is_created_at_once_and_adopts_the_pods_of_an_earlier_one() {
    let wanted = target(150, 10);
    let none = Live {
        evictions: Some(Evictions::Open),
        fence: Some(147),
        ..Live::default()
    };
    let create = |adopt| Action::CreateDeployment {
        template: wanted.template.clone(),
        min_ready: Duration::ZERO,
        surge: Surge::Percent(25),
        adopt,
    };
    assert_eq!(at(&none, &wanted).action, Some(create(None)));
    let orphans = Live {
        pods: vec![pod("one", 14), pod("two", 14)],
        ..none.clone()
    };
    let adopt = super::Adopt {
        replicas: 2,
        at: now(),
    };
    assert_eq!(at(&orphans, &wanted).action, Some(create(Some(adopt))));
    let mut foreign = orphans;
    foreign.pods[0].is_controlled = false;
    let waits = at(&foreign, &wanted);
    assert_eq!(
        waits.wait.unwrap().reason,
        Reason::Foreign(vec!["one".to_owned()])
    );
}

#[test]
fn evictions_are_always_allowed() {
    let wanted = target(150, 10);
    let since = now();
    for evictions in [None, Some(Evictions::Held { since })] {
        let held = Live {
            evictions,
            ..running("b", 14)
        };
        let open = Action::WriteDisruptionBudget(Evictions::Open);
        assert_eq!(at(&held, &wanted).action, Some(open));
    }
}

#[test]
fn bounds_that_were_lowered_lately_stay_recorded_with_the_next_write() {
    for (since, is_recorded) in [
        (Duration::ZERO, true),
        (HPA_SYNC / 2, true),
        (HPA_SYNC, false),
        (2 * HPA_SYNC, false),
    ] {
        let lowered = Lowered {
            at: now() - since,
            from: 12,
        };
        let live = changed(|_, _, hpa| {
            hpa.min = 1;
            hpa.lowered = Some(lowered);
        });
        let expected = bounds(10, is_recorded.then_some(lowered));
        assert_eq!(
            at(&live, &target(150, 10)).action,
            Some(expected),
            "{since:?}"
        );
    }
}

#[test]
fn without_an_autoscaler_only_pods_beyond_the_maximum_are_removed_before_it_is_created() {
    for (replicas, pods_to) in [(9, None), (10, None), (11, Some(10))] {
        let live = Live {
            hpa: None,
            ..changed(|_, deployment, _| deployment.replicas = replicas)
        };
        let action = at(&live, &target(150, 10)).action;
        let scaled_to = match action {
            Some(Action::Scale { replicas, .. }) => Some(replicas),
            Some(Action::WriteHpa(_)) => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(scaled_to, pods_to, "{replicas}");
    }
}

#[test]
fn the_pause_between_pods_and_the_surge_are_each_put_right() {
    for (min_ready, surge) in [
        (Duration::from_secs(30), QUARTER),
        (Duration::ZERO, Some(Surge::Pods(1))),
    ] {
        let live = changed(|_, deployment, _| {
            deployment.min_ready = min_ready;
            deployment.surge = surge;
        });
        let strategy = Action::SetStrategy {
            min_ready: Duration::ZERO,
            surge: Surge::Percent(25),
            former: None,
        };
        assert_eq!(at(&live, &target(150, 10)).action, Some(strategy));
    }
}

#[test]
fn greater_pools_wait_only_while_surplus_pods_leave_no_room_for_them() {
    let waits = |(pods, scale_to, current_pool, pool): (u32, u32, u32, u32)| {
        let live = changed(|_, deployment, hpa| {
            hpa.max = scale_to;
            deployment.template.pool = Some(current_pool);
            (deployment.replicas, deployment.current) = (pods, pods);
            (deployment.updated, deployment.available) = (pods, pods);
        });
        let mut wanted = target(150, scale_to);
        wanted.template.pool = pool;
        let plan = at(&live, &wanted);
        let writes = matches!(plan.action, Some(Action::WriteTemplate { .. }));
        assert_eq!(writes, plan.wait.is_none(), "{plan:?}");
        if let Some(wait) = plan.wait {
            assert_eq!(wait.reason.name(), "WaitingForConnections");
            assert_eq!(wait.until, now() + LATER);
        }
        !writes
    };
    // Room for 147: 10 x 28 + 3 x 2 are more.
    assert!(waits((10, 5, 14, 28)));
    assert!(!waits((5, 5, 14, 28)));
    // 10 x 14 + 3 x 2 = 146.
    assert!(!waits((10, 5, 13, 14)));
    // Smaller pools never wait.
    assert!(!waits((10, 5, 29, 28)));
}

#[test]
fn only_pods_that_are_still_to_come_are_recorded_with_a_template() {
    for (current, updated, is_recorded) in [
        (10, 10, false),
        (9, 9, true),
        (10, 9, true),
        (11, 11, false),
    ] {
        let live = changed(|_, deployment, _| {
            (deployment.current, deployment.updated) = (current, updated);
        });
        let mut wanted = target(150, 10);
        wanted.template.hash = "b".to_owned();
        let action = at(&live, &wanted).action;
        let Some(Action::WriteTemplate { former, .. }) = action else {
            panic!("{action:?}");
        };
        assert_eq!(former.is_some(), is_recorded, "{current} {updated}");
    }
}

#[test]
fn the_record_of_a_replaced_template_is_removed_once_all_pods_are_of_the_new_one() {
    for (available, is_removed) in [(9, false), (10, true)] {
        let live = changed(|_, deployment, _| {
            deployment.former = Some(Former { pool: 14, surge: 3 });
            deployment.available = available;
        });
        let action = at(&live, &target(150, 10)).action;
        assert_eq!(
            action == Some(Action::ClearFormer),
            is_removed,
            "{action:?}"
        );
    }
}
