//! When something was written, by this process's own clock.
//!
//! Objects contain the time at which an operator wrote them, by the clock of its machine. That clock can differ from
//! ours by seconds. So this process uses the time at which it first observed the write. This time is later than the
//! write, so a wait from this time on is long enough.

use super::instance::Instance;
use crate::tuning::plan::{Evictions, Live, Pause, ScaleDown};
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Anything written longer ago counts as settled, whatever the difference between the two clocks.
const GREATEST_SKEW: Duration = Duration::from_mins(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Moment {
    Paused,
    ReplicasLowered,
    MaximumLowered,
    ScaleDownDisabled,
    EvictionsHeld,
}

/// A moment of a resource, by namespace and name.
type Key = (String, String, Moment);

/// When each moment was first observed.
#[derive(Debug, Default)]
pub struct Moments {
    seen: Mutex<HashMap<Key, (Timestamp, Instant)>>,
}

impl Moments {
    /// The same state, with times of this process's clock.
    #[must_use]
    pub fn own(&self, instance: &Instance, mut live: Live, now: Timestamp) -> Live {
        let own = |moment, given: &mut Timestamp| {
            let key = (instance.namespace.clone(), instance.name.clone(), moment);
            *given = self.first_seen(key, *given, now);
        };
        if let Some(deployment) = &mut live.deployment {
            if let Pause::On(Some(since)) = &mut deployment.pause {
                own(Moment::Paused, since);
            }
            if let Some(lowered) = &mut deployment.lowered {
                own(Moment::ReplicasLowered, &mut lowered.at);
            }
        }
        if let Some(hpa) = &mut live.hpa {
            if let Some(ScaleDown::Disabled { since }) = &mut hpa.scale_down {
                own(Moment::ScaleDownDisabled, since);
            }
            if let Some(lowered) = &mut hpa.lowered {
                own(Moment::MaximumLowered, &mut lowered.at);
            }
        }
        if let Some(Evictions::Held { since }) = &mut live.evictions {
            own(Moment::EvictionsHeld, since);
        }
        live
    }

    fn first_seen(&self, key: Key, given: Timestamp, now: Timestamp) -> Timestamp {
        if given + GREATEST_SKEW < now {
            return given;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, first) = seen.entry(key).or_insert((given, Instant::now()));
        if *of != given {
            (*of, *first) = (given, Instant::now());
        }
        now - first.elapsed()
    }

    /// Drops resources for which `is_there` is false.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|(namespace, name, _), _| is_there(namespace, name));
    }
}

#[cfg(test)]
mod tests {
    use super::{GREATEST_SKEW, Moments};
    use crate::controller::sample::{self, MINIMAL};
    use crate::tuning::plan::{Live, LiveHpa, ScaleDown};
    use jiff::Timestamp;
    use std::time::Duration;

    fn disabled(since: Timestamp) -> Live {
        let hpa = LiveHpa {
            min: 1,
            max: 2,
            scale_down: Some(ScaleDown::Disabled { since }),
            lowered: None,
        };
        Live {
            hpa: Some(hpa),
            ..Live::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn times_written_by_another_operator_count_from_their_first_observation() {
        let instance = sample::instance(MINIMAL);
        let now: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let since = |moments: &Moments, given, now| {
            let live = moments.own(&instance, disabled(given), now);
            match live.hpa.unwrap().scale_down {
                Some(ScaleDown::Disabled { since }) => since,
                other => panic!("{other:?}"),
            }
        };
        let second = Duration::from_secs(1);
        // The clock of the writer is behind ours, or ahead of it.
        for given in [now - 30 * second, now + 30 * second] {
            let moments = Moments::default();
            assert_eq!(since(&moments, given, now), now);
            tokio::time::advance(4 * second).await;
            assert_eq!(since(&moments, given, now + 4 * second), now);
            // The annotation was written again.
            let later = given + 2 * second;
            assert_eq!(since(&moments, later, now + 4 * second), now + 4 * second);
            moments.keep(|_, _| false);
            assert!(moments.seen.lock().unwrap().is_empty());
        }
        // Anything that old counts as settled, so a new leader does not wait for it.
        let past = now - GREATEST_SKEW - second;
        assert_eq!(since(&Moments::default(), past, now), past);
    }
}
