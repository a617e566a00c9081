//! The figures of all policies over several cut-offs.

use super::cut_off::{CutOff, Values};
use super::interval::{Figure, OfUser, figure};
use super::measure::{List, Measure, Policy};
use super::target::TARGET_DAYS;
use crate::model::Day;
use crate::training::{self, Dataset, threads::in_threads};
use reckon_contract::tuning::Recommendation;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum number of users that are measured.
const MAX_USERS: usize = 20_000;
/// Number of cut-offs, if none are given.
const CUT_OFFS: i32 = 10;

/// The figure of one measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The measured quantity.
    pub measure: Measure,
    /// The mean over users and cut-offs: each user gives one value for each cut-off.
    pub figure: Figure,
}

/// All figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    rows: Vec<Row>,
}

impl Results {
    /// The figure of a measure, if there was a user to measure.
    #[must_use]
    pub fn get(&self, list: List, policy: Policy, length: u32) -> Option<&Row> {
        let measure = Measure {
            list,
            policy,
            length,
        };
        self.rows.iter().find(|row| row.measure == measure)
    }

    /// All, ordered by list, policy and length.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

/// At most ten cut-offs in the newer half of the data, 14 days apart, oldest first; the newest is 14 days before the end.
#[must_use]
pub fn spread(oldest: Day, newest: Day) -> Vec<Day> {
    let last = newest.0 + 1 - TARGET_DAYS;
    let first = i32::midpoint(oldest.0, newest.0);
    let days = (0..CUT_OFFS).map(|back| Day(last - back * TARGET_DAYS));
    let mut days: Vec<Day> = days.filter(|day| day.0 > first).collect();
    days.reverse();
    days
}

/// Measures all policies at each cut-off, on all cores. After each cut-off, `done` is called with the number of users
/// that could be measured.
///
/// # Errors
/// There are no rows to train on before a cut-off.
pub fn evaluate(
    data: &Dataset,
    cut_offs: &[Day],
    settings: &Recommendation,
    done: impl Fn(Day, usize) + Sync,
) -> Result<Results, training::Error> {
    let next = AtomicUsize::new(0);
    let measured = Mutex::new(BTreeMap::new());
    let step = data.len().div_ceil(MAX_USERS).max(1);
    let outcomes = in_threads(|| {
        while let Some(&day) = cut_offs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let cut_off = CutOff::new(data, day, settings)?;
            let mut values = Values::new();
            for position in (0..data.len()).step_by(step) {
                cut_off.measure(position, &mut values);
            }
            done(day, values.values().map(Vec::len).max().unwrap_or(0));
            if let Ok(mut measured) = measured.lock() {
                measured.insert(day, values);
            }
        }
        Ok(())
    });
    outcomes.into_iter().collect::<Result<(), _>>()?;
    let measured = measured.into_inner().unwrap_or_default();
    Ok(summarize(measured.into_values(), data.len()))
}

fn summarize(cut_offs: impl Iterator<Item = Values>, users: usize) -> Results {
    let mut all = Values::new();
    for values in cut_offs {
        for (measure, values) in values {
            all.entry(measure).or_default().extend(values);
        }
    }
    let rows = all.into_iter().filter_map(|(measure, values)| {
        let mut by_user = vec![OfUser::default(); users];
        for &(user, value) in &values {
            by_user[user].add(value);
        }
        let figure = figure(&by_user)?;
        Some(Row { measure, figure })
    });
    Results {
        rows: rows.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{evaluate, spread};
    use crate::evaluation::{List, Policy};
    use crate::model::Day;
    use crate::training::{Builder, Error};
    use reckon_contract::tuning::Recommendation;
    use std::sync::Mutex;

    #[test]
    fn cut_offs_are_in_the_newer_half_and_leave_fourteen_days() {
        let days = spread(Day(1), Day(366));
        assert_eq!(days.len(), 10);
        assert_eq!((days[0], days[9]), (Day(353 - 9 * 14), Day(353)));
        assert_eq!(spread(Day(100), Day(129)), [Day(116)]);
        assert_eq!(spread(Day(100), Day(110)), []);
    }

    #[test]
    fn users_who_always_buy_the_same_are_predicted_by_their_days_and_not_by_popularity() {
        let mut builder = Builder::new(10_000);
        for user in 0..20 {
            for day in 0..8 {
                let own = format!("own {user}");
                let time = Some((900 + 7 * day) * 86_400);
                builder.purchase(user, time, Some(&own));
                builder.purchase(user, time, Some(&own));
                builder.search(user, time, Some("searched"));
            }
        }
        let data = builder.finish();
        let reported = Mutex::new(Vec::new());
        let settings = Recommendation::default();
        let results = evaluate(&data, &[Day(935), Day(928)], &settings, |day, users| {
            reported.lock().unwrap().push((day, users));
        });
        let results = results.unwrap();
        let mean = |policy, length| {
            let row = results.get(List::Basket, policy, length).unwrap();
            assert_eq!(row.figure.values, 40);
            row.figure.mean
        };
        assert!((mean(Policy::RowCounts, 100) - 1.0).abs() < 1e-9);
        assert!((mean(Policy::OwnDays, 500) - 1.0).abs() < 1e-9);
        assert!((mean(Policy::NextBasket, 1000) - 1.0).abs() < 1e-9);
        // Ten of twenty categories.
        assert!(mean(Policy::Popularity, 0) < 0.5);
        let mut reported = reported.into_inner().unwrap();
        reported.sort_unstable();
        assert_eq!(reported, [(Day(928), 20), (Day(935), 20)]);
        // All categories are recommended, so nothing new was bought.
        assert_eq!(results.get(List::NotBought, Policy::NextBasket, 500), None);
    }

    #[test]
    fn a_new_category_is_found_through_the_users_who_bought_both() {
        let mut builder = Builder::new(100_000);
        let common = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        for user in 0..400 {
            for category in common {
                builder.purchase(user, Some(900 * 86_400), Some(category));
            }
            // Equally many users bought strings and a stove, but no user who bought a tent bought strings.
            let is_camper = user % 2 == 0;
            if is_camper {
                builder.purchase(user, Some(700 * 86_400), Some("tent"));
            }
            if user < 200 {
                let other = if is_camper { "stove" } else { "strings" };
                builder.purchase(user, Some(650 * 86_400), Some(other));
            } else if is_camper {
                builder.purchase(user, Some(910 * 86_400), Some("stove"));
            }
        }
        let data = builder.finish();
        let settings = Recommendation::default();
        let results = evaluate(&data, &[Day(905)], &settings, |_, _| {}).unwrap();
        let found = results.get(List::NeverBought, Policy::NextBasket, 500);
        assert_eq!(found.unwrap().figure.values, 100);
        assert!((found.unwrap().figure.mean - 1.0).abs() < 1e-9);
        let popular = results.get(List::NeverBought, Policy::Popularity, 0);
        assert!(popular.unwrap().figure.mean < 0.1);
    }

    #[test]
    fn a_cut_off_without_earlier_rows_is_an_error() {
        let mut builder = Builder::new(10);
        builder.purchase(1, Some(900 * 86_400), Some("a"));
        let data = builder.finish();
        let settings = Recommendation::default();
        let error = evaluate(&data, &[Day(10)], &settings, |_, _| {}).unwrap_err();
        assert!(matches!(error, Error::NoPurchases));
    }
}
