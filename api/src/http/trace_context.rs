//! The trace that a request belongs to, from its `traceparent` header (W3C Trace Context).

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Length of a version 00 header; later versions may append more after a dash.
const LENGTH: usize = 55;
/// Position of the trace id, of the parent id and of the flags.
const FIELDS: [std::ops::Range<usize>; 3] = [3..35, 36..52, 53..55];

/// The header as the client sent it; validated only when it is needed.
pub struct TraceContext(HeaderValue);

impl TraceContext {
    /// The header of a request; `None` if it is missing or repeated, which is invalid.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(Self(value.clone())),
            _ => None,
        }
    }

    /// The trace id, 32 lower-case hexadecimal digits; `None` if the header is invalid.
    pub fn trace_id(&self) -> Option<&str> {
        trace_id(self.0.to_str().ok()?)
    }
}

fn trace_id(header: &str) -> Option<&str> {
    if !header.is_ascii() || header.len() < LENGTH {
        return None;
    }
    let (version, rest) = (&header[..2], &header[LENGTH..]);
    let [trace_id, parent_id, flags] = FIELDS.map(|range| &header[range]);
    let dashes = [2, 35, 52].iter().all(|at| header.as_bytes()[*at] == b'-');
    let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
    let is_zero = |id: &str| id.bytes().all(|digit| digit == b'0');
    let is_valid = dashes
        && ends
        && [version, trace_id, parent_id, flags]
            .iter()
            .all(|field| is_hex(field))
        && version != "ff"
        && !is_zero(trace_id)
        && !is_zero(parent_id);
    is_valid.then_some(trace_id)
}

fn is_hex(field: &str) -> bool {
    field
        .bytes()
        .all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::{TraceContext, trace_id};
    use http::HeaderMap;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_valid_header_has_a_trace_id_and_any_other_has_none() {
        for valid in [
            VALID.to_owned(),
            VALID.replace("-01", "-00"),
            VALID.replacen("00-", "cc-", 1),
            format!(
                "{}-what-the-future-will-be-like",
                VALID.replacen("00-", "01-", 1)
            ),
        ] {
            assert_eq!(trace_id(&valid), Some(ID), "{valid}");
        }
        for invalid in [
            String::new(),
            VALID[..54].to_owned(),
            format!("{VALID}-more"),
            format!("{VALID}0"),
            format!("{}0", VALID.replacen("00-", "01-", 1)),
            VALID.replacen("00-", "ff-", 1),
            VALID.replacen("00-", "0x-", 1),
            VALID.to_uppercase(),
            VALID.replace(ID, &"0".repeat(32)),
            VALID.replace("00f067aa0ba902b7", "0000000000000000"),
            VALID.replace('-', "_"),
            VALID.replace("4736-", "473é"),
            VALID.replace("-01", "-\n1"),
            format!(" {VALID}"),
        ] {
            assert_eq!(trace_id(&invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_repeated_header_is_ignored() {
        let mut headers = HeaderMap::new();
        assert!(TraceContext::of(&headers).is_none());
        headers.append("traceparent", VALID.parse().unwrap());
        let context = TraceContext::of(&headers).unwrap();
        assert_eq!(context.trace_id(), Some(ID));
        headers.append("traceparent", VALID.parse().unwrap());
        assert!(TraceContext::of(&headers).is_none());
    }

    proptest! {
        #[test]
        fn a_trace_id_is_hexadecimal_for_any_input(header in "[0-9a-f-]{50,60}|.{0,60}") {
            if let Some(id) = trace_id(&header) {
                prop_assert_eq!(id.len(), 32);
                prop_assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()));
            }
        }

        #[test]
        fn every_trace_id_but_zero_is_read(trace in any::<u128>(), parent in any::<u64>(), flags in any::<u8>()) {
            let id = format!("{trace:032x}");
            let header = format!("00-{id}-{parent:016x}-{flags:02x}");
            let expected = (trace > 0 && parent > 0).then_some(id.as_str());
            prop_assert_eq!(trace_id(&header), expected);
        }
    }
}
