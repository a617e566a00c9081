use super::{Score, rank};
use crate::model::{Categories, Day, History};
use crate::scoring::tests::model;
use proptest::prelude::{Strategy, prop_assert, proptest};
use reckon_contract::tuning::{NextBasket, PerDay};

fn bought(rows: &[(&str, i32)]) -> Categories {
    rows.iter()
        .map(|&(name, day)| (Some(name), Some(Day(day))))
        .collect()
}

fn purchases(rows: &[(&str, i32)]) -> History {
    History {
        searches: Categories::default(),
        purchases: bought(rows),
    }
}

fn score<'a>(history: &'a History, category: &str) -> Score<'a> {
    let settings = NextBasket::default();
    let ranking = rank(history, None, &settings, 100, |_| false);
    ranking
        .scores
        .into_iter()
        .find(|score| score.category == category)
        .unwrap()
}

#[track_caller]
fn assert_close(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-12, "{left} is not {right}");
}

#[test]
fn the_weight_of_a_shopping_day_depends_on_the_number_of_newer_ones_and_not_on_its_age() {
    let history = purchases(&[("toys", 900), ("books", 500), ("toys", 2), ("music", 1)]);
    assert_close(score(&history, "toys").total(), 1.0 + 0.95 * 0.95);
    assert_close(score(&history, "books").total(), 0.95);
    assert_close(score(&history, "music").total(), 0.95_f64.powi(3));
    assert_eq!(score(&history, "toys").days, 2);
}

#[test]
fn several_rows_of_a_day_count_once_or_by_their_logarithm() {
    let history = purchases(&[("toys", 5), ("toys", 5), ("toys", 5)]);
    assert_close(score(&history, "toys").total(), 1.0);
    let settings = NextBasket {
        per_day: PerDay::Log,
        ..NextBasket::default()
    };
    let ranking = rank(&history, None, &settings, 1, |_| false);
    assert_close(ranking.scores[0].total(), 2.0);
    assert_eq!(ranking.shopping_days, 1);
}

#[test]
fn rows_without_a_valid_date_are_one_oldest_shopping_day() {
    let rows = [("toys", None), ("books", Some(Day(3))), ("music", None)];
    let history = History {
        searches: Categories::default(),
        purchases: rows
            .map(|(name, day)| (Some(name), day))
            .into_iter()
            .collect(),
    };
    assert_close(score(&history, "books").total(), 1.0);
    assert_close(score(&history, "toys").total(), 0.95);
    assert_close(score(&history, "music").total(), 0.95);
}

#[test]
fn a_search_counts_half_after_a_week_before_the_newest_row() {
    let history = History {
        searches: bought(&[("toys", 100), ("toys", 93), ("books", 107)]),
        purchases: bought(&[("music", 107)]),
    };
    assert_close(score(&history, "books").total(), 1.0);
    assert_close(score(&history, "toys").total(), 0.5 + 0.25);
    assert_eq!(score(&history, "toys").search_days, 2);
}

#[test]
fn popularity_counts_as_some_shopping_days_and_adds_categories_of_others() {
    let model = model(&[0.5, 0.25, 0.125], &[]);
    let history = purchases(&[("b", 7)]);
    let settings = NextBasket::default();
    let ranking = rank(&history, Some(&model), &settings, 10, |_| false);
    let scores: Vec<(&str, f64)> = ranking
        .scores
        .iter()
        .map(|score| (score.category, score.total()))
        .collect();
    assert_eq!(scores, [("a", 3.0), ("b", 2.5), ("c", 0.75)]);
    let best = rank(&history, Some(&model), &settings, 1, |name| name == "a");
    assert_eq!(best.scores[0].category, "b");
    let without_prior = NextBasket {
        prior_days: 0.0,
        ..NextBasket::default()
    };
    let own = rank(&history, Some(&model), &without_prior, 10, |_| false);
    assert_eq!(own.scores.len(), 1, "a score of zero is not recommended");
}

#[test]
fn equal_scores_go_by_name() {
    let history = purchases(&[("b", 1), ("a", 1), ("B", 1), ("\u{e4}", 1)]);
    let ranking = rank(&history, None, &NextBasket::default(), 10, |_| false);
    let names: Vec<&str> = ranking.scores.iter().map(|score| score.category).collect();
    assert_eq!(names, ["B", "a", "b", "\u{e4}"]);
}

fn any_rows() -> impl Strategy<Value = Vec<(&'static str, i32)>> {
    let name = proptest::sample::select(vec!["a", "b", "c", "d", "e"]);
    proptest::collection::vec((name, 0..60), 0..80)
}

proptest! {
    #[test]
    fn a_further_day_never_lowers_its_category(rows in any_rows(), day in 0..100) {
        let before = purchases(&rows);
        let more: Vec<_> = rows.iter().copied().chain([("a", day)]).collect();
        let after = purchases(&more);
        let total = |history: &History| {
            let ranking = rank(history, None, &NextBasket::default(), 100, |_| false);
            ranking.scores.iter().find(|score| score.category == "a").map_or(0.0, Score::total)
        };
        prop_assert!(total(&after) >= total(&before) - 1e-9);
    }

    #[test]
    fn a_smaller_limit_gives_the_beginning_of_the_ranking(rows in any_rows(), limit in 1..8_usize) {
        let model = model(&[0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.04], &[]);
        let history = purchases(&rows);
        let settings = NextBasket::default();
        let all = rank(&history, Some(&model), &settings, 100, |_| false);
        let some = rank(&history, Some(&model), &settings, limit, |_| false);
        prop_assert!(some.scores[..] == all.scores[..limit.min(all.scores.len())]);
    }
}
