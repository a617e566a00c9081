//! Error responses: RFC 9457 problem documents. Only this module maps failures to HTTP statuses.

use super::cause::Cause;
use super::rejection::Rejection;
use crate::events::{self, Unavailable, request};
use crate::rate_limit::Exceeded;
use crate::store::write::Rejected;
use crate::{cache::shared::Unconfirmed, loader::LoadError, recommend::Failure};
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use reckon_contract::env;
use serde::Serialize;
use utoipa::ToSchema;

/// Seconds after which a client may retry a temporary failure.
const RETRY_AFTER_SECONDS: u64 = 1;
// The headers of draft-ietf-httpapi-ratelimit-headers-10.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Maximum characters of an invalid value that are repeated to the client.
const ECHO_LENGTH: usize = 64;

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
    "detail": "invalid user_id: expected a 64-bit integer",
    "errors": [{"in": "path", "name": "user_id", "value": "abc",
        "expected": "a 64-bit integer"}]
}))]
pub struct Problem {
    /// Kind of the problem: always `about:blank`; the status describes the problem.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    #[serde(serialize_with = "number")]
    #[schema(value_type = u16)]
    /// The HTTP status.
    status: StatusCode,
    /// What went wrong, in a sentence.
    detail: String,
    /// The invalid parameters, if the request is invalid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<InvalidParam>,
    /// For the log only.
    #[serde(skip)]
    cause: Option<Cause>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// An invalid parameter of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct InvalidParam {
    /// Where it is: `path`, `query` or `body`.
    #[serde(rename = "in")]
    place: &'static str,
    /// Name of the parameter; in a body, the field, such as `events[3].time`.
    #[schema(value_type = String)]
    name: Box<str>,
    /// Its value, if there is one, cut off after 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// What is expected.
    expected: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem with this status.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            cause: None,
            headers: Vec::new(),
        }
    }

    /// A problem with one invalid parameter.
    #[must_use]
    pub fn invalid_param(
        status: StatusCode,
        place: &'static str,
        name: impl Into<String>,
        value: Option<&str>,
        expected: impl Into<String>,
    ) -> Self {
        let (name, expected): (String, String) = (name.into(), expected.into());
        let detail = match value {
            Some(_) => format!("invalid {name}: expected {expected}"),
            None => format!("missing {name}: expected {expected}"),
        };
        Self {
            errors: vec![InvalidParam {
                place,
                name: name.into(),
                value: value.map(|value| value.chars().take(ECHO_LENGTH).collect()),
                expected,
            }],
            ..Self::new(status, detail)
        }
    }

    /// The same request may succeed later.
    #[must_use]
    pub fn with_retry_after(self) -> Self {
        self.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS.into())
    }

    /// Why it failed, for the log.
    #[must_use]
    pub fn with_cause(self, cause: Cause) -> Self {
        Self {
            cause: Some(cause),
            ..self
        }
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// The sentence that a client receives for a failure. It never contains the cause.
#[must_use]
pub fn sentence(failure: Failure) -> &'static str {
    match failure {
        Failure::Load(LoadError::Overloaded) => {
            "too many requests are waiting for the database; retry later"
        }
        Failure::Load(LoadError::TimedOut) => "the database did not answer in time; retry later",
        Failure::Load(LoadError::Unavailable(_)) => "the database is unavailable; retry later",
        Failure::DeadlinePassed => "the request's deadline passed before the answer was ready",
        Failure::Defect => "the recommendation could not be computed",
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Load(_) => StatusCode::SERVICE_UNAVAILABLE,
            Failure::DeadlinePassed => StatusCode::GATEWAY_TIMEOUT,
            Failure::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, sentence(failure)).with_cause(Cause::Failed(failure));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.with_retry_after()
        } else {
            problem
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NoKey => Self::new(
                StatusCode::UNAUTHORIZED,
                "this request requires an API key: send `Authorization: Bearer KEY`",
            )
            .with_challenge(r#"Bearer realm="reckon""#),
            Rejection::WrongKey => Self::new(StatusCode::UNAUTHORIZED, "invalid API key")
                .with_challenge(r#"Bearer realm="reckon", error="invalid_token""#),
            Rejection::NoKeysSet => Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "this request requires an API key, but none is configured; set {}, or {}=off to disable authentication",
                    env::API_KEYS,
                    env::AUTH
                ),
            ),
            Rejection::TooManyRequests(exceeded) => Self::too_many_requests(exceeded),
            Rejection::TooManyConnections => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many connections from this client; reuse existing ones",
            )
            .with_retry_after(),
            Rejection::ConnectionLimitReached => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many connections are open; retry later",
            )
            .with_retry_after(),
            Rejection::InFlightLimitReached => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests in flight; retry later",
            )
            .with_cause(Cause::InFlightLimit)
            .with_retry_after(),
            Rejection::NotDirect(header) => Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "no API key is configured, so only programs on the same machine may send this request; the {header} header \
                     shows that it came through a proxy or from a web page; set {}, or {}=off to disable authentication",
                    env::API_KEYS,
                    env::AUTH
                ),
            ),
        }
    }
}

