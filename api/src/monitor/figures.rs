//! The work of one process, or of all of them, in a time window: rates, ratios and quantiles.

use super::histogram::{Observations, Quantiles};
use super::sample::{Counter, Counters, Histograms, REASONS, Sample};
use serde::Serialize;
use std::collections::BTreeMap;

/// The counts of a time window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Window {
    /// Its length in seconds, if known.
    seconds: Option<f64>,
    /// Whether the process restarted in this window; the counts before the restart are unknown.
    pub restarted: bool,
    counters: Counters,
    recommend: Observations,
    store: Observations,
    shared: Observations,
}

impl Window {
    /// The window between two samples of one process that are `seconds` apart. If the process restarted, the window
    /// begins at the restart. `None` if no time has passed.
    pub fn between(before: &Sample, now: &Sample, seconds: f64) -> Option<Self> {
        let restarted = restarted(before, now);
        let nothing = Sample::default();
        let before = if restarted { &nothing } else { before };
        let since = |now: &Histograms, before: &Histograms| {
            (
                now.recommend.since(&before.recommend),
                now.store.since(&before.store),
                now.shared.since(&before.shared),
            )
        };
        let (recommend, store, shared) = since(&now.histograms, &before.histograms);
        (seconds > 0.0).then(|| Self {
            seconds: Some(seconds),
            restarted,
            counters: now.counters.since(&before.counters),
            recommend,
            store,
            shared,
        })
    }

    /// The window since the process started. Its length is unknown if the process does not report its start.
    /// `unix_seconds` is the current time.
    pub fn since_start(now: &Sample, unix_seconds: f64) -> Self {
        let seconds = now.start_time.map(|start| unix_seconds - start);
        let seconds = seconds.filter(|seconds| *seconds > 0.0);
        let window = Self::between(&Sample::default(), now, seconds.unwrap_or(f64::INFINITY));
        Self {
            seconds,
            ..window.unwrap_or_default()
        }
    }
}

fn restarted(before: &Sample, now: &Sample) -> bool {
    let (old, new) = (&before.histograms, &now.histograms);
    let starts = before.start_time.zip(now.start_time);
    // If the clock is adjusted, the start that is computed from it moves by less than a second.
    starts.is_some_and(|(before, now)| (now - before).abs() > 1.0)
        || now.counters.fell_since(&before.counters)
        || new.recommend.fell_since(&old.recommend)
        || new.store.fell_since(&old.store)
        || new.shared.fell_since(&old.shared)
}

/// The figures of a time window. A ratio is `null` if there is nothing to divide.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests answered.
    pub requests: f64,
    /// Requests answered a second; `null` if a process does not report its start.
    pub requests_per_second: Option<f64>,
    /// Requests that were answered with a status below 500, divided by all.
    pub success_ratio: Option<f64>,
    /// Hits of the memory cache divided by its look-ups.
    pub memory_hit_ratio: Option<f64>,
    /// Hits of the shared cache divided by its look-ups.
    pub shared_hit_ratio: Option<f64>,
    /// Stale recommendations returned.
    pub stale: f64,
    /// Requests and connections rejected, a second.
    pub rejections_per_second: Option<f64>,
    /// Requests and connections rejected, by reason; reasons without any are omitted.
    pub rejections: BTreeMap<&'static str, f64>,
    /// Latency of requests for recommendations, single and in batches.
    pub recommend: Option<Quantiles>,
    /// Latency of statements of the store.
    pub store: Option<Quantiles>,
    /// Latency of operations of the shared cache.
    pub shared: Option<Quantiles>,
}

impl Figures {
    /// Merges all windows. `None` if there are none.
    pub fn of<'a>(windows: impl IntoIterator<Item = &'a Window>) -> Option<Self> {
        let mut sum = Window::default();
        let (mut requests_per_second, mut rejections_per_second) = (Some(0.0), Some(0.0));
        let mut is_any = false;
        for window in windows {
            is_any = true;
            sum.counters.merge(&window.counters);
            sum.recommend.merge(&window.recommend);
            sum.store.merge(&window.store);
            sum.shared.merge(&window.shared);
            let rejections: f64 = window.counters.rejections.iter().sum();
            let rate = |sum: Option<f64>, count: f64| Some(sum? + count / window.seconds?);
            requests_per_second = rate(requests_per_second, window.counters.of(Counter::Requests));
            rejections_per_second = rate(rejections_per_second, rejections);
        }
        is_any.then(|| Self {
            requests_per_second,
            rejections_per_second,
            ..Self::counted(&sum)
        })
    }

    fn counted(window: &Window) -> Self {
        let of = |counter| window.counters.of(counter);
        let requests = of(Counter::Requests);
        let rejections = REASONS.into_iter().zip(window.counters.rejections);
        Self {
            requests,
            success_ratio: ratio(requests - of(Counter::ServerErrors), requests),
            memory_hit_ratio: share(of(Counter::MemoryHits), of(Counter::MemoryMisses)),
            shared_hit_ratio: share(of(Counter::SharedHits), of(Counter::SharedMisses)),
            stale: of(Counter::Stale),
            rejections: rejections.filter(|(_, count)| *count > 0.0).collect(),
            recommend: window.recommend.quantiles(),
            store: window.store.quantiles(),
            shared: window.shared.quantiles(),
            ..Self::default()
        }
    }
}

fn share(hits: f64, misses: f64) -> Option<f64> {
    ratio(hits, hits + misses)
}

/// A part of a whole, from 0 to 1.
pub fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
