use super::rank;
use crate::model::{Categories, Day, History};
use crate::scoring::tests::model;
use reckon_contract::tuning::Explore;

fn purchases(rows: &[(&str, Option<i32>)]) -> History {
    History {
        searches: Categories::default(),
        purchases: rows
            .iter()
            .map(|&(name, day)| (Some(name), day.map(Day)))
            .collect(),
    }
}

fn names<'a>(scores: &'a [super::Score<'a>]) -> Vec<&'a str> {
    scores.iter().map(|score| score.category).collect()
}

#[test]
fn categories_related_to_the_users_come_first_and_their_terms_add_up() {
    let model = model(
        &[0.5, 0.4, 0.3, 0.2],
        &[(0, 2, 0.25), (1, 2, 0.5), (0, 3, 0.125)],
    );
    let history = purchases(&[("a", Some(999)), ("b", Some(998))]);
    let scores = rank(&history, &model, &Explore::default(), 5, |_| false);
    assert_eq!(names(&scores), ["c", "d"]);
    assert_eq!(scores[0].related, [("b", 0.5), ("a", 0.25)]);
    assert!((scores[0].total() - (0.75 + 1.5 * 0.03)).abs() < 1e-9);
}

#[test]
fn what_was_bought_within_ninety_days_of_the_models_or_the_users_newest_day_is_not_explored() {
    let model = model(&[0.5, 0.4], &[]);
    let explored = |rows: &[(&str, Option<i32>)]| {
        let history = purchases(rows);
        let scores = rank(&history, &model, &Explore::default(), 5, |_| false);
        scores
            .iter()
            .map(|score| score.category.to_owned())
            .collect::<Vec<_>>()
    };
    // The model is of day 1000.
    assert_eq!(explored(&[("a", Some(910))]), ["b"]);
    assert_eq!(explored(&[("a", Some(909))]), ["a", "b"]);
    assert_eq!(explored(&[("a", Some(1020)), ("b", Some(929))]), ["b"]);
    assert_eq!(
        explored(&[("a", None)]),
        ["b"],
        "without a date it may have been yesterday"
    );
}

#[test]
fn a_category_bought_long_ago_is_preferred_by_its_days() {
    let model = model(&[0.5, 0.4], &[]);
    let history = purchases(&[("b", Some(1)), ("b", Some(1)), ("b", Some(2))]);
    let scores = rank(&history, &model, &Explore::default(), 5, |_| false);
    assert_eq!(names(&scores), ["b", "a"]);
    assert_eq!(scores[0].days, 2);
    assert!((scores[0].bought_before - 0.3 * 3.0_f64.ln()).abs() < 1e-12);
}

#[test]
fn excluded_categories_are_left_out_and_others_take_their_place() {
    let model = model(&[0.5, 0.4, 0.3], &[]);
    let nobody = History::default();
    let scores = rank(&nobody, &model, &Explore::default(), 2, |name| name == "a");
    assert_eq!(names(&scores), ["b", "c"]);
}
