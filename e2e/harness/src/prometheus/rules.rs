//! The rule file of the chart, and a variant of it for tests whose hours are seconds.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The unchanged file.
pub const TEXT: &str = include_str!("../../../../charts/reckon/monitoring/alerts.yaml");

/// The rule file.
#[derive(Deserialize)]
pub struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Rule {
    Alert(Alert),
    Record(Record),
}

/// One alert.
#[derive(Deserialize)]
pub struct Alert {
    /// Its name.
    #[serde(rename = "alert")]
    pub name: String,
    /// Its condition.
    pub expr: String,
    /// For how long the condition must hold.
    #[serde(rename = "for")]
    pub wait: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its texts for people.
    pub annotations: BTreeMap<String, String>,
}

/// One series that is computed.
#[derive(Deserialize)]
pub struct Record {
    /// Its name.
    #[serde(rename = "record")]
    pub name: String,
    /// Its expression.
    pub expr: String,
}

/// The rule file.
#[must_use]
pub fn rules() -> Rules {
    serde_yaml::from_str(TEXT).unwrap()
}

impl Rules {
    /// The alerts, in the order of the file.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.all().filter_map(|rule| match rule {
            Rule::Alert(alert) => Some(alert),
            Rule::Record(_) => None,
        })
    }

    /// The alerts of some groups.
    pub fn alerts_of(&self, groups: &[&str]) -> impl Iterator<Item = &Alert> {
        let groups = self
            .groups
            .iter()
            .filter(|group| groups.contains(&group.name.as_str()));
        groups
            .flat_map(|group| &group.rules)
            .filter_map(|rule| match rule {
                Rule::Alert(alert) => Some(alert),
                Rule::Record(_) => None,
            })
    }

    /// The series that are computed.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.all().filter_map(|rule| match rule {
            Rule::Record(record) => Some(record),
            Rule::Alert(_) => None,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Rule> {
        self.groups.iter().flat_map(|group| &group.rules)
    }
}

/// The maximum age of the last reconcile in seconds, as the file compares it.
const RECONCILE_AGE: &str = ") > 900";

/// The file with every range, every `for` and the maximum age of the last reconcile divided by `factor`.
#[must_use]
pub fn compressed(factor: u64) -> String {
    let lines = TEXT.lines().map(|line| match line.split_once(" for: ") {
        Some((before, wait)) => format!("{before} for: {}\n", shorter(wait, factor)),
        None => with_shorter_ranges(line, factor) + "\n",
    });
    let text: String = lines.collect();
    text.replace(RECONCILE_AGE, &format!(") > {}", 900 / factor))
}

fn with_shorter_ranges(line: &str, factor: u64) -> String {
    let mut parts = line.split('[');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let range = part
            .split_once(']')
            .and_then(|(range, rest)| Some((milliseconds(range)?, rest)));
        match range {
            Some((range, rest)) => text.extend(["[", &format!("{}ms", range / factor), "]", rest]),
            None => text = format!("{text}[{part}"),
        }
    }
    text
}

fn shorter(duration: &str, factor: u64) -> String {
    format!("{}ms", milliseconds(duration).unwrap() / factor)
}

/// The milliseconds of a text such as `5m` or `1h`.
fn milliseconds(duration: &str) -> Option<u64> {
    let (number, unit) = duration.split_at_checked(duration.len().checked_sub(1)?)?;
    let unit = match unit {
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(number.parse::<u64>().ok()? * unit)
}

#[test]
fn every_range_and_every_for_becomes_shorter() {
    let short = compressed(150);
    for part in ["[2000ms]", " for: 800ms", ") > 6\n"] {
        assert!(short.contains(part), "{part}");
    }
    for long in [RECONCILE_AGE, "m])", "h])", "for: 2m", "for: 5m"] {
        assert!(!short.replace("ms])", "").contains(long), "{long}");
    }
    assert_eq!(
        with_shorter_ranges("code=~\"[45]..\"}[5m])", 150),
        "code=~\"[45]..\"}[2000ms])"
    );
}
