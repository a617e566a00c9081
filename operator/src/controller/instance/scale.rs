//! The number of pods.

use super::error::Error;
use crate::crd::RecommendationServiceSpec;
use crate::tuning::Scale;

/// Pods of a resource that sets neither `replicas` nor `autoscaling`.
const DEFAULT_REPLICAS: u32 = 2;

/// How many pods the resource wants.
pub(super) fn scale(spec: &RecommendationServiceSpec) -> Result<Scale, Error> {
    let problem = |field, problem: &str| Error::Field {
        field,
        problem: problem.to_owned(),
    };
    match (spec.replicas, &spec.autoscaling) {
        (Some(_), Some(_)) => Err(problem("replicas", "must not be set beside autoscaling")),
        (Some(0), None) => Err(problem("replicas", "is 0: expected at least 1")),
        (Some(replicas), None) => Ok(Scale::Fixed(replicas)),
        (None, None) => Ok(Scale::Fixed(DEFAULT_REPLICAS)),
        (None, Some(autoscaling)) => {
            let (min, max) = (autoscaling.min_replicas, autoscaling.max_replicas);
            if min == 0 || min > max {
                return Err(problem(
                    "autoscaling.minReplicas",
                    "must be at least 1 and at most autoscaling.maxReplicas",
                ));
            }
            Ok(Scale::Auto { min, max })
        }
    }
}
