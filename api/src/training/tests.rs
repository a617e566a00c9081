use super::{Builder, Dataset, Error, train};
use crate::model::Day;
use crate::trained::TrainedModel;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

/// A purchase: user, day, category.
type Row = (i64, i32, Option<&'static str>);

const AS_OF: Day = Day(1000);

fn seconds(day: i32) -> i64 {
    i64::from(day) * 86_400
}

fn dataset(rows: &[Row]) -> Dataset {
    let mut builder = Builder::new(1000);
    for &(user, day, category) in rows {
        builder.purchase(user, Some(seconds(day)), category);
    }
    builder.finish()
}

fn model(rows: &[Row]) -> TrainedModel {
    train(&dataset(rows), AS_OF, 7).unwrap()
}

#[track_caller]
fn assert_close(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-6, "{left} is not {right}");
}

#[test]
fn a_share_counts_all_baskets_of_sixty_days_including_those_without_a_category() {
    let model = model(&[
        (1, 999, Some("a")),
        (1, 999, Some("a")),
        (1, 999, Some("b")),
        (1, 950, Some("a")),
        (2, 999, None),
        (2, 940, Some("b")),
        (2, 939, Some("c")),
        (2, 1000, Some("a")),
        (3, 1000, Some("d")),
    ]);
    let shares: Vec<_> = model
        .categories()
        .iter()
        .map(|category| (&*category.name, category.share))
        .collect();
    assert_eq!(shares, [("a", 0.5), ("b", 0.5), ("c", 0.0)]);
    assert_eq!((model.users(), model.rows()), (2, 7));
    assert_eq!((model.as_of(), model.created()), (AS_OF, 7));
}

#[test]
fn folded_categories_have_the_most_frequent_form_in_any_order_of_rows() {
    let mut rows: Vec<Row> = vec![
        (1, 999, Some("Books")),
        (1, 998, Some(" books")),
        (2, 999, Some("books ")),
        (2, 998, Some("BOOKS")),
        (2, 997, Some("Toys")),
        (3, 999, Some("toys")),
        (3, 998, Some("  ")),
        (3, 997, None),
    ];
    for _ in 0..rows.len() {
        rows.rotate_left(1);
        let mut folded = Builder::new(1000).folding(true);
        let mut before = Builder::new(1000);
        for &(user, day, category) in &rows {
            folded.purchase(user, Some(seconds(day)), category);
            let form = category.map(|name| match crate::folding::key(name).as_str() {
                "books" => "books",
                "toys" => "Toys",
                _ => "",
            });
            before.purchase(user, Some(seconds(day)), form);
        }
        let folded = train(&folded.finish(), AS_OF, 7).unwrap();
        let before = train(&before.finish(), AS_OF, 7).unwrap();
        assert_eq!(folded.document(), before.document());
    }
}

#[test]
fn take_up_is_the_part_of_active_users_who_began_shrunk_to_the_mean() {
    let model = model(&[
        (1, 970, Some("a")),
        (1, 999, Some("b")),
        (1, 969, Some("a")),
        (2, 999, Some("a")),
        (2, 909, Some("a")),
        // Not active in the last 30 days.
        (3, 969, Some("b")),
    ]);
    // Of two active users, one had a and the other began it; both could begin b, and one did: the mean is 2/3.
    let take_up = |name: &str| model.categories()[model.position(name).unwrap() as usize].take_up;
    assert_close(take_up("a"), (1.0 + 20.0 * 2.0 / 3.0) / (1.0 + 20.0));
    assert_close(take_up("b"), (1.0 + 20.0 * 2.0 / 3.0) / (2.0 + 20.0));
}

#[test]
fn without_active_users_nothing_is_taken_up() {
    assert!(
        model(&[(1, 500, Some("a"))]).categories()[0]
            .take_up
            .abs()
            .total_cmp(&0.0)
            .is_eq()
    );
}

#[test]
fn related_weights_equal_those_of_ease_over_all_time() {
    let model = model(&[
        (1, 10, Some("a")),
        (1, 999, Some("b")),
        (1, 999, Some("b")),
        (2, 500, Some("a")),
        (2, 1000, Some("b")),
    ]);
    // X'X + 500 I = [[502, 1], [1, 501]], and its inverse is [[501, -1], [-1, 502]] / 251501.
    let weight = |from: &str, to: &str| {
        let from = &model.categories()[model.position(from).unwrap() as usize];
        let to = model.position(to).unwrap();
        let (_, weight) = from.related.iter().find(|(other, _)| *other == to).unwrap();
        f64::from(*weight)
    };
    assert_close(weight("a", "b"), 1.0 / 502.0);
    assert_close(weight("b", "a"), 1.0 / 501.0);
}

