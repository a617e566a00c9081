//! The training with its defaults. It repeats checks of the schema that an older schema may lack.

use super::error::Error;
use super::resources::resources;
use super::schedule;
use crate::crd::{RecommendationService, Training};
use reckon_contract::tuning::Algorithm;

/// Request and limit of memory of a training that sets none.
const MEMORY: &str = "512Mi";

/// The training that the resource wants.
pub(super) fn training(service: &RecommendationService) -> Result<Option<Training>, Error> {
    let spec = &service.spec;
    let Some(mut training) = spec.training.clone() else {
        return Ok(None);
    };
    let recommendation = spec.recommendation.clone().unwrap_or_default();
    if !recommendation.uses(Algorithm::NextBasket) {
        return Err(Error::Field {
            field: "training",
            problem: "needs recommendation.algorithm: NextBasket, or an experiment with it"
                .to_owned(),
        });
    }
    let meta = &service.metadata;
    let place = [&meta.namespace, &meta.name].map(|part| part.as_deref().unwrap_or_default());
    let schedule = training
        .schedule
        .unwrap_or_else(|| schedule::daily(place[0], place[1]));
    schedule::check(&schedule).map_err(|problem| Error::Field {
        field: "training.schedule",
        problem,
    })?;
    training.schedule = Some(schedule);
    training.resources = Some(resources(training.resources.take(), MEMORY));
    Ok(Some(training))
}
