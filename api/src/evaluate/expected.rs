//! Compares figures with those of a file.

use crate::evaluation::Results;
use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::path::Path;

/// Greatest allowed difference.
const TOLERANCE: f64 = 0.002;

/// One line of the file.
#[derive(Debug, Deserialize)]
struct Line {
    list: String,
    policy: String,
    rows: u32,
    ndcg: f64,
}

/// Compares the figures with those of the CSV file at `path`.
pub(super) fn check(path: &Path, results: &Results) -> anyhow::Result<()> {
    let opened = csv::Reader::from_path(path);
    let mut file = opened.with_context(|| format!("failed to read {}", path.display()))?;
    let mut wrong = Vec::new();
    let mut lines = 0;
    for line in file.deserialize() {
        let line: Line = line.with_context(|| format!("invalid line in {}", path.display()))?;
        lines += 1;
        wrong.extend(difference(&line, results));
    }
    if !wrong.is_empty() {
        bail!(
            "figures differ from {}: {}",
            path.display(),
            wrong.join("; ")
        );
    }
    eprintln!(
        "{lines} figures are within {TOLERANCE} of {}",
        path.display()
    );
    Ok(())
}

fn difference(line: &Line, results: &Results) -> Option<String> {
    let Line {
        list,
        policy,
        rows,
        ndcg,
    } = line;
    let found = results.rows().iter().find(|row| {
        let measure = row.measure;
        measure.list.name() == list && measure.policy.name() == policy && measure.length == *rows
    });
    match found {
        None => Some(format!("{list}, {policy}, {rows} rows: not measured")),
        Some(row) if (row.figure.mean - ndcg).abs() > TOLERANCE => Some(format!(
            "{list}, {policy}, {rows} rows: {:.4}, expected {ndcg}",
            row.figure.mean
        )),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::evaluate::report::report;
    use crate::evaluation::{List, Policy, Results, evaluate};
    use crate::model::Day;
    use crate::training::Builder;
    use reckon_contract::tuning::{Explore, Recommendation};

    /// One user who buys the same every week.
    fn results() -> Results {
        let mut builder = Builder::new(100);
        for week in 0..5 {
            builder.purchase(1, Some((900 + 7 * week) * 86_400), Some("books"));
        }
        let settings = Recommendation::default();
        evaluate(&builder.finish(), &[Day(921)], &settings, |_, _| {}).unwrap()
    }

    #[test]
    fn a_figure_that_differs_is_named_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("expected.csv");
        let checked = |lines: &str| {
            std::fs::write(&path, format!("list,policy,rows,ndcg\n{lines}")).unwrap();
            check(&path, &results()).map_err(|error| error.to_string())
        };
        assert_eq!(
            checked("basket,classic,100,.999\nbasket,popularity,0,1\n"),
            Ok(())
        );
        let wrong = checked("basket,classic,100,1\nbasket,nextBasket,500,.997\n").unwrap_err();
        assert!(
            wrong.ends_with(": basket, nextBasket, 500 rows: 1.0000, expected 0.997"),
            "{wrong}"
        );
        let unknown = checked("basket,classic,7,1\n").unwrap_err();
        assert!(
            unknown.ends_with(": basket, classic, 7 rows: not measured"),
            "{unknown}"
        );
        assert!(checked("basket,classic,many,1\n").is_err());
        let missing = check(&directory.path().join("absent"), &results()).unwrap_err();
        assert!(missing.to_string().starts_with("failed to read "));
    }

    #[test]
    fn the_report_has_a_line_for_each_policy_and_a_dash_for_missing_figures() {
        let results = results();
        let row = results.get(List::Cold, Policy::Classic, 100).unwrap();
        assert_eq!(row.figure.values, 1);
        let text = report(&results, &Explore::default());
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        let cell = "1.0000 [1.0000, 1.0000]";
        assert_eq!(line("day counts").matches(cell).count(), 3);
        assert!(text.contains("not for 90 days"));
        let last = text.lines().rfind(|line| line.starts_with("nextBasket"));
        assert_eq!(last.unwrap().matches('-').count(), 3, "{text}");
    }
}