#[test]
fn rows_without_a_valid_date_count_only_in_figures_over_all_time() {
    let mut builder = Builder::new(10);
    builder.purchase(1, None, Some("a"));
    builder.purchase(1, Some(-5), Some("b"));
    builder.purchase(1, Some(seconds(3_652_425)), Some("c"));
    builder.purchase(1, Some(seconds(999)), Some("d"));
    let data = builder.finish();
    assert_eq!(data.newest_day(), Some(Day(999)));
    let model = train(&data, AS_OF, 7).unwrap();
    assert_eq!(model.categories().len(), 4);
    let share = |name: &str| model.categories()[model.position(name).unwrap() as usize].share;
    assert_close(share("d"), 1.0);
    assert_close(share("a"), 0.0);
    let related = &model.categories()[model.position("a").unwrap() as usize].related;
    assert_eq!(related.len(), 3);
}

#[test]
fn without_a_purchase_of_a_category_there_is_no_model() {
    let mut builder = Builder::new(10);
    builder.search(1, Some(seconds(5)), Some("a"));
    builder.purchase(1, Some(seconds(5)), None);
    builder.purchase(1, Some(seconds(1000)), Some("a"));
    let error = train(&builder.finish(), AS_OF, 7).unwrap_err();
    assert!(matches!(error, Error::NoPurchases));
}

#[test]
fn a_history_has_the_newest_rows_before_a_day_in_the_order_of_the_stores() {
    let mut builder = Builder::new(100);
    builder.purchase(1, None, Some("undated"));
    builder.purchase(1, Some(seconds(9) + 1), Some("earlier"));
    builder.purchase(1, Some(seconds(9) + 2), Some("a"));
    builder.purchase(1, Some(seconds(9) + 2), None);
    builder.purchase(1, Some(seconds(9) + 2), Some("b"));
    builder.purchase(1, Some(seconds(10)), Some("too new"));
    builder.purchase(2, Some(seconds(9)), Some("of another"));
    builder.search(1, Some(seconds(8)), Some("searched"));
    builder.search(1, Some(seconds(8)), Some(""));
    let data = builder.finish();
    let user = data.user(data.find(1).unwrap());
    let history = data.history(user, Day(10), 100);
    let rows: Vec<_> = history.purchases.with_days().collect();
    let day = Some(Day(9));
    let newest = [("b", day), ("a", day), ("earlier", day), ("undated", None)];
    assert_eq!(rows, newest);
    assert_eq!((history.purchases.rows(), history.searches.rows()), (5, 2));
    let searched: Vec<_> = history.searches.with_days().collect();
    assert_eq!(searched, [("searched", Some(Day(8)))]);
    let short = data.history(user, Day(10), 3);
    assert_eq!(short.purchases.iter().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(data.find(3), None);
}

#[test]
fn too_many_rows_are_reduced_by_half_of_the_users_until_they_fit() {
    let sample = |max_rows| {
        let mut builder = Builder::new(max_rows);
        for user in 0..4000 {
            builder.purchase(user, Some(seconds(5)), Some("a"));
            builder.search(user, Some(seconds(5)), Some("a"));
        }
        builder.finish()
    };
    let (all, half) = (sample(8000), sample(7999));
    assert_eq!((all.users(), all.rows()), (4000, 8000));
    assert_close(all.sampled_share(), 1.0);
    assert_close(half.sampled_share(), 0.5);
    assert_eq!(half.rows(), 2 * half.users());
    assert!((1800..2200).contains(&half.users()), "{}", half.users());
    let few = sample(300);
    assert!(few.rows() <= 300 && few.rows() > 0, "{}", few.rows());
    // A smaller sample is a part of a greater one.
    assert!(few.ids().all(|user| half.find(user).is_some()));
}

#[test]
fn a_sample_of_no_users_terminates() {
    let mut builder = Builder::new(0);
    builder.purchase(1, None, None);
    assert_eq!(builder.finish().users(), 0);
}

fn any_rows() -> impl Strategy<Value = Vec<(i64, i32, Option<String>)>> {
    let row = (0..40_i64, 880..1010, proptest::option::of("[a-h]"));
    proptest::collection::vec(row, 1..300)
}

proptest! {
    #[test]
    fn the_order_of_rows_does_not_matter(rows in any_rows(), seed in 0_u64..100) {
        let build = |rows: &[(i64, i32, Option<String>)]| {
            let mut builder = Builder::new(100);
            for (user, day, category) in rows {
                builder.purchase(*user, Some(seconds(*day)), category.as_deref());
            }
            builder.finish()
        };
        let mut shuffled = rows.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let (data, other) = (build(&rows), build(&shuffled));
        prop_assert!(data.rows() <= 100);
        prop_assert_eq!((data.users(), data.rows()), (other.users(), other.rows()));
        let document = |data| train(data, AS_OF, 7).ok().map(|model| model.document());
        prop_assert_eq!(document(&data), document(&other));
    }
}
