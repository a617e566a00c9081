use super::{MAX_EXPLORED, MAX_RECOMMENDED, Recommendations, Scored, Selection};
use crate::model::{Categories, Day, History};
use crate::trained::{Category, TrainedModel};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, proptest};
use reckon_contract::tuning::{Algorithm, Recommendation};

fn next_basket() -> Recommendation {
    Recommendation {
        algorithm: Algorithm::NextBasket,
        ..Recommendation::default()
    }
}

fn recommend<'a>(
    history: &'a History,
    model: Option<&'a TrainedModel>,
    settings: &Recommendation,
) -> Recommendations<'a> {
    super::recommend(history, model, settings, &Selection::default())
}

/// A model of categories "a", "b", ... with these shares.
pub fn model(shares: &[f64], related: &[(u32, u32, f32)]) -> TrainedModel {
    let categories = (0..)
        .zip(b'a'..)
        .zip(shares)
        .map(|((position, name), &share)| Category {
            name: char::from(name).to_string().into(),
            share,
            take_up: share / 10.0,
            related: related
                .iter()
                .filter(|(from, ..)| *from == position)
                .map(|&(_, to, weight)| (to, weight))
                .collect(),
        });
    TrainedModel::new(1, Day(1000), (1, 1), categories.collect()).unwrap()
}

fn names<'a>(scored: &[Scored<'a>]) -> Vec<&'a str> {
    scored.iter().map(Scored::category).collect()
}

#[test]
fn a_user_without_rows_gets_the_popular_categories_in_their_order() {
    let model = model(&[0.5, 0.4, 0.3], &[]);
    let nobody = History::default();
    let popular = recommend(&nobody, Some(&model), &next_basket()).recommended;
    assert_eq!(names(&popular), ["a", "b", "c"]);
    assert!(
        recommend(&nobody, None, &next_basket())
            .recommended
            .is_empty()
    );
}

#[test]
fn without_a_model_the_users_other_categories_are_explored() {
    let categories: Vec<String> = (b'a'..=b'n')
        .map(|name| char::from(name).to_string())
        .collect();
    let history = History {
        searches: categories.iter().map(|name| Some(name.as_str())).collect(),
        purchases: Categories::default(),
    };
    let answer = recommend(&history, None, &next_basket());
    assert_eq!(names(&answer.recommended), categories[..10]);
    assert_eq!(names(&answer.explore), categories[10..]);
}

fn rows() -> impl Strategy<Value = Vec<(Option<String>, Option<Day>)>> {
    let day = proptest::option::weighted(0.9, (900..1000).prop_map(Day));
    proptest::collection::vec((proptest::option::weighted(0.9, "[a-h]"), day), 0..60)
}

fn column(rows: &[(Option<String>, Option<Day>)]) -> Categories {
    rows.iter()
        .map(|(name, day)| (name.as_deref(), *day))
        .collect()
}

proptest! {
    #[test]
    fn answers_are_deterministic_and_distinct_and_do_not_depend_on_the_order_of_rows(
        searches in rows(),
        purchases in rows(),
        algorithm in proptest::prop_oneof![Just(Algorithm::Classic), Just(Algorithm::NextBasket)],
        with_model in any::<bool>(),
    ) {
        let model = model(&[0.5, 0.4, 0.3, 0.2, 0.1], &[(0, 1, 0.5), (2, 3, 0.25)]);
        let model = with_model.then_some(&model);
        let settings = Recommendation { algorithm, ..Recommendation::default() };
        let forward = History { searches: column(&searches), purchases: column(&purchases) };
        let reversed = |rows: &[(Option<String>, Option<Day>)]| {
            let rows: Vec<_> = rows.iter().rev().cloned().collect();
            column(&rows)
        };
        let backward = History { searches: reversed(&searches), purchases: reversed(&purchases) };
        let answer = recommend(&forward, model, &settings);
        prop_assert_eq!(&answer, &recommend(&forward, model, &settings));
        prop_assert_eq!(&answer, &recommend(&backward, model, &settings));
        prop_assert!(answer.recommended.len() <= MAX_RECOMMENDED);
        prop_assert!(answer.explore.len() <= MAX_EXPLORED);
        for scored in answer.recommended.iter().chain(&answer.explore) {
            let sum: f64 = scored.terms().iter().map(|(_, value)| value).sum();
            prop_assert!((sum - scored.total()).abs() < 1e-9, "{scored:?}");
        }
        let mut all = [names(&answer.recommended), names(&answer.explore)].concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), count);
    }
}

#[test]
fn a_selection_leaves_categories_out_and_others_take_their_places() {
    let model = model(&[0.5, 0.4, 0.3, 0.2], &[]);
    let history = History {
        searches: Categories::default(),
        purchases: ["c", "c", "d", "d"]
            .into_iter()
            .map(|name| (Some(name), Some(Day(999))))
            .collect(),
    };
    let selection = Selection {
        limit: 2,
        exclude: ["a".to_owned(), "c".to_owned()].into_iter().collect(),
    };
    let chosen = |algorithm| {
        let settings = Recommendation {
            algorithm,
            ..Recommendation::default()
        };
        let answer = super::recommend(&history, Some(&model), &settings, &selection);
        (
            names(&answer.recommended).join(","),
            names(&answer.explore).join(","),
        )
    };
    assert_eq!(
        chosen(Algorithm::NextBasket),
        ("b,d".to_owned(), String::new())
    );
    assert_eq!(chosen(Algorithm::Classic), ("d".to_owned(), String::new()));
}
