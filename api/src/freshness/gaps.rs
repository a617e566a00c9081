//! Gaps: unseen numbers below the greatest seen one. They exist because a transaction can commit after transactions
//! that took later numbers.

use crate::store::new_rows::Span;
use std::collections::BTreeMap;
use std::time::Duration;

/// Maximum number of gaps that are kept. If there are more, the oldest are dropped.
pub const MAX_GAPS: usize = 10_000;
/// A gap is given up after this time.
pub const KEPT_FOR: Duration = Duration::from_hours(1);
/// For this time, a gap is read in each poll. Older gaps are read less often, a part of them in each poll.
pub const YOUNG_FOR: Duration = Duration::from_secs(30);
/// Spans of one statement.
pub const SPANS_PER_STATEMENT: usize = 500;
/// Spans of older gaps that are read in one poll.
const OLD_SPANS: usize = 2 * SPANS_PER_STATEMENT;
/// Two gaps with fewer numbers between them are read as one span, because reading some rows costs less than a look-up
/// in the index.
const MERGE_WITHIN: u64 = 32;

/// A range of unseen numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gap {
    last: u64,
    /// When it is given up.
    expires: Duration,
}

/// Unseen numbers, by the first one of each range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    ranges: BTreeMap<u64, Gap>,
    /// The number at which the next poll continues with older gaps.
    turn: u64,
}

impl Gaps {
    /// Adds the numbers of `span`, of which none is in a gap yet. Returns how many gaps were dropped.
    pub fn add(&mut self, (first, last): Span, expires: Duration) -> u64 {
        self.ranges.insert(first, Gap { last, expires });
        let mut dropped = 0;
        while self.ranges.len() > MAX_GAPS {
            self.ranges.pop_first();
            dropped += 1;
        }
        dropped
    }

    /// Removes `number`; returns whether it was in a gap.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some((&first, &gap)) = self.ranges.range(..=number).next_back() else {
            return false;
        };
        if gap.last < number {
            return false;
        }
        self.ranges.remove(&first);
        if first < number {
            let last = number - 1;
            self.ranges.insert(first, Gap { last, ..gap });
        }
        if number < gap.last {
            self.ranges.insert(number + 1, gap);
        }
        true
    }

    /// Removes all numbers from `number`.
    pub fn truncate(&mut self, number: u64) {
        self.ranges.split_off(&number);
        if let Some((_, gap)) = self.ranges.iter_mut().next_back() {
            gap.last = gap.last.min(number.saturating_sub(1));
        }
    }

    /// Gives up gaps whose time has passed.
    pub fn expire(&mut self, now: Duration) {
        self.ranges.retain(|_, gap| now < gap.expires);
    }

    /// The spans to read now: all young gaps, and the next `OLD_SPANS` of the older ones.
    pub fn due(&mut self, now: Duration) -> Vec<Span> {
        let is_young = |gap: &Gap| gap.expires > now + KEPT_FOR.saturating_sub(YOUNG_FOR);
        let (young, old): (Vec<_>, Vec<_>) = self.ranges.iter().partition(|(_, gap)| is_young(gap));
        let span = |(first, gap): (&u64, &Gap)| (*first, gap.last);
        let old = merged(old.into_iter().map(span), MERGE_WITHIN);
        let begin = old.partition_point(|(first, _)| *first < self.turn);
        let turn: Vec<Span> = old[begin..]
            .iter()
            .chain(&old[..begin])
            .take(OLD_SPANS)
            .copied()
            .collect();
        self.turn = turn.last().map_or(0, |(_, last)| last.saturating_add(1));
        let mut due = turn;
        due.extend(young.into_iter().map(span));
        due.sort_unstable();
        merged(due.into_iter(), MERGE_WITHIN)
    }

    /// At most `count` ranges that together contain all unseen numbers. Each has the time until it is given up.
    pub fn outline(&self, count: usize, now: Duration) -> Vec<(Span, Duration)> {
        let mut within = 0;
        loop {
            let spans = merged(
                self.ranges.iter().map(|(first, gap)| (*first, gap.last)),
                within,
            );
            if spans.len() <= count {
                return spans
                    .into_iter()
                    .map(|(first, last)| {
                        let inside = self.ranges.range(first..=last);
                        let expires = inside.map(|(_, gap)| gap.expires).max();
                        let left = expires.unwrap_or_default().saturating_sub(now);
                        ((first, last), left)
                    })
                    .collect();
            }
            within = within.saturating_mul(4).max(4);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }
}

