//! Storing events.

use super::app::App;
use super::body::{BodyError, UnreadBody};
use super::problem::Problem;
use crate::events::request::{self, Invalid, MAX_EVENTS};
use crate::events::{Counts, Failure};
use crate::model::UserId;
use axum::{Json, extract::Extension, extract::State};
use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// Maximum size of a body in bytes. 500 events with the longest values have about this size.
pub const MAX_BYTES: usize = 1 << 20;
/// Maximum bytes of all bodies that are handled at the same time.
const ALL_BYTES: usize = 8 << 20;

/// Limits the memory that bodies of events take.
static MEMORY: Semaphore = Semaphore::const_new(ALL_BYTES);

/// What a user did: the schema of what `events::request` reads.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "order-1000-1", "type": "purchase", "user_id": 7, "category": "books",
    "text": "The Rust Programming Language", "time": "2026-11-28T10:30:00Z"}))]
struct NewEvent {
    /// Id of the event, chosen by the client: 1 to 64 bytes. Of several events with the same id, one is stored.
    #[schema(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]+$"
    )]
    id: String,
    /// What happened.
    r#type: EventType,
    /// The user.
    user_id: UserId,
    /// Category of the search or of the product, without a space at its end.
    #[schema(
        min_length = 1,
        max_length = 255,
        pattern = "^[^\u{0}-\u{1f}\u{7f}-\u{9f}]*[^ \u{0}-\u{1f}\u{7f}-\u{9f}]$"
    )]
    category: String,
    /// The search string, or the product's name, without a space at its end.
    #[schema(max_length = 255, pattern = "^([^\u{0}]*[^ \u{0}])?$")]
    text: Option<String>,
    /// When it happened (RFC 3339): from 1970 to 5 minutes in the future. Default: now.
    #[schema(format = DateTime)]
    time: Option<String>,
}

/// What happened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the schema of what `events::request` reads")]
enum EventType {
    Search,
    Purchase,
}

/// One event, or an array of events.
pub struct EventBody;

impl PartialSchema for EventBody {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name("NewEvent");
        let array = ArrayBuilder::new()
            .items(event())
            .min_items(Some(1))
            .max_items(Some(MAX_EVENTS));
        OneOfBuilder::new().item(event()).item(array).into()
    }
}

impl ToSchema for EventBody {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((NewEvent::name().into(), NewEvent::schema()));
        NewEvent::schemas(schemas);
    }
}

/// The outcome of the events.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"accepted": 2, "duplicates": 1, "ignored": 0}))]
pub struct Stored {
    /// Events that are stored now.
    accepted: u64,
    /// Events that are not stored again, because one with the same id was received before.
    duplicates: u64,
    /// Events that are not stored, because their user was erased after them.
    ignored: u64,
}

/// Stores searches and purchases in the database: all events of a request or none. Repeat a request that failed with 503 or
/// without an answer, with the same ids: no event is stored twice. Without the setting `events.enabled`, the request is
/// answered 403.
#[utoipa::path(
    post,
    path = "/events",
    tag = "events",
    request_body(content = EventBody, description = "One event, or an array of 1 to 500, at most 1 MiB"),
    responses(
        (status = 200, description = "The events are stored. No request for these users that arrives after this answer gets \
            older data from this instance. One second later, the same holds for all instances", body = Stored),
        (status = 413, description = "The body has more than 1 MiB", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "An event is invalid, or the database rejects it. Nothing is stored", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The events are not stored, or it is unknown whether they are, or they are stored and \
            other instances may still serve older data; `detail` says which. Repeat the request with the same ids",
            body = Problem, content_type = "application/problem+json",
            headers(("Retry-After" = u32, description = "Seconds")))
    )
)]
pub async fn store_events(
    State(app): State<Arc<App>>,
    body: Option<Extension<UnreadBody>>,
) -> Result<Json<Stored>, Problem> {
    let events = app.events()?;
    // Held until the answer, because the events take about as much memory as the body.
    let (body, _memory) = read(&app, body).await?;
    let batch = request::parse(&body, Timestamp::now(), &app.tuning.tables).map_err(invalid)?;
    let is_array = body.trim_ascii_start().starts_with(b"[");
    drop(body);
    let counts = events.store(batch).await;
    let counts = counts.map_err(|failure| Problem::not_stored(failure, is_array))?;
    let Counts {
        accepted,
        duplicates,
        ignored,
    } = counts;
    Ok(Json(Stored {
        accepted,
        duplicates,
        ignored,
    }))
}

async fn read(
    app: &App,
    body: Option<Extension<UnreadBody>>,
) -> Result<(Bytes, SemaphorePermit<'static>), Problem> {
    let length = match &body {
        Some(Extension(body)) => body.length().unwrap_or(MAX_BYTES as u64),
        None => 0,
    };
    let reserved = u32::try_from(length.min(MAX_BYTES as u64)).unwrap_or(u32::MAX);
    let memory = MEMORY
        .try_acquire_many(reserved)
        .map_err(|_| Problem::not_stored(Failure::Overloaded, false))?;
    let bytes = match body {
        None => Bytes::new(),
        Some(Extension(body)) => {
            let read = body.read(MAX_BYTES, app.tuning.server.request_timeout());
            read.await.map_err(|error| {
                let detail = match error {
                    BodyError::TooLong => {
                        format!("the body is too long: expected at most {MAX_BYTES} bytes")
                    }
                    BodyError::Incomplete => "the body is incomplete".to_owned(),
                };
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
            })?
        }
    };
    Ok((bytes, memory))
}

fn invalid(invalid: Invalid) -> Problem {
    let Invalid {
        name,
        value,
        expected,
    } = invalid;
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    if name.is_empty() {
        return Problem::new(status, format!("invalid body: expected {expected}"));
    }
    Problem::invalid_param(status, "body", name, value.as_deref(), expected)
}
