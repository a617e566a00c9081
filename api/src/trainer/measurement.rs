//! The figures that are published with a model: how good the answers would have been on the newest 14 days.

use crate::evaluation::{self, MIN_USERS, date, newest_cut_off};
use crate::trained::{Quality, TrainedModel};
use crate::training::{self, Dataset};
use reckon_contract::tuning::Recommendation;
use tracing::{info, warn};

/// The figures of a model that is trained on the days before the newest cut-off. The published model is trained in the
/// same way on all days.
pub fn of_a_training(data: &Dataset, settings: &Recommendation) -> Option<Quality> {
    let cut_off = newest_cut_off(data)?;
    let model = training::train(data, cut_off, 0).inspect_err(
        |problem| warn!(%problem, "quality not measured: no model of the days before the newest 14"),
    );
    let quality = evaluation::quality(data, &model.ok()?, cut_off, settings);
    report(quality.as_ref());
    quality
}

/// The figures of an existing model. None if it was trained on some of the newest 14 days: the model and its published
/// figures are then less than 14 days old.
pub fn of_model(
    data: &Dataset,
    model: &TrainedModel,
    settings: &Recommendation,
) -> Option<Quality> {
    let cut_off = newest_cut_off(data)?;
    if model.as_of() > cut_off {
        info!("quality not measured: the model in force was trained on some of the newest 14 days");
        return None;
    }
    let quality = evaluation::quality(data, model, cut_off, settings);
    report(quality.as_ref());
    quality
}

fn report(quality: Option<&Quality>) {
    let Some(quality) = quality else {
        info!(
            minimum_users = MIN_USERS,
            "quality not measured: too few users with earlier rows and purchases in the newest 14 days"
        );
        return;
    };
    for (list, compared) in quality.lists() {
        for (algorithm, figures) in compared.algorithms() {
            info!(
                list,
                algorithm = algorithm.name(),
                cut_off = date::text(quality.cut_off),
                users = compared.users,
                ndcg = figures.ndcg,
                half_width = figures.ndcg_half_width,
                hit_rate = figures.hit_rate,
                coverage = figures.coverage,
                "quality"
            );
        }
    }
}
