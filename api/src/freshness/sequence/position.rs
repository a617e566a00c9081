//! The position in a table as text, which processes share.

use super::{REMEMBERED, Sequence};
use crate::freshness::gaps::{Gaps, KEPT_FOR};
use std::time::Duration;

/// Ranges of unseen numbers in a text. If there are more, close ones are joined: their rows are read again.
const RANGES: usize = 500;
/// The first word of a text.
const FORM: &str = "1";

impl Sequence {
    /// The state as text: `1 NEXT NUMBER:KEY,... FIRST-LAST@SECONDS,...` with the keys of rows in base 16, and the seconds
    /// until a gap is given up.
    #[must_use]
    pub fn text(&self, now: Duration) -> String {
        let recent = self.recent.iter();
        let recent: Vec<String> = recent
            .map(|(number, key)| format!("{number}:{key:x}"))
            .collect();
        let gaps = self.gaps.outline(RANGES, now).into_iter();
        let gaps: Vec<String> = gaps
            .map(|((first, last), left)| format!("{first}-{last}@{}", left.as_secs()))
            .collect();
        let (recent, gaps) = (recent.join(","), gaps.join(","));
        format!("{FORM} {} {recent} {gaps}", self.next)
    }

    /// The state that was written as `text`; `None`: the text is not a state.
    #[must_use]
    pub fn parse(text: &str, now: Duration) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next()? != FORM {
            return None;
        }
        let next = words.next()?.parse().ok()?;
        let recent = parts(words.next()?).map(|part| {
            let (number, key) = part.split_once(':')?;
            Some((number.parse().ok()?, u64::from_str_radix(key, 16).ok()?))
        });
        let recent = recent.take(REMEMBERED).collect::<Option<_>>()?;
        let mut gaps = Gaps::default();
        for part in parts(words.next()?) {
            let (span, left) = part.split_once('@')?;
            let (first, last) = span.split_once('-')?;
            let span = (first.parse().ok()?, last.parse().ok()?);
            let left = Duration::from_secs(left.parse().ok()?).min(KEPT_FOR);
            if span.0 > span.1 || span.1 >= next {
                return None;
            }
            gaps.add(span, now + left);
        }
        Some(Self {
            next,
            gaps,
            recent,
            is_unknown: false,
        })
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Sequence;
    use std::time::Duration;

    #[test]
    fn a_position_reads_back_and_invalid_texts_are_rejected() {
        let now = Duration::from_secs(10);
        for text in ["1 0  ", "1 12 10:ff,11:0 3-4@3600,7-7@20"] {
            let state = Sequence::parse(text, now).unwrap();
            assert_eq!(state.text(now), text);
            assert!(state.is_known());
        }
        for text in [
            "",
            "2 0  ",
            "1 x  ",
            "1 12 10 ",
            "1 12  3-4",
            "1 12  4-3@5",
            "1 12  4-12@5",
        ] {
            assert_eq!(Sequence::parse(text, now), None, "{text}");
        }
    }
}
