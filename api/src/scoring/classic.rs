//! The ranking of the service that Reckon replaces, bit by bit: counts of rows.

use crate::model::History;
use foldhash::{HashMap, HashMapExt};
use std::cmp::Reverse;

/// Number of rows in one table from which on a category is recommended.
const ESTABLISHED: u32 = 2;
/// How much a purchase counts, in searches.
const PURCHASE: u32 = 3;

/// The rows of one category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score<'a> {
    /// Its name.
    pub category: &'a str,
    /// Rows of `searches`.
    pub searches: u32,
    /// Rows of `purchase`.
    pub purchases: u32,
}

impl Score<'_> {
    /// Its searches plus 3 times its purchases.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.searches + self.purchase_term()
    }

    /// 3 times its purchases.
    #[must_use]
    pub fn purchase_term(&self) -> u32 {
        PURCHASE * self.purchases
    }

    fn is_established(&self) -> bool {
        self.searches >= ESTABLISHED || self.purchases >= ESTABLISHED
    }
}

/// The categories of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking<'a> {
    /// Best first.
    pub recommended: Vec<Score<'a>>,
    /// Best first.
    pub explore: Vec<Score<'a>>,
}

/// The `classic` algorithm of the service that Reckon replaces.
///
/// The score of a category is its searches plus 3 times its purchases. The order is by score, highest first, then by name
/// (bytes). Categories with two rows in one table are recommended, at most `limits.0` of them. The others are explored, at
/// most `limits.1` of them.
#[must_use]
pub fn rank(
    history: &History,
    limits: (usize, usize),
    excluded: impl Fn(&str) -> bool,
) -> Ranking<'_> {
    let mut ranking = Ranking::default();
    for score in all(history) {
        if excluded(score.category) {
            continue;
        }
        // Established categories beyond the maximum are explored like the others.
        if score.is_established() && ranking.recommended.len() < limits.0 {
            ranking.recommended.push(score);
        } else if ranking.explore.len() < limits.1 {
            ranking.explore.push(score);
        }
    }
    ranking
}

/// The user's categories, best first.
#[must_use]
pub fn all(history: &History) -> Vec<Score<'_>> {
    let mut scores: HashMap<&str, Score<'_>> = HashMap::new();
    for category in history.searches.iter() {
        scores.entry(category).or_insert(nothing(category)).searches += 1;
    }
    for category in history.purchases.iter() {
        scores
            .entry(category)
            .or_insert(nothing(category))
            .purchases += 1;
    }
    let mut ranked: Vec<Score<'_>> = scores.into_values().collect();
    ranked.sort_unstable_by_key(|score| (Reverse(score.total()), score.category));
    ranked
}

fn nothing(category: &str) -> Score<'_> {
    Score {
        category,
        searches: 0,
        purchases: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ranking, Score};
    use crate::model::{Categories, History};
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    fn classic(history: &History) -> Ranking<'_> {
        super::rank(history, (10, 5), |_| false)
    }

    fn names<'a>(scores: &[Score<'a>]) -> Vec<&'a str> {
        scores.iter().map(|score| score.category).collect()
    }

    fn categories(names: &[&str]) -> Categories {
        names.iter().map(|name| Some(*name)).collect()
    }

    #[test]
    fn the_example_of_the_specification() {
        let history = History {
            searches: categories(&["electronics"; 5]),
            purchases: categories(&["books"; 3]),
        };
        let answer = classic(&history);
        assert_eq!(names(&answer.recommended), ["books", "electronics"]);
        assert!(answer.explore.is_empty());
    }

    #[test]
    fn a_purchase_counts_as_much_as_three_searches() {
        let history = History {
            searches: categories(&[&["toys"; 7][..], &["music"; 5]].concat()),
            purchases: categories(&["books"; 2]),
        };
        assert_eq!(
            names(&classic(&history).recommended),
            ["toys", "books", "music"]
        );
    }

    #[test]
    fn ten_categories_are_recommended_and_five_of_the_others_explored() {
        let established = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let history = History {
            searches: categories(&[&established[..], &established, &["m", "n", "o", "p"]].concat()),
            purchases: Categories::default(),
        };
        let answer = classic(&history);
        assert_eq!(names(&answer.recommended), established[..10]);
        assert_eq!(names(&answer.explore), ["k", "l", "m", "n", "o"]);
    }

    #[test]
    fn one_search_and_one_purchase_of_a_category_do_not_establish_it() {
        let history = History {
            searches: categories(&["toys", "books", "books"]),
            purchases: categories(&["toys"]),
        };
        let answer = classic(&history);
        assert_eq!(names(&answer.recommended), ["books"]);
        assert_eq!(names(&answer.explore), ["toys"]);
    }

    #[test]
    fn ties_go_by_bytes() {
        let history = History {
            searches: categories(&["b", "a", "B", "\u{e4}"]),
            purchases: Categories::default(),
        };
        assert_eq!(names(&classic(&history).explore), ["B", "a", "b", "\u{e4}"]);
    }

    fn any_categories() -> impl Strategy<Value = Vec<Option<String>>> {
        proptest::collection::vec(proptest::option::of("[a-f]{0,1}"), 0..100)
    }

    proptest! {
        #[test]
        fn the_order_of_rows_does_not_matter(searches in any_categories(), purchases in any_categories()) {
            let column = |rows: &[Option<String>]| rows.iter().map(Option::as_deref).collect::<Categories>();
            let reversed = |rows: &[Option<String>]| rows.iter().rev().map(Option::as_deref).collect::<Categories>();
            let forward = History { searches: column(&searches), purchases: column(&purchases) };
            let backward = History { searches: reversed(&searches), purchases: reversed(&purchases) };
            let answer = classic(&forward);
            prop_assert_eq!(&answer, &classic(&backward));
            prop_assert!(names(&answer.recommended).iter().all(|name| !names(&answer.explore).contains(name)));
        }
    }
}
