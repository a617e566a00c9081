//! The data of the cases: always the same rows and the same model.

use reckon_api::model::{Categories, Day, History};
use reckon_api::trained::{Category, TrainedModel};

/// Users of one statement.
pub const USERS: usize = 8;
const ROWS_OF_A_TABLE: usize = 100;
const OWN_CATEGORIES: usize = 25;
const ALL_CATEGORIES: u32 = 150;
const RELATED: u32 = 30;
const NEWEST: i32 = 740_000;

/// A body of ordinary length.
pub const ANSWER: &str = r#"{"user_id":123,"recommendations":{"weightage":302.5,"search_weight":121.7,"purchase_weight":180.8,"recommended_categories":["category 1","category 2","category 3","category 4","category 5","category 6"],"explore_categories":["category 7","category 8"]},"metadata":{"search_count":100,"purchase_count":100}}"#;

/// A row of the database's answer to a statement.
pub struct Row {
    /// Even for searches, odd for purchases; half of it is the position of the user.
    pub branch: i64,
    /// Its category.
    pub category: Option<String>,
    /// Its day.
    pub day: Option<i64>,
}

/// The rows of `USERS` users.
pub fn statement() -> Vec<Row> {
    let branches = 0..2 * USERS;
    let rows = branches.flat_map(|branch| {
        (0..ROWS_OF_A_TABLE).map(move |place| Row {
            branch: i64::try_from(branch).unwrap_or_default(),
            category: Some(category(branch + place)),
            day: Some(day(place).0.into()),
        })
    });
    rows.collect()
}

/// The history of a user with 25 categories on 34 days.
pub fn history() -> History {
    History {
        searches: table(3),
        purchases: table(7),
    }
}

fn table(step: usize) -> Categories {
    let rows = (0..ROWS_OF_A_TABLE).map(|place| (category(place * step), day(place)));
    let mut categories = Categories::default();
    for (category, day) in rows {
        categories.push(Some(&category), Some(day));
    }
    categories
}

fn category(number: usize) -> String {
    format!("category {}", number % OWN_CATEGORIES)
}

/// Newest first, three rows on a day.
fn day(place: usize) -> Day {
    Day(NEWEST - i32::try_from(place / 3).unwrap_or_default())
}

/// A model of 150 categories, each with 30 related ones.
pub fn model() -> TrainedModel {
    let categories = (0..ALL_CATEGORIES).map(|number| Category {
        name: format!("category {number}").into(),
        share: 0.3 / f64::from(number + 1),
        take_up: 0.1 / f64::from(number + 1),
        related: (1..=RELATED)
            .map(|step| ((number + step) % ALL_CATEGORIES, 0.001))
            .collect(),
    });
    let day = Day(NEWEST);
    TrainedModel::new(1_700_000_000, day, (1000, 100_000), categories.collect())
        .expect("a valid model")
}
