//! The answers in the bytes that a client received (RFC 9112), all of which end where their length says.

use http::Method;

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(known, _)| known == name);
        let (_, value) = named.next()?;
        assert!(named.next().is_none(), "{name} is there twice");
        Some(value)
    }
}

/// The answers to requests of these methods, and to what never became a request.
pub fn read<'a>(received: &[u8], methods: impl Iterator<Item = &'a Method>) -> Vec<Answer> {
    let (mut rest, mut answers) = (received, Vec::new());
    let mut methods = methods.map(Some).chain(std::iter::repeat(None));
    while !rest.is_empty() {
        let mut answer;
        (answer, rest) = head(rest);
        if answer.status < 200 {
            continue;
        }
        if methods.next().flatten() != Some(&Method::HEAD) {
            let length = answer
                .header("content-length")
                .expect("an answer says its length");
            let length = length.parse().expect("a length is a number");
            let body;
            (body, rest) = rest
                .split_at_checked(length)
                .expect("an answer is as long as it says");
            answer.body = body.to_vec();
        }
        answers.push(answer);
    }
    answers
}

fn head(bytes: &[u8]) -> (Answer, &[u8]) {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a head ends");
    let text = std::str::from_utf8(&bytes[..end]).expect("a head is ASCII");
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1."));
    let status = status
        .and_then(|line| line.get(2..5)?.parse().ok())
        .expect("a status line");
    let headers = lines.map(|line| {
        let (name, value) = line
            .split_once(": ")
            .expect("a header has a name and a value");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let answer = Answer {
        status,
        headers: headers.collect(),
        body: Vec::new(),
    };
    (answer, &bytes[end + 4..])
}
