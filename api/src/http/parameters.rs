//! User ids from paths and queries: parsed here, before the handler.

use super::problem::Problem;
use crate::model::{InvalidUserId, UserId};
use axum::extract::{FromRequestParts, Path, RawPathParams};
use http::{StatusCode, request::Parts};

const USER_IDS: &str = "user_ids";

/// The user id of a path such as `/recommend/{user_id}`.
pub struct PathUser(pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for PathUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |value: &str| {
            Problem::invalid_param(
                StatusCode::UNPROCESSABLE_ENTITY,
                "path",
                "user_id",
                Some(value),
                expected(),
            )
        };
        let parameters = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| refused(parts.uri.path()))?;
        let text = parameters
            .iter()
            .next()
            .map(|(_, text)| text)
            .unwrap_or_default();
        text.parse().map(Self).map_err(|_| refused(text))
    }
}

/// The category of a path such as `/related/{category}`.
pub struct PathCategory(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathCategory {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let category = Path::<String>::from_request_parts(parts, state).await;
        category.map(|Path(category)| Self(category)).map_err(|_| {
            Problem::invalid_param(
                StatusCode::UNPROCESSABLE_ENTITY,
                "path",
                "category",
                Some(parts.uri.path()),
                "UTF-8, percent-encoded",
            )
        })
    }
}

/// The list of a query such as `?user_ids=1,2,3`: 1 to `MOST` ids, in the given order, duplicates included.
pub struct QueryUsers<const MOST: usize>(pub Vec<UserId>);

impl<S: Send + Sync, const MOST: usize> FromRequestParts<S> for QueryUsers<MOST> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default(), MOST).map(Self)
    }
}

fn parse(query: &str, most: usize) -> Result<Vec<UserId>, Problem> {
    let refused = |value: &str, expected: String| {
        Problem::invalid_param(
            StatusCode::BAD_REQUEST,
            "query",
            USER_IDS,
            Some(value),
            expected,
        )
    };
    let mut given = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == USER_IDS);
    let Some((_, list)) = given.next() else {
        let expected = format!("1 to {most} user ids separated by commas");
        return Err(Problem::invalid_param(
            StatusCode::UNPROCESSABLE_ENTITY,
            "query",
            USER_IDS,
            None,
            expected,
        ));
    };
    if given.next().is_some() {
        return Err(refused(&list, "the parameter only once".to_owned()));
    }
    let count = list.split(',').count();
    if count > most {
        return Err(refused(
            &list,
            format!("at most {most} user ids, not {count}"),
        ));
    }
    let ids: Result<Vec<UserId>, _> = list
        .split(',')
        .map(|text| {
            text.parse()
                .map_err(|InvalidUserId| refused(text, format!("each id to be {}", expected())))
        })
        .collect();
    ids
}

fn expected() -> String {
    InvalidUserId
        .to_string()
        .trim_start_matches("expected ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::model::UserId;
    use axum::response::IntoResponse;

    fn status(query: &str) -> u16 {
        parse(query, 3)
            .unwrap_err()
            .into_response()
            .status()
            .as_u16()
    }

    #[test]
    fn lists_are_read_in_their_order() {
        assert_eq!(
            parse("user_ids=3,-1,3", 3).unwrap(),
            [UserId(3), UserId(-1), UserId(3)]
        );
        assert_eq!(
            parse("x=1&user_ids=1%2C2", 3).unwrap(),
            [UserId(1), UserId(2)]
        );
    }

    #[test]
    fn an_invalid_list_of_users_is_rejected() {
        for query in [
            "user_ids=",
            "user_ids=1,,2",
            "user_ids=a",
            "user_ids=1,2,3,4",
            "user_ids=1&user_ids=2",
        ] {
            assert_eq!(status(query), 400, "{query}");
        }
        assert_eq!(status(""), 422);
        assert_eq!(status("users=1"), 422);
    }
}
