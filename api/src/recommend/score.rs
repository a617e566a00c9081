//! What to recommend: a pure function of a user's history.

use crate::model::{Categories, History};
use foldhash::{HashMap, HashMapExt};
use std::cmp::Reverse;

/// Maximum number of categories in [`Recommendations::recommended`].
const MOST_RECOMMENDED: usize = 10;
/// Maximum number of categories in [`Recommendations::explore`].
const MOST_EXPLORED: usize = 5;
/// Number of rows in one table from which on a category is recommended.
const ESTABLISHED: u32 = 2;

/// A weight in tenths, so that sums are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenths(pub u32);

impl From<Tenths> for f64 {
    fn from(tenths: Tenths) -> Self {
        Self::from(tenths.0) / 10.0
    }
}

/// What is shown to one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recommendations<'a> {
    /// Weight of the user's searches.
    pub search_weight: Tenths,
    /// Weight of the user's purchases.
    pub purchase_weight: Tenths,
    /// Categories that occur at least twice among the searches or twice among the purchases, best first.
    pub recommended: Vec<&'a str>,
    /// The user's other categories, including those that exceed the maximum of `recommended`, best first.
    pub explore: Vec<&'a str>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    searches: u32,
    purchases: u32,
}

impl Count {
    fn score(self) -> u32 {
        self.searches + 3 * self.purchases
    }

    fn is_established(self) -> bool {
        self.searches >= ESTABLISHED || self.purchases >= ESTABLISHED
    }
}

/// The `classic` algorithm of the service that Reckon replaces.
///
/// With n searches that have a category, u of them distinct, and m purchases, v distinct:
/// search weight `(20(n-u)+u)/10`, purchase weight `(30(m-v)+v)/10`, score of a category = its searches + 3 times its
/// purchases; order by score, highest first, then by name (bytes).
#[must_use]
pub fn classic(history: &History) -> Recommendations<'_> {
    let mut counts: HashMap<&str, Count> = HashMap::new();
    for category in history.searches.iter() {
        counts.entry(category).or_default().searches += 1;
    }
    for category in history.purchases.iter() {
        counts.entry(category).or_default().purchases += 1;
    }
    let distinct = |of: fn(&Count) -> u32| tally(counts.values().filter(|count| of(count) > 0));
    let search_weight = weight(&history.searches, distinct(|count| count.searches), 20);
    let purchase_weight = weight(&history.purchases, distinct(|count| count.purchases), 30);

    let mut ranked: Vec<(&str, Count)> = counts.into_iter().collect();
    ranked.sort_unstable_by_key(|&(category, count)| (Reverse(count.score()), category));
    // Established categories beyond the maximum are explored like the others.
    let (recommended, explore) = ranked.iter().fold(
        (Vec::new(), Vec::new()),
        |(mut recommended, mut explore), &(category, count)| {
            if count.is_established() && recommended.len() < MOST_RECOMMENDED {
                recommended.push(category);
            } else if explore.len() < MOST_EXPLORED {
                explore.push(category);
            }
            (recommended, explore)
        },
    );
    Recommendations {
        search_weight,
        purchase_weight,
        recommended,
        explore,
    }
}

fn weight(categories: &Categories, distinct: u32, repeat: u32) -> Tenths {
    Tenths(repeat * (tally(categories.iter()) - distinct) + distinct)
}

fn tally<T>(items: impl Iterator<Item = T>) -> u32 {
    items.fold(0, |count, _| count + 1)
}

#[cfg(test)]
mod tests {
    use super::{Tenths, classic};
    use crate::model::{Categories, History};
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

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
        assert_eq!(answer.search_weight, Tenths(81));
        assert_eq!(answer.purchase_weight, Tenths(61));
        assert_eq!(answer.recommended, ["books", "electronics"]);
        assert!(answer.explore.is_empty());
    }

    #[test]
    fn a_purchase_counts_as_much_as_three_searches() {
        let history = History {
            searches: categories(&[&["toys"; 7][..], &["music"; 5]].concat()),
            purchases: categories(&["books"; 2]),
        };
        assert_eq!(classic(&history).recommended, ["toys", "books", "music"]);
    }

    #[test]
    fn ten_categories_are_recommended_and_five_of_the_others_explored() {
        let established = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let history = History {
            searches: categories(&[&established[..], &established, &["m", "n", "o", "p"]].concat()),
            purchases: Categories::default(),
        };
        let answer = classic(&history);
        assert_eq!(answer.recommended, established[..10]);
        assert_eq!(answer.explore, ["k", "l", "m", "n", "o"]);
    }

    #[test]
    fn one_search_and_one_purchase_of_a_category_do_not_establish_it() {
        let history = History {
            searches: categories(&["toys", "books", "books"]),
            purchases: categories(&["toys"]),
        };
        let answer = classic(&history);
        assert_eq!(answer.recommended, ["books"]);
        assert_eq!(answer.explore, ["toys"]);
    }

    #[test]
    fn ties_go_by_bytes() {
        let history = History {
            searches: categories(&["b", "a", "B", "\u{e4}"]),
            purchases: Categories::default(),
        };
        assert_eq!(classic(&history).explore, ["B", "a", "b", "\u{e4}"]);
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
            prop_assert!(answer.recommended.iter().all(|category| !answer.explore.contains(category)));
        }
    }
}
