//! One line of the OpenMetrics text format.

use std::borrow::Cow;

/// One sample of the text.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    /// The name, with the suffix of the series.
    pub name: &'a str,
    /// Labels in the order of the text.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value; may be infinite or not a number.
    pub value: f64,
}

impl Line<'_> {
    /// The value of a label; empty if the line does not have it.
    pub fn label(&self, name: &str) -> &str {
        let label = self.labels.iter().find(|(known, _)| *known == name);
        label.map_or("", |(_, value)| value)
    }
}

/// Parses a line: `name{label="value",…} value`; anything after it (a timestamp, an exemplar) is ignored.
pub fn parse(line: &str) -> Option<Line<'_>> {
    let (name, rest) = name(line)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.strip_prefix(' ')?.split(' ').next()?;
    let value = value.parse().ok()?;
    Some(Line {
        name,
        labels,
        value,
    })
}

fn name(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let begins_well = text.starts_with(|c: char| is_part(c) && !c.is_ascii_digit());
    begins_well.then(|| text.split_at(end))
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

fn labels(mut text: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (label, rest) = name(text)?;
        let (value, rest) = quoted(rest.strip_prefix("=\"")?)?;
        labels.push((label, value));
        text = match rest.strip_prefix(',') {
            Some(rest) => rest,
            None if rest.starts_with('}') => rest,
            None => return None,
        };
    }
}

/// A value up to its closing quote, and the rest after the quote.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let end = text.find(['"', '\\'])?;
    if text[end..].starts_with('"') {
        return Some((text[..end].into(), &text[end + 1..]));
    }
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()? {
            (at, '"') => return Some((value.into(), &text[at + 1..])),
            (_, '\\') => value.push(match characters.next()?.1 {
                'n' => '\n',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            (_, other) => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Line, parse};

    #[test]
    fn a_sample_is_a_name_labels_and_a_value() {
        for (text, name, labels, value) in [
            ("up 1", "up", &[][..], 1.0),
            ("up{} 1", "up", &[], 1.0),
            (
                "a_total{b=\"c\"} 2 1700000000.5",
                "a_total",
                &[("b", "c")],
                2.0,
            ),
            (
                "a{b=\"c\",d=\"\"} -3.5e2",
                "a",
                &[("b", "c"), ("d", "")],
                -350.0,
            ),
            ("a{b=\"c\",} 1", "a", &[("b", "c")], 1.0),
            (r#"a{b="\\\"\n}, "} 1"#, "a", &[("b", "\\\"\n}, ")], 1.0),
            ("a{b=\"ü\"} 1", "a", &[("b", "ü")], 1.0),
            (
                "a_bucket{le=\"+Inf\"} +Inf # {t=\"x\"} 1",
                "a_bucket",
                &[("le", "+Inf")],
                f64::INFINITY,
            ),
        ] {
            let labels: Vec<_> = labels
                .iter()
                .map(|&(name, value)| (name, value.into()))
                .collect();
            let expected = Line {
                name,
                labels,
                value,
            };
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert!(parse("a NaN").is_some_and(|line| line.value.is_nan()));
    }

    #[test]
    fn an_invalid_line_is_no_sample() {
        for text in [
            "",
            " ",
            "1",
            "a",
            "a ",
            "a b",
            "a  1",
            "1a 1",
            "a{ 1",
            "a{b} 1",
            "a{b=c} 1",
            "a{b=\"c} 1",
            "a{b=\"c\"",
            "a{b=\"c\"}1",
            r#"a{b="\x"} 1"#,
            r#"a{b="\"#,
            "a{b=\"c\"d=\"e\"} 1",
            "a{,} 1",
            "a-b 1",
            "<html>",
            "a\u{0}b 1",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
