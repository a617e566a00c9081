//! Switches off one rule after the other: the promise then fails.

use super::super::rules::{Rule, switch_off};
use super::{CASES, Case, each, live, number};
use std::sync::Mutex;

/// For each rule, a case that exceeds the promise without it, and keeps it with it.
///
/// After a change of the model or of the plan, `cargo test --workspace --lib cases_that_need_a_rule -- --ignored --nocapture`
/// finds others.
const NEEDED: [(Rule, u64); 12] = [
    (Rule::Settle, 4_339),
    (Rule::Hold, 114),
    (Rule::Period, 1_994),
    (Rule::Pause, 68),
    (Rule::Quiet, 85),
    (Rule::Current, 1_207),
    (Rule::Lowered, 1_433),
    (Rule::Clean, 95),
    (Rule::Former, 1_886),
    (Rule::Late, 87),
    (Rule::Pace, 7),
    (Rule::Fits, 3),
];

#[test]
fn without_any_of_the_rules_the_promise_fails() {
    for (rule, seed) in NEEDED {
        let mut case = Case::new(seed, false);
        assert!(
            live(&mut case).is_ok(),
            "{rule:?}: seed {seed} with all rules"
        );
        switch_off(Some(rule));
        let mut case = Case::new(seed, false);
        let result = live(&mut case);
        switch_off(None);
        assert!(
            case.over > 0,
            "{rule:?}: seed {seed} without it: {result:?}"
        );
    }
}

#[test]
#[ignore = "a search to fill the table above"]
fn cases_that_need_a_rule() {
    let cases = number("RECKON_MODEL_CASES").unwrap_or(CASES);
    let rules = [
        Rule::Settle,
        Rule::Hold,
        Rule::Period,
        Rule::Pause,
        Rule::PauseSurge,
        Rule::Quiet,
        Rule::Current,
        Rule::Lowered,
        Rule::Clean,
        Rule::Former,
        Rule::Late,
        Rule::Pace,
        Rule::Fits,
    ];
    let only = std::env::var("RECKON_MODEL_RULE").unwrap_or_default();
    for rule in rules
        .into_iter()
        .filter(|rule| format!("{rule:?}").contains(&only))
    {
        let found = Mutex::new(Vec::new());
        each(cases, Some(rule), |seed| {
            let mut case = Case::new(seed, false);
            if live(&mut case).is_err() && case.over > 0 {
                found.lock().unwrap().push((seed, case.over));
            }
        });
        let found = found.into_inner().unwrap();
        let some: Vec<_> = found.iter().take(5).collect();
        println!(
            "{rule:?}: {} of {cases}, seeds and pods {some:?}",
            found.len()
        );
    }
}
