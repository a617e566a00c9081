//! Answers from the trained model that depend on no user: popular categories, and the categories that are related to
//! one.

use super::app::App;
use super::parameters::PathCategory;
use super::problem::Problem;
use crate::folding::key;
use crate::trained::TrainedModel;
use axum::{Json, extract::State};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Maximum number of categories in an answer.
const MAX_CATEGORIES: usize = 100;

/// Popular categories.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"categories": [{"category": "milk", "share": 0.31}], "model": "1764000000-cea175c5c238"}))]
pub struct Popular {
    /// Most popular first.
    categories: Vec<PopularCategory>,
    /// Version of the trained model.
    model: String,
}

/// A popular category.
#[derive(Serialize, ToSchema)]
struct PopularCategory {
    /// Its name.
    category: String,
    /// Of all baskets of the last 60 days, the part that contains it, from 0 to 1.
    share: f64,
}

/// The 100 most popular categories among all users.
#[utoipa::path(
    get,
    path = "/popular",
    tag = "recommendations",
    responses(
        (status = 200, description = "The categories", body = Popular),
        (status = 503, description = "No trained model is in use; see `model` in `/health`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn popular(State(app): State<Arc<App>>) -> Result<Json<Popular>, Problem> {
    let model = model(&app)?;
    let categories = model.categories().iter().take(MAX_CATEGORIES);
    Ok(Json(Popular {
        categories: categories
            .map(|category| PopularCategory {
                category: category.name.to_string(),
                share: category.share,
            })
            .collect(),
        model: model.version().to_owned(),
    }))
}

/// Categories related to one.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "category": "milk", "related": [{"category": "oat drinks", "weight": 0.35}], "model": "1764000000-cea175c5c238"
}))]
pub struct Related {
    /// The category.
    category: String,
    /// Categories that buyers of this one buy more often than other users, closest first.
    #[serde(rename = "related")]
    others: Vec<RelatedCategory>,
    /// Version of the trained model.
    model: String,
}

/// A related category.
#[derive(Serialize, ToSchema)]
struct RelatedCategory {
    /// Its name.
    category: String,
    /// What a purchase contributes to the score of this category.
    weight: f32,
}

/// Categories related to one, from the purchases of all users.
#[utoipa::path(
    get,
    path = "/related/{category}",
    tag = "recommendations",
    params(("category" = String, Path, description = "The category, as in the tables")),
    responses(
        (status = 200, description = "The related categories", body = Related),
        (status = 404, description = "The trained model has no such category", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The category is not UTF-8", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "No trained model is in use; see `model` in `/health`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn related(
    State(app): State<Arc<App>>,
    PathCategory(category): PathCategory,
) -> Result<Json<Related>, Problem> {
    let model = model(&app)?;
    let categories = model.categories();
    let folds = app.tuning.recommendation.fold_categories;
    let category = match model.folded(&key(&category)) {
        Some(form) if folds => form.to_owned(),
        _ => category,
    };
    let position = model.position(&category).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "the trained model has no such category; see /popular",
        )
    })?;
    let mut related: Vec<_> = categories[position as usize].related.clone();
    related.retain(|(_, weight)| *weight > 0.0);
    related.sort_by(|left, right| right.1.total_cmp(&left.1).then(left.0.cmp(&right.0)));
    Ok(Json(Related {
        category,
        others: related
            .into_iter()
            .map(|(position, weight)| RelatedCategory {
                category: categories[position as usize].name.to_string(),
                weight,
            })
            .collect(),
        model: model.version().to_owned(),
    }))
}

fn model(app: &App) -> Result<Arc<TrainedModel>, Problem> {
    app.recommender.model().ok_or_else(|| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no trained model is in use: the algorithm is Classic, or no model has been published yet",
        )
        .with_retry_after()
    })
}
