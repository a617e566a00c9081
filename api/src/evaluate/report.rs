//! The figures as tables.

use crate::evaluation::{LENGTHS, List, Policy, Results, Row};
use reckon_contract::tuning::Explore;
use std::fmt::Write as _;

const FIRST: usize = 27;
const OTHERS: usize = 25;

/// The tables as text.
pub(super) fn report(results: &Results, settings: &Explore) -> String {
    let mut text = String::from(
        "Mean NDCG of users and cut-offs, with 95 % intervals over users (1 is the best possible).\n",
    );
    basket(&mut text, results);
    cold(&mut text, results);
    explore(&mut text, results, settings);
    text
}

fn basket(text: &mut String, results: &Results) {
    let titles = LENGTHS.map(|length| format!("{length} rows"));
    head(
        text,
        "Recommended: bought in the next 14 days, NDCG@10",
        &titles,
    );
    for policy in [
        Policy::Popularity,
        Policy::Classic,
        Policy::RowCounts,
        Policy::DayCounts,
        Policy::OwnDays,
        Policy::NextBasket,
        Policy::Gain,
    ] {
        let cells = LENGTHS.map(|length| {
            let length = if policy == Policy::Popularity {
                0
            } else {
                length
            };
            results.get(List::Basket, policy, length)
        });
        line(text, policy.name(), &cells);
    }
    count(text, results.get(List::Basket, Policy::Popularity, 0));
}

fn cold(text: &mut String, results: &Results) {
    let title = "The same for users with at most 30 rows";
    head(text, title, &[format!("{} rows", LENGTHS[0])]);
    for policy in [Policy::Classic, Policy::NextBasket] {
        let cell = results.get(List::Cold, policy, LENGTHS[0]);
        line(text, policy.name(), &[cell]);
    }
    count(
        text,
        results.get(List::Cold, Policy::NextBasket, LENGTHS[0]),
    );
}

fn explore(text: &mut String, results: &Results, settings: &Explore) {
    let titles = [
        format!("not for {} days", settings.not_bought_days),
        "never bought".to_owned(),
        "not in newest 100 rows".to_owned(),
    ];
    head(text, "Explore: bought in the next 14 days, NDCG@5", &titles);
    let lists = [List::NotBought, List::NeverBought, List::NotInNewest100];
    for policy in [Policy::Popularity, Policy::Classic, Policy::NextBasket] {
        let cells = lists.map(|list| {
            let mut rows = results.rows().iter();
            rows.find(|row| row.measure.list == list && row.measure.policy == policy)
        });
        line(text, policy.name(), &cells);
    }
    for list in lists {
        count(text, results.get(list, Policy::Popularity, 0));
    }
}

fn head(text: &mut String, title: &str, columns: &[String]) {
    write!(text, "\n{title}\n{:FIRST$}", "").expect("a String takes any text");
    for column in columns {
        write!(text, "{column:OTHERS$}").expect("a String takes any text");
    }
    end(text);
}

fn line(text: &mut String, name: &str, cells: &[Option<&Row>]) {
    write!(text, "{name:FIRST$}").expect("a String takes any text");
    for cell in cells {
        let cell = cell.map_or_else(
            || "-".to_owned(),
            |row| {
                let interval = row.figure.interval;
                format!(
                    "{:.4} [{:.4}, {:.4}]",
                    row.figure.mean, interval.low, interval.high
                )
            },
        );
        write!(text, "{cell:OTHERS$}").expect("a String takes any text");
    }
    end(text);
}

fn count(text: &mut String, row: Option<&Row>) {
    let values = row.map_or(0, |row| row.figure.values);
    writeln!(text, "({values} users and cut-offs)").expect("a String takes any text");
}

/// Ends a line without spaces at its end.
fn end(text: &mut String) {
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}
