//! Invalidating cached results after a change, and warming the caches.

use super::app::App;
use super::parameters::{PathUser, QueryUsers};
use super::problem::Problem;
use crate::cache::generation::Invalidation;
use crate::model::UserId;
use crate::recommend::Failure;
use axum::{Json, extract::State};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Maximum number of users of one invalidation or warming.
const MAX_USERS: usize = 500;

/// What was done.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"message": "Cache invalidated for user 123"}))]
pub struct Done {
    /// A sentence.
    message: String,
}

/// Invalidates one user's cached answer: no later request gets older data.
#[utoipa::path(
    post,
    path = "/invalidate-cache/{user_id}",
    tag = "cache",
    params(("user_id" = UserId, Path, description = "The user, as in the tables")),
    responses(
        (status = 200, description = "No request that arrives after this answer gets older data from this instance. One second later, the same holds for all instances", body = Done),
        (status = 422, description = "The user id is invalid", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The shared cache did not acknowledge it: this instance's cache is cleared, other \
            instances may still serve older data", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn invalidate_user(
    State(app): State<Arc<App>>,
    PathUser(user): PathUser,
) -> Result<Json<Done>, Problem> {
    let whom = format!("user {user}");
    invalidate(&app, Invalidation::Users(vec![user]), whom).await
}

async fn invalidate(app: &App, what: Invalidation, whom: String) -> Result<Json<Done>, Problem> {
    app.recommender.invalidate(what).await?;
    Ok(Json(Done {
        message: format!("Cache invalidated for {whom}"),
    }))
}

/// Invalidates the cached answers of up to 500 users: no later request gets older data.
#[utoipa::path(
    post,
    path = "/invalidate-cache",
    tag = "cache",
    params(("user_ids" = Vec<UserId>, Query, description = "1 to 500 user ids separated by commas", style = Form, explode = false,
        min_items = 1, max_items = 500, example = json!([1, 2, 3]))),
    responses(
        (status = 200, description = "No request that arrives after this answer gets older data from this instance. One second later, the same holds for all instances", body = Done,
            example = json!({"message": "Cache invalidated for 3 users"})),
        (status = 400, description = "The list is empty, too long or contains an invalid user id",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`user_ids` is missing", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The shared cache did not acknowledge it: this instance's cache is cleared, other \
            instances may still serve older data", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn invalidate_users(
    State(app): State<Arc<App>>,
    QueryUsers(users): QueryUsers<MAX_USERS>,
) -> Result<Json<Done>, Problem> {
    let whom = format!("{} users", users.len());
    invalidate(&app, Invalidation::Users(users), whom).await
}

/// Invalidates every cached answer: no later request gets older data.
#[utoipa::path(
    post,
    path = "/invalidate-cache/all",
    tag = "cache",
    responses(
        (status = 200, description = "No request that arrives after this answer gets older data from this instance. One second later, the same holds for all instances", body = Done,
            example = json!({"message": "Cache invalidated for all users"})),
        (status = 503, description = "The shared cache did not acknowledge it: this instance's cache is cleared, other \
            instances may still serve older data", body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn invalidate_all(State(app): State<Arc<App>>) -> Result<Json<Done>, Problem> {
    invalidate(&app, Invalidation::All, "all users".to_owned()).await
}

/// The started work.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "message": "Cache warming initiated for 3 users", "user_count": 3, "status": "processing"
}))]
pub struct Warming {
    /// A sentence.
    message: String,
    /// Users that will be computed.
    user_count: usize,
    /// Always `processing`: the users are computed in the background.
    status: &'static str,
}

/// Compute up to 500 users' recommendations in the background, so that they will be in the cache.
#[utoipa::path(
    post,
    path = "/warm-cache",
    tag = "cache",
    params(("user_ids" = Vec<UserId>, Query, description = "1 to 500 user ids separated by commas", style = Form, explode = false,
        min_items = 1, max_items = 500, example = json!([1, 2, 3]))),
    responses(
        (status = 200, description = "The users are being computed in the background", body = Warming),
        (status = 400, description = "The list is empty, too long or contains an invalid user id",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`user_ids` is missing", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many users are waiting to be computed; see `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn warm_cache(
    State(app): State<Arc<App>>,
    QueryUsers(users): QueryUsers<MAX_USERS>,
) -> Result<Json<Warming>, Problem> {
    let user_count = users.len();
    app.recommender.warm(users).map_err(Failure::Load)?;
    Ok(Json(Warming {
        message: format!("Cache warming initiated for {user_count} users"),
        user_count,
        status: "processing",
    }))
}
