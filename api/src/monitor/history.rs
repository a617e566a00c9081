//! Past values of the figures, for as many intervals as fit on a wide screen.

use super::figures::Figures;
use super::histogram::Quantiles;
use super::report::Report;
use std::collections::{BTreeMap, VecDeque};

/// Maximum number of values in a series.
const MAX_VALUES: usize = 240;

/// The newest values of one figure, the newest last; `None` if there was no value.
#[derive(Clone, Debug, Default)]
pub struct Series(VecDeque<Option<f64>>);

impl Series {
    fn push(&mut self, value: Option<f64>) {
        if self.0.len() == MAX_VALUES {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    /// The newest `count` values, the newest last.
    pub fn newest(&self, count: usize) -> impl Iterator<Item = Option<f64>> {
        let skipped = self.0.len().saturating_sub(count);
        self.0.iter().copied().skip(skipped)
    }
}

/// The series of a latency.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    /// The series of [`Quantiles::p50_seconds`].
    pub p50: Series,
    /// The series of [`Quantiles::p95_seconds`].
    pub p95: Series,
    /// The series of [`Quantiles::p99_seconds`].
    pub p99: Series,
}

impl Latency {
    fn push(&mut self, quantiles: Option<Quantiles>) {
        self.p50.push(quantiles.map(|it| it.p50_seconds));
        self.p95.push(quantiles.map(|it| it.p95_seconds));
        self.p99.push(quantiles.map(|it| it.p99_seconds));
    }
}

/// All series.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Requests a second, of all processes together.
    pub requests: Series,
    /// Latency of recommendations, of all processes together.
    pub recommend: Latency,
    /// Latency of statements.
    pub store: Latency,
    /// Latency of the shared cache.
    pub shared: Latency,
    /// Requests a second of each process that is currently monitored.
    pub processes: BTreeMap<String, Series>,
}

impl History {
    /// Adds the values of an interval.
    pub fn push(&mut self, report: &Report) {
        let recent = report.total.recent.as_ref();
        self.requests.push(rate(recent));
        self.recommend.push(recent.and_then(|it| it.recommend));
        self.store.push(recent.and_then(|it| it.store));
        self.shared.push(recent.and_then(|it| it.shared));
        let mut before = std::mem::take(&mut self.processes);
        for process in &report.processes {
            let mut series = before.remove(&process.address).unwrap_or_default();
            series.push(rate(process.recent.as_ref()));
            self.processes.insert(process.address.clone(), series);
        }
    }
}

fn rate(figures: Option<&Figures>) -> Option<f64> {
    figures.and_then(|it| it.requests_per_second)
}
