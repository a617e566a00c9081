//! All policies at one cut-off, through the functions that also serve requests.

use super::baseline::{by_rows, by_users};
use super::measure::{List, Measure, Policy};
use super::ndcg::ndcg;
use super::target::{TARGET_DAYS, bought, categories};
use crate::model::{Day, History};
use crate::scoring::{MAX_EXPLORED, MAX_RECOMMENDED, classic, explore, next_basket};
use crate::trained::TrainedModel;
use crate::training::{self, Dataset, UserRows, newer, older, train};
use foldhash::HashSet;
use reckon_contract::tuning::{Algorithm, Explore, NextBasket, Recommendation};
use std::collections::BTreeMap;

/// Numbers of newest rows that are compared.
pub const LENGTHS: [u32; 3] = [100, 500, 1000];
/// Number of rows of `Classic`, unless it is set otherwise.
const CLASSIC_LENGTH: u32 = 100;
/// Users with at most this many rows count as cold.
const COLD_ROWS: usize = 30;

/// Values by measure, with the position of the user.
pub(super) type Values = BTreeMap<Measure, Vec<(usize, f64)>>;

/// One cut-off.
pub(super) struct CutOff<'a> {
    data: &'a Dataset,
    day: Day,
    settings: &'a Recommendation,
    model: TrainedModel,
    most_users: Vec<&'a str>,
    explore_length: u32,
}

impl<'a> CutOff<'a> {
    /// Trains a model on the days before `day`.
    pub(super) fn new(
        data: &'a Dataset,
        day: Day,
        settings: &'a Recommendation,
    ) -> Result<Self, training::Error> {
        Ok(Self {
            data,
            day,
            settings,
            model: train(data, day, 0)?,
            most_users: by_users(data, day),
            explore_length: settings.history_length_of(Algorithm::NextBasket),
        })
    }

    /// Measures every policy for the user at `position`, if there is a row before the cut-off and a purchase after it.
    pub(super) fn measure(&self, position: usize, values: &mut Values) {
        let user = self.data.user(position);
        let until = Day(self.day.0 + TARGET_DAYS);
        let bought = bought(self.data, user, self.day, until);
        let (purchases, searches) = (
            older(user.purchases, self.day),
            older(user.searches, self.day),
        );
        let rows = purchases.len() + searches.len();
        if bought.is_empty() || rows == 0 {
            return;
        }
        let mut add = |list, policy, length, value| {
            let measure = Measure {
                list,
                policy,
                length,
            };
            values.entry(measure).or_default().push((position, value));
        };
        let basket = self.basket(user, &bought);
        for &(policy, length, value) in &basket {
            add(List::Basket, policy, length, value);
            let is_compared = matches!(policy, Policy::Classic | Policy::NextBasket);
            if rows <= COLD_ROWS && is_compared && length == LENGTHS[0] {
                add(List::Cold, policy, length, value);
            }
        }
        for (list, policy, length, value) in self.explored(user, &bought) {
            add(list, policy, length, value);
        }
    }

    fn basket(&self, user: UserRows<'_>, bought: &HashSet<&str>) -> Vec<(Policy, u32, f64)> {
        let value = |names: Vec<&str>| ndcg(names, bought, MAX_RECOMMENDED);
        let settings = &self.settings.next_basket;
        let days = NextBasket {
            decay: 1.0,
            search_weight: 0.0,
            ..settings.clone()
        };
        let nothing = History::default();
        let popular = value(next(&nothing, Some(&self.model), settings));
        let mut values = vec![(Policy::Popularity, 0, popular)];
        let mut classic_short = 0.0;
        for length in LENGTHS {
            let history = self.data.history(user, self.day, length as usize);
            let classic = value(names(&classic(&history).recommended));
            let next_basket = value(next(&history, Some(&self.model), settings));
            if length == CLASSIC_LENGTH {
                classic_short = classic;
            }
            values.extend([
                (Policy::Classic, length, classic),
                (Policy::RowCounts, length, value(by_rows(&history))),
                (
                    Policy::DayCounts,
                    length,
                    value(next(&history, None, &days)),
                ),
                (
                    Policy::OwnDays,
                    length,
                    value(next(&history, None, settings)),
                ),
                (Policy::NextBasket, length, next_basket),
                (Policy::Gain, length, next_basket - classic_short),
            ]);
        }
        values
    }

