//! Switches off one rule after the other, and shows that the promise then fails.

use super::super::rules::{Rule, switch_off};
use super::{Beside, CASES, Case, each, live, number};
use std::sync::Mutex;

/// For each rule, a case that exceeds the promise without the rule, and not with it.
///
/// After a change of the model or of the plan, `cargo test --workspace --lib cases_that_need_a_rule -- --ignored --nocapture`
/// finds others.
const NEEDED: [(Rule, u64); 14] = [
    (Rule::Settle, 739),
    (Rule::Hold, 12),
    (Rule::Period, 686),
    (Rule::Pause, 77),
    (Rule::PauseSurge, 7_659),
    (Rule::Quiet, 9),
    (Rule::Current, 581),
    (Rule::Lowered, 1_963),
    (Rule::Clean, 30),
    (Rule::Former, 13),
    (Rule::Late, 67),
    (Rule::Pace, 7),
    (Rule::Evictions, 3),
    (Rule::Fits, 3),
];

/// Evictions happen only if nodes are drained. Pods of a superseded template are created late only if they were refused
/// before.
fn beside(rule: Rule) -> Beside {
    match rule {
        Rule::Evictions => Beside::Drains,
        Rule::Former | Rule::PauseSurge => Beside::Refusals,
        _ => Beside::Nothing,
    }
}

#[test]
fn without_any_of_the_rules_the_promise_fails() {
    for (rule, seed) in NEEDED {
        let mut case = Case::new(seed, beside(rule));
        assert!(
            live(&mut case).is_ok(),
            "{rule:?}: seed {seed} with all rules"
        );
        switch_off(Some(rule));
        let mut case = Case::new(seed, beside(rule));
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
        Rule::Evictions,
        Rule::Fits,
    ];
    let only = std::env::var("RECKON_MODEL_RULE").unwrap_or_default();
    for rule in rules
        .into_iter()
        .filter(|rule| format!("{rule:?}").contains(&only))
    {
        let found = Mutex::new(Vec::new());
        each(cases, Some(rule), |seed| {
            let mut case = Case::new(seed, beside(rule));
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
