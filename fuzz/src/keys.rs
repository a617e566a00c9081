//! Files of API keys, against a second reading of the rules: README, "API keys".

use http::{HeaderValue, Method, Request, header};
use reckon_api::api_keys::{ApiKeys, Error};
use reckon_api::fuzzing::{Rejection, Route};
use reckon_api::http::access::Access;
use tokio::sync::watch;

/// Checks one input: the bytes of a file.
pub fn check(data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').map(trimmed).collect();
    let is_key = |line: &&&[u8]| !line.is_empty() && line[0] != b'#';
    let is_right =
        |key: &[u8]| key.len() >= 16 && key.iter().all(|byte| (0x21..0x7f).contains(byte));
    let keys: Vec<&[u8]> = lines.iter().filter(is_key).copied().collect();
    let first_wrong = lines
        .iter()
        .position(|line| is_key(&line) && !is_right(line));
    let parsed = match (ApiKeys::parse(data), first_wrong) {
        (Ok(parsed), None) => parsed,
        (Err(Error::Empty), None) => return assert!(keys.is_empty(), "a key was overlooked"),
        (Err(error), Some(index)) => {
            return assert_rejected_without_the_key(&error, index + 1, lines[index]);
        }
        (parsed, first_wrong) => panic!("{parsed:?}, and the first wrong line is {first_wrong:?}"),
    };
    assert_eq!(parsed.count(), keys.len());
    let (_sender, receiver) = watch::channel(parsed);
    let access = Access::Keyed {
        keys: receiver,
        reads: false,
    };
    for key in &keys {
        assert_eq!(attempt(&access, key), Ok(()));
        let mut other = key.to_vec();
        other[0] = if other[0] == b'!' { b'"' } else { b'!' };
        let expected = if keys.contains(&&other[..]) {
            Ok(())
        } else {
            Err(Rejection::WrongKey)
        };
        assert_eq!(attempt(&access, &other), expected);
        let expected = if keys.contains(&&key[1..]) {
            Ok(())
        } else {
            Err(Rejection::WrongKey)
        };
        assert_eq!(attempt(&access, &key[1..]), expected);
    }
}

/// White space of ASCII around a line does not count.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c);
    let Some(first) = line.iter().position(|byte| !is_space(byte)) else {
        return &[];
    };
    let last = line
        .iter()
        .rposition(|byte| !is_space(byte))
        .unwrap_or(first);
    &line[first..=last]
}

fn assert_rejected_without_the_key(error: &Error, line: usize, key: &[u8]) {
    let message = error.to_string();
    assert!(
        message.starts_with(&format!("line {line}: ")),
        "{message}, not line {line}"
    );
    match error {
        Error::TooShort { length, .. } => assert!(*length == key.len() && key.len() < 16),
        Error::Unsendable { .. } => assert!(key.len() >= 16),
        other => panic!("{other:?}"),
    }
}

/// A mutating request with this key.
fn attempt(access: &Access, key: &[u8]) -> Result<(), Rejection> {
    let value =
        HeaderValue::from_bytes(&[b"Bearer ", key].concat()).expect("a key that can be sent");
    let request = Request::builder()
        .method(Method::POST)
        .header(header::AUTHORIZATION, value);
    access.check(Route::Invalidate, &request.body(()).expect("a request"))
}
