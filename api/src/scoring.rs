//! Computes recommendations: pure functions of a user's history, the trained model and the settings.

pub mod classic;
pub mod explore;
pub mod next_basket;
mod scored;
mod weights;

pub use scored::{Scored, Term};
pub use weights::{Tenths, Weights};

use crate::model::History;
use crate::trained::TrainedModel;
use foldhash::HashSet;
use reckon_contract::tuning::{Algorithm, Recommendation};

/// Number of recommended categories in an answer, unless a request chooses another.
pub const MAX_RECOMMENDED: usize = 10;
/// Maximum number of categories to explore in an answer.
pub const MAX_EXPLORED: usize = 5;

/// The lists for one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Recommendations<'a> {
    /// How much the history weighs.
    pub weights: Weights,
    /// Best first.
    pub recommended: Vec<Scored<'a>>,
    /// Other categories, best first.
    pub explore: Vec<Scored<'a>>,
}

/// Which categories an answer may contain.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Maximum number of recommended categories.
    pub limit: usize,
    /// Categories that are left out; others take their places.
    pub exclude: HashSet<String>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            limit: MAX_RECOMMENDED,
            exclude: HashSet::default(),
        }
    }
}

/// The recommendations for a user with this history. `Classic` does not use the model. `NextBasket` without a model uses the
/// user's own days alone, and explores the user's other categories as `Classic` does.
#[must_use]
pub fn recommend<'a>(
    history: &'a History,
    model: Option<&'a TrainedModel>,
    settings: &Recommendation,
    selection: &Selection,
) -> Recommendations<'a> {
    match settings.algorithm {
        Algorithm::Classic => classic(history, selection),
        Algorithm::NextBasket => next_basket(history, model, settings, selection),
    }
}

fn classic<'a>(history: &'a History, selection: &Selection) -> Recommendations<'a> {
    let limits = (selection.limit, MAX_EXPLORED);
    let is_excluded = |category: &str| selection.exclude.contains(category);
    let ranking = classic::rank(history, limits, is_excluded);
    Recommendations {
        weights: Weights::of(history),
        recommended: ranking.recommended.into_iter().map(Scored::Rows).collect(),
        explore: ranking.explore.into_iter().map(Scored::Rows).collect(),
    }
}

fn next_basket<'a>(
    history: &'a History,
    model: Option<&'a TrainedModel>,
    settings: &Recommendation,
    selection: &Selection,
) -> Recommendations<'a> {
    let is_excluded = |category: &str| selection.exclude.contains(category);
    let ranking = next_basket::rank(
        history,
        model,
        &settings.next_basket,
        selection.limit,
        is_excluded,
    );
    let recommended: HashSet<&str> = ranking.scores.iter().map(|score| score.category).collect();
    let is_taken = |category: &str| recommended.contains(category) || is_excluded(category);
    let explore = if let Some(model) = model {
        let explored = explore::rank(history, model, &settings.explore, MAX_EXPLORED, is_taken);
        explored.into_iter().map(Scored::Explore).collect()
    } else {
        let others = classic::all(history).into_iter();
        let others = others.filter(|score| !is_taken(score.category));
        others.take(MAX_EXPLORED).map(Scored::Rows).collect()
    };
    let of = ranking.shopping_days;
    let scores = ranking.scores.into_iter();
    Recommendations {
        weights: Weights::of(history),
        recommended: scores.map(|score| Scored::NextBasket(score, of)).collect(),
        explore,
    }
}

#[cfg(test)]
mod tests;
