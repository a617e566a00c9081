//! The metrics of the trained model.

use super::model::TrainedModel;
use super::quality_metrics::QualityMetrics;
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use prometheus_client::registry::Registry;
use reckon_metrics::Register as _;

/// The model in use, and the results of reading published models.
#[derive(Debug, Default)]
pub struct ModelMetrics {
    created: Gauge,
    categories: Gauge,
    loaded: Counter,
    quality: QualityMetrics,
    /// Published documents that are not valid.
    pub invalid: Counter,
    /// Attempts that failed to read.
    pub failed: Counter,
}

impl ModelMetrics {
    pub fn new(registry: &mut Registry) -> Self {
        let [loaded, invalid, failed] = registry.add_labelled(
            "model_reads",
            "Published models that were read: in use from then on (loaded), not a valid model (invalid; the model in use \
             stays), or not readable (failed)",
            "result",
            ["loaded", "invalid", "failed"],
        );
        Self {
            created: registry.add(
                "model_created_timestamp_seconds",
                "When the trained model in use was created, in seconds since 1970; 0 without a model",
                Gauge::default(),
            ),
            categories: registry.add(
                "model_categories",
                "Categories of the trained model in use; 0 without a model",
                Gauge::default(),
            ),
            loaded,
            quality: QualityMetrics::registered(registry),
            invalid,
            failed,
        }
    }

    pub fn loaded(&self, model: &TrainedModel) {
        self.loaded.inc();
        self.created
            .set(i64::try_from(model.created()).unwrap_or(i64::MAX));
        let categories = model.categories().len();
        self.categories
            .set(i64::try_from(categories).unwrap_or(i64::MAX));
        self.quality.set(model.quality().copied());
    }

    pub fn missing(&self) {
        self.created.set(0);
        self.categories.set(0);
        self.quality.set(None);
    }
}
