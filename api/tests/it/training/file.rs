//! A model in a file: written by a training, served by a process that follows the file.

use super::place::Place;
use super::{Serving, TIMEOUT, line, model, on_each_place, train};
use crate::harness::eventually::eventually;

async fn a_process_follows_the_file_of_a_training_and_not_the_table(place: Place) {
    place.fill().await;
    place
        .publish("in the table", &model(1, &[("toys", 0.9)]).document())
        .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("model");
    let output = ["--output", file.to_str().unwrap()];
    let ran = train(&place, &output).await;
    ran.line("no model in force to compare with");
    let first = ran.version();

    let serving = Serving::start(&place, &[("RECKON_MODEL", file.clone())]).await;
    assert_eq!(serving.version(1).await, Some(first.clone()));
    let ran = train(&place, &output).await;
    ran.line("the new model is not worse than the one in force");
    let second = ran.version();
    eventually(TIMEOUT, async || {
        (serving.version(1).await == Some(second.clone())).then_some(())
    })
    .await;

    std::fs::write(&file, "poison").unwrap();
    eventually(TIMEOUT, async || {
        line(
            &serving.api.process.logs(),
            "the published model is not used",
        )
    })
    .await;
    assert_eq!(serving.version(1).await, Some(second));
    assert_eq!(place.published().await.len(), 1);
    let entries = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(entries, 1, "no partial file remains");
}

on_each_place!(a_process_follows_the_file_of_a_training_and_not_the_table);

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error() {
    let place = Place::sqlite().await;
    place.fill().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("absent/model");
    let ran = train(&place, &["--output", file.to_str().unwrap()]).await;
    assert!(ran.error().starts_with("failed to write "), "{ran:#?}");
}
