//! Trainings that cannot start or publish, and their messages.

use super::place::{DATABASE, Place};
use super::{on_each_place, train};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;

async fn without_rows_nothing_is_published(place: Place) {
    place.make_tables().await;
    let none = "there is nothing to train on: no row of purchase has a valid date that is not in the future";
    assert_eq!(train(&place, &[]).await.error(), none);
    // A row without a date, and a row of the future.
    place
        .execute(
            "INSERT INTO purchase (id, purchased_at, product_category) VALUES (1, NULL, 'a'), (1, '9999-12-31 00:00:00', 'a')",
        )
        .await;
    assert_eq!(train(&place, &[]).await.error(), none);
    // Rows without categories.
    place.insert("purchase", &[(1, 1, String::new())]).await;
    let error = train(&place, &[]).await;
    assert!(
        error.error().starts_with("failed to train a model: "),
        "{error:#?}"
    );
    assert_eq!(place.published().await, Vec::<Vec<u8>>::new());
}

async fn rows_of_the_future_do_not_move_the_window(place: Place) {
    place.fill().await;
    place
        .execute("INSERT INTO purchase (id, purchased_at, product_category) VALUES (1, '2999-01-01 00:00:00', 'later')")
        .await;
    let ran = train(&place, &[]).await;
    assert_eq!(ran.line("model published")["categories"], 5);
}

async fn missing_tables_are_named(place: Place) {
    match &place {
        Place::Server(server) => {
            server
                .execute(format!("CREATE DATABASE IF NOT EXISTS {DATABASE}"))
                .await;
        }
        Place::File(_) => place.execute("DROP TABLE purchase").await,
    }
    let ran = train(&place, &[]).await;
    let error = ran.error();
    assert!(
        error.starts_with("failed to read the newest date of purchase: "),
        "{error}"
    );
    assert!(error.contains("purchase"), "{error}");
}

async fn a_foreign_table_of_the_same_name_is_left_unchanged(place: Place) {
    place.fill().await;
    place
        .execute(
            "DROP TABLE reckon_model; CREATE TABLE reckon_model (id INTEGER, name VARCHAR(10))",
        )
        .await;
    let ran = train(&place, &[]).await;
    assert_eq!(
        ran.error(),
        "the table reckon_model has no column digest: Reckon uses id, digest, document"
    );
}

on_each_place!(
    without_rows_nothing_is_published,
    rows_of_the_future_do_not_move_the_window,
    missing_tables_are_named,
    a_foreign_table_of_the_same_name_is_left_unchanged,
);

async fn a_document_that_is_longer_than_a_packet_is_an_error_with_a_remedy(flavour: Flavour) {
    let place = Place::on(flavour).await;
    place.fill().await;
    let long = "x".repeat(200);
    let rows: Vec<_> = (0..60)
        .map(|number| (1, 5, format!("{long} {number}")))
        .collect();
    place.insert("purchase", &rows).await;
    place.execute("SET GLOBAL max_allowed_packet = 4096").await;
    let ran = train(&place, &[]).await;
    let error = ran.error();
    println!("{error}");
    assert!(
        error.contains("the server accepts packets of 4096: set max_allowed_packet to at least "),
        "{error}"
    );
    place
        .execute("SET GLOBAL max_allowed_packet = 67108864")
        .await;
    assert_eq!(place.published().await.len(), 0);
    train(&place, &[]).await.version();
}

on_each_flavour!(a_document_that_is_longer_than_a_packet_is_an_error_with_a_remedy);

#[tokio::test]
async fn a_file_that_does_not_exist_is_not_created() {
    let place = Place::File(tempfile::tempdir().unwrap());
    let ran = train(&place, &[]).await;
    assert!(ran.error().starts_with("there is no data at "), "{ran:#?}");
    assert!(!place.path().exists());
}
