//! Access control: decided by method and route, before any handler runs.

mod direct;

use super::{rejection::Rejection, route::Route};
use crate::api_keys::ApiKeys;
use http::{HeaderMap, Method, Request, header};
use tokio::sync::watch;

/// The access rules.
pub enum Access {
    /// Open: every client may send every request.
    Open,
    /// Every client may read; programs on this machine that connect directly may send every request.
    Local,
    /// No keys are configured, so every request that needs a key is rejected.
    Closed {
        /// Whether reads need a key.
        reads: bool,
    },
    /// Requests that need a key must have one.
    Keyed {
        /// The current keys.
        keys: watch::Receiver<ApiKeys>,
        /// Whether reads need a key.
        reads: bool,
    },
}

impl Access {
    /// Checks whether the request may reach its handler.
    ///
    /// # Errors
    /// The request needs a key and has no valid one, or it had to come directly from a program on this machine and came
    /// otherwise.
    pub fn check<B>(&self, route: Route, request: &Request<B>) -> Result<(), Rejection> {
        let (method, headers) = (request.method(), request.headers());
        match self {
            Self::Local if !is_read(route, method) => direct::refuted_by(request)
                .map_or(Ok(()), |header| Err(Rejection::NotDirect(header))),
            Self::Closed { reads } if needs_key(route, method, *reads) => Err(Rejection::NoKeysSet),
            Self::Keyed { keys, reads } if needs_key(route, method, *reads) => {
                match bearer(headers) {
                    None => Err(Rejection::NoKey),
                    Some(key) if keys.borrow().contain(key) => Ok(()),
                    Some(_) => Err(Rejection::WrongKey),
                }
            }
            Self::Open | Self::Local | Self::Closed { .. } | Self::Keyed { .. } => Ok(()),
        }
    }
}

/// Whether a request changes nothing. A session's events are sent in a body, and nothing is stored.
fn is_read(route: Route, method: &Method) -> bool {
    method.is_safe() || (route == Route::Session && method == Method::POST)
}

/// The method decides first. So a new mutating route, or a method that a route does not accept, is protected by default.
fn needs_key(route: Route, method: &Method, reads: bool) -> bool {
    !is_read(route, method) || (reads && !matches!(route, Route::Health | Route::Docs))
}

/// The token of `Authorization: Bearer` (RFC 6750, section 2.1; the scheme is case-insensitive, RFC 9110).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer".len())?;
    let is_separate = token.first().is_some_and(u8::is_ascii_whitespace);
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"Bearer") && is_separate && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::{Access, bearer};
    use crate::api_keys::ApiKeys;
    use crate::http::{rejection::Rejection, route::Route};
    use http::{HeaderMap, HeaderValue, Method, Request, header::AUTHORIZATION};
    use tokio::sync::watch;

    const KEY: &str = "the-key-of-16-bytes-or-more";

    fn with(authorization: &str) -> HeaderMap {
        let value = HeaderValue::from_str(authorization).unwrap();
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    fn keyed(reads: bool) -> Access {
        let (_, keys) = watch::channel(ApiKeys::parse(KEY.as_bytes()).unwrap());
        Access::Keyed { keys, reads }
    }

    fn request(method: &Method, header: &str, value: &str) -> Request<()> {
        let request = Request::builder().method(method).header(header, value);
        request.body(()).unwrap()
    }

    fn rejection(access: &Access, route: Route, method: &Method) -> Option<&'static str> {
        let checked = access.check(route, &request(method, "host", "localhost"));
        checked.err().map(Rejection::label)
    }

    #[test]
    fn a_token_is_the_text_after_the_scheme() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer   abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearerabc", None),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(&with(value)), token.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn mutations_need_a_key_and_reads_only_if_configured() {
        let (get, post) = (Method::GET, Method::POST);
        for (access, route, method, expected) in [
            (Access::Open, Route::Invalidate, &post, None),
            (Access::Local, Route::Invalidate, &post, None),
            (keyed(false), Route::Invalidate, &post, Some("no_key")),
            (keyed(false), Route::Recommend, &Method::PUT, Some("no_key")),
            (keyed(false), Route::Recommend, &get, None),
            (keyed(true), Route::Recommend, &get, Some("no_key")),
            (keyed(true), Route::Stats, &Method::HEAD, Some("no_key")),
            (keyed(true), Route::Health, &get, None),
            (keyed(true), Route::Docs, &get, None),
            (keyed(true), Route::Unmatched, &get, Some("no_key")),
            (
                Access::Closed { reads: false },
                Route::Warm,
                &post,
                Some("no_keys_set"),
            ),
            (Access::Closed { reads: false }, Route::Batch, &get, None),
            (
                Access::Closed { reads: true },
                Route::Batch,
                &get,
                Some("no_keys_set"),
            ),
        ] {
            assert_eq!(
                rejection(&access, route, method),
                expected,
                "{method} {route:?}"
            );
        }
    }

    #[test]
    fn a_configured_key_is_accepted_and_any_other_is_rejected() {
        let check = |authorization: &str| {
            let request = request(&Method::POST, "authorization", authorization);
            let checked = keyed(false).check(Route::Warm, &request);
            checked.err().map(Rejection::label)
        };
        assert_eq!(check(&format!("Bearer {KEY}")), None);
        assert_eq!(check(&format!("Bearer {KEY}x")), Some("wrong_key"));
        assert_eq!(check(&format!("Basic {KEY}")), Some("no_key"));
    }

    #[test]
    fn requests_through_a_proxy_may_only_read() {
        let check = |method: Method| {
            let request = request(&method, "x-forwarded-for", "203.0.113.9");
            let checked = Access::Local.check(Route::Invalidate, &request);
            checked.err().map(Rejection::label)
        };
        assert_eq!(check(Method::GET), None);
        assert_eq!(check(Method::POST), Some("not_direct"));
        assert_eq!(check(Method::DELETE), Some("not_direct"));
    }
}