impl Problem {
    /// Adds the challenge of RFC 6750, section 3: at least one parameter follows the scheme, and a client that sent no
    /// key gets no error code.
    fn with_challenge(self, challenge: &'static str) -> Self {
        self.with_header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        )
    }

    fn too_many_requests(exceeded: Exceeded) -> Self {
        let Exceeded {
            wait,
            quota,
            window_seconds,
        } = exceeded;
        // The headers support whole seconds only.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let problem = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "rate limit exceeded ({quota} requests per {window_seconds} s); retry in {seconds} s"
            ),
        );
        let policy = format!("\"requests\";q={quota};w={window_seconds}");
        let left = format!("\"requests\";r=0;t={seconds}");
        [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, left)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
            .fold(problem, |problem, (name, value)| {
                problem.with_header(name, value)
            })
            .with_header(header::RETRY_AFTER, seconds.into())
    }
}

impl From<Unconfirmed> for Problem {
    fn from(Unconfirmed: Unconfirmed) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the shared cache did not acknowledge the invalidation: this instance's cache is cleared, other instances may still \
             serve older data; retry",
        )
        .with_cause(Cause::Unacknowledged)
        .with_retry_after()
    }
}

impl Problem {
    /// Events are disabled.
    pub(super) fn events_disabled() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "this instance stores no events and erases no users; set `events.enabled: true` in the tuning file",
        )
    }

    /// Events are not stored, or it is unknown whether they are, or their invalidation failed. `is_array` is whether the
    /// request has several events.
    pub(super) fn not_stored(failure: events::Failure, is_array: bool) -> Self {
        match failure {
            events::Failure::Rejected(rejected) => Self::rejected(rejected, is_array),
            events::Failure::Unknown => Self::failed(
                failure,
                "the database did not confirm the events, so they may or may not be stored; repeat the request with the same ids",
            ),
            events::Failure::Unconfirmed => Self::failed(
                failure,
                "the events are stored, but the shared cache did not acknowledge the invalidation: other instances may still \
                 serve older data; repeat the request with the same ids",
            ),
            events::Failure::Busy => Self::failed(
                failure,
                "nothing is stored, because other sessions of the database hold locks; retry later",
            ),
            events::Failure::Overloaded => Self::failed(
                failure,
                "nothing is stored, because too many requests with events are waiting; retry later",
            ),
            events::Failure::Unavailable(_) => Self::failed(
                failure,
                format!("nothing is stored: {}", unavailable(failure)),
            ),
        }
    }

    /// A user is not erased, or not completely, or the invalidation failed.
    pub(super) fn not_erased(failure: events::Failure) -> Self {
        let detail = match failure {
            events::Failure::Rejected(_) => {
                "the database rejects the deletion of the user's rows (a constraint or a trigger)".into()
            }
            events::Failure::Unknown => {
                "the user is not completely erased yet; repeat the request".into()
            }
            events::Failure::Unconfirmed => {
                "the user is erased from the database, but the shared cache did not acknowledge the invalidation: other instances \
                 may still serve older data; repeat the request"
                    .into()
            }
            events::Failure::Busy => {
                "the user is not erased, because other sessions of the database hold locks; retry later".into()
            }
            events::Failure::Overloaded => {
                "the user is not erased, because too many erasures are waiting; retry later".into()
            }
            events::Failure::Unavailable(_) => {
                format!("the user may not be completely erased: {}", unavailable(failure))
            }
        };
        Self::failed(failure, detail)
    }

    fn failed(failure: events::Failure, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .with_cause(Cause::NotWritten(failure))
            .with_retry_after()
    }

    fn rejected(rejected: Rejected, is_array: bool) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let index = rejected.index.filter(|_| is_array).map(usize::from);
        match (rejected.field, rejected.does_not_fit) {
            (Some(field), _) => {
                let name = request::name(index, field.name());
                let expected = "a value that fits into the column of the table";
                Self::invalid_param(status, "body", name, Some(""), expected).without_value()
            }
            (None, true) => Self::new(
                status,
                format!(
                    "a value of {} does not fit into its column",
                    an_event(index)
                ),
            ),
            (None, false) => Self::new(
                status,
                format!(
                    "the database rejects {}: a constraint or a trigger of the table forbids the row",
                    an_event(index)
                ),
            ),
        }
    }

    fn without_value(mut self) -> Self {
        for error in &mut self.errors {
            error.value = None;
        }
        self
    }
}

fn an_event(index: Option<usize>) -> String {
    index.map_or_else(|| "an event".to_owned(), |index| format!("events[{index}]"))
}

/// Why nothing can be written; a closed set of sentences.
fn unavailable(failure: events::Failure) -> String {
    match failure {
        events::Failure::Unavailable(Unavailable::Unusable(unusable)) => unusable.to_string(),
        _ => "the database is unavailable; retry later".to_owned(),
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let named = std::mem::take(&mut self.headers);
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(named);
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
