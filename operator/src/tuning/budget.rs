//! The size of a pod's connection pool.

mod enforced;
mod sum;

pub use enforced::{enforced, surge};
pub use sum::{Budget, Enforced, MAX_POOL, MIN_POOL, MIN_POOL_WITH_EVENTS};

use super::{MAX_STEP, Scale, max_pods};

/// Why there is no budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not even the minimum number of replicas fits.
    #[error(
        "{min} replicas need {needed} connections ({each} x ({min} + 2) + {reserved} reserved{}), and the budget is {connections}",
        for_training(*training, " + ")
    )]
    TooSmall {
        /// Minimum number of replicas.
        min: u32,
        /// Connections that they need.
        needed: u32,
        /// How many of these connections are reserved.
        reserved: u32,
        /// How many of these connections are for the training.
        training: u32,
        /// The minimum number of connections of each pod.
        each: u32,
        /// The budget.
        connections: u32,
    },
}

/// The term of the training in a sum, after `sign`; empty without one.
#[must_use]
pub fn for_training(connections: u32, sign: &str) -> String {
    match connections {
        0 => String::new(),
        _ => format!("{sign}{connections} for training"),
    }
}

/// The greatest pools for `scale` within `connections`, of which `reserved` and `training` are not for pods. Each pod
/// needs at least `each` connections. A rollout replaces `surge` pods at once, or fewer if otherwise a pod would have
/// less than `each` connections. If `surge` is not set, the rollout replaces as many pods at once as possible without
/// making the pools smaller: the pools are rounded down, and the rest has room for further pods.
///
/// # Errors
/// Not even the minimum number of replicas fits.
pub fn budget(
    connections: u32,
    reserved: u32,
    training: u32,
    scale: Scale,
    each: u32,
    surge: Option<u32>,
) -> Result<Budget, Error> {
    let allowance = connections
        .saturating_sub(reserved)
        .saturating_sub(training);
    // The maximum number of pods that get the minimum pool.
    let fitting = (allowance / each).saturating_sub(max_pods(0, 1));
    if fitting < scale.min() {
        return Err(Error::TooSmall {
            min: scale.min(),
            needed: max_pods(scale.min(), 1)
                .saturating_mul(each)
                .saturating_add(reserved)
                .saturating_add(training),
            reserved,
            training,
            each,
            connections,
        });
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
    // The greatest step with which every pod gets `of` connections.
    let step = |of: u32, limit: u32| {
        let spare = (allowance / of).saturating_sub(replicas) / 2;
        spare.min(limit).min(replicas).clamp(1, MAX_STEP)
    };
    let step = match surge {
        Some(surge) => step(each, surge),
        None => step(
            (allowance / max_pods(replicas, 1)).clamp(1, MAX_POOL),
            MAX_STEP,
        ),
    };
    let max_pods = max_pods(replicas, step);
    Ok(Budget {
        connections,
        reserved,
        training,
        scale,
        clamped_from: (asked > scale.max()).then_some(asked),
        step,
        max_pods,
        each,
        pool: (allowance / max_pods).min(MAX_POOL),
        enforced: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const AUTO: Scale = Scale::Auto { min: 2, max: 10 };

    #[test]
    fn pods_that_store_events_need_one_connection_more() {
        let least = MIN_POOL_WITH_EVENTS;
        let sum = budget(15, 3, 0, AUTO, least, None).unwrap();
        assert_eq!(
            (sum.scale.max(), sum.clamped_from, sum.pool),
            (2, Some(10), 3)
        );
        let error = budget(14, 3, 0, AUTO, least, None).unwrap_err().to_string();
        assert!(
            error.starts_with("2 replicas need 15 connections (3 x (2 + 2) + 3 reserved)"),
            "{error}"
        );
    }

    #[test]
    fn a_pool_is_the_share_of_each_of_all_existing_pods() {
        let sum = budget(150, 3, 0, AUTO, MIN_POOL, None).unwrap();
        assert_eq!(
            (sum.scale, sum.clamped_from, sum.max_pods, sum.pool),
            (AUTO, None, 12, 12)
        );
        let fixed = budget(30, 3, 0, Scale::Fixed(1), MIN_POOL, None).unwrap();
        assert_eq!((fixed.max_pods, fixed.pool), (3, 9));
        assert_eq!(
            budget(u32::MAX, 0, 0, Scale::Fixed(1), MIN_POOL, None)
                .unwrap()
                .pool,
            MAX_POOL
        );
    }

    #[test]
    fn a_maximum_that_does_not_fit_is_lowered_but_not_below_the_minimum() {
        let sum = budget(23, 3, 0, AUTO, MIN_POOL, None).unwrap();
        assert_eq!(
            (sum.scale, sum.clamped_from),
            (Scale::Auto { min: 2, max: 8 }, Some(10))
        );
        assert_eq!((sum.max_pods, sum.pool), (10, 2));
        let least = budget(11, 3, 0, AUTO, MIN_POOL, None).unwrap();
        assert_eq!(
            (least.scale, least.pool),
            (Scale::Auto { min: 2, max: 2 }, 2)
        );
    }

    #[test]
    fn a_budget_too_small_for_the_minimum_is_rejected_with_the_numbers() {
        let error = budget(10, 3, 0, AUTO, MIN_POOL, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 replicas need 11 connections (2 x (2 + 2) + 3 reserved), and the budget is 10"
        );
        let error = budget(11, 3, 1, AUTO, MIN_POOL, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 replicas need 12 connections (2 x (2 + 2) + 3 reserved + 1 for training), and the budget is 11"
        );
        for (connections, reserved, scale) in [
            (3, 10, AUTO),
            (0, 0, Scale::Fixed(1)),
            (40, 0, Scale::Fixed(u32::MAX)),
        ] {
            assert!(budget(connections, reserved, 0, scale, MIN_POOL, None).is_err());
        }
    }

    #[test]
    fn every_sum_keeps_within_the_budget() {
        for connections in 0..400 {
            for (reserved, training) in [(0, 0), (3, 0), (50, 0), (0, 1), (3, 1)] {
                for scale in [AUTO, Scale::Fixed(7), Scale::Auto { min: 1, max: 90 }] {
                    let Ok(sum) = budget(connections, reserved, training, scale, MIN_POOL, None)
                    else {
                        let least = MIN_POOL * max_pods(scale.min(), 1);
                        assert!(connections < reserved + training + least);
                        continue;
                    };
                    assert!(sum.max_pods * sum.pool + reserved + training <= connections);
                    assert!(
                        sum.pool >= MIN_POOL
                            && sum.scale.max() <= scale.max()
                            && sum.scale.min() == scale.min()
                    );
                }
            }
        }
    }

    #[test]
    fn a_rollout_takes_its_time_for_each_step() {
        for (surge, minutes) in [(1, 25), (5, 5), (7, 4)] {
            let sum = budget(1000, 0, 0, Scale::Fixed(50), MIN_POOL, Some(surge)).unwrap();
            assert_eq!(
                sum.rollout(Duration::from_secs(20), Duration::ZERO),
                Duration::from_mins(minutes)
            );
        }
    }

    #[test]
    fn by_default_as_many_pods_are_replaced_at_once_as_cost_no_connection() {
        for (connections, replicas, pool, step) in [
            (300, 50, 5, 5),
            (303, 50, 5, 5),
            (150, 10, 12, 1),
            (60, 2, 15, 1),
            (71, 10, 5, 2),
            (400_000, 2, MAX_POOL, 2),
            (1000, 1, 333, 1),
        ] {
            let sum = budget(connections, 0, 0, Scale::Fixed(replicas), MIN_POOL, None).unwrap();
            assert_eq!((sum.pool, sum.step), (pool, step), "{connections}");
        }
        for connections in 6..2_000 {
            for replicas in [1, 2, 7, 50, 100] {
                let scale = Scale::Fixed(replicas);
                let Ok(sum) = budget(connections, 0, 0, scale, MIN_POOL, None) else {
                    continue;
                };
                let one = budget(connections, 0, 0, scale, MIN_POOL, Some(1)).unwrap();
                assert_eq!((sum.pool, one.step), (one.pool, 1));
                assert!((1..=MAX_STEP).contains(&sum.step) && sum.step <= replicas);
            }
        }
    }

    #[test]
    fn a_requested_surge_costs_connections_and_is_lowered_before_a_pod_gets_too_few() {
        for (surge, pool, step) in [(1, 12, 1), (2, 10, 2), (10, 4, 10), (50, 4, 10)] {
            let sum = budget(150, 3, 0, Scale::Fixed(10), MIN_POOL, Some(surge)).unwrap();
            assert_eq!((sum.pool, sum.step), (pool, step));
            assert_eq!(sum.max_pods, 10 + 2 * step);
        }
        let least = budget(33, 3, 0, Scale::Fixed(10), MIN_POOL, Some(9)).unwrap();
        assert_eq!((least.pool, least.step), (2, 2));
    }

    #[test]
    fn the_bounds_equal_those_of_the_contract() {
        let schema =
            serde_json::to_value(schemars::schema_for!(reckon_contract::tuning::Store)).unwrap();
        let pool = &schema["properties"]["poolSize"];
        assert_eq!(
            (pool["minimum"].as_u64(), pool["maximum"].as_u64()),
            (Some(MIN_POOL.into()), Some(MAX_POOL.into()))
        );
    }
}
