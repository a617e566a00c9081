//! Recommendations for an anonymous session: its events are in the request, and nothing is stored.

use super::app::App;
use super::options::{self, AlgorithmName, ExcludedCategory};
use super::problem::Problem;
use super::recommend::json;
use crate::model::{Categories, Day, History};
use crate::recommend::{Options, answer::SessionAnswer};
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use jiff::civil::{Date, DateTime};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Greatest size of a session's events in bytes. It is small, so that many incomplete requests cannot fill the memory.
pub const MAX_BYTES: usize = 4096;
/// Maximum number of searches, and of purchases: as many as the maximum size holds with ordinary names.
const MAX_EVENTS: usize = 30;
/// The number of 1970-01-01 as a [`Day`].
const EPOCH: i32 = 719_528;

/// The body of a request; `None` if it was too long or incomplete.
#[derive(Clone)]
pub struct KeptBody(pub Option<Bytes>);

/// What an anonymous user did.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"purchases": [{"category": "milk", "at": "2026-11-28"}], "searches": [{"category": "tea"}]}))]
pub struct Session {
    /// Searches.
    #[serde(default)]
    #[schema(max_items = 30)]
    searches: Vec<Event>,
    /// Purchases.
    #[serde(default)]
    #[schema(max_items = 30)]
    purchases: Vec<Event>,
}

/// One search or purchase.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Event {
    /// Its category.
    category: String,
    /// When it happened: a date or a date and time (ISO 8601) without time zone, as in the tables. Default: today in UTC.
    #[schema(value_type = Option<String>, format = Date)]
    at: Option<String>,
}

/// Recommendations for events in the request. Nothing is stored.
#[utoipa::path(
    post,
    path = "/recommend",
    tag = "recommendations",
    params(
        ("explain" = Option<bool>, Query, description = "Adds `explanation`: the terms of each category's score"),
        ("limit" = Option<u32>, Query, description = "Maximum number of recommended categories, 1 to 100; default 10",
            minimum = 1, maximum = 100),
        ("exclude" = Option<Vec<ExcludedCategory>>, Query, description = "1 to 100 categories, separated by commas, that are \
            left out", style = Form, explode = false, min_items = 1, max_items = 100),
        ("algorithm" = Option<AlgorithmName>, Query, description = "The algorithm, if the setting \
            `recommendation.algorithmParameter` allows to choose it")
    ),
    request_body(content = Session, description = "The events, at most 4096 bytes"),
    responses(
        (status = 200, description = "The recommendation", body = SessionAnswer<'static>),
        (status = 413, description = "The events have more than 4096 bytes", body = Problem,
            content_type = "application/problem+json"),
        (status = 422, description = "The events or a parameter are invalid", body = Problem,
            content_type = "application/problem+json")
    )
)]
pub async fn recommend_session(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    body: Option<Extension<KeptBody>>,
) -> Result<Response, Problem> {
    let may_choose = app.tuning.recommendation.algorithm_parameter;
    let options: Options = options::parse(query.as_deref(), may_choose)?.unwrap_or_default();
    let body = match body {
        None => Bytes::new(),
        Some(Extension(KeptBody(Some(body)))) => body,
        Some(Extension(KeptBody(None))) => {
            let detail =
                format!("the body is too long or incomplete: expected at most {MAX_BYTES} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
    };
    let history = parse(&body, today())
        .map_err(|detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail))?;
    Ok(json(app.recommender.recommend_session(&history, &options)))
}

fn today() -> Day {
    let now = jiff::Timestamp::now().as_second().div_euclid(86_400);
    Day(EPOCH + i32::try_from(now).unwrap_or(i32::MAX - EPOCH))
}

fn parse(body: &[u8], today: Day) -> Result<History, String> {
    let session: Session = serde_json::from_slice(body).map_err(|error| {
        format!("invalid body: expected JSON such as {{\"purchases\": [{{\"category\": \"milk\"}}]}}: {error}")
    })?;
    Ok(History {
        searches: column("searches", session.searches, today)?,
        purchases: column("purchases", session.purchases, today)?,
    })
}

fn column(name: &str, events: Vec<Event>, today: Day) -> Result<Categories, String> {
    if events.len() > MAX_EVENTS {
        let count = events.len();
        return Err(format!(
            "invalid {name}: expected at most {MAX_EVENTS} events, not {count}"
        ));
    }
    let mut categories = Categories::default();
    for (index, event) in events.into_iter().enumerate() {
        let day = match &event.at {
            None => today,
            Some(at) => day(at).ok_or_else(|| {
                format!(
                    "invalid {name}[{index}].at: expected a date or a date and time such as 2026-11-28 or \
                     2026-11-28T10:30:00, without time zone"
                )
            })?,
        };
        categories.push(Some(&event.category), Some(day));
    }
    Ok(categories)
}

fn day(text: &str) -> Option<Day> {
    let is_time = text.len() > "2026-11-28".len();
    let date = if is_time {
        text.parse::<DateTime>().ok()?.date()
    } else {
        text.parse::<Date>().ok()?
    };
    let days = date.duration_since(Date::constant(1970, 1, 1)).as_secs() / 86_400;
    Some(Day(EPOCH + i32::try_from(days).ok()?))
}

#[cfg(test)]
mod tests {
    use super::{day, parse};
    use crate::model::Day;

    #[test]
    fn days_are_counted_as_in_the_database() {
        for (text, number) in [
            ("1970-01-01", 719_528),
            ("2026-11-29", 740_314),
            ("2026-11-29T23:59:59", 740_314),
            ("2026-11-29 00:00:00", 740_314),
            ("1969-12-31", 719_527),
        ] {
            assert_eq!(day(text), Some(Day(number)), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-02-30",
            "2026-11-29T25:00:00",
            "2026-11-29T10:00:00Z",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn a_session_is_a_history_and_a_missing_day_is_today() {
        let body = br#"{"purchases":[{"category":"milk","at":"1970-01-02"},{"category":"tea"}]}"#;
        let history = parse(body, Day(740_000)).unwrap();
        let purchases: Vec<_> = history.purchases.with_days().collect();
        assert_eq!(
            purchases,
            [("milk", Some(Day(719_529))), ("tea", Some(Day(740_000)))]
        );
        assert_eq!(history.searches.rows(), 0);
    }

    #[test]
    fn an_invalid_body_is_named() {
        let error = |body: &str| parse(body.as_bytes(), Day(0)).unwrap_err();
        assert!(error("").starts_with("invalid body: expected JSON such as"));
        assert!(error(r#"{"bought":[]}"#).contains("unknown field `bought`"));
        let at = error(r#"{"searches":[{"category":"a"},{"category":"b","at":"soon"}]}"#);
        assert!(
            at.starts_with("invalid searches[1].at: expected a date"),
            "{at}"
        );
    }
}
