//! The HTTP API: routes and what they share. What each request passes first is in [`edge`].

pub mod access;
mod description;
pub mod edge;
mod failure_log;
mod health;
mod invalidate;
mod operations;
pub(crate) mod outage;
mod parameters;
pub mod problem;
mod recommend;
mod refusal;
pub mod server;

pub use operations::Operations;
pub use refusal::Refusal;

use crate::{loader::Availability, metrics::Metrics, recommend::Recommender};
use access::Access;
use axum::extract::{MatchedPath, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware::Next};
use problem::Problem;
use reckon_contract::Tuning;
use std::{sync::Arc, time::Instant};
use tokio::sync::watch;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

/// What handlers need.
pub struct App {
    /// The use case.
    pub recommender: Arc<Recommender>,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// How the process runs.
    pub tuning: Tuning,
    /// Who may ask for what.
    pub access: Access,
    /// Start of the process.
    pub started: Instant,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Reckon",
        description = "Recommended and new-to-try categories for each user, computed from searches and purchases. \
            Errors are problem documents (RFC 9457)."
    ),
    tags(
        (name = "recommendations", description = "What to show to a user"),
        (name = "cache", description = "Clear cached answers after a change, or compute them ahead"),
        (name = "state", description = "How the service is")
    )
)]
struct Description;

fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(recommend::recommend))
        .routes(routes!(recommend::batch_recommend))
        .routes(routes!(invalidate::invalidate_user))
        .routes(routes!(invalidate::invalidate_users))
        .routes(routes!(invalidate::invalidate_all))
        .routes(routes!(invalidate::warm_cache))
        .routes(routes!(health::health))
        .routes(routes!(health::stats))
}

/// The description of the HTTP API where keys are asked for, from the same routes that serve it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described(false).1
}

fn described(writes_are_open: bool) -> (Router<Arc<App>>, utoipa::openapi::OpenApi) {
    let (router, mut description) = documented().split_for_parts();
    description::add_refusals(&mut description, writes_are_open);
    (router, description)
}

/// The routes of the HTTP API.
pub fn router(app: Arc<App>) -> Router {
    let (router, description) = described(matches!(app.access, Access::Open | Access::Local));
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

/// Lets a request go on to its handler if it may, and tells the edge which route it was.
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
        Err(refusal) => {
            app.metrics.http.refused(refusal);
            Problem::from(refusal).into_response()
        }
    };
    response.extensions_mut().insert(route);
    response
}

/// The routes as metrics name them: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// One user's recommendation.
    Recommend,
    /// Several users' recommendations.
    Batch,
    /// Invalidation in its three forms.
    Invalidate,
    /// Warming.
    Warm,
    /// Health for people.
    Health,
    /// Live figures.
    Stats,
    /// Documentation.
    Docs,
    /// No route of ours.
    Unmatched,
}

impl Route {
    /// Every route, in the order of their values.
    pub const ALL: [Self; 8] = [
        Self::Recommend,
        Self::Batch,
        Self::Invalidate,
        Self::Warm,
        Self::Health,
        Self::Stats,
        Self::Docs,
        Self::Unmatched,
    ];

    /// The name of the route.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::Recommend => "/recommend/{user_id}",
            Self::Batch => "/batch-recommend",
            Self::Invalidate => "/invalidate-cache",
            Self::Warm => "/warm-cache",
            Self::Health => reckon_contract::network::HEALTH,
            Self::Stats => "/stats",
            Self::Docs => "/docs",
            Self::Unmatched => "unmatched",
        }
    }

    /// The route of a path as the router has it. One that is not known here is none of ours, so that whoever adds a route
    /// and forgets this list opens nothing: only some of the known ones are open to everybody.
    fn of(path: &str) -> Self {
        match path {
            "/recommend/{user_id}" => Self::Recommend,
            "/batch-recommend" => Self::Batch,
            "/invalidate-cache" | "/invalidate-cache/{user_id}" | "/invalidate-cache/all" => {
                Self::Invalidate
            }
            "/warm-cache" => Self::Warm,
            reckon_contract::network::HEALTH => Self::Health,
            "/stats" => Self::Stats,
            "/docs" | "/docs/" | "/docs/{*rest}" | "/openapi.json" => Self::Docs,
            _ => Self::Unmatched,
        }
    }
}

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving what still comes, and asking every client to come back on a new connection.
    Draining,
    /// Accepting nothing, finishing what is under way.
    Stopping,
}

/// Whether the process should get traffic: from the store's first success until the end begins.
#[derive(Clone)]
pub struct Readiness {
    /// What the process is doing.
    pub phase: watch::Receiver<Phase>,
    /// Latched at the store's first success.
    pub store_seen: watch::Receiver<bool>,
}

impl Readiness {
    /// Latches when `availability` first says that the store is up.
    #[must_use]
    pub fn new(
        phase: watch::Receiver<Phase>,
        mut availability: watch::Receiver<Availability>,
    ) -> Self {
        let (latch, store_seen) = watch::channel(false);
        tokio::spawn(async move {
            let up = |known: &Availability| matches!(known, Availability::Up { .. });
            if availability.wait_for(up).await.is_ok() {
                latch.send_replace(true);
            }
        });
        Self { phase, store_seen }
    }
}

#[cfg(test)]
mod tests {
    use super::{Route, openapi};

    #[test]
    fn every_documented_path_is_a_known_route_and_any_other_is_none_of_ours() {
        for path in openapi().paths.paths.keys() {
            let route = Route::of(path);
            assert!(!matches!(route, Route::Unmatched | Route::Docs), "{path}");
        }
        for path in ["/popular", "/docsx", "/docs/x", "/invalidate-cachex", "/"] {
            assert_eq!(Route::of(path), Route::Unmatched, "{path}");
        }
    }
}
