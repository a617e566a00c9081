//! Erasing a user.

use super::app::App;
use super::parameters::PathUser;
use super::problem::Problem;
use crate::events::Erased;
use crate::model::UserId;
use axum::{Json, extract::State};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// What was deleted.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"user_id": 7, "searches": 120, "purchases": 48}))]
pub struct ErasedUser {
    /// The user.
    user_id: UserId,
    /// Deleted rows of searches.
    searches: u64,
    /// Deleted rows of purchases.
    purchases: u64,
}

/// Erases a user: deletes the user's searches and purchases from the database and from all caches. Events of the user that
/// happened before and arrive later are ignored. Repeat a request that failed with 503 or without an answer. Without the
/// setting `events.enabled`, the request is answered 403.
#[utoipa::path(
    delete,
    path = "/users/{user_id}",
    tag = "events",
    params(("user_id" = UserId, Path, description = "The user, as in the tables")),
    responses(
        (status = 200, description = "The rows are deleted. No request that arrives after this answer gets data from before \
            from this instance. One second later, the same holds for all instances", body = ErasedUser),
        (status = 422, description = "The user id is invalid", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The rows are not deleted, or not all of them, or they are and other instances may still \
            serve older data; `detail` says which. Repeat the request", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn erase_user(
    State(app): State<Arc<App>>,
    PathUser(user): PathUser,
) -> Result<Json<ErasedUser>, Problem> {
    let erased = app.events()?.erase(user.clone()).await;
    let Erased {
        searches,
        purchases,
    } = erased.map_err(Problem::not_erased)?;
    Ok(Json(ErasedUser {
        user_id: user,
        searches,
        purchases,
    }))
}
