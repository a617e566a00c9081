//! Counts by bucket: the difference between two samples, and its quantiles.

use serde::Serialize;
use std::collections::BTreeMap;

/// Maximum number of buckets; further ones are ignored. Reckon's histograms have 19.
const MAX_BUCKETS: usize = 64;

/// Cumulative counts by upper bound, as in the metrics text, summed over series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram(BTreeMap<Bound, f64>);

/// An upper bound in seconds; ordered, +Inf last.
#[derive(Clone, Copy, Debug)]
struct Bound(f64);

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Bound {}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Observations in each single bucket, by upper bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observations(BTreeMap<Bound, f64>);

/// Quantiles, in seconds. Interpolated within a bucket as Prometheus does; a quantile above the greatest finite bound is set
/// to that bound.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[expect(clippy::struct_field_names, reason = "JSON has the unit in its names")]
pub struct Quantiles {
    /// Half of the operations took at most this long.
    pub p50_seconds: f64,
    /// 95 % of the operations took at most this long.
    pub p95_seconds: f64,
    /// 99 % of the operations took at most this long.
    pub p99_seconds: f64,
}

impl Histogram {
    /// Adds the count of the bucket with this label `le`; ignores an invalid bound.
    pub fn add(&mut self, le: &str, count: f64) {
        let bound = match le.parse() {
            Ok(bound) if bound > 0.0 => Bound(bound),
            _ => return,
        };
        if self.0.len() < MAX_BUCKETS || self.0.contains_key(&bound) {
            *self.0.entry(bound).or_default() += count;
        }
    }

    /// Whether a count is lower than before: the process restarted and counts from zero again.
    pub fn fell_since(&self, before: &Self) -> bool {
        let mut buckets = before.0.iter();
        buckets.any(|(bound, count)| self.0.get(bound).is_some_and(|now| now < count))
    }

    /// The observations since `before`.
    pub fn since(&self, before: &Self) -> Observations {
        let mut below = 0.0;
        let mut each = BTreeMap::new();
        for (bound, count) in &self.0 {
            let added = count - before.0.get(bound).copied().unwrap_or(0.0);
            // In an invalid text, counts may decrease from one bucket to the next.
            each.insert(*bound, (added - below).max(0.0));
            below = added.max(below);
        }
        Observations(each)
    }
}

impl Observations {
    /// Adds the observations of another process.
    pub fn merge(&mut self, other: &Self) {
        for (bound, count) in &other.0 {
            *self.0.entry(*bound).or_default() += count;
        }
    }

    /// The quantiles; `None` without observations.
    pub fn quantiles(&self) -> Option<Quantiles> {
        Some(Quantiles {
            p50_seconds: self.quantile(0.50)?,
            p95_seconds: self.quantile(0.95)?,
            p99_seconds: self.quantile(0.99)?,
        })
    }

    fn quantile(&self, part: f64) -> Option<f64> {
        let all: f64 = self.0.values().sum();
        if all <= 0.0 {
            return None;
        }
        let rank = part * all;
        let (mut lower, mut below) = (0.0, 0.0);
        for (Bound(upper), count) in &self.0 {
            if upper.is_infinite() {
                break;
            }
            if *count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
            lower = *upper;
        }
        Some(lower)
    }
}

#[cfg(test)]
mod tests {
    use super::{Histogram, MAX_BUCKETS, Quantiles};
    use proptest::prelude::*;

    fn histogram(buckets: &[(&str, f64)]) -> Histogram {
        let mut histogram = Histogram::default();
        for (le, count) in buckets {
            histogram.add(le, *count);
        }
        histogram
    }

    fn quantiles(buckets: &[(&str, f64)]) -> Option<[f64; 3]> {
        let all = histogram(buckets).since(&Histogram::default());
        let Quantiles {
            p50_seconds,
            p95_seconds,
            p99_seconds,
        } = all.quantiles()?;
        Some([p50_seconds, p95_seconds, p99_seconds])
    }

    #[test]
    fn quantiles_equal_those_of_prometheus() {
        for (buckets, expected) in [
            (&[][..], None),
            (&[("1", 0.0), ("+Inf", 0.0)], None),
            // If all are in the first bucket, the interpolation is linear from zero.
            (&[("1", 100.0), ("+Inf", 100.0)], Some([0.5, 0.95, 0.99])),
            (
                &[("1", 50.0), ("2", 100.0), ("+Inf", 100.0)],
                Some([1.0, 1.9, 1.98]),
            ),
            // A quantile above every finite bound is the greatest bound.
            (
                &[("1", 0.0), ("2", 0.0), ("+Inf", 7.0)],
                Some([2.0, 2.0, 2.0]),
            ),
            (&[("+Inf", 7.0)], Some([0.0, 0.0, 0.0])),
            // With empty buckets in between, the bucket that contains the rank counts.
            (
                &[("1", 10.0), ("2", 10.0), ("4", 20.0), ("+Inf", 20.0)],
                Some([1.0, 3.8, 3.96]),
            ),
        ] {
            let found = quantiles(buckets);
            assert_eq!(found.is_some(), expected.is_some(), "{buckets:?}");
            for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{buckets:?}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn series_of_one_bound_are_summed_and_invalid_bounds_are_ignored() {
        let found = histogram(&[
            ("0.5", 1.0),
            ("5e-1", 2.0),
            ("x", 9.0),
            ("NaN", 9.0),
            ("-1", 9.0),
        ]);
        assert_eq!(found, histogram(&[("0.5", 3.0)]));
    }

    #[test]
    fn only_the_increase_counts() {
        let before = histogram(&[("1", 10.0), ("2", 10.0), ("+Inf", 10.0)]);
        let now = histogram(&[("1", 10.0), ("2", 14.0), ("+Inf", 14.0)]);
        assert_eq!(now.since(&before).quantile(0.5), Some(1.5));
        assert!(before.fell_since(&now) && !now.fell_since(&before));
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut histogram = Histogram::default();
        for bound in 1..10_000 {
            histogram.add(&bound.to_string(), 1.0);
        }
        assert_eq!(histogram.0.len(), MAX_BUCKETS);
    }

    proptest! {
        #[test]
        fn quantiles_rise_and_stay_within_the_bounds(
            counts in prop::collection::vec((0.001_f64..100.0, 0.0_f64..1e6), 1..40),
            before in prop::collection::vec((0.001_f64..100.0, 0.0_f64..1e6), 0..40),
        ) {
            let read = |counts: &[(f64, f64)]| {
                let mut histogram = Histogram::default();
                for (le, count) in counts {
                    histogram.add(&le.to_string(), *count);
                }
                histogram
            };
            let found = read(&counts).since(&read(&before));
            if let Some(found) = found.quantiles() {
                prop_assert!(0.0 <= found.p50_seconds);
                prop_assert!(found.p50_seconds <= found.p95_seconds);
                prop_assert!(found.p95_seconds <= found.p99_seconds);
                prop_assert!(found.p99_seconds <= 100.0);
            }
        }
    }
}