    fn explored(
        &self,
        user: UserRows<'_>,
        bought: &HashSet<&str>,
    ) -> Vec<(List, Policy, u32, f64)> {
        let length = self.explore_length;
        let all = older(user.purchases, self.day);
        let read = &all[..all.len().min(length as usize)];
        let history = self.data.history(user, self.day, length as usize);
        let short = self.data.history(user, self.day, CLASSIC_LENGTH as usize);
        let classic = names(&classic(&short).explore);
        let recommended = next(&history, Some(&self.model), &self.settings.next_basket);
        let recommended: HashSet<&str> = recommended.into_iter().collect();
        let since = Day(self.day.0 - days(&self.settings.explore));
        let newest = categories(self.data, &all[..all.len().min(LENGTHS[0] as usize)]);
        let is_recent = |row: &&training::Entry| row.day().is_none_or(|day| day >= since);
        let recent = read.iter().filter(is_recent);
        let recent = recent.filter_map(|row| self.data.name(*row)).collect();
        // All rows decide which categories are new. The rows that a policy reads decide which categories it leaves out.
        let lists = [
            (
                List::NotBought,
                categories(self.data, newer(all, since)),
                recent,
            ),
            (
                List::NeverBought,
                categories(self.data, all),
                categories(self.data, read),
            ),
            (List::NotInNewest100, newest.clone(), newest),
        ];
        let mut values = Vec::new();
        for (list, old, known) in lists {
            let is_new = |name: &&&str| !recommended.contains(**name) && !old.contains(**name);
            let wanted: HashSet<&str> = bought.iter().filter(is_new).copied().collect();
            if wanted.is_empty() {
                continue;
            }
            let is_excluded = |name: &str| recommended.contains(name) || known.contains(name);
            let popular = self.most_users.iter().filter(|name| !is_excluded(name));
            let popular: Vec<&str> = popular.copied().take(MAX_EXPLORED).collect();
            let settings = Explore {
                not_bought_days: match list {
                    List::NotInNewest100 => 0,
                    _ => self.settings.explore.not_bought_days,
                },
                ..self.settings.explore.clone()
            };
            let scores = explore::rank(&history, &self.model, &settings, MAX_EXPLORED, is_excluded);
            let related = scores.iter().map(|score| score.category).collect();
            for (policy, length, names) in [
                (Policy::Popularity, 0, popular),
                (Policy::Classic, CLASSIC_LENGTH, classic.clone()),
                (Policy::NextBasket, length, related),
            ] {
                values.push((list, policy, length, ndcg(names, &wanted, MAX_EXPLORED)));
            }
        }
        values
    }
}

fn next<'a>(
    history: &'a History,
    model: Option<&'a TrainedModel>,
    settings: &NextBasket,
) -> Vec<&'a str> {
    let ranking = next_basket::rank(history, model, settings, MAX_RECOMMENDED, |_: &str| false);
    ranking.scores.iter().map(|score| score.category).collect()
}

fn classic(history: &History) -> classic::Ranking<'_> {
    classic::rank(history, (MAX_RECOMMENDED, MAX_EXPLORED), |_: &str| false)
}

fn names<'a>(scores: &[classic::Score<'a>]) -> Vec<&'a str> {
    scores.iter().map(|score| score.category).collect()
}

fn days(settings: &Explore) -> i32 {
    i32::try_from(settings.not_bought_days).unwrap_or(i32::MAX)
}
