//! Whether a new model may replace the one in force.

use crate::evaluation::{Compared, gate};
use crate::trained::TrainedModel;
use crate::training::Dataset;
use reckon_contract::tuning::Recommendation;

/// Fewer users than this say nothing about a model.
pub const MIN_USERS: u64 = 50;

/// Whether a new model may replace the one in force.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// There is no model in force.
    Nothing,
    /// No comparison was wanted.
    Skipped,
    /// Too few users to compare the models.
    Unknown,
    /// The new one is not worse.
    Good(Compared),
    /// The new one is worse, by more than chance explains.
    Worse(Compared),
}

/// Compares a new model with the one in force on the newest 14 days.
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
        Some(compared) if compared.difference.high < 0.0 => Verdict::Worse(compared),
        Some(compared) => Verdict::Good(compared),
    }
}

#[cfg(test)]
mod tests {
    use super::{MIN_USERS, Verdict, of};
    use crate::evaluation::{Compared, Figure, Interval};

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
    fn only_a_difference_that_chance_does_not_explain_is_worse() {
        for (low, high, is_worse) in [
            (-0.02, -0.01, true),
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
