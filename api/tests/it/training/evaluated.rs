//! `reckon-api evaluate` as a program.

use super::place::{Place, USERS};
use super::{Ran, end, on_each_place};
use crate::harness::api_process::ApiCommand;

async fn evaluate(place: &Place, arguments: &[&str]) -> Ran {
    let command = ApiCommand::new().args(["evaluate"]).args(arguments);
    end(command.envs(place.environment()).spawn()).await
}

/// The cells of the first line of this policy after the line with this title.
fn cells<'a>(ran: &'a Ran, title: &str, policy: &str) -> Vec<&'a str> {
    let mut lines = ran.lines.iter().skip_while(|line| !line.starts_with(title));
    let line = lines.find(|line| line.starts_with(policy));
    let line = line.unwrap_or_else(|| panic!("no {policy} in {title}: {ran:#?}"));
    line[policy.len()..]
        .split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

async fn the_tables_of_the_data_are_printed_and_compared(place: Place) {
    place.fill().await;
    let ran = evaluate(&place, &[]).await;
    assert!(ran.succeeded, "{ran:#?}");
    println!("{:#?}", ran.lines);
    let rows = USERS * 33 * 2 + 1;
    assert!(
        ran.lines
            .iter()
            .any(|line| line.starts_with(&format!("{rows} rows read in "))),
        "{ran:#?}"
    );
    // All buy the same two categories every three days.
    let best = ["1.0000 [1.0000, 1.0000]"; 3];
    for policy in ["classic", "nextBasket"] {
        assert_eq!(cells(&ran, "Recommended: ", policy), best, "{policy}");
    }
    assert_eq!(cells(&ran, "Explore: ", "nextBasket"), ["-"; 3]);
    let cut_offs = ran
        .lines
        .iter()
        .filter(|line| line.contains(&format!(": {USERS} users, after ")));
    assert_eq!(cut_offs.count(), 3, "{ran:#?}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("expected.csv");
    let file = path.to_str().unwrap();
    std::fs::write(
        &path,
        "list,policy,rows,ndcg\nbasket,nextBasket,500,0.999\n",
    )
    .unwrap();
    let checked = evaluate(&place, &["--check", file]).await;
    assert!(checked.succeeded, "{checked:#?}");
    std::fs::write(&path, "list,policy,rows,ndcg\nbasket,classic,100,0.99\n").unwrap();
    let differs = evaluate(&place, &["--check", file]).await;
    assert_eq!(
        differs.error(),
        format!("figures differ from {file}: basket, classic, 100 rows: 1.0000, expected 0.99")
    );
}

async fn the_answers_of_a_user_are_printed_with_what_was_bought_then(place: Place) {
    place.fill().await;
    let ran = evaluate(&place, &["--show", "1"]).await;
    assert!(ran.succeeded, "{ran:#?}");
    let text = ran.lines.join("\n");
    println!("{text}");
    assert!(
        text.contains("Classic, recommended: 2 of 2 bought"),
        "{text}"
    );
    assert!(
        text.contains("NextBasket, recommended: 2 of 5 bought"),
        "{text}"
    );
    // Bought categories have a star.
    for (name, is_bought) in [("milk", true), ("habit 1", true), ("habit 2", false)] {
        let mut listed = ran
            .lines
            .iter()
            .skip_while(|line| !line.contains("NextBasket, rec"));
        let line = listed
            .find(|line| line.contains(&format!(" {name} ")))
            .unwrap();
        assert_eq!(line.trim_start().starts_with('*'), is_bought, "{line}");
    }
}

async fn too_few_days_are_an_error(place: Place) {
    place.make_tables().await;
    let empty = evaluate(&place, &[]).await;
    assert!(
        empty.error().contains("there is nothing to train on"),
        "{empty:#?}"
    );
    place
        .insert(
            "purchase",
            &[(1, 1, "milk".to_owned()), (1, 9, "milk".to_owned())],
        )
        .await;
    let few = evaluate(&place, &[]).await;
    assert!(
        few.error().ends_with("expected at least 30 days"),
        "{few:#?}"
    );
}

on_each_place!(
    the_tables_of_the_data_are_printed_and_compared,
    the_answers_of_a_user_are_printed_with_what_was_bought_then,
    too_few_days_are_an_error,
);
