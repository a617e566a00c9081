//! Users whose histories follow from their ids, and their right answers by `Classic`, computed here independently from
//! the specification.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::client::Answer;
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::sql_server::{Flavour, SqlServer};

/// The database of [`database`].
pub const DATABASE: &str = "reckon";

const CATEGORIES: [&str; 12] = [
    "art", "books", "clothes", "drinks", "films", "games", "garden", "music", "shoes", "sports",
    "tools", "toys",
];

/// A server with the histories of `users`, indexed as `reckon-api migrate` does it.
pub async fn database(flavour: Flavour, users: std::ops::Range<i64>) -> SqlServer {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, DATABASE).await;
    let histories: Vec<_> = users.map(history).collect();
    insert(&server, DATABASE, &histories).await;
    server
        .execute(format!(
            "CREATE INDEX searches_reckon ON {DATABASE}.searches (id, searched_at, category); \
             CREATE INDEX purchase_reckon ON {DATABASE}.purchase (id, purchased_at, product_category)"
        ))
        .await;
    server
}

/// The history of this user: empty if the id ends in 0.
fn history(user: i64) -> History {
    let (searches, purchases) = categories(user);
    History::newest_first(user, &searches, &purchases)
}

fn categories(user: i64) -> (Vec<&'static str>, Vec<&'static str>) {
    let user = usize::try_from(user).unwrap();
    // Steps of 0, 1, 4, 9, 4, 1, 0 ...: some categories come back, some do not.
    let column = |rows: usize, offset: usize| {
        (0..rows).map(move |row| CATEGORIES[(offset + row * row) % CATEGORIES.len()])
    };
    if user.is_multiple_of(10) {
        return (Vec::new(), Vec::new());
    }
    (
        column(1 + user % 9, user * 7).collect(),
        column(user % 5, user * 5 + user / 12).collect(),
    )
}

/// The right answer for this user, with the names in the specification.
fn expected(user: i64) -> Value {
    let (searches, purchases) = categories(user);
    let times = |rows: &[&str], category: &str| rows.iter().filter(|row| **row == category).count();
    let distinct = |rows: &[&str]| rows.iter().collect::<BTreeSet<_>>().len();
    let (n, u) = (searches.len(), distinct(&searches));
    let (m, v) = (purchases.len(), distinct(&purchases));
    let (search_tenths, purchase_tenths) = (20 * (n - u) + u, 30 * (m - v) + v);
    // Highest score first, then by name.
    let mut ranked = BTreeSet::new();
    for category in searches.iter().chain(&purchases) {
        let score = times(&searches, category) + 3 * times(&purchases, category);
        ranked.insert((usize::MAX - score, *category));
    }
    let often =
        |category: &&str| times(&searches, category) >= 2 || times(&purchases, category) >= 2;
    let (recommended, explore): (Vec<&str>, Vec<&str>) = ranked
        .iter()
        .map(|(_, category)| *category)
        .partition(often);
    let explore: Vec<_> = explore.into_iter().take(5).collect();
    assert!(recommended.len() <= 10, "choose other histories");
    let mut answer = json!({
        "user_id": user,
        "recommendations": {
            "weightage": tenths(search_tenths + purchase_tenths),
            "search_weight": tenths(search_tenths),
            "purchase_weight": tenths(purchase_tenths),
            "recommended_categories": recommended,
            "explore_categories": explore,
        },
        "metadata": { "search_count": n, "purchase_count": m },
    });
    if n + m == 0 {
        answer["message"] = "No data found for this user".into();
    }
    answer
}

fn tenths(tenths: usize) -> f64 {
    f64::from(u32::try_from(tenths).unwrap()) / 10.0
}

/// Panics unless this is the right and complete answer for the user.
#[track_caller]
pub fn assert_correct(user: i64, answer: &Answer) {
    assert_eq!(answer.status, 200, "user {user}: {}", answer.body);
    assert_eq!(answer.json(), expected(user), "user {user}");
}

/// Panics unless this is a proper rejection: a 503 with a cause and `Retry-After`.
#[track_caller]
pub fn assert_retry_later(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with("; retry later"), "{detail}");
}

#[test]
fn histories_differ_and_have_categories_to_recommend_and_to_explore() {
    let answers: Vec<_> = (1..1000).map(expected).collect();
    let with = |list: &str| {
        let filled = |answer: &&Value| answer["recommendations"][list] != json!([]);
        answers.iter().filter(filled).count()
    };
    let distinct: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer["recommendations"].to_string())
        .collect();
    let (recommended, explore) = (with("recommended_categories"), with("explore_categories"));
    assert!(
        recommended > 300 && explore > 300,
        "{recommended} {explore}"
    );
    assert!(distinct.len() > 100, "{}", distinct.len());
}
