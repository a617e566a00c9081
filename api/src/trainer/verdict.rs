//! Decides whether a new model may replace the current one.

use crate::evaluation::{Compared, MIN_USERS, gate};
use crate::trained::TrainedModel;
use crate::training::Dataset;
use reckon_contract::tuning::Recommendation;

/// A smaller loss of NDCG@10 is no reason to reject a model. With many users the interval is so narrow (±0.0002 with
/// 20,000 users) that it excludes zero even for irrelevant differences. A model that is five months old loses 0.0006, a
/// model without popularity 0.012 (`docs/recommendations.md`). On the other hand, if a model is rejected, a day of data
/// is not used.
pub const MARGIN: f64 = 0.002;

/// Whether a new model may replace the current one.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// There is no current model.
    Nothing,
    /// No comparison was wanted.
    Skipped,
    /// Too few users to compare the models.
    Unknown,
    /// The new one is not worse.
    Good(Compared),
    /// The new one is significantly worse: by more than [`MARGIN`].
    Worse(Compared),
}

/// Compares a new model with the current one on the newest 14 days.
#[must_use]
pub fn judge(
    data: &Dataset,
    candidate: &TrainedModel,
    in_force: Option<&TrainedModel>,
    settings: &Recommendation,
) -> Verdict {
    let Some(in_force) = in_force else {
        return Verdict::Nothing;
    };
    of(gate(data, candidate, in_force, settings))
}

fn of(compared: Option<Compared>) -> Verdict {
    match compared.filter(|compared| compared.users >= MIN_USERS) {
        None => Verdict::Unknown,
        Some(compared) if compared.difference.high < -MARGIN => Verdict::Worse(compared),
        Some(compared) => Verdict::Good(compared),
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, of};
    use crate::evaluation::{Compared, Figure, Interval, MIN_USERS};

    fn compared(low: f64, high: f64, users: u64) -> Compared {
        let figure = |mean| Figure {
            mean,
            values: users,
            interval: Interval {
                low: mean - 0.01,
                high: mean + 0.01,
            },
        };
        Compared {
            new: figure(0.5),
            old: figure(0.5 - f64::midpoint(low, high)),
            difference: Interval { low, high },
            users,
        }
    }

    #[test]
    fn only_a_difference_beyond_chance_and_the_margin_is_worse() {
        for (low, high, is_worse) in [
            (-0.02, -0.01, true),
            (-0.0025, -0.0021, true),
            (-0.0025, -0.0019, false),
            (-0.0005, -0.0001, false),
            (-0.02, 0.0, false),
            (-0.02, 0.01, false),
            (0.01, 0.02, false),
        ] {
            let verdict = of(Some(compared(low, high, MIN_USERS)));
            assert_eq!(
                matches!(verdict, Verdict::Worse(_)),
                is_worse,
                "{low} {high}"
            );
            assert_eq!(
                matches!(verdict, Verdict::Good(_)),
                !is_worse,
                "{low} {high}"
            );
        }
        let few = of(Some(compared(-0.02, -0.01, MIN_USERS - 1)));
        assert_eq!((few, of(None)), (Verdict::Unknown, Verdict::Unknown));
    }
}
