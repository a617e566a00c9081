//! The next-basket ranking combines a user's own recent shopping days with the popularity among all users.
//!
//! A shopping day is a day on which the user bought something. Number the user's shopping days from the newest, j = 0. The
//! score of a category c is the sum of three terms:
//!
//! 1. the sum of `decay^j` over the shopping days on which c was bought;
//! 2. `searchWeight` times the sum of `2^(-age/halfLife)` over the days on which c was searched;
//! 3. `priorDays` times the fraction of all users' baskets that contain c; 0 without a trained model.
//!
//! With `perDay: Log`, each day counts `log2(1 + n)` times in the terms 1 and 2, where n is the number of rows with c on that
//! day.
//!
//! All purchases without a valid date count together as one extra day, older than all others. The age of a search is
//! the number of calendar days between it and the user's newest row, so no clock is involved. A search without a valid
//! date counts as old as the user's oldest search with a valid date. Held-out measurements: `docs/recommendations.md`.

use crate::model::{Categories, Day, History};
use crate::trained::TrainedModel;
use foldhash::HashMap;
use reckon_contract::tuning::{NextBasket, PerDay};
use std::cmp::Reverse;

/// The score of one category, by its terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score<'a> {
    /// Its name.
    pub category: &'a str,
    /// Number of the user's shopping days on which it was bought.
    pub days: u32,
    /// What these shopping days add to the score (term 1).
    pub bought: f64,
    /// Number of days on which it was searched.
    pub search_days: u32,
    /// What these days add to the score (term 2).
    pub searched: f64,
    /// Fraction of all users' baskets that contain the category.
    pub share: f64,
    /// What this fraction adds to the score (term 3).
    pub popularity: f64,
}

impl Score<'_> {
    /// The sum of the terms.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.bought + self.searched + self.popularity
    }
}

/// The best categories for one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking<'a> {
    /// Best first; equal scores by name. Categories with a score of zero are not in it.
    pub scores: Vec<Score<'a>>,
    /// Number of the user's shopping days.
    pub shopping_days: u32,
}

/// The `limit` best categories for a user with this history, without those in `excluded`.
#[must_use]
pub fn rank<'a>(
    history: &'a History,
    model: Option<&'a TrainedModel>,
    settings: &NextBasket,
    limit: usize,
    excluded: impl Fn(&str) -> bool,
) -> Ranking<'a> {
    let (mut scores, shopping_days) = own_scores(history, settings);
    scores.retain(|score| !excluded(score.category));
    if let Some(model) = model {
        add_popularity(&mut scores, model, settings, limit, &excluded);
    }
    scores.retain(|score| score.total() > 0.0);
    scores.sort_unstable_by(|left, right| {
        let by_score = right.total().total_cmp(&left.total());
        by_score.then_with(|| left.category.cmp(right.category))
    });
    scores.truncate(limit);
    Ranking {
        scores,
        shopping_days,
    }
}

/// The scores of the user's categories without popularity, and the number of shopping days.
fn own_scores<'a>(history: &'a History, settings: &NextBasket) -> (Vec<Score<'a>>, u32) {
    let mut own = Own::default();
    let bought = own.days(&history.purchases);
    let searched = own.days(&history.searches);
    let mut scores: Vec<Score<'_>> = own.categories.into_iter().map(nothing).collect();
    let mut shopping_days: Vec<Option<Day>> = bought.iter().map(|row| row.day).collect();
    // `None` sorts first, so it is the oldest day.
    shopping_days.sort_unstable();
    shopping_days.dedup();
    let count = shopping_days.len();
    let mut weights = Vec::with_capacity(count);
    let mut weight = 1.0;
    for _ in 0..count {
        weights.push(weight);
        weight *= settings.decay;
    }
    for row in &bought {
        let newer = shopping_days.partition_point(|day| *day <= row.day);
        let score = &mut scores[row.category];
        score.days += 1;
        score.bought += weights[count - newer] * repeated(row.rows, settings.per_day);
    }
    let newest = bought
        .iter()
        .chain(&searched)
        .filter_map(|row| row.day)
        .max();
    let oldest = searched.iter().filter_map(|row| row.day).min();
    for row in &searched {
        // A search without a valid date counts as old as the oldest search.
        let day = row.day.or(oldest);
        let age = newest.zip(day).map_or(0, |(newest, day)| newest.since(day));
        let halvings = f64::from(age) / settings.search_half_life_days;
        let score = &mut scores[row.category];
        score.search_days += 1;
        let weight = settings.search_weight * (-halvings).exp2();
        score.searched += weight * repeated(row.rows, settings.per_day);
    }
    // A history has at most 1,000 rows.
    (scores, u32::try_from(count).unwrap_or(u32::MAX))
}

/// The user's categories. Rows have positions in this list instead of names: sorting names took twice as long.
#[derive(Default)]
struct Own<'a> {
    categories: Vec<&'a str>,
    positions: HashMap<&'a str, usize>,
}

/// A category on one day.
struct DayRow {
    category: usize,
    day: Option<Day>,
    rows: u32,
}

impl<'a> Own<'a> {
    fn position(&mut self, category: &'a str) -> usize {
        *self.positions.entry(category).or_insert_with(|| {
            self.categories.push(category);
            self.categories.len() - 1
        })
    }

    /// The distinct days of each category, newest first. The order is fixed, so that floating-point sums are reproducible.
    fn days(&mut self, categories: &'a Categories) -> Vec<DayRow> {
        let rows = categories.with_days();
        let mut rows: Vec<(usize, Reverse<Option<Day>>)> = rows
            .map(|(category, day)| (self.position(category), Reverse(day)))
            .collect();
        rows.sort_unstable();
        let mut days: Vec<DayRow> = Vec::with_capacity(rows.len());
        for (category, Reverse(day)) in rows {
            match days.last_mut() {
                Some(last) if last.category == category && last.day == day => last.rows += 1,
                _ => days.push(DayRow {
                    category,
                    day,
                    rows: 1,
                }),
            }
        }
        days
    }
}

fn repeated(rows: u32, per_day: PerDay) -> f64 {
    match per_day {
        PerDay::Once => 1.0,
        PerDay::Log => f64::from(1 + rows).log2(),
    }
}

fn nothing(category: &str) -> Score<'_> {
    Score {
        category,
        days: 0,
        bought: 0.0,
        search_days: 0,
        searched: 0.0,
        share: 0.0,
        popularity: 0.0,
    }
}

/// Adds the popularity term to the user's categories, and appends the `limit` most popular categories that the user does
/// not have.
fn add_popularity<'a>(
    scores: &mut Vec<Score<'a>>,
    model: &'a TrainedModel,
    settings: &NextBasket,
    limit: usize,
    excluded: impl Fn(&str) -> bool,
) {
    let categories = model.categories();
    let mut is_own = vec![false; categories.len()];
    for score in scores.iter_mut() {
        if let Some(position) = model.position(score.category) {
            let position = position as usize;
            is_own[position] = true;
            score.share = categories[position].share;
            score.popularity = settings.prior_days * score.share;
        }
    }
    let others = categories.iter().zip(is_own).filter(|(_, is_own)| !is_own);
    let others = others.map(|(category, _)| Score {
        share: category.share,
        popularity: settings.prior_days * category.share,
        ..nothing(&category.name)
    });
    let allowed = others.filter(|score| !excluded(score.category));
    scores.extend(allowed.take(limit));
}

#[cfg(test)]
mod tests;
