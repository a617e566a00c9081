use super::{fold, folded};
use crate::folding::key;
use crate::model::{Categories, Day, History};
use crate::scoring::{Selection, recommend};
use crate::trained::{Category, TrainedModel};
use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};
use reckon_contract::tuning::{Algorithm, Recommendation};
use std::collections::{BTreeMap, BTreeSet};

type Row = (Option<String>, Option<Day>);

fn history(searches: &[Row], purchases: &[Row]) -> History {
    let categories = |rows: &[Row]| {
        let rows = rows.iter();
        rows.map(|(category, day)| (category.as_deref(), *day))
            .collect::<Categories>()
    };
    History {
        searches: categories(searches),
        purchases: categories(purchases),
    }
}

fn model(names: &[&str]) -> TrainedModel {
    let categories = (0..).zip(names).map(|(place, name)| Category {
        name: (*name).into(),
        share: 0.5 - f64::from(place) / 100.0,
        take_up: 0.01,
        related: vec![((place + 1) % 3, 0.25)],
    });
    TrainedModel::new(1, Day(740_000), (3, 9), categories.collect()).unwrap()
}

fn selection(exclude: &[&str]) -> Selection {
    Selection {
        exclude: exclude.iter().map(|&name| name.to_owned()).collect(),
        ..Selection::default()
    }
}

fn names(categories: &Categories) -> Vec<&str> {
    categories.iter().collect()
}

#[test]
fn the_newest_purchase_or_else_the_newest_search_gives_the_form() {
    let row = |category: &str| (Some(category.to_owned()), None);
    let searches = [
        row("TOYS "),
        row("Toys"),
        row("BOOKS"),
        row(" \t"),
        (None, None),
    ];
    let purchases = [row(" Books"), row("books")];
    let (folded, _) = fold(&history(&searches, &purchases), &selection(&[]), None);
    assert_eq!(names(&folded.purchases), ["Books", "Books"]);
    assert_eq!(names(&folded.searches), ["TOYS", "TOYS", "Books"]);
    assert_eq!((folded.searches.rows(), folded.purchases.rows()), (5, 2));
}

#[test]
fn classic_does_not_take_the_models_form_and_next_basket_does() {
    let model = model(&["TOYS", "Books", "Cars"]);
    let own = history(&[], &[(Some("toys ".to_owned()), None)]);
    let form = |algorithm| {
        let settings = Recommendation {
            algorithm,
            fold_categories: true,
            ..Recommendation::default()
        };
        let (folded, _) = folded(&own, &selection(&[]), Some(&model), &settings).unwrap();
        names(&folded.purchases).join(", ")
    };
    assert_eq!(form(Algorithm::Classic), "toys");
    assert_eq!(form(Algorithm::NextBasket), "TOYS");
}

#[test]
fn the_models_form_wins_and_its_other_forms_are_excluded() {
    let model = model(&["books ", "Toys", "Books", "  "]);
    let row = |category: &str| (Some(category.to_owned()), None);
    let own = history(&[row("Cars")], &[row("BOOKS"), row("tOYS")]);
    let (folded, chosen) = fold(&own, &selection(&["CARS", "toys ", "tea"]), Some(&model));
    assert_eq!(names(&folded.purchases), ["books ", "Toys"]);
    let excluded: BTreeSet<&str> = chosen.exclude.iter().map(String::as_str).collect();
    assert_eq!(
        excluded,
        BTreeSet::from(["Cars", "Toys", "tea", "Books", "  "])
    );
}

fn any_form() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("books"),
        Just("Books"),
        Just("BOOKS"),
        Just("toys"),
        Just("tOYS"),
        Just("éclair"),
        Just("ÉCLAIR"),
        Just("İ"),
        Just("ΟΔΟΣ"),
        Just("x"),
        Just(""),
    ];
    ("[ \t]{0,2}", name, "[ \u{a0}]{0,2}").prop_map(|(before, name, after)| before + name + &after)
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        proptest::option::weighted(0.9, any_form()),
        proptest::option::weighted(0.9, (739_900..740_000).prop_map(Day)),
    );
    proptest::collection::vec(row, 0..40)
}

/// The rows as a statement would have folded them beforehand: it looks up each key in a table of forms.
fn updated(rows: &[Row], forms: &BTreeMap<String, String>) -> Vec<Row> {
    let update = |category: &String| forms[&key(category)].clone();
    rows.iter()
        .map(|(category, day)| (category.as_ref().map(update), *day))
        .collect()
}

proptest! {
    #[test]
    fn folding_twice_is_folding_once(searches in any_rows(), purchases in any_rows(), with_model in proptest::bool::ANY) {
        let model = with_model.then(|| model(&["BOOKS", "books", " toys"]));
        let (once, chosen) = fold(&history(&searches, &purchases), &selection(&["Books", "İ"]), model.as_ref());
        let (twice, chosen_twice) = fold(&once, &chosen, model.as_ref());
        prop_assert_eq!(&twice, &once);
        // The other forms of the model are excluded only if the form that counts was excluded before.
        if model.is_none() {
            prop_assert_eq!(chosen_twice.exclude, chosen.exclude);
        }
    }

    #[test]
    fn distinct_categories_lose_nothing_but_blanks(searches in any_rows(), purchases in any_rows()) {
        let mut by_key: BTreeMap<String, String> = BTreeMap::new();
        let mut first_of_its_key = |(category, day): &Row| {
            let category = category.as_ref()?;
            let first = by_key.entry(key(category)).or_insert(category.trim().to_owned());
            (first.as_str() == category.trim()).then(|| (Some(category.clone()), *day))
        };
        let purchases: Vec<Row> = purchases.iter().filter_map(&mut first_of_its_key).collect();
        let searches: Vec<Row> = searches.iter().filter_map(&mut first_of_its_key).collect();
        let trimmed = |rows: &[Row]| rows
            .iter()
            .map(|(category, day)| (category.as_ref().map(|text| text.trim().to_owned()), *day))
            .collect::<Vec<Row>>();
        let (folded, _) = fold(&history(&searches, &purchases), &selection(&[]), None);
        prop_assert_eq!(folded, history(&trimmed(&searches), &trimmed(&purchases)));
    }

    #[test]
    fn answers_equal_those_of_data_that_were_folded_beforehand(
        searches in any_rows(), purchases in any_rows(), with_model in proptest::bool::ANY,
        algorithm in prop_oneof![Just(Algorithm::Classic), Just(Algorithm::NextBasket)],
    ) {
        let model = with_model.then(|| model(&["Books", "toys", "ÉCLAIR"]));
        let mut forms: BTreeMap<String, String> = BTreeMap::new();
        for name in model.iter().flat_map(TrainedModel::categories) {
            forms.insert(key(&name.name), name.name.to_string());
        }
        let own = purchases.iter().chain(&searches);
        for category in own.filter_map(|(category, _)| category.as_ref()) {
            forms.entry(key(category)).or_insert(category.trim().to_owned());
        }
        let before = history(&updated(&searches, &forms), &updated(&purchases, &forms));
        let excluded = forms.get("books").cloned();
        let settings = Recommendation { algorithm, ..Recommendation::default() };
        let expected = recommend(&before, model.as_ref(), &settings, &selection(&excluded.as_slice().iter().map(String::as_str).collect::<Vec<_>>()));
        let (folded, chosen) = fold(&history(&searches, &purchases), &selection(&["bOOKS "]), model.as_ref());
        prop_assert_eq!(recommend(&folded, model.as_ref(), &settings, &chosen), expected);
    }
}
