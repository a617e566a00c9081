//! Compares a new model with the current one, before the new one is published.

use super::interval::{Figure, Interval, OfUser, figure};
use super::ndcg::ndcg;
use super::target::{TARGET_DAYS, bought, newest_cut_off};
use crate::model::Day;
use crate::scoring::{MAX_RECOMMENDED, next_basket};
use crate::trained::TrainedModel;
use crate::training::Dataset;
use reckon_contract::tuning::{Algorithm, Recommendation};

/// Maximum number of users that are compared. With more users, the interval would be smaller than any relevant
/// difference.
const MAX_USERS: usize = 20_000;

/// Two models on the same users and days. If `difference` is below zero as a whole, the new one is worse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// NDCG@10 of the new model.
    pub new: Figure,
    /// NDCG@10 of the current model.
    pub old: Figure,
    /// New minus old, by user.
    pub difference: Interval,
    /// Number of users compared.
    pub users: u64,
}

/// NDCG@10 of `nextBasket` with both models for the newest 14 days of the data: the ranking from each user's rows
/// before these days is compared with the user's purchases in them. None if no user has both.
///
/// A model that was trained on these days has an advantage over a model that was not. The purpose of the comparison is
/// to detect damage, such as a model of a half-empty table.
#[must_use]
pub fn gate(
    data: &Dataset,
    candidate: &TrainedModel,
    in_force: &TrainedModel,
    settings: &Recommendation,
) -> Option<Compared> {
    let from = newest_cut_off(data)?;
    let until = Day(from.0 + TARGET_DAYS);
    let length = settings.history_length_of(Algorithm::NextBasket) as usize;
    let (mut new, mut old, mut difference) = (Vec::new(), Vec::new(), Vec::new());
    // Ids are in order: every n-th user is a sample that does not depend on when anything was bought.
    for position in (0..data.len()).step_by(data.len().div_ceil(MAX_USERS).max(1)) {
        let rows = data.user(position);
        let bought = bought(data, rows, from, until);
        let history = data.history(rows, from, length);
        if bought.is_empty() || history.is_empty() {
            continue;
        }
        let measure = |model| {
            let settings = &settings.next_basket;
            let ranking = next_basket::rank(
                &history,
                Some(model),
                settings,
                MAX_RECOMMENDED,
                |_: &str| false,
            );
            let recommended = ranking.scores.iter().map(|score| score.category);
            ndcg(recommended, &bought, MAX_RECOMMENDED)
        };
        let values = (measure(candidate), measure(in_force));
        new.push(once(values.0));
        old.push(once(values.1));
        difference.push(once(values.0 - values.1));
    }
    let new = figure(&new)?;
    Some(Compared {
        new,
        old: figure(&old)?,
        difference: figure(&difference)?.interval,
        users: new.values,
    })
}

fn once(value: f64) -> OfUser {
    OfUser {
        sum: value,
        values: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::gate;
    use crate::model::Day;
    use crate::trained::{Category, TrainedModel};
    use crate::training::{Builder, Dataset};
    use reckon_contract::tuning::Recommendation;

    /// Each user buys "rare" once, and later "popular".
    fn data(users: i64) -> Dataset {
        let mut builder = Builder::new(10_000);
        for user in 0..users {
            builder.purchase(user, Some(900 * 86_400), Some("rare"));
            builder.purchase(user, Some(990 * 86_400), Some("popular"));
        }
        builder.finish()
    }

    fn model(shares: &[(&str, f64)]) -> TrainedModel {
        let category = |(name, share): &(&str, f64)| Category {
            name: (*name).into(),
            share: *share,
            take_up: 0.0,
            related: Vec::new(),
        };
        let categories = shares.iter().map(category).collect();
        TrainedModel::new(7, Day(1000), (1, 1), categories).unwrap()
    }

    #[test]
    fn a_model_that_lost_the_popular_categories_is_worse_and_the_same_one_is_not() {
        let good = model(&[("popular", 0.9), ("rare", 0.1)]);
        let damaged = model(&[("rare", 0.1)]);
        let settings = Recommendation::default();
        let compared = gate(&data(200), &damaged, &good, &settings).unwrap();
        assert!(compared.difference.high < 0.0, "{compared:?}");
        assert!((compared.old.mean - 1.0).abs() < 1e-12);
        assert_eq!(compared.users, 200);
        let same = gate(&data(200), &good, &good, &settings).unwrap();
        assert!(same.difference.low >= 0.0 && same.difference.high <= 0.0);
    }

    #[test]
    fn without_users_who_bought_before_and_after_there_is_no_comparison() {
        let model = model(&[("popular", 0.9)]);
        let mut builder = Builder::new(10);
        builder.purchase(1, Some(900 * 86_400), Some("rare"));
        builder.purchase(2, Some(990 * 86_400), Some("popular"));
        let data = builder.finish();
        let settings = Recommendation::default();
        assert_eq!(gate(&data, &model, &model, &settings), None);
        assert_eq!(
            gate(&Builder::new(1).finish(), &model, &model, &settings),
            None
        );
    }
}
