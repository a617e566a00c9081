//! The HTTP API: routes and what they share. [`edge`] handles every request first.

pub mod access;
mod access_log;
mod app;
mod body;
mod cause;
#[cfg(test)]
mod client_errors;
mod description;
mod direct;
pub mod edge;
mod erase;
mod events;
mod health;
mod invalidate;
pub(crate) mod method;
mod metrics;
mod operations;
mod options;
pub(crate) mod outage_log;
pub(crate) mod parameters;
mod phase;
mod popular;
mod problem;
mod recommend;
pub(crate) mod rejection;
pub(crate) mod route;
pub(crate) mod server;
mod session;
mod trace_context;

pub use app::App;
pub use metrics::HttpMetrics;
pub use operations::Operations;
pub use phase::{Phase, Readiness};

use access::Access;
use axum::extract::{MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware::Next};
use problem::Problem;
use reckon_contract::tables::UserIdType;
use route::Route;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reckon",
        description = "Recommended and new-to-try categories for each user, computed from searches and purchases. \
            Errors are problem documents (RFC 9457)."
    ),
    components(schemas(crate::model::UserId, options::AlgorithmName, options::ExcludedCategory)),
    tags(
        (name = "recommendations", description = "What to show to a user"),
        (name = "events", description = "Store what users did, and erase a user"),
        (name = "cache", description = "Clear cached answers after a change, or compute them ahead"),
        (name = "state", description = "How the service is")
    )
)]
struct Description;

fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(recommend::recommend))
        .routes(routes!(recommend::batch_recommend))
        .routes(routes!(session::recommend_session))
        .routes(routes!(popular::popular))
        .routes(routes!(popular::related))
        .routes(routes!(events::store_events))
        .routes(routes!(erase::erase_user))
        .routes(routes!(invalidate::invalidate_user))
        .routes(routes!(invalidate::invalidate_users))
        .routes(routes!(invalidate::invalidate_all))
        .routes(routes!(invalidate::warm_cache))
        .routes(routes!(health::health))
        .routes(routes!(health::stats))
}

/// The OpenAPI description of the HTTP API with keys required and integers as user ids, from the same routes that serve it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described(false, UserIdType::default()).1
}

fn described(
    writes_are_open: bool,
    ids: UserIdType,
) -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut description) = documented().split_for_parts();
    description::add_refusals(&mut description, writes_are_open);
    description::set_user_ids(&mut description, ids);
    (router, description)
}

/// The routes of the HTTP API.
pub fn router(app: Arc<App>) -> Router {
    let writes_are_open = matches!(app.access, Access::Open | Access::Local);
    let (router, description) = described(writes_are_open, app.tuning.tables.user_id);
    let config = utoipa_swagger_ui::Config::default().validator_url("none");
    router
        .merge(
            SwaggerUi::new("/docs")
                .url("/openapi.json", description)
                .config(config),
        )
        .route_layer(axum::middleware::from_fn_with_state(
            Arc::clone(&app),
            admit,
        ))
        .with_state(app)
}

/// Passes a request to its handler if access allows it, and reports the route to the edge.
async fn admit(
    State(app): State<Arc<App>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let route = Route::of(path.as_str());
    let access = app.access.check(route, &request);
    let mut response = match access {
        Ok(()) => next.run(request).await,
        Err(rejection) => {
            app.metrics.rejected(rejection);
            Problem::from(rejection).into_response()
        }
    };
    response.extensions_mut().insert(route);
    response
}

#[cfg(test)]
mod tests {
    use super::{openapi, route::Route};

    #[test]
    fn every_documented_path_is_a_known_route_and_any_other_is_not() {
        for path in openapi().paths.paths.keys() {
            let route = Route::of(path);
            assert!(!matches!(route, Route::Unmatched | Route::Docs), "{path}");
        }
        for path in ["/populars", "/docsx", "/docs/x", "/invalidate-cachex", "/"] {
            assert_eq!(Route::of(path), Route::Unmatched, "{path}");
        }
    }
}
