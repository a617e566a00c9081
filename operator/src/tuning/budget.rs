//! The size of a pod's connection pool.

use super::{Scale, max_pods, pace};
use std::time::Duration;

/// Minimum connections of a pod: one for its prober, one for requests.
pub const MIN_POOL: u32 = 2;
/// The same for a pod that stores events, which has one more connection for them.
pub const MIN_POOL_WITH_EVENTS: u32 = 3;
/// Maximum connections of a pod.
pub const MAX_POOL: u32 = 10_000;

/// The budget: every term of its sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Connections that the database allows.
    pub connections: u32,
    /// How many of them are not for pods, besides those of the training.
    pub reserved: u32,
    /// How many of them are for the training.
    pub training: u32,
    /// The scale that fits: the requested one, or one with a smaller maximum.
    pub scale: Scale,
    /// The requested maximum, if it did not fit.
    pub clamped_from: Option<u32>,
    /// P: pods that may be alive at once, `scale.max() + 2`.
    pub max_pods: u32,
    /// How many connections each pod needs at least.
    pub each: u32,
    /// Connections of one pod: `(connections - reserved - training) / max_pods`, rounded down; `each` to 10,000.
    pub pool: u32,
}

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
        /// How many of them are reserved.
        reserved: u32,
        /// How many of them are for the training.
        training: u32,
        /// How many each pod needs at least.
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

/// The greatest pools for `scale` within `connections`, of which `reserved` and `training` are not for pods. Each pod needs
/// `each` connections at least.
///
/// # Errors
/// Not even the minimum number of replicas fits.
pub fn budget(
    connections: u32,
    reserved: u32,
    training: u32,
    scale: Scale,
    each: u32,
) -> Result<Budget, Error> {
    let allowance = connections
        .saturating_sub(reserved)
        .saturating_sub(training);
    // The maximum number of pods that get the minimum pool.
    let fitting = (allowance / each).saturating_sub(max_pods(0));
    if fitting < scale.min() {
        return Err(Error::TooSmall {
            min: scale.min(),
            needed: max_pods(scale.min())
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
    let max_pods = max_pods(scale.max());
    Ok(Budget {
        connections,
        reserved,
        training,
        scale,
        clamped_from: (asked > scale.max()).then_some(asked),
        max_pods,
        each,
        pool: (allowance / max_pods).min(MAX_POOL),
    })
}

impl Budget {
    /// About how long a rollout takes at the maximum number of replicas, one pod after the other, if pods have `grace`
    /// and are ready `ready` after their creation.
    #[must_use]
    pub fn rollout(&self, grace: Duration, ready: Duration) -> Duration {
        pace(grace)
            .saturating_add(ready)
            .saturating_mul(self.scale.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTO: Scale = Scale::Auto { min: 2, max: 10 };

    #[test]
    fn pods_that_store_events_need_one_connection_more() {
        let least = MIN_POOL_WITH_EVENTS;
        let sum = budget(15, 3, 0, AUTO, least).unwrap();
        assert_eq!(
            (sum.scale.max(), sum.clamped_from, sum.pool),
            (2, Some(10), 3)
        );
        let error = budget(14, 3, 0, AUTO, least).unwrap_err().to_string();
        assert!(
            error.starts_with("2 replicas need 15 connections (3 x (2 + 2) + 3 reserved)"),
            "{error}"
        );
    }

    #[test]
    fn a_pool_is_what_each_of_all_living_pods_can_have() {
        let sum = budget(150, 3, 0, AUTO, MIN_POOL).unwrap();
        assert_eq!(
            (sum.scale, sum.clamped_from, sum.max_pods, sum.pool),
            (AUTO, None, 12, 12)
        );
        let fixed = budget(30, 3, 0, Scale::Fixed(1), MIN_POOL).unwrap();
        assert_eq!((fixed.max_pods, fixed.pool), (3, 9));
        assert_eq!(
            budget(u32::MAX, 0, 0, Scale::Fixed(1), MIN_POOL)
                .unwrap()
                .pool,
            MAX_POOL
        );
    }

    #[test]
    fn a_maximum_that_does_not_fit_is_lowered_but_not_below_the_minimum() {
        let sum = budget(23, 3, 0, AUTO, MIN_POOL).unwrap();
        assert_eq!(
            (sum.scale, sum.clamped_from),
            (Scale::Auto { min: 2, max: 8 }, Some(10))
        );
        assert_eq!((sum.max_pods, sum.pool), (10, 2));
        let least = budget(11, 3, 0, AUTO, MIN_POOL).unwrap();
        assert_eq!(
            (least.scale, least.pool),
            (Scale::Auto { min: 2, max: 2 }, 2)
        );
    }

    #[test]
    fn a_budget_too_small_for_the_minimum_is_refused_with_the_numbers() {
        let error = budget(10, 3, 0, AUTO, MIN_POOL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 replicas need 11 connections (2 x (2 + 2) + 3 reserved), and the budget is 10"
        );
        let error = budget(11, 3, 1, AUTO, MIN_POOL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 replicas need 12 connections (2 x (2 + 2) + 3 reserved + 1 for training), and the budget is 11"
        );
        for (connections, reserved, scale) in [
            (3, 10, AUTO),
            (0, 0, Scale::Fixed(1)),
            (40, 0, Scale::Fixed(u32::MAX)),
        ] {
            assert!(budget(connections, reserved, 0, scale, MIN_POOL).is_err());
        }
    }

    #[test]
    fn every_sum_keeps_within_the_budget() {
        for connections in 0..400 {
            for (reserved, training) in [(0, 0), (3, 0), (50, 0), (0, 1), (3, 1)] {
                for scale in [AUTO, Scale::Fixed(7), Scale::Auto { min: 1, max: 90 }] {
                    let Ok(sum) = budget(connections, reserved, training, scale, MIN_POOL) else {
                        let least = MIN_POOL * max_pods(scale.min());
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
    fn a_rollout_takes_its_time() {
        let sum = budget(1000, 0, 0, Scale::Fixed(50), MIN_POOL).unwrap();
        assert_eq!(
            sum.rollout(Duration::from_secs(20), Duration::ZERO),
            Duration::from_mins(25)
        );
    }

    #[test]
    fn the_bounds_are_the_contracts() {
        let schema =
            serde_json::to_value(schemars::schema_for!(reckon_contract::tuning::Store)).unwrap();
        let pool = &schema["properties"]["poolSize"];
        assert_eq!(
            (pool["minimum"].as_u64(), pool["maximum"].as_u64()),
            (Some(MIN_POOL.into()), Some(MAX_POOL.into()))
        );
    }
}
