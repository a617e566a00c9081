//! The size of a pod's pool if the database server limits the account: `Server` enforcement.

use super::sum::{Budget, Enforced, MAX_POOL};
use crate::tuning::Scale;

/// The extra pods of a rollout of `replicas` pods: Kubernetes's `maxSurge: 25%`, which it rounds up.
#[must_use]
pub fn surge(replicas: u32) -> u32 {
    replicas.div_ceil(4)
}

/// The greatest pools that leave enough connections for the base of every new pod of a rollout:
/// `pool = (limit - reserved - training - base x surge) / R`, rounded down.
///
/// A pod that is not ready has no traffic, so it holds no more than its base. A rollout with `maxUnavailable: 0`
/// removes old pods as long as more than R are available. So at most R pods use their whole pool, and at most `surge`
/// pods wait for their base. Both fit into the limit, so no rollout waits for connections for ever.
///
/// `connections` is the budget, and `limit` what the server allows the account. `None`: not even the minimum number of
/// replicas fits.
#[must_use]
pub fn enforced(
    connections: u32,
    limit: u32,
    reserved: u32,
    training: u32,
    scale: Scale,
    base: u32,
) -> Option<Budget> {
    let limit = limit.min(connections);
    let allowance = limit.saturating_sub(reserved).saturating_sub(training);
    // R + ceil(R / 4) <= n is the same as R <= 4 n / 5.
    let pods = u64::from(allowance / base);
    let fitting = u32::try_from(pods * 4 / 5).unwrap_or(u32::MAX);
    if fitting < scale.min() {
        return None;
    }
    let asked = scale.max();
    let scale = match scale {
        Scale::Auto { min, .. } => Scale::Auto {
            min,
            max: asked.min(fitting),
        },
        fixed @ Scale::Fixed(_) => fixed,
    };
    let replicas = scale.max();
    let surge = surge(replicas);
    Some(Budget {
        connections,
        reserved,
        training,
        scale,
        clamped_from: (asked > replicas).then_some(asked),
        step: surge,
        // All former pods may still be terminating when the last new one is created.
        max_pods: replicas.saturating_mul(2).saturating_add(surge),
        each: base,
        pool: ((allowance - base * surge) / replicas).min(MAX_POOL),
        enforced: Some(Enforced { limit, base, surge }),
    })
}

#[cfg(test)]
mod tests {
    use super::enforced;
    use crate::tuning::Scale;
    use crate::tuning::budget::{Budget, MIN_POOL, MIN_POOL_WITH_EVENTS, budget};

    /// Calls `check` with every budget of small inputs that fits.
    fn sums(mut check: impl FnMut(Budget, u32, Scale)) {
        for connections in 0..260 {
            for (reserved, training) in [(0, 0), (3, 0), (50, 0), (0, 1), (3, 1)] {
                for base in [MIN_POOL, MIN_POOL_WITH_EVENTS] {
                    for max in 1..=30 {
                        for scale in [Scale::Fixed(max), Scale::Auto { min: 1, max }] {
                            for limit in [connections / 2, connections, connections + 7] {
                                let sum =
                                    enforced(connections, limit, reserved, training, scale, base);
                                if let Some(sum) = sum {
                                    check(sum, limit, scale);
                                } else {
                                    let pods = scale.min() + scale.min().div_ceil(4);
                                    let allowed = limit.min(connections);
                                    assert!(allowed < pods * base + reserved + training);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_pod_has_its_pool_and_every_new_pod_its_base_within_limit_and_budget() {
        sums(|sum, limit, asked| {
            let terms = sum.enforced.unwrap();
            let replicas = sum.scale.max();
            let all = replicas * sum.pool + terms.surge * terms.base;
            assert!(all + sum.reserved + sum.training <= limit.min(sum.connections));
            assert_eq!(terms.surge, replicas.div_ceil(4));
            assert!(sum.pool >= terms.base && replicas <= asked.max());
            assert_eq!(sum.scale.min(), asked.min());
            assert_eq!(sum.clamped_from.is_some(), replicas < asked.max());
        });
    }

    #[test]
    fn at_least_95_percent_are_in_use_except_for_the_remainder_of_the_division() {
        let mut checked = 0;
        let mut check = |sum: Budget, _, _| {
            let replicas = sum.scale.max();
            if replicas < 10 || sum.pool < 12 || sum.each > MIN_POOL {
                return;
            }
            let allowance = sum.enforced.unwrap().limit - sum.reserved - sum.training;
            let unused = allowance - replicas * sum.pool;
            let remainder = unused - sum.enforced.unwrap().surge * sum.each;
            assert!(remainder < replicas);
            assert!((allowance - remainder) * 95 <= replicas * sum.pool * 100);
            checked += 1;
        };
        sums(&mut check);
        for replicas in 10..200 {
            for connections in (100..6000).step_by(7) {
                let scale = Scale::Fixed(replicas);
                if let Some(sum) = enforced(connections, connections, 0, 0, scale, MIN_POOL) {
                    check(sum, connections, scale);
                }
            }
        }
        assert!(checked > 10_000, "{checked}");
    }

    #[test]
    fn a_pool_is_greater_than_a_planned_one() {
        let auto = Scale::Auto { min: 2, max: 10 };
        let sum = enforced(150, 150, 3, 0, auto, MIN_POOL).unwrap();
        assert_eq!((sum.pool, sum.max_pods), (14, 23));
        assert_eq!(budget(150, 3, 0, auto, MIN_POOL, None).unwrap().pool, 12);
        // The maximum is lowered until every pod has its base.
        let small = enforced(23, 23, 3, 0, auto, MIN_POOL).unwrap();
        assert_eq!(
            (small.scale, small.clamped_from, small.pool),
            (Scale::Auto { min: 2, max: 8 }, Some(10), 2)
        );
        // A limit below the budget counts; a limit above the budget does not.
        let limited = enforced(150, 100, 3, 0, auto, MIN_POOL).unwrap();
        assert_eq!((limited.pool, limited.enforced.unwrap().limit), (9, 100));
        let above = enforced(150, 400, 3, 0, auto, MIN_POOL).unwrap();
        assert_eq!(above, sum);
    }
}
