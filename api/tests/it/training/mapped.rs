//! Tables with other names, and text as user ids: the same rows give the same model.

use super::place::Place;
use super::{TIMEOUT, command, end, on_each_place};
use crate::harness::api_process::ApiCommand;
use reckon_api::trained::TrainedModel;
use tempfile::TempDir;

const NAMES: &str = "searches: {table: shop searches, user: who, time: when, category: group}, \
    purchases: {table: orders, user: customer, time: paid at, category: kind, success: ok, onlySuccessful: true}";

/// A tuning file with this mapping.
fn tuning(tables: &str) -> (TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tuning.yaml");
    std::fs::write(&path, format!("tables: {{{tables}}}\n")).unwrap();
    let path = path.display().to_string();
    (directory, path)
}

/// The newest model as a document, without the time of its creation.
async fn newest(place: &Place) -> Vec<u8> {
    let documents = place.published().await;
    let model = TrainedModel::parse(documents.last().unwrap()).unwrap();
    let counts = (model.users(), model.rows());
    let timeless = TrainedModel::new(0, model.as_of(), counts, model.categories().to_vec());
    timeless.unwrap().document()
}

/// Tables of [`NAMES`] with the rows of the original ones, in which `id` is the user's id, and failed purchases of the future.
async fn copy(place: &Place, id: &str) {
    let kind = match place {
        Place::Server(_) => "VARCHAR(64) COLLATE utf8mb4_general_ci",
        Place::File(_) => "TEXT",
    };
    place
        .execute(&format!(
            "DROP TABLE IF EXISTS `shop searches`; DROP TABLE IF EXISTS orders; \
             CREATE TABLE `shop searches` (who {kind}, `when` DATETIME, `group` VARCHAR(255)); \
             CREATE TABLE orders (customer {kind}, `paid at` DATETIME, kind VARCHAR(255), ok SMALLINT); \
             INSERT INTO `shop searches` SELECT {id}, searched_at, category FROM searches; \
             INSERT INTO orders SELECT {id}, purchased_at, product_category, 1 FROM purchase; \
             INSERT INTO orders SELECT {id}, purchased_at, 'failed', 0 FROM purchase; \
             INSERT INTO orders SELECT {id}, purchased_at, 'unknown', NULL FROM purchase"
        ))
        .await;
}

async fn mapped_tables_and_text_ids_give_the_same_model(place: Place) {
    place.fill().await;
    // More rows than a default sample, and users whose ids differ only in case if ids are text.
    place
        .insert(
            "searches",
            &[(2, 1, "toys".to_owned()), (3, 1, "milk".to_owned())],
        )
        .await;
    let trained = end(command(&place, &["--no-gate"]).spawn()).await;
    assert!(trained.succeeded, "{trained:#?}");
    let expected = newest(&place).await;
    let text = match place {
        Place::Server(_) => {
            "CONCAT(IF(id MOD 2, 'User ', 'USER '), id - id MOD 2, IF(id MOD 4 < 2, '', ' '))"
        }
        Place::File(_) => {
            "iif(id % 2, 'User ', 'USER ') || (id - id % 2) || iif(id % 4 < 2, '', ' ')"
        }
    };
    for (id, names) in [
        ("id", NAMES.to_owned()),
        (text, format!("userId: Text, {NAMES}")),
    ] {
        copy(&place, id).await;
        let (_directory, tuning) = tuning(&names);
        let arguments = ["--no-gate", "--tuning", &tuning];
        let trained = end(command(&place, &arguments).spawn()).await;
        assert!(trained.succeeded, "{trained:#?}");
        assert_eq!(trained.line("model published")["users"], 80, "{trained:#?}");
        assert!(newest(&place).await == expected, "{names}");
    }

    let (_directory, tuning) = tuning(&format!("userId: Text, {NAMES}"));
    let evaluate = |user: &'static str| {
        let arguments = ["evaluate", "--tuning", &tuning, "--show", user];
        let command = ApiCommand::new().args(arguments);
        command.envs(place.environment()).spawn()
    };
    let mut shown = evaluate("User 6 ");
    let exit = shown.process.exit(TIMEOUT).await;
    let lines = shown.process.logs();
    assert!(exit.status.success(), "{lines:#?}");
    assert!(
        lines.iter().any(|line| line.starts_with("User User 6 : ")),
        "{lines:#?}"
    );
    for (user, words) in [
        ("user 6 ", "error: user user 6  has no rows"),
        (
            "\u{7}",
            "error: invalid user \"\\u{7}\" of --show: expected 1 to 64 bytes of UTF-8 without control characters",
        ),
    ] {
        let mut shown = evaluate(user);
        let exit = shown.process.exit(TIMEOUT).await;
        let lines = shown.process.logs();
        assert!(!exit.status.success(), "{lines:#?}");
        assert!(lines.iter().any(|line| line == words), "{lines:#?}");
    }
}

async fn without_a_table_of_purchases_a_training_is_an_error(place: Place) {
    place.make_tables().await;
    let (_directory, tuning) = tuning("purchases: {table: ''}");
    for name in ["train", "evaluate"] {
        let command = ApiCommand::new().args([name, "--tuning", &tuning]);
        let ran = end(command.envs(place.environment()).spawn()).await;
        assert_eq!(
            ran.error(),
            "there is no table with purchases: tables.purchases.table is empty in the tuning file; only purchases can be learnt"
        );
    }
}

async fn folded_categories_are_one_category_of_the_model(place: Place) {
    place.fill().await;
    let trained = end(command(&place, &["--no-gate"]).spawn()).await;
    assert!(trained.succeeded, "{trained:#?}");
    let expected = newest(&place).await;
    // `milk` remains the form of most rows.
    place
        .execute(
            "UPDATE purchase SET product_category = ' MILK ' WHERE product_category = 'milk' AND id IN (1, 7, 30); \
             UPDATE purchase SET product_category = 'Habit 3' WHERE product_category = 'habit 3' AND id < 20",
        )
        .await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tuning.yaml");
    std::fs::write(&path, "recommendation: {foldCategories: true}\n").unwrap();
    let path = path.display().to_string();
    let arguments = ["--no-gate", "--tuning", &path];
    let trained = end(command(&place, &arguments).spawn()).await;
    assert!(trained.succeeded, "{trained:#?}");
    assert!(newest(&place).await == expected);
}

on_each_place!(
    mapped_tables_and_text_ids_give_the_same_model,
    without_a_table_of_purchases_a_training_is_an_error,
    folded_categories_are_one_category_of_the_model,
);
