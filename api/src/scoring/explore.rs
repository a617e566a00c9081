//! Categories to explore: neither recommended nor bought for some time, and likely to be liked.
//!
//! `score(c)` = sum of the model's weights from the user's own categories to c (EASE: Steck, "Embarrassingly Shallow
//! Autoencoders for Sparse Data", 2019) + `takeUpWeight` times the share of users who recently began to buy c
//! \+ `boughtBeforeWeight` times `ln(1 + d)` for the d days on which the user bought c before.
//! Held-out measurements: `docs/recommendations.md`.

use crate::model::{Day, History};
use crate::trained::TrainedModel;
use foldhash::{HashMap, HashMapExt};
use reckon_contract::tuning::Explore;

/// The score of one category, by its terms.
#[derive(Clone, Debug, PartialEq)]
pub struct Score<'a> {
    /// Its name.
    pub category: &'a str,
    /// The user's categories that point to it, and the term of each; greatest first, then by name.
    pub related: Vec<(&'a str, f64)>,
    /// Part of the users who recently began to buy it.
    pub share: f64,
    /// The term of this share.
    pub take_up: f64,
    /// Number of days on which the user bought it, all of them long ago.
    pub days: u32,
    /// The term of these days.
    pub bought_before: f64,
}

impl Score<'_> {
    /// The sum of the terms.
    #[must_use]
    pub fn total(&self) -> f64 {
        let related: f64 = self.related.iter().map(|(_, weight)| weight).sum();
        related + self.take_up + self.bought_before
    }
}

/// One of the user's categories.
struct Own {
    /// Distinct.
    days: Vec<Day>,
    is_recent: bool,
}

/// The `limit` best categories to explore, without those in `excluded`.
#[must_use]
pub fn rank<'a>(
    history: &'a History,
    model: &'a TrainedModel,
    settings: &Explore,
    limit: usize,
    excluded: impl Fn(&str) -> bool,
) -> Vec<Score<'a>> {
    let categories = model.categories();
    let own = own(history, model, settings);
    let mut related = vec![0.0; categories.len()];
    // In the order of positions, so that sums are always computed in the same order.
    let mut positions: Vec<u32> = own.keys().copied().collect();
    positions.sort_unstable();
    for &position in &positions {
        for &(other, weight) in &categories[position as usize].related {
            related[other as usize] += f64::from(weight);
        }
    }
    let mut candidates: Vec<(f64, u32)> = Vec::with_capacity(categories.len());
    for (position, category) in (0..).zip(categories) {
        let own = own.get(&position);
        if own.is_some_and(|own| own.is_recent) || excluded(&category.name) {
            continue;
        }
        let total = related[position as usize]
            + settings.take_up_weight * category.take_up
            + before(own, settings);
        candidates.push((total, position));
    }
    // Equal scores: the more popular one, then by name.
    candidates
        .sort_unstable_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    candidates.truncate(limit);
    let explained = candidates.into_iter().map(|(_, position)| {
        let category = &categories[position as usize];
        let own = own.get(&position);
        Score {
            category: &category.name,
            related: contributions(position, &positions, model),
            share: category.take_up,
            take_up: settings.take_up_weight * category.take_up,
            days: own.map_or(0, |own| u32::try_from(own.days.len()).unwrap_or(u32::MAX)),
            bought_before: before(own, settings),
        }
    });
    explained.collect()
}

/// The user's categories that the model has, by position.
fn own(history: &History, model: &TrainedModel, settings: &Explore) -> HashMap<u32, Own> {
    let newest = history
        .purchases
        .with_days()
        .filter_map(|(_, day)| day)
        .max();
    let reference = newest.map_or(model.as_of(), |newest| newest.max(model.as_of()));
    let mut own: HashMap<u32, Own> = HashMap::new();
    for (category, day) in history.purchases.with_days() {
        let Some(position) = model.position(category) else {
            continue;
        };
        let entry = own.entry(position).or_insert(Own {
            days: Vec::new(),
            is_recent: false,
        });
        // A purchase without a valid date may have been yesterday.
        entry.is_recent |= day.is_none_or(|day| reference.since(day) <= settings.not_bought_days);
        entry.days.extend(day);
    }
    for category in own.values_mut() {
        category.days.sort_unstable();
        category.days.dedup();
    }
    own
}

fn before(own: Option<&Own>, settings: &Explore) -> f64 {
    // A history has at most 1,000 rows: exact in an f64.
    #[expect(clippy::cast_precision_loss, reason = "at most 1,000 days")]
    let days = own.map_or(0.0, |own| own.days.len() as f64);
    settings.bought_before_weight * days.ln_1p()
}

fn contributions<'a>(to: u32, own: &[u32], model: &'a TrainedModel) -> Vec<(&'a str, f64)> {
    let categories = model.categories();
    let mut related: Vec<(&str, f64)> = own
        .iter()
        .filter_map(|&position| {
            let category = &categories[position as usize];
            let (_, weight) = category.related.iter().find(|(other, _)| *other == to)?;
            Some((&*category.name, f64::from(*weight)))
        })
        .collect();
    related.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(right.0)));
    related
}

#[cfg(test)]
mod tests;
