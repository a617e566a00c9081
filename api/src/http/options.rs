//! The choices of a request, from its query: `explain`, `limit`, `exclude` and `algorithm`.

use super::problem::Problem;
use crate::recommend::Options;
use http::StatusCode;
use reckon_contract::tuning::Algorithm;
use utoipa::ToSchema;

/// Greatest number of recommended categories that a request may choose.
const MAX_LIMIT: usize = 100;
/// Maximum number of categories that a request may exclude.
const MAX_EXCLUDED: usize = 100;

/// An algorithm, as a request names it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "for the description only")]
pub enum AlgorithmName {
    /// The algorithm `Classic`.
    Classic,
    /// The algorithm `NextBasket`.
    NextBasket,
}

/// A category that is left out.
#[derive(ToSchema)]
#[schema(min_length = 1, pattern = "^[^,]+$")]
#[expect(dead_code, reason = "for the description only")]
pub struct ExcludedCategory(String);

/// Reads the choices; `None` if the query contains no choice. Other parameters are ignored.
///
/// # Errors
/// A value is not one of those allowed, or a parameter is repeated.
pub fn parse(query: Option<&str>, may_choose_algorithm: bool) -> Result<Option<Options>, Problem> {
    let Some(query) = query else { return Ok(None) };
    let mut options = Options::default();
    let mut seen = [false; 4];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let place = match &*name {
            "explain" => 0,
            "limit" => 1,
            "exclude" => 2,
            "algorithm" => 3,
            _ => continue,
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(invalid(NAMES[place], &value, "the parameter only once"));
        }
        match place {
            0 => options.explain = explain(&value)?,
            1 => options.selection.limit = limit(&value)?,
            2 => options.selection.exclude = exclude(&value)?,
            _ => options.algorithm = Some(algorithm(&value, may_choose_algorithm)?),
        }
    }
    Ok(seen.contains(&true).then_some(options))
}

const NAMES: [&str; 4] = ["explain", "limit", "exclude", "algorithm"];

fn invalid(name: &'static str, value: &str, expected: impl Into<String>) -> Problem {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    Problem::invalid_param(status, "query", name, Some(value), expected)
}

fn explain(value: &str) -> Result<bool, Problem> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid("explain", value, "`true` or `false`")),
    }
}

fn limit(value: &str) -> Result<usize, Problem> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let number = value
        .parse()
        .ok()
        .filter(|number| is_plain && (1..=MAX_LIMIT).contains(number));
    number.ok_or_else(|| invalid("limit", value, format!("an integer from 1 to {MAX_LIMIT}")))
}

fn exclude(value: &str) -> Result<foldhash::HashSet<String>, Problem> {
    let names = value.split(',').filter(|name| !name.is_empty());
    let excluded: foldhash::HashSet<String> = names.map(str::to_owned).collect();
    if excluded.is_empty() || excluded.len() > MAX_EXCLUDED {
        let expected = format!("1 to {MAX_EXCLUDED} categories separated by commas");
        return Err(invalid("exclude", value, expected));
    }
    Ok(excluded)
}

fn algorithm(value: &str, may_choose: bool) -> Result<Algorithm, Problem> {
    if !may_choose {
        let expected = "none, because recommendation.algorithmParameter is false";
        return Err(invalid("algorithm", value, expected));
    }
    match value {
        "classic" => Ok(Algorithm::Classic),
        "nextBasket" => Ok(Algorithm::NextBasket),
        _ => Err(invalid("algorithm", value, "`classic` or `nextBasket`")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use axum::response::IntoResponse as _;
    use reckon_contract::tuning::Algorithm;

    #[test]
    fn a_query_without_choices_has_none() {
        for query in [None, Some(""), Some("x=1"), Some("limits=3")] {
            assert!(parse(query, true).unwrap().is_none(), "{query:?}");
        }
    }

    #[test]
    fn choices_are_read() {
        let query = "explain=true&limit=3&exclude=milk,caf%C3%A9&algorithm=classic&x=1";
        let options = parse(Some(query), true).unwrap().unwrap();
        assert!(options.explain);
        assert_eq!(options.algorithm, Some(Algorithm::Classic));
        assert_eq!(options.selection.limit, 3);
        assert!(options.selection.exclude.contains("café"));
        assert_eq!(options.selection.exclude.len(), 2);
        let explained = parse(Some("explain=false"), true).unwrap().unwrap();
        assert!(!explained.explain);
        assert_eq!(explained.selection.limit, 10);
    }

    #[test]
    fn invalid_choices_are_422() {
        let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
        let many = format!("exclude={}", many.join(","));
        for query in [
            "explain=yes",
            "limit=0",
            "limit=101",
            "limit=+3",
            "limit=",
            "exclude=",
            "exclude=,",
            &many,
            "algorithm=best",
            "limit=1&limit=2",
        ] {
            let problem = parse(Some(query), true).unwrap_err();
            assert_eq!(problem.into_response().status().as_u16(), 422, "{query}");
        }
        assert!(parse(Some("algorithm=classic"), false).is_err());
    }
}
