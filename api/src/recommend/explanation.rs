//! Why a category is in an answer, as JSON: the terms that its score adds up from.

use crate::scoring::{Recommendations, Scored, Term};
use serde::Serialize;
use utoipa::ToSchema;

/// Why the categories are in the answer, in the order of the answer.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "recommended": [{"category": "milk", "score": 6.69, "terms": [
        {"because": "shopping_days", "days": 7, "of": 20, "value": 4.83},
        {"because": "popularity", "share": 0.31, "value": 1.86}
    ]}],
    "explore": [{"category": "oat drinks", "score": 0.37, "terms": [
        {"because": "related", "category": "milk", "value": 0.35},
        {"because": "take_up", "share": 0.0133, "value": 0.02}
    ]}]
}))]
pub struct Explanation<'a> {
    recommended: Vec<Explained<'a>>,
    explore: Vec<Explained<'a>>,
}

/// One category.
#[derive(Serialize, ToSchema)]
struct Explained<'a> {
    /// Its name.
    category: &'a str,
    /// The sum of the terms' values. Categories are ordered by it.
    score: f64,
    /// The terms that are not zero.
    terms: Vec<ExplainedTerm<'a>>,
}

/// One term of a score.
#[derive(Serialize, ToSchema)]
struct ExplainedTerm<'a> {
    /// The meaning of the term.
    #[serde(flatten)]
    because: Because<'a>,
    /// How much it contributes to the score.
    value: f64,
}

/// The meaning of a term.
#[derive(Serialize, ToSchema)]
#[serde(tag = "because", rename_all = "snake_case")]
enum Because<'a> {
    /// Rows of `searches` with the category.
    SearchRows {
        /// Number of rows.
        rows: u32,
    },
    /// Rows of `purchase` with the category.
    PurchaseRows {
        /// Number of rows.
        rows: u32,
    },
    /// The user bought it on `days` of the `of` last shopping days.
    ShoppingDays {
        /// Shopping days with the category.
        days: u32,
        /// Shopping days.
        of: u32,
    },
    /// The user searched for it.
    SearchDays {
        /// Number of days.
        days: u32,
    },
    /// It is in this part of all users' baskets.
    Popularity {
        /// From 0 to 1.
        share: f64,
    },
    /// The user bought another category whose buyers buy this one more often, or less often if the value is negative.
    Related {
        /// The other category.
        category: &'a str,
    },
    /// This part of the users has recently begun to buy it.
    TakeUp {
        /// From 0 to 1.
        share: f64,
    },
    /// The user bought it before, not recently.
    BoughtBefore {
        /// Number of days.
        days: u32,
    },
}

impl<'a> Explanation<'a> {
    /// Explains `recommendations`.
    #[must_use]
    pub fn of(recommendations: &Recommendations<'a>) -> Self {
        let explained = |scored: &[Scored<'a>]| scored.iter().map(Explained::of).collect();
        Self {
            recommended: explained(&recommendations.recommended),
            explore: explained(&recommendations.explore),
        }
    }
}

impl<'a> Explained<'a> {
    fn of(scored: &Scored<'a>) -> Self {
        let terms = scored.terms().into_iter();
        Self {
            category: scored.category(),
            score: scored.total(),
            terms: terms
                .map(|(term, value)| ExplainedTerm {
                    because: term.into(),
                    value,
                })
                .collect(),
        }
    }
}

impl<'a> From<Term<'a>> for Because<'a> {
    fn from(term: Term<'a>) -> Self {
        match term {
            Term::SearchRows(rows) => Self::SearchRows { rows },
            Term::PurchaseRows(rows) => Self::PurchaseRows { rows },
            Term::ShoppingDays { days, of } => Self::ShoppingDays { days, of },
            Term::SearchDays(days) => Self::SearchDays { days },
            Term::Popularity(share) => Self::Popularity { share },
            Term::Related(category) => Self::Related { category },
            Term::TakeUp(share) => Self::TakeUp { share },
            Term::BoughtBefore(days) => Self::BoughtBefore { days },
        }
    }
}
