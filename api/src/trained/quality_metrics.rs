//! The figures of the model in use as metrics, which are absent while no model in use has figures.

use super::quality::{Figures, Quality};
use crate::model::Day;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

const SECONDS_PER_DAY: i64 = 86_400;

/// The name of a metric, its description, and its value.
type Metric = (&'static str, &'static str, fn(&Figures) -> f64);

const FIGURES: [Metric; 4] = [
    (
        "quality_ndcg",
        "Mean NDCG of the list that the algorithm would have answered at the cut-off (10 recommended categories, 5 to \
         explore), compared with what the users bought in the next 14 days. From 0 to 1; absent unless the model in use has \
         figures.",
        |figures| figures.ndcg,
    ),
    (
        "quality_ndcg_half_width",
        "Half the width of the 95 % confidence interval of quality_ndcg; absent unless the model in use has figures.",
        |figures| figures.ndcg_half_width,
    ),
    (
        "quality_hit_rate",
        "Part of the evaluated users who bought at least one category of the list; absent unless the model in use has figures.",
        |figures| figures.hit_rate,
    ),
    (
        "quality_coverage",
        "Of the categories that were bought in the 14 days, the part that is in the list of at least one user; absent \
         unless the model in use has figures.",
        |figures| figures.coverage,
    ),
];

/// The figures of the model in use.
#[derive(Clone, Debug, Default)]
pub struct QualityMetrics(Arc<RwLock<Option<Quality>>>);

impl QualityMetrics {
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    pub fn set(&self, quality: Option<Quality>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = quality;
    }
}

impl Collector for QualityMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let quality = *self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (name, help, value) in FIGURES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (list, compared) in quality.iter().flat_map(Quality::lists) {
                for (algorithm, figures) in compared.algorithms() {
                    let labels = [("list", list), ("algorithm", algorithm.name())];
                    ConstGauge::new(value(figures)).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        let mut users = encoder.encode_descriptor(
            "quality_evaluated_users",
            "Users whose list was evaluated: those with rows before the cut-off and purchases in the 14 days, for the list \
             explore with purchases in new categories; absent unless the model in use has figures.",
            None,
            MetricType::Gauge,
        )?;
        for (list, compared) in quality.iter().flat_map(Quality::lists) {
            let count = i64::try_from(compared.users).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(users.encode_family(&[("list", list)])?)?;
        }
        let cut_off = encoder.encode_descriptor(
            "quality_cut_off_timestamp_seconds",
            "The cut-off, the beginning of the 14 days, in seconds since 1970; absent unless the model in use has figures.",
            None,
            MetricType::Gauge,
        )?;
        if let Some(quality) = quality {
            ConstGauge::new(seconds(quality.cut_off)).encode(cut_off)?;
        }
        Ok(())
    }
}

/// The beginning of a day in UTC, in seconds since 1970.
fn seconds(day: Day) -> i64 {
    (i64::from(day.0) - i64::from(Day::EPOCH.0)) * SECONDS_PER_DAY
}
