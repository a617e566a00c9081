//! Rows that a strict schema would reject.

use super::address;
use crate::harness::classic;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{
    CategoryColumn, Collation, Event, History, IdColumn, OriginalTables, insert,
};
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::service::Service;
use reckon_api::store::mysql::MySql;
use reckon_contract::tables::Tables;
use serde_json::{Value, json};
use std::time::Duration;

fn service(server: &SqlServer, database: &str) -> Service {
    let store = MySql::new(
        &address(server, database),
        Duration::from_secs(10),
        &Tables::default(),
    );
    Service::over(store, classic::tuning())
}

/// Recommended and explored categories, rows of searches and of purchases.
async fn answer_of(service: &Service, user: i64) -> Value {
    let answer = service.get(&format!("/recommend/{user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    json!([
        answer["recommendations"]["recommended_categories"],
        answer["recommendations"]["explore_categories"],
        answer["metadata"]["search_count"],
        answer["metadata"]["purchase_count"],
    ])
}

async fn invalid_and_missing_dates_are_the_oldest(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    let zero = "0000-00-00 00:00:00";
    let mut dated = History::newest_first(1, &["dated"; 99], &["dated"; 100]);
    dated.searches.extend([
        Event::new("null", None),
        Event::new("zero", zero),
        Event::new("half", "2025-00-00 00:00:00"),
    ]);
    dated.purchases.push(Event::new("zero", zero));
    let undated = History {
        user_id: 2,
        searches: vec![Event::new("zero", zero), Event::new("null", None)],
        purchases: vec![Event::new("zero", zero), Event::new(None, None)],
    };
    insert(&server, "reckon", &[dated, undated]).await;
    let service = service(&server, "reckon");
    assert_eq!(
        answer_of(&service, 1).await,
        json!([["dated"], ["half"], 100, 100])
    );
    assert_eq!(
        answer_of(&service, 2).await,
        json!([[], ["zero", "null"], 2, 2])
    );
}

async fn ids_are_any_integers_and_rows_without_one_belong_to_no_user(flavour: Flavour) {
    let server = flavour.start().await;
    for (id, database, known) in [
        (
            IdColumn::BigInt,
            "reckon_big",
            vec![i64::MIN, -(1 << 40), -7, 0, 7, 1 << 40, i64::MAX],
        ),
        (
            IdColumn::Int,
            "reckon_int",
            vec![i32::MIN.into(), -7, 0, 7, i32::MAX.into()],
        ),
    ] {
        let tables = OriginalTables {
            id,
            ..OriginalTables::default()
        };
        tables.create(&server, database).await;
        let histories: Vec<_> = known
            .iter()
            .map(|&user| {
                let category = format!("of {user}");
                let twice = [category.as_str(), &category];
                History::newest_first(user, &twice, &twice[1..])
            })
            .collect();
        insert(&server, database, &histories).await;
        server
            .execute(format!(
                "INSERT INTO {database}.searches (id, category, searched_at) VALUES (NULL, 'nobody', NOW()); \
                 INSERT INTO {database}.purchase (id, product_category) VALUES (NULL, NULL)"
            ))
            .await;
        let service = service(&server, database);
        for user in [i64::MIN, -8, 8, i64::MAX].iter().chain(&known) {
            let expected = if known.contains(user) {
                json!([[format!("of {user}")], [], 2, 1])
            } else {
                json!([[], [], 0, 0])
            };
            assert_eq!(answer_of(&service, *user).await, expected, "{id:?} {user}");
        }
    }
}

/// Categories that are equal for a collation that ignores case, accents or trailing spaces, and categories with
/// characters that need quoting in a statement or a body.
const NAMES: [&str; 14] = [
    " books",
    "BOOKS",
    "Books",
    "bo\"oks",
    "bo'oks",
    "bo\\oks",
    "books",
    "books ",
    "books\t",
    "böoks",
    "cafe",
    "café",
    "cafe\u{301}",
    "📚🏳️‍🌈",
];

async fn categories_are_distinguished_by_their_bytes(flavour: Flavour) {
    let server = flavour.start().await;
    for (n, collation) in [Collation::Utf8mb4GeneralCi, Collation::Utf8mb4Bin]
        .into_iter()
        .enumerate()
    {
        for (m, category) in [CategoryColumn::Text, CategoryColumn::Varchar255]
            .into_iter()
            .enumerate()
        {
            let database = format!("reckon_{n}{m}");
            let tables = OriginalTables {
                category,
                collation,
                ..OriginalTables::default()
            };
            tables.create(&server, &database).await;
            let once: Vec<_> = (100..)
                .zip(NAMES)
                .map(|(user, name)| History::newest_first(user, &[name], &[name, name]))
                .collect();
            insert(&server, &database, &once).await;
            insert(
                &server,
                &database,
                &[
                    History::newest_first(1, &NAMES, &[]),
                    History::newest_first(2, &["books", "Books"], &["books ", "BOOKS"]),
                ],
            )
            .await;
            let service = service(&server, &database);
            for (user, name) in (100..).zip(NAMES) {
                assert_eq!(answer_of(&service, user).await, json!([[name], [], 1, 2]));
            }
            let mut sorted = NAMES;
            sorted.sort_unstable();
            assert_eq!(
                answer_of(&service, 1).await,
                json!([[], sorted[..5], NAMES.len(), 0])
            );
            assert_eq!(
                answer_of(&service, 2).await,
                json!([[], ["BOOKS", "books ", "Books", "books"], 2, 2])
            );
        }
    }
}

on_each_flavour!(
    invalid_and_missing_dates_are_the_oldest,
    ids_are_any_integers_and_rows_without_one_belong_to_no_user,
    categories_are_distinguished_by_their_bytes,
);
