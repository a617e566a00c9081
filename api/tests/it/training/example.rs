//! The example in `docs/model.md`.

use reckon_api::model::Day;
use reckon_api::trained::{Category, MAX_BYTES, MAX_CATEGORIES, MAX_RELATED, TrainedModel};

const PAGE: &str = include_str!("../../../../docs/model.md");

/// The model that the example is.
fn model() -> TrainedModel {
    let category = |name: &str, share, take_up, related: &[(u32, f32)]| Category {
        name: name.into(),
        share,
        take_up,
        related: related.to_vec(),
    };
    let categories = vec![
        category("Running", 0.375, 0.0625, &[(1, 0.25), (2, 0.125)]),
        category("Cycling", 0.25, 0.03125, &[(0, 0.1875)]),
        category("Swimming", 0.125, 0.125, &[]),
    ];
    TrainedModel::new(1_767_225_600, Day(739_982), (4703, 98_218), categories).unwrap()
}

#[test]
fn the_example_is_the_document_of_a_model() {
    let document = String::from_utf8(model().document()).unwrap();
    let block = format!("```text\n{document}\n```\n");
    assert!(
        PAGE.contains(&block),
        "docs/model.md lacks this block:\n{block}"
    );
    let read = TrainedModel::parse(document.as_bytes()).unwrap();
    assert_eq!(read.version(), model().version());
    assert!(
        PAGE.contains(read.version()),
        "its version is {}",
        read.version()
    );
}

#[test]
fn the_limits_on_the_page_equal_those_of_the_program() {
    for limit in [
        format!("{} MiB", MAX_BYTES >> 20),
        format!("1 to {MAX_CATEGORIES}"),
        format!("at most {MAX_RELATED} pairs"),
    ] {
        assert!(PAGE.contains(&limit), "docs/model.md lacks {limit:?}");
    }
}
