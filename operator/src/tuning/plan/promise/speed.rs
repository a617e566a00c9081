//! Measures in the model how long rollouts take, and how many pods are alive.

use super::{Beside, Case};
use crate::tuning::budget::{Budget, MIN_POOL, budget};
use crate::tuning::{Scale, max_pods};
use std::time::Duration;

/// Average number of seconds until a pod of the model is ready.
const READY: u64 = 4;

/// Plays a rollout of all pods to another image. Returns its seconds, and the maximum number of pods that were alive at
/// once.
fn rollout(replicas: u32, budget: u32, surge: Option<u32>) -> (i64, usize) {
    let mut case = Case::new(1, Beside::Nothing);
    case.world.lag = 1;
    case.spec.scale = Scale::Fixed(replicas);
    case.spec.surge = surge;
    case.spec.image = 2;
    case.spec.grace = 20;
    case.spec.reserved = 0;
    case.spec.tight = false;
    case.spec.budget = budget;
    case.retarget();
    case.run(case.world.now + 600, true).unwrap();
    case.spec.image = 4;
    case.retarget();
    let (begin, mut most) = (case.world.now, 0);
    while !case.world.runs(4) {
        assert!(case.world.now < begin + 6_000, "never ends");
        case.run(case.world.now + 1, true).unwrap();
        most = most.max(case.world.alive());
    }
    (case.world.now - begin, most)
}

#[test]
fn a_rollout_takes_about_as_long_as_the_status_says_and_never_more_pods() {
    for (replicas, connections, surge) in [
        (10, 120, Some(1)),
        (10, 71, None),
        (20, 220, Some(1)),
        (20, 120, None),
        (50, 300, Some(1)),
        (50, 300, None),
        (50, 300, Some(10)),
    ] {
        let scale = Scale::Fixed(replicas);
        let sum: Budget = budget(connections, 0, 0, scale, MIN_POOL, surge).unwrap();
        let estimate = sum.rollout(Duration::from_secs(20), Duration::from_secs(READY));
        let estimate = i64::try_from(estimate.as_secs()).unwrap();
        let (took, most) = rollout(replicas, connections, surge);
        println!(
            "{replicas} pods, {connections} connections, {} at once, pools of {}: {took} s, estimated {estimate} s, at most {most} pods",
            sum.step, sum.pool
        );
        assert!((estimate / 2..estimate * 2).contains(&took), "{took} s");
        let limit = usize::try_from(max_pods(replicas, sum.step)).unwrap();
        assert!(
            most > usize::try_from(replicas).unwrap() && most <= limit,
            "{most} pods"
        );
    }
}
