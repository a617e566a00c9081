//! A strict parser of the text of `/metrics` (`OpenMetrics` 1.0): it panics at anything unknown.

use crate::generated::row;
use std::collections::{BTreeMap, BTreeSet};

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = BTreeMap<String, String>;

/// All metric families, by name.
pub struct Exposition(BTreeMap<String, Family>);

#[derive(Debug)]
struct Family {
    kind: String,
    help: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    /// The part after the family's name.
    suffix: String,
    labels: Labels,
    value: f64,
}

impl Exposition {
    /// Parses the text.
    ///
    /// # Panics
    /// The text breaks a rule of the format.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let body = text
            .strip_suffix("# EOF\n")
            .expect("the text ends with # EOF");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        let mut helped = ("", "");
        for line in body.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect(line);
                assert!(!help.trim().is_empty(), "{line}");
                helped = (name, help);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert!(is_name(name), "{line}");
                assert_eq!(helped.0, name, "HELP comes first: {line}");
                let kinds = ["gauge", "counter", "histogram", "info"];
                assert!(kinds.contains(&kind), "{line}");
                name.clone_into(&mut current);
                let family = Family {
                    kind: kind.to_owned(),
                    help: helped.1.to_owned(),
                    samples: Vec::new(),
                };
                let before = families.insert(name.to_owned(), family);
                assert!(before.is_none(), "a second time: {line}");
            } else {
                let family = families.get_mut(&current).expect(line);
                family.samples.push(sample(line, &current));
            }
        }
        for (name, family) in &families {
            family.check(name);
        }
        Self(families)
    }

    /// The names of all families, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The rows of a Markdown table, one for each family: its name as it is queried, its type, its labels with their values, and
    /// its help. Labels and values are those of the samples.
    #[must_use]
    pub fn table(&self) -> String {
        let head = row(&["metric", "type", "labels", "meaning"]) + &row(&["---"; 4]);
        let rows = self.0.iter().map(|(name, family)| {
            let suffix = match family.kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let labels = family
                .labels()
                .into_iter()
                .filter(|(label, _)| *label != "le");
            let labels: Vec<String> = labels
                .map(|(label, values)| {
                    let values: Vec<String> = values
                        .iter()
                        .map(|value| match *value {
                            NUMBER if *label == *"version" => "that of the program".to_owned(),
                            NUMBER => "a number".to_owned(),
                            value => format!("`{value}`"),
                        })
                        .collect();
                    format!("`{label}`: {}", values.join(", "))
                })
                .collect();
            row(&[
                &format!("`{name}{suffix}`"),
                &family.kind,
                &labels.join("<br>"),
                &family.help,
            ])
        });
        head + &rows.collect::<String>()
    }

    /// A line for each family: its name, its type, and the names of its labels with their values, numbers left out.
    #[must_use]
    pub fn shape(&self) -> String {
        let lines = self.0.iter().map(|(name, family)| {
            let labels = family.labels().into_iter().map(|(label, values)| {
                let values: Vec<&str> = values.iter().copied().collect();
                format!(" {label}={}", values.join("|"))
            });
            format!("{name} {}{}\n", family.kind, labels.collect::<String>())
        });
        lines.collect()
    }

    /// How many families there are, and how many samples.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let samples = self.0.values().map(|family| family.samples.len()).sum();
        (self.0.len(), samples)
    }

    /// The sum of a family's samples, or of those with this label if one is given; for histograms, of their counts. 0
    /// before the first sample: some families appear only with it.
    #[must_use]
    pub fn sum(&self, family: &str, label: Option<(&str, &str)>) -> f64 {
        self.sum_of(family, label.as_slice())
    }

    /// The same for samples with all of these labels.
    #[must_use]
    pub fn sum_of(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.0.get(family).map_or(&[][..], |family| &family.samples);
        let wanted = |sample: &&Sample| {
            !["_bucket", "_sum"].contains(&sample.suffix.as_str())
                && labels
                    .iter()
                    .all(|(name, value)| sample.labels.get(*name).is_some_and(|is| is == value))
        };
        // Not `sum()`: the sum of no samples is -0.
        samples
            .iter()
            .filter(wanted)
            .fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The only sample of a family; `None` if it has none.
    ///
    /// # Panics
    /// There are several.
    #[must_use]
    pub fn single(&self, family: &str) -> Option<f64> {
        let samples = &self.0.get(family)?.samples;
        assert!(samples.len() <= 1, "{family}: {samples:?}");
        samples.first().map(|sample| sample.value)
    }

    /// A histogram's observations for each upper bound, without those of the lower bounds.
    #[must_use]
    pub fn buckets(&self, family: &str) -> Vec<(String, f64)> {
        let mut before = 0.0;
        let samples = self.0[family].samples.iter();
        samples
            .filter(|sample| sample.suffix == "_bucket")
            .map(|sample| {
                let count = sample.value - before;
                before = sample.value;
                (sample.labels["le"].clone(), count)
            })
            .collect()
    }
}

