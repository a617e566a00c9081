//! Compares the answers that both algorithms would have given at a cut-off with the users' purchases in the next 14
//! days.

use super::interval::{OfUser, figure};
use super::ndcg::ndcg;
use super::target::{TARGET_DAYS, bought, categories};
use crate::model::Day;
use crate::scoring::{
    MAX_EXPLORED, MAX_RECOMMENDED, Recommendations, Scored, Selection, recommend,
};
use crate::trained::{Figures, ListQuality, Quality, TrainedModel};
use crate::training::{Dataset, UserRows, newer, older};
use foldhash::HashSet;
use reckon_contract::tuning::{Algorithm, Recommendation};

/// Maximum number of users that are evaluated.
const MAX_USERS: usize = 20_000;
/// With fewer users, the figures are too inaccurate to judge a model.
pub const MIN_USERS: u64 = 50;

/// The figures of `model` at `cut_off`; none with fewer than [`MIN_USERS`] users. The model must not be trained on rows from the
/// cut-off on.
///
/// Evaluated users have rows before the cut-off and purchases in the 14 days from it on. The lists are those that [`recommend`]
/// returns for the number of rows that each algorithm uses. The lists to explore are compared with the new categories: the user
/// bought them, had not bought them in the `notBoughtDays` before, and `NextBasket` does not recommend them. So both algorithms
/// are compared with the same purchases.
#[must_use]
pub fn quality(
    data: &Dataset,
    model: &TrainedModel,
    cut_off: Day,
    settings: &Recommendation,
) -> Option<Quality> {
    let mut evaluated = Evaluated::default();
    // Ids are in order: every n-th user is a sample that does not depend on when anything was bought.
    for position in (0..data.len()).step_by(data.len().div_ceil(MAX_USERS).max(1)) {
        evaluated.add(data, data.user(position), model, cut_off, settings);
    }
    let Evaluated { bought, lists } = evaluated;
    let [
        [classic, classic_explore],
        [next_basket, next_basket_explore],
    ] = lists;
    Some(Quality {
        cut_off,
        recommended: compared(&classic, &next_basket, &bought)?,
        explore: compared(&classic_explore, &next_basket_explore, &bought),
    })
}

fn compared(classic: &Tally, next_basket: &Tally, bought: &HashSet<&str>) -> Option<ListQuality> {
    let users = classic.ndcg.len() as u64;
    (users >= MIN_USERS).then_some(())?;
    Some(ListQuality {
        users,
        classic: classic.figures(bought)?,
        next_basket: next_basket.figures(bought)?,
    })
}

/// The users so far.
#[derive(Default)]
struct Evaluated<'a> {
    /// Categories that were bought in the 14 days.
    bought: HashSet<&'a str>,
    /// For `Classic` and for `NextBasket`: the recommended list, and the list to explore.
    lists: [[Tally; 2]; 2],
}

/// One list of one algorithm.
#[derive(Default)]
struct Tally {
    ndcg: Vec<OfUser>,
    hits: u64,
    shown: HashSet<String>,
}

impl<'a> Evaluated<'a> {
    fn add(
        &mut self,
        data: &'a Dataset,
        user: UserRows<'a>,
        model: &TrainedModel,
        cut_off: Day,
        settings: &Recommendation,
    ) {
        let bought = bought(data, user, cut_off, Day(cut_off.0 + TARGET_DAYS));
        let has_rows = [user.purchases, user.searches].map(|rows| !older(rows, cut_off).is_empty());
        if bought.is_empty() || has_rows == [false, false] {
            return;
        }
        let answers = [Algorithm::Classic, Algorithm::NextBasket].map(|algorithm| {
            let settings = Recommendation {
                algorithm,
                ..settings.clone()
            };
            let history = data.history(user, cut_off, settings.history_length() as usize);
            let answer = recommend(&history, Some(model), &settings, &Selection::default());
            lists(&answer)
        });
        let since = Day(cut_off
            .0
            .saturating_sub(days(settings.explore.not_bought_days)));
        let known = categories(data, newer(older(user.purchases, cut_off), since));
        let [_, [recommended, _]] = &answers;
        let is_new =
            |name: &&str| !known.contains(name) && !recommended.iter().any(|other| other == name);
        let new: HashSet<&str> = bought.iter().copied().filter(is_new).collect();
        for (tallies, [recommended, explore]) in self.lists.iter_mut().zip(answers) {
            tallies[0].add(recommended, &bought, MAX_RECOMMENDED);
            tallies[1].add(explore, &new, MAX_EXPLORED);
        }
        self.bought.extend(bought);
    }
}

impl Tally {
    /// Adds a user's list and purchases. If the user bought nothing, only the list counts (for the coverage).
    fn add(&mut self, list: Vec<String>, bought: &HashSet<&str>, length: usize) {
        if !bought.is_empty() {
            let mut value = OfUser::default();
            value.add(ndcg(list.iter().map(String::as_str), bought, length));
            self.ndcg.push(value);
            self.hits += u64::from(list.iter().any(|name| bought.contains(name.as_str())));
        }
        self.shown.extend(list);
    }