/// Merges neighbouring spans if at most `within` numbers lie between them. `spans` must be in order.
fn merged(spans: impl Iterator<Item = Span>, within: u64) -> Vec<Span> {
    let mut merged: Vec<Span> = Vec::new();
    for (first, last) in spans {
        match merged.last_mut() {
            Some(before) if first.saturating_sub(before.1) <= within => {
                before.1 = before.1.max(last);
            }
            _ => merged.push((first, last)),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::{Gaps, KEPT_FOR, MAX_GAPS, YOUNG_FOR};
    use std::time::Duration;

    const LATER: Duration = Duration::from_secs(31);

    #[test]
    fn a_number_that_appears_splits_its_gap() {
        let mut gaps = Gaps::default();
        gaps.add((10, 20), KEPT_FOR);
        for (number, was_inside) in [
            (9, false),
            (10, true),
            (15, true),
            (15, false),
            (20, true),
            (21, false),
        ] {
            assert_eq!(gaps.remove(number), was_inside, "{number}");
        }
        let spans: Vec<_> = gaps
            .outline(9, Duration::ZERO)
            .iter()
            .map(|(span, _)| *span)
            .collect();
        assert_eq!(spans, [(11, 14), (16, 19)]);
        gaps.truncate(17);
        let spans: Vec<_> = gaps
            .outline(9, Duration::ZERO)
            .iter()
            .map(|(span, _)| *span)
            .collect();
        assert_eq!(spans, [(11, 14), (16, 16)]);
    }

    #[test]
    fn young_gaps_are_due_in_each_poll_and_others_in_turns() {
        let mut gaps = Gaps::default();
        for index in 0..3000 {
            gaps.add((index * 100, index * 100), KEPT_FOR);
        }
        gaps.add((1_000_000, 1_000_005), KEPT_FOR + LATER);
        assert_eq!(gaps.due(Duration::ZERO).len(), 3001);
        let polls: Vec<_> = (0..3).map(|_| gaps.due(YOUNG_FOR)).collect();
        for (index, due) in polls.iter().enumerate() {
            assert_eq!(due.len(), 1001);
            assert_eq!(due[0].0, index as u64 * 100_000);
            assert_eq!(due[1000], (1_000_000, 1_000_005));
        }
        assert_eq!(gaps.due(YOUNG_FOR)[0].0, 0);
        gaps.expire(KEPT_FOR);
        assert_eq!(gaps.due(KEPT_FOR), [(1_000_000, 1_000_005)]);
    }

    #[test]
    fn gaps_close_to_each_other_are_read_as_one() {
        let mut gaps = Gaps::default();
        for index in 0..1000 {
            gaps.add((index * 3, index * 3 + 1), KEPT_FOR);
        }
        assert_eq!(gaps.due(Duration::ZERO), [(0, 2998)]);
        assert_eq!(gaps.due(YOUNG_FOR), [(0, 2998)]);
    }

    #[test]
    fn an_outline_contains_all_gaps() {
        let mut gaps = Gaps::default();
        let mut random = fastrand::Rng::with_seed(7);
        let mut next = 0;
        for _ in 0..MAX_GAPS {
            next += random.u64(2..1000);
            gaps.add((next, next), KEPT_FOR);
        }
        let outline = gaps.outline(500, Duration::ZERO);
        assert!(outline.len() <= 500);
        for first in gaps.ranges.keys() {
            assert!(
                outline
                    .iter()
                    .any(|((from, to), _)| from <= first && first <= to)
            );
        }
        assert_eq!(gaps.add((next + 5, next + 6), KEPT_FOR), 1);
    }
}