/// Stands for any number, and for a version.
const NUMBER: &str = "N";

impl Family {
    /// The values of each label.
    fn labels(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (label, value) in self.samples.iter().flat_map(|sample| &sample.labels) {
            let is_number = value.parse::<f64>().is_ok() || label == "version";
            let value = if is_number { NUMBER } else { value };
            labels.entry(label).or_default().insert(value);
        }
        labels
    }

    fn check(&self, name: &str) {
        let allowed: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            assert!(
                allowed.contains(&sample.suffix.as_str()),
                "{name}: {sample:?}"
            );
            assert!(sample.value.is_finite(), "{name}: {sample:?}");
            assert!(sample.value >= 0.0, "{name}: {sample:?}");
            assert!(
                seen.insert((&sample.suffix, &sample.labels)),
                "twice: {name} {sample:?}"
            );
        }
        if self.kind == "histogram" {
            self.check_histograms(name);
        }
    }

    fn check_histograms(&self, name: &str) {
        let mut series: BTreeMap<Labels, Vec<&Sample>> = BTreeMap::new();
        for sample in &self.samples {
            let mut labels = sample.labels.clone();
            labels.remove("le");
            series.entry(labels).or_default().push(sample);
        }
        for (labels, samples) in series {
            let of = |suffix: &str| {
                samples
                    .iter()
                    .filter(|sample| sample.suffix == suffix)
                    .collect::<Vec<_>>()
            };
            let buckets = of("_bucket");
            let bound = |sample: &Sample| {
                sample.labels["le"]
                    .replace("+Inf", "inf")
                    .parse::<f64>()
                    .unwrap()
            };
            assert!(
                buckets.is_sorted_by(|a, b| bound(a) < bound(b) && a.value <= b.value),
                "{name} {labels:?}: {buckets:?}"
            );
            let last = buckets.last().unwrap();
            assert_eq!(last.labels["le"], "+Inf", "{name} {labels:?}");
            let (count, sum) = (of("_count"), of("_sum"));
            assert_eq!((count.len(), sum.len()), (1, 1), "{name} {labels:?}");
            assert!(
                (last.value - count[0].value).abs() < f64::EPSILON,
                "{name} {labels:?}"
            );
        }
    }
}

/// `name{label="value",...} 1.5`, with no timestamp and no exemplar.
fn sample(line: &str, family: &str) -> Sample {
    let end = line.find(['{', ' ']).expect(line);
    let name = &line[..end];
    assert!(is_name(name), "{line}");
    let suffix = name.strip_prefix(family).expect(line).to_owned();
    let mut rest = &line[end..];
    let mut labels = Labels::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            if !labels.is_empty() {
                rest = rest.strip_prefix(',').expect(line);
            }
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, after) = quoted(after).expect(line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = after;
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect(line);
    assert!(!value.contains(' '), "{line}");
    Sample {
        suffix,
        labels,
        value: value.parse().expect(line),
    }
}

/// The text up to the closing quotation mark, and the rest after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                escaped @ ('"' | '\\') => escaped,
                _ => return None,
            }),
            plain => value.push(plain),
        }
    }
    None
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || "_:".contains(first))
        && text
            .chars()
            .all(|other| other.is_ascii_alphanumeric() || "_:".contains(other))
}

#[cfg(test)]
mod tests {
    use super::Exposition;

    #[test]
    fn an_invalid_text_is_rejected() {
        let head = "# HELP reckon_a A.\n# TYPE reckon_a";
        let right = format!(
            "{head} histogram\nreckon_a_sum 3\nreckon_a_count 2\nreckon_a_bucket{{le=\"1.0\"}} 1\nreckon_a_bucket{{le=\"+Inf\"}} 2\n# EOF\n"
        );
        assert_eq!(
            Exposition::read(&right).buckets("reckon_a"),
            [("1.0".to_owned(), 1.0), ("+Inf".to_owned(), 1.0)]
        );
        for wrong in [
            right.replace("# EOF\n", ""),
            right.replace("count 2", "count 3"),
            right.replace("1.0\"} 1", "1.0\"} 3"),
            right.replace("# HELP reckon_a A.\n", ""),
            right.replace("reckon_a_sum 3\n", ""),
            format!("{head} counter\nreckon_a 1\n# EOF\n"),
            format!("{head} gauge\nreckon_a{{b=\"c}} 1\n# EOF\n"),
            format!("{head} gauge\nreckon_a 1\nreckon_a 1\n# EOF\n"),
            format!("{head} gauge\nsomething else\n# EOF\n"),
        ] {
            let read = std::panic::catch_unwind(|| Exposition::read(&wrong));
            assert!(read.is_err(), "{wrong}");
        }
    }
}
