//! What the API's description says of a request's path and query, read a second time.

use http::request::Parts;
use http::{Method, StatusCode, Uri};
use std::net::IpAddr;

/// What is to come of a request.
#[derive(Debug, PartialEq)]
pub enum Expected {
    /// These ids, separated by commas.
    Ids(String),
    /// A refusal.
    Refused(StatusCode),
}

impl Expected {
    /// `None` where nothing is said here: other paths and other methods.
    pub fn of(head: &Parts, most: usize) -> Option<Self> {
        let is_read = matches!(head.method, Method::GET | Method::HEAD);
        let takes_it = match head.uri.path() {
            "/invalidate-cache" => head.method == Method::POST,
            _ => is_read,
        };
        takes_it.then(|| Self::of_uri(&head.uri, most)).flatten()
    }

    /// The same for a method that the path takes.
    pub fn of_uri(uri: &Uri, most: usize) -> Option<Self> {
        if uri
            .path_and_query()
            .is_some_and(|path| path.as_str().len() > 8192)
        {
            return Some(Self::Refused(StatusCode::URI_TOO_LONG));
        }
        if let Some(segment) = uri.path().strip_prefix("/recommend/") {
            let is_one = !segment.is_empty() && !segment.contains('/');
            return is_one.then(|| match user_id(&decoded(segment, false)) {
                Some(id) => Self::Ids(id),
                None => Self::Refused(StatusCode::UNPROCESSABLE_ENTITY),
            });
        }
        let has_list = ["/batch-recommend", "/invalidate-cache"].contains(&uri.path());
        has_list.then(|| Self::of_query(uri.query().unwrap_or_default(), most))
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Ids(_) => StatusCode::OK,
            Self::Refused(status) => *status,
        }
    }

    /// The parameter `user_ids`, once: 1 to `most` ids separated by commas.
    fn of_query(query: &str, most: usize) -> Self {
        let pairs = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut lists = pairs
            .filter(|(name, _)| decoded(name, true) == b"user_ids")
            .map(|(_, value)| decoded(value, true));
        let (list, another) = (lists.next(), lists.next());
        let Some(list) = list else {
            return Self::Refused(StatusCode::UNPROCESSABLE_ENTITY);
        };
        let items: Vec<&[u8]> = list.split(|byte| *byte == b',').collect();
        let ids: Option<Vec<String>> = items.iter().map(|item| user_id(item)).collect();
        match ids {
            Some(ids) if another.is_none() && ids.len() <= most => Self::Ids(ids.join(",")),
            _ => Self::Refused(StatusCode::BAD_REQUEST),
        }
    }
}

/// An integer of at most 20 digits within 64 bits, signed or unsigned, as it is written without leading zeros.
fn user_id(text: &[u8]) -> Option<String> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    if !(1..=20).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = digits.iter().map(|digit| i128::from(digit - b'0'));
    let value = sign * digits.fold(0, |value, digit| value * 10 + digit);
    (i64::MIN.into()..=u64::MAX.into())
        .contains(&value)
        .then(|| value.to_string())
}

/// With `%XX` as the byte that it means, and, in a query, `+` as a space.
fn decoded(text: &str, is_query: bool) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => value(*high).zip(value(*low)),
            _ => None,
        };
        let (byte, tail) = match escaped {
            Some((high, low)) => (high * 16 + low, &tail[2..]),
            None if *first == b'+' && is_query => (b' ', tail),
            None => (*first, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    bytes
}

/// Whether this host, with or without a port, is a loopback address or a name of one.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    let address: Option<IpAddr> = name.parse().ok();
    address.is_some_and(|address| address.to_canonical().is_loopback())
        || name == "localhost"
        || name.ends_with(".localhost")
}
