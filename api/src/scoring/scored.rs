//! A category of an answer, and the terms of its score.

use super::{classic, explore, next_basket};

/// A category with its score, by the ranking that chose it.
#[derive(Clone, Debug, PartialEq)]
pub enum Scored<'a> {
    /// A score from the rows of each table.
    Rows(classic::Score<'a>),
    /// A score from the user's shopping days (their number is the second field), and from popularity.
    NextBasket(next_basket::Score<'a>, u32),
    /// A score from related categories.
    Explore(explore::Score<'a>),
}

/// One term of a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term<'a> {
    /// Rows of `searches`.
    SearchRows(u32),
    /// Rows of `purchase`.
    PurchaseRows(u32),
    /// Shopping days on which it was bought, of all shopping days.
    ShoppingDays {
        /// Days on which it was bought.
        days: u32,
        /// All.
        of: u32,
    },
    /// Days on which it was searched.
    SearchDays(u32),
    /// Part of all users' baskets that contain it.
    Popularity(f64),
    /// A category that the user bought, and that is related to this one.
    Related(&'a str),
    /// Part of the users who recently began to buy it.
    TakeUp(f64),
    /// Days on which the user bought it, all of them long ago.
    BoughtBefore(u32),
}

impl<'a> Scored<'a> {
    /// Its name.
    #[must_use]
    pub fn category(&self) -> &'a str {
        match self {
            Self::Rows(score) => score.category,
            Self::NextBasket(score, _) => score.category,
            Self::Explore(score) => score.category,
        }
    }

    /// The sum of the terms.
    #[must_use]
    pub fn total(&self) -> f64 {
        match self {
            Self::Rows(score) => score.total().into(),
            Self::NextBasket(score, _) => score.total(),
            Self::Explore(score) => score.total(),
        }
    }

    /// The terms that are not zero, and their values. The values add up to [`total`](Self::total).
    #[must_use]
    pub fn terms(&self) -> Vec<(Term<'a>, f64)> {
        let mut terms = match self {
            Self::Rows(score) => vec![
                (
                    Term::PurchaseRows(score.purchases),
                    score.purchase_term().into(),
                ),
                (Term::SearchRows(score.searches), score.searches.into()),
            ],
            Self::NextBasket(score, of) => {
                let days = Term::ShoppingDays {
                    days: score.days,
                    of: *of,
                };
                vec![
                    (days, score.bought),
                    (Term::SearchDays(score.search_days), score.searched),
                    (Term::Popularity(score.share), score.popularity),
                ]
            }
            Self::Explore(score) => {
                let related = score.related.iter();
                let mut terms: Vec<(Term<'_>, f64)> = related
                    .map(|&(category, weight)| (Term::Related(category), weight))
                    .collect();
                terms.push((Term::TakeUp(score.share), score.take_up));
                terms.push((Term::BoughtBefore(score.days), score.bought_before));
                terms
            }
        };
        terms.retain(|(_, value)| *value != 0.0);
        terms
    }
}
