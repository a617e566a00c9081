//! The requests that most clients send, `GET /recommend/USER` without a query and `GET /batch-recommend`: answered without the
//! router. For a memory hit of one user, the router cost more than half of the instructions from the head to the response.
//!
//! The router handles every request that is not certainly one of these, or that would be rejected. So each rule has one
//! place.

use super::app::App;
use super::parameters;
use super::problem::Problem;
use super::recommend::{MAX_IN_BATCH, batch, respond};
use super::route::Route;
use crate::model::UserId;
use crate::recommend::Missed;
use axum::response::{IntoResponse as _, Response};
use http::{Method, Request};
use std::sync::Arc;
use std::time::Instant;

/// Answers the most frequent requests.
pub struct Direct(Arc<App>);

/// A request whose response is not ready.
pub enum Pending {
    /// The answer of one user is not in memory.
    One(Arc<App>, Missed),
    /// Several users, some of whom may have an answer in memory.
    Several(Arc<App>, Vec<UserId>),
}

impl Direct {
    pub fn new(app: Arc<App>) -> Self {
        Self(app)
    }

    /// The route, and either the response or a [`Pending`]. `None`: the router must handle the request.
    pub fn answer<B>(
        &self,
        request: &Request<B>,
        now: Instant,
    ) -> Option<(Route, Result<Response, Pending>)> {
        if request.method() != Method::GET {
            return None;
        }
        match (request.uri().path(), request.uri().query()) {
            (path, Some(query)) if path == Route::Batch.template() => {
                let pending = self.several(request, query)?;
                Some((Route::Batch, Err(pending)))
            }
            (path, None) => {
                let user = path.strip_prefix("/recommend/")?;
                Some((Route::Recommend, self.one(request, user, now)?))
            }
            _ => None,
        }
    }

    fn one<B>(
        &self,
        request: &Request<B>,
        user: &str,
        now: Instant,
    ) -> Option<Result<Response, Pending>> {
        let Self(app) = self;
        // A text id may be percent-encoded, or be more than one segment of the path.
        if user.bytes().any(|byte| matches!(byte, b'%' | b'/')) {
            return None;
        }
        let user = UserId::parse(user, app.tuning.tables.user_id).ok()?;
        app.access.check(Route::Recommend, request).ok()?;
        Some(match app.recommender.hit(&user, now) {
            Ok(answered) => Ok(respond(app, answered)),
            Err(missed) => Err(Pending::One(Arc::clone(app), missed)),
        })
    }

    fn several<B>(&self, request: &Request<B>, query: &str) -> Option<Pending> {
        let Self(app) = self;
        let users = parameters::parse(query, MAX_IN_BATCH, app.tuning.tables.user_id).ok()?;
        app.access.check(Route::Batch, request).ok()?;
        Some(Pending::Several(Arc::clone(app), users))
    }
}

impl Pending {
    /// The response.
    pub async fn answer(self) -> Response {
        let response = match self {
            Self::One(app, missed) => {
                let answered = app.recommender.complete(missed).await;
                answered
                    .map(|answered| respond(&app, answered))
                    .map_err(Problem::from)
            }
            Self::Several(app, users) => batch(&app, users).await,
        };
        response.unwrap_or_else(Problem::into_response)
    }
}