    /// The figures; `bought` are all categories that were bought. None without users.
    fn figures(&self, bought: &HashSet<&str>) -> Option<Figures> {
        let ndcg = figure(&self.ndcg)?;
        let shown = bought.iter().filter(|name| self.shown.contains(**name));
        Some(Figures {
            ndcg: ndcg.mean,
            ndcg_half_width: (ndcg.interval.high - ndcg.interval.low) / 2.0,
            hit_rate: part(self.hits, self.ndcg.len()),
            coverage: part(shown.count() as u64, bought.len()),
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of users and of categories"
)]
fn part(count: u64, of: usize) -> f64 {
    count as f64 / of as f64
}

fn lists(answer: &Recommendations<'_>) -> [Vec<String>; 2] {
    [&answer.recommended, &answer.explore].map(|list| {
        let names = list.iter().map(Scored::category);
        names.map(str::to_owned).collect()
    })
}

fn days(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{MIN_USERS, quality};
    use crate::model::Day;
    use crate::trained::{Category, Quality, TrainedModel};
    use crate::training::{Builder, Dataset};
    use reckon_contract::tuning::{Algorithm, Experiment, Recommendation};

    const CUT_OFF: Day = Day(1000);

    const DAY: i64 = 86_400;

    /// Each user has bought "own" on many days and "other" once. Then every user buys "own", and half of the users
    /// "new".
    fn data(users: i64) -> Dataset {
        let mut builder = Builder::new(100_000);
        for user in 0..users {
            for day in [900, 910, 999] {
                builder.purchase(user, Some(day * DAY), Some("own"));
            }
            builder.purchase(user, Some(950 * DAY), Some("other"));
            builder.purchase(user, Some(1000 * DAY), Some("own"));
            if user % 2 == 0 {
                builder.purchase(user, Some(1013 * DAY), Some("new"));
            }
            // A purchase after the 14 days, which does not count.
            builder.purchase(user, Some(1014 * DAY), Some("late"));
        }
        builder.finish()
    }

    fn model() -> TrainedModel {
        let category = |name: &str, take_up| Category {
            name: name.into(),
            share: 0.0,
            take_up,
            related: Vec::new(),
        };
        let categories = vec![category("new", 0.5), category("own", 0.0)];
        TrainedModel::new(7, CUT_OFF, (1, 1), categories).unwrap()
    }

    fn measured(users: i64, settings: &Recommendation) -> Option<Quality> {
        quality(&data(users), &model(), CUT_OFF, settings)
    }

    #[test]
    fn the_figures_equal_a_manual_calculation() {
        let users = i64::try_from(2 * MIN_USERS).unwrap();
        let measured = measured(users, &Recommendation::default()).unwrap();
        let close =
            |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{measured:?}");
        assert_eq!(measured.cut_off, CUT_OFF);
        let list = &measured.recommended;
        assert_eq!(list.users, 2 * MIN_USERS);
        // "own" is first in both lists. For a user who also buys "new", a second hit was possible.
        let half = 1.0 / (1.0 + 1.0 / 3_f64.log2());
        for (_, figures) in list.algorithms() {
            close(figures.ndcg, f64::midpoint(1.0, half));
            close(figures.hit_rate, 1.0);
            close(figures.coverage, 0.5);
            assert!(figures.ndcg_half_width > 0.01 && figures.ndcg_half_width < 0.1);
        }
        // For users who buy "new": NextBasket recommends it, and Classic recommends "other".
        let explore = measured.explore.unwrap();
        assert_eq!(explore.users, MIN_USERS);
        close(explore.next_basket.ndcg, 1.0);
        close(explore.next_basket.hit_rate, 1.0);
        close(explore.next_basket.coverage, 0.5);
        close(
            explore.classic.ndcg + explore.classic.hit_rate + explore.classic.coverage,
            0.0,
        );
    }

    #[test]
    fn neither_the_algorithm_that_is_served_nor_an_experiment_changes_the_figures() {
        let expected = measured(60, &Recommendation::default());
        for (algorithm, other) in [
            (Algorithm::Classic, Algorithm::NextBasket),
            (Algorithm::NextBasket, Algorithm::Classic),
        ] {
            let settings = Recommendation {
                algorithm,
                experiment: Some(Experiment {
                    name: "one".to_owned(),
                    algorithm: other,
                    percent: 50,
                }),
                ..Recommendation::default()
            };
            assert_eq!(measured(60, &settings), expected);
        }
    }

    #[test]
    fn too_few_users_have_no_figures() {
        let few = i64::try_from(MIN_USERS).unwrap() - 1;
        let settings = Recommendation::default();
        assert_eq!(measured(few, &settings), None);
        // Half of the users buy something new.
        assert_eq!(measured(few + 1, &settings).unwrap().explore, None);
    }
}
