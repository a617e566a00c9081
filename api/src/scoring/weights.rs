//! The weights of a history, as the service that Reckon replaces computes them.

use crate::model::{Categories, History};
use foldhash::{HashSet, HashSetExt};

/// A weight in tenths, so that sums are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenths(pub u32);

impl From<Tenths> for f64 {
    fn from(tenths: Tenths) -> Self {
        Self::from(tenths.0) / 10.0
    }
}

/// How much a history weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// `(20(n-u)+u)/10` of n searches with a category, u of them distinct.
    pub search: Tenths,
    /// `(30(m-v)+v)/10` of m purchases with a category, v of them distinct.
    pub purchase: Tenths,
}

impl Weights {
    /// The weights of `history`.
    #[must_use]
    pub fn of(history: &History) -> Self {
        Self {
            search: weight(&history.searches, 20),
            purchase: weight(&history.purchases, 30),
        }
    }

    /// Both together.
    #[must_use]
    pub fn sum(self) -> Tenths {
        Tenths(self.search.0 + self.purchase.0)
    }
}

fn weight(categories: &Categories, repeat: u32) -> Tenths {
    let (mut rows, mut distinct) = (0, HashSet::new());
    for category in categories.iter() {
        rows += 1;
        distinct.insert(category);
    }
    // A history has at most 1,000 rows.
    let distinct = u32::try_from(distinct.len()).unwrap_or(u32::MAX);
    Tenths(repeat * (rows - distinct) + distinct)
}

#[cfg(test)]
mod tests {
    use super::{Tenths, Weights};
    use crate::model::History;

    #[test]
    fn repeated_rows_of_a_category_weigh_more_than_the_first() {
        let history = History {
            searches: [Some("electronics"); 5].into_iter().chain([None]).collect(),
            purchases: [Some("books"); 3].into_iter().collect(),
        };
        let weights = Weights::of(&history);
        assert_eq!((weights.search, weights.purchase), (Tenths(81), Tenths(61)));
        assert_eq!(weights.sum(), Tenths(142));
    }
}
