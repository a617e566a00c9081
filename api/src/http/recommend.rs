//! The recommendations of one user, or of several.

use super::app::App;
use super::options::{self, AlgorithmName, ExcludedCategory};
use super::parameters::{PathUser, QueryUsers};
use super::problem::{Problem, sentence};
use crate::model::UserId;
use crate::recommend::{Answered, Failure, Source, answer::Answer};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use reckon_contract::tuning::AccessLog;
use serde::Serialize;
use std::io::Write as _;
use std::sync::Arc;
use utoipa::ToSchema;

/// Maximum number of users of one batch.
pub(super) const MAX_IN_BATCH: usize = 100;
/// Number of headers of a response that does not close the connection.
const HEADERS: usize = 4;
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// One user's recommended categories, and further categories to explore.
#[utoipa::path(
    get,
    path = "/recommend/{user_id}",
    tag = "recommendations",
    params(
        ("user_id" = UserId, Path, description = "The user, as in the tables"),
        ("explain" = Option<bool>, Query, description = "Adds `explanation`: the terms of each category's score. A request with \
            this or one of the following parameters is answered from the database and not from a cache"),
        ("limit" = Option<u32>, Query, description = "Maximum number of recommended categories, 1 to 100; default 10",
            minimum = 1, maximum = 100),
        ("exclude" = Option<Vec<ExcludedCategory>>, Query, description = "1 to 100 categories, separated by commas, that are \
            left out", style = Form, explode = false, min_items = 1, max_items = 100),
        ("algorithm" = Option<AlgorithmName>, Query, description = "The algorithm, if the setting \
            `recommendation.algorithmParameter` allows to choose it")
    ),
    responses(
        (status = 200, description = "The recommendation; for a user without any rows with zeros, empty lists and a message",
            body = Answer<'static>,
            headers(
                ("X-Cache" = String, description = "`HIT` (from a cache), `MISS` (from the database) or `STALE` (an older \
                    answer, because the database is unavailable)"),
                ("Cache-Control" = String, description = "`private, no-cache`")
            )),
        (status = 422, description = "The user id is invalid, or another parameter is invalid", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The database is unavailable and no older answer is cached; see `Retry-After`",
            body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 504, description = "The request's deadline passed", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub async fn recommend(
    State(app): State<Arc<App>>,
    PathUser(user): PathUser,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let may_choose = app.tuning.recommendation.algorithm_parameter;
    if let Some(options) = options::parse(query.as_deref(), may_choose)? {
        let body = app.recommender.recommend_with(user, &options).await?;
        let source = Source::Store;
        return Ok(respond(&app, Answered { body, source }));
    }
    let answered = app.recommender.recommend(user).await?;
    Ok(respond(&app, answered))
}

pub(super) fn respond(app: &App, Answered { body, source }: Answered) -> Response {
    let cache = match source {
        Source::Memory | Source::Shared => "HIT",
        Source::Store => "MISS",
        Source::Stale => "STALE",
    };
    let mut response = json(body);
    response
        .headers_mut()
        .insert(X_CACHE, HeaderValue::from_static(cache));
    if app.tuning.server.access_log == AccessLog::All {
        response.extensions_mut().insert(source);
    }
    response
}

pub(super) fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    // Room for the edge's headers too, so that the map is allocated once.
    headers.reserve(HEADERS);
    let content_type = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, content_type);
    let cache_control = HeaderValue::from_static("private, no-cache");
    headers.insert(header::CACHE_CONTROL, cache_control);
    response
}

/// Several users' recommendations.
#[derive(ToSchema)]
#[schema(example = json!({
    "successful": 1, "failed": 0, "total_requested": 1, "cache_hits": 1, "cache_misses": 0, "stale": 0,
    "results": [{
        "user_id": 123,
        "recommendations": {
            "weightage": 14.2, "search_weight": 8.1, "purchase_weight": 6.1,
            "recommended_categories": ["books", "electronics"], "explore_categories": ["toys"]
        },
        "metadata": {"search_count": 6, "purchase_count": 3}
    }],
    "errors": []
}))]
pub struct Batch<'a> {
    /// Users with a result.
    successful: usize,
    /// Users without one.
    failed: usize,
    /// Users in the request, repeated ones counted each time.
    total_requested: usize,
    /// Results from a cache, stale ones included.
    cache_hits: usize,
    /// Results from the database.
    cache_misses: usize,
    /// Results past their time to live, returned because the database is unavailable.
    stale: usize,
    /// In the order of the request.
    #[schema(value_type = Vec<Answer<'static>>)]
    results: Vec<&'a Bytes>,
    /// Users without a result, in the order of the request.
    errors: Vec<BatchError>,
}

/// A user of a batch without a result.
#[derive(Serialize, ToSchema)]
struct BatchError {
    /// The user.
    user_id: UserId,
    /// What went wrong, in a sentence.
    error: &'static str,
}

