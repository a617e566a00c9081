//! Which rows count, in tables of any column types.

use super::place::{DATABASE, Place, ago_text};
use super::{on_each_place, train};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{
    CategoryColumn, Collation, Event, History, IdColumn, OriginalTables, insert,
};
use crate::harness::sql_server::Flavour;
use reckon_api::trained::TrainedModel;

/// The names of the categories of the newest model, sorted.
async fn categories(place: &Place) -> Vec<String> {
    let documents = place.published().await;
    let model = TrainedModel::parse(documents.last().unwrap()).unwrap();
    let mut names: Vec<_> = model
        .categories()
        .iter()
        .map(|one| one.name.to_string())
        .collect();
    names.sort_unstable();
    names
}

async fn the_original_tables_are_read_as_they_are(flavour: Flavour) {
    let place = Place::on(flavour).await;
    let server = place.server();
    let (yesterday, last_year) = (ago_text(1), ago_text(200));
    for (id, category, collation, extra_columns) in [
        (
            IdColumn::BigInt,
            CategoryColumn::Varchar255,
            Collation::Utf8mb4GeneralCi,
            false,
        ),
        (IdColumn::Int, CategoryColumn::Text, Collation::Latin1, true),
        (
            IdColumn::BigInt,
            CategoryColumn::Varchar2000,
            Collation::Latin1,
            false,
        ),
        (
            IdColumn::Int,
            CategoryColumn::Text,
            Collation::Utf8mb4Bin,
            true,
        ),
    ] {
        let tables = OriginalTables {
            id,
            category,
            collation,
            extra_columns,
            ..OriginalTables::default()
        };
        tables.create(server, DATABASE).await;
        let purchases = [
            ("books", yesterday.as_str()),
            ("Books", &yesterday),
            ("böoks", &yesterday),
            ("books ", &yesterday),
            ("too old", &last_year),
            ("zero", "0000-00-00 00:00:00"),
            ("half", "2025-00-00 00:00:00"),
        ];
        let purchases = purchases.map(|(category, at)| Event::new(category, at));
        let more = [
            Event::new(None, yesterday.as_str()),
            Event::new("undated", None),
        ];
        let history = |user_id| History {
            user_id,
            searches: vec![Event::new("searched", yesterday.as_str())],
            purchases: [&purchases[..], &more].concat(),
        };
        insert(server, DATABASE, &[history(-7), history(2_000_000_000)]).await;
        server
            .execute(format!(
                "INSERT INTO {DATABASE}.purchase (id, purchased_at, product_category) VALUES (NULL, '{yesterday}', 'of nobody')"
            ))
            .await;
        let ran = train(&place, &["--no-gate"]).await;
        let line = ran.line("rows read");
        assert_eq!(
            (&line["purchases"], &line["searches"]),
            (&10.into(), &2.into()),
            "{line}"
        );
        let expected = ["Books", "books", "books ", "böoks"];
        assert_eq!(categories(&place).await, expected, "{tables:?}");
    }
}

async fn tables_of_any_column_types_are_read(flavour: Flavour) {
    let yesterday = ago_text(1);
    let place = Place::on(flavour).await;
    let made = format!("CREATE DATABASE IF NOT EXISTS {DATABASE}");
    place.server().execute(made).await;
    for (id, time) in [
        ("BIGINT UNSIGNED", "TIMESTAMP NULL"),
        ("SMALLINT", "DATE"),
        ("VARCHAR(20)", "VARCHAR(30)"),
        ("DECIMAL(20)", "DATETIME(6)"),
    ] {
        place
            .execute(&format!(
                "DROP TABLE IF EXISTS searches, purchase, reckon_model; \
                 CREATE TABLE searches (id {id}, searched_at {time}, category VARCHAR(50) CHARACTER SET utf16); \
                 CREATE TABLE purchase (id {id}, purchased_at {time}, product_category ENUM('books', 'toys')); \
                 INSERT INTO searches VALUES (1, '{yesterday}', 'books'), (2, NULL, 'toys'); \
                 INSERT INTO purchase VALUES (1, '{yesterday}', 'books'), (2, '{yesterday}', 'toys'), (2, NULL, 'toys')"
            ))
            .await;
        let ran = train(&place, &[]).await;
        let line = ran.line("rows read");
        assert_eq!(
            (&line["purchases"], &line["searches"]),
            (&2.into(), &1.into()),
            "{id} {time}: {line}"
        );
        assert_eq!(ran.line("model published")["users"], 2, "{id} {time}");
        assert_eq!(categories(&place).await, ["books", "toys"], "{id} {time}");
    }
}

on_each_flavour!(
    the_original_tables_are_read_as_they_are,
    tables_of_any_column_types_are_read,
);

async fn the_window_ends_with_the_newest_purchase(place: Place) {
    place.make_tables().await;
    let rows = [(1, 400), (2, 410), (2, 439), (3, 440)]
        .map(|(user, ago)| (user, ago, format!("{ago} days ago")));
    place.insert("purchase", &rows).await;
    let ran = train(&place, &["--days", "40"]).await;
    assert_eq!(ran.line("rows read")["purchases"], 3, "{ran:#?}");
    assert_eq!(ran.line("model published")["users"], 2, "{ran:#?}");
}

async fn beyond_the_maximum_of_rows_users_are_sampled(place: Place) {
    place.fill().await;
    let ran = train(&place, &["--max-rows", "2000"]).await;
    let line = ran.line("model published");
    assert!(line["rows"].as_u64() <= Some(2000), "{line}");
    assert!(line["sampled_share"].as_f64() < Some(1.0), "{line}");
}

on_each_place!(
    the_window_ends_with_the_newest_purchase,
    beyond_the_maximum_of_rows_users_are_sampled,
);
