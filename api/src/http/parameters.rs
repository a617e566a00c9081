//! User ids from paths and queries: parsed here, before the handler.

use super::problem::Problem;
use crate::model::{InvalidUserId, UserId};
use axum::extract::{FromRef, FromRequestParts, Path, RawPathParams};
use http::{StatusCode, request::Parts};
use reckon_contract::tables::UserIdType;
use std::borrow::Cow;

const USER_IDS: &str = "user_ids";

/// The type of user ids, which the extractors get from the state.
#[derive(Clone, Copy, Debug)]
pub struct IdType(pub UserIdType);

/// The user id of a path such as `/recommend/{user_id}`.
pub struct PathUser(pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for PathUser
where
    IdType: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let IdType(ids) = IdType::from_ref(state);
        let refused = |value: &str, error: InvalidUserId| {
            Problem::invalid_param(
                StatusCode::UNPROCESSABLE_ENTITY,
                "path",
                "user_id",
                Some(value),
                expected(error),
            )
        };
        let parameters = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| refused(parts.uri.path(), InvalidUserId::of(ids)))?;
        let text = parameters
            .iter()
            .next()
            .map(|(_, text)| text)
            .unwrap_or_default();
        UserId::parse(text, ids)
            .map(Self)
            .map_err(|error| refused(text, error))
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

/// The list of a query such as `?user_ids=1,2,3`: 1 to `MOST` ids, in the given order, duplicates included. In a text id, a
/// comma is written as `\,` and a backslash as `\\`.
pub struct QueryUsers<const MOST: usize>(pub Vec<UserId>);

impl<S: Send + Sync, const MOST: usize> FromRequestParts<S> for QueryUsers<MOST>
where
    IdType: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let IdType(ids) = IdType::from_ref(state);
        parse(parts.uri.query().unwrap_or_default(), MOST, ids).map(Self)
    }
}

/// The users of a query, as in [`QueryUsers`].
pub(super) fn parse(query: &str, most: usize, ids: UserIdType) -> Result<Vec<UserId>, Problem> {
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
    let items: Vec<Cow<'_, str>> = match ids {
        UserIdType::Integer => list.split(',').map(Cow::Borrowed).collect(),
        UserIdType::Text => unescaped(&list),
    };
    let count = items.len();
    if count > most {
        return Err(refused(
            &list,
            format!("at most {most} user ids, not {count}"),
        ));
    }
    let read = |text: &Cow<'_, str>| {
        UserId::parse(text, ids)
            .map_err(|error| refused(text, format!("each id to be {}", expected(error))))
    };
    items.iter().map(read).collect()
}

/// The parts of a list between its commas. Within a part, `\,` is a comma and `\\` is a backslash. Before any other
/// character, a backslash is a plain character.
fn unescaped(list: &str) -> Vec<Cow<'_, str>> {
    let mut parts = vec![String::new()];
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = characters.next_if(|next| character == '\\' && matches!(next, ',' | '\\'));
        match (character, escaped, parts.last_mut()) {
            (',', ..) => parts.push(String::new()),
            (_, escaped, Some(part)) => part.push(escaped.unwrap_or(character)),
            (_, _, None) => {}
        }
    }
    parts.into_iter().map(Cow::Owned).collect()
}

fn expected(error: InvalidUserId) -> String {
    error.to_string().trim_start_matches("expected ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::model::UserId;
    use axum::response::IntoResponse;
    use reckon_contract::tables::UserIdType;

    fn status(query: &str) -> u16 {
        parse(query, 3, UserIdType::Integer)
            .unwrap_err()
            .into_response()
            .status()
            .as_u16()
    }

    #[test]
    fn lists_are_read_in_their_order() {
        assert_eq!(
            parse("user_ids=3,-1,3", 3, UserIdType::Integer).unwrap(),
            [UserId::Integer(3), UserId::Integer(-1), UserId::Integer(3)]
        );
        assert_eq!(
            parse("x=1&user_ids=1%2C2", 3, UserIdType::Integer).unwrap(),
            [UserId::Integer(1), UserId::Integer(2)]
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

    #[test]
    fn a_comma_within_a_text_id_is_escaped() {
        let text = |id: &str| UserId::Text(id.into());
        for (list, ids) in [
            ("a,b", vec![text("a"), text("b")]),
            (r"a\,b,c", vec![text("a,b"), text("c")]),
            (r"a\\,b", vec![text(r"a\"), text("b")]),
            (r"a\b", vec![text(r"a\b")]),
            ("007, 7", vec![text("007"), text(" 7")]),
        ] {
            let query = format!("user_ids={}", list.replace(',', "%2C"));
            assert_eq!(parse(&query, 3, UserIdType::Text).unwrap(), ids, "{list}");
        }
        assert!(parse("user_ids=a,,b", 3, UserIdType::Text).is_err());
    }
}