/// Recommendations for up to 100 users, in the order of the request.
#[utoipa::path(
    get,
    path = "/batch-recommend",
    tag = "recommendations",
    params(("user_ids" = Vec<UserId>, Query, description = "1 to 100 user ids separated by commas", style = Form, explode = false,
        min_items = 1, max_items = 100, example = json!([1, 2, 3]))),
    responses(
        (status = 200, description = "The results; users that failed are in `errors`", body = Batch<'static>),
        (status = 400, description = "The list is empty, too long or contains an invalid user id",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`user_ids` is missing", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "All users failed; see `Retry-After`", body = Problem,
            content_type = "application/problem+json", headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 504, description = "The request's deadline passed for all users", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub async fn batch_recommend(
    State(app): State<Arc<App>>,
    QueryUsers(users): QueryUsers<MAX_IN_BATCH>,
) -> Result<Response, Problem> {
    batch(&app, users).await
}

/// The response to a request for several users.
pub(super) async fn batch(app: &App, users: Vec<UserId>) -> Result<Response, Problem> {
    let (distinct, answers) = answers(app, &users).await;
    let mut batch = Batch::of(users.len());
    let mut failure = Failure::Defect;
    for user_id in users {
        let place = distinct.partition_point(|other| *other < user_id);
        match &answers[place] {
            Ok(answered) => batch.add(answered),
            Err(error) => {
                failure = *error;
                let error = sentence(failure);
                batch.errors.push(BatchError { user_id, error });
            }
        }
    }
    batch.failed = batch.errors.len();
    if batch.successful == 0 {
        return Err(failure.into());
    }
    let body = batch
        .json()
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(json(body.into()))
}

/// The distinct users in ascending order, and the result of each: repeated users are computed once, and together they share the
/// statements of the loader.
async fn answers(app: &App, users: &[UserId]) -> (Vec<UserId>, Vec<Result<Answered, Failure>>) {
    let mut distinct = users.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let answers = app.recommender.recommend_all(&distinct).await;
    (distinct, answers)
}

impl<'a> Batch<'a> {
    /// A response without results yet.
    fn of(total_requested: usize) -> Self {
        Self {
            successful: 0,
            failed: 0,
            total_requested,
            cache_hits: 0,
            cache_misses: 0,
            stale: 0,
            results: Vec::with_capacity(total_requested),
            errors: Vec::new(),
        }
    }

    fn add(&mut self, answered: &'a Answered) {
        self.results.push(&answered.body);
        self.successful += 1;
        match answered.source {
            Source::Memory | Source::Shared => self.cache_hits += 1,
            Source::Store => self.cache_misses += 1,
            Source::Stale => {
                self.cache_hits += 1;
                self.stale += 1;
            }
        }
    }

    /// The JSON. The results are finished documents and are copied as they are. Parsing and writing them again took a
    /// sixth of the time of a batch.
    fn json(&self) -> std::io::Result<Vec<u8>> {
        let results: usize = self.results.iter().map(|result| result.len() + 1).sum();
        let mut json = Vec::with_capacity(results + 256);
        let Self {
            successful,
            failed,
            total_requested,
            cache_hits,
            cache_misses,
            stale,
            ..
        } = self;
        write!(
            json,
            r#"{{"successful":{successful},"failed":{failed},"total_requested":{total_requested},"cache_hits":{cache_hits},"cache_misses":{cache_misses},"stale":{stale},"results":["#
        )?;
        for (place, result) in self.results.iter().enumerate() {
            if place > 0 {
                json.push(b',');
            }
            json.extend_from_slice(result);
        }
        json.extend_from_slice(br#"],"errors":"#);
        serde_json::to_writer(&mut json, &self.errors)?;
        json.push(b'}');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, BatchError};
    use crate::model::UserId;
    use crate::recommend::{Answered, Source};
    use bytes::Bytes;
    use serde_json::{Value, json};

    fn answered(body: &'static str, source: Source) -> Answered {
        Answered {
            body: Bytes::from_static(body.as_bytes()),
            source,
        }
    }

    fn parsed(batch: &Batch<'_>) -> Value {
        serde_json::from_slice(&batch.json().unwrap()).unwrap()
    }

    #[test]
    fn a_batch_contains_unchanged_results_and_errors() {
        let answers = [
            answered(r#"{"user_id":1}"#, Source::Shared),
            answered(r#"{"user_id":2,"x":"]}"}"#, Source::Stale),
            answered(r#"{"user_id":3}"#, Source::Store),
        ];
        let mut batch = Batch::of(4);
        for answered in &answers {
            batch.add(answered);
        }
        batch.errors.push(BatchError {
            user_id: UserId::Text("a\"b".into()),
            error: "too \"slow\"",
        });
        batch.failed = 1;
        let expected = json!({
            "successful": 3, "failed": 1, "total_requested": 4, "cache_hits": 2, "cache_misses": 1, "stale": 1,
            "results": [{"user_id": 1}, {"user_id": 2, "x": "]}"}, {"user_id": 3}],
            "errors": [{"user_id": "a\"b", "error": "too \"slow\""}],
        });
        assert_eq!(parsed(&batch), expected);
    }

    #[test]
    fn a_batch_without_results_is_valid() {
        let json = parsed(&Batch::of(0));
        assert_eq!(
            (&json["results"], &json["errors"]),
            (&json!([]), &json!([]))
        );
    }
}
