#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use super::{Invalid, LINE_BYTES, Reader};
use crate::monitor::fixture::{Activity, read};
use crate::monitor::sample::Counter;
use proptest::prelude::*;

#[test]
fn a_sample_has_the_values_of_the_text() {
    let sample = Activity {
        errors: 40,
        ..Activity::of(1000)
    }
    .sample();
    assert_eq!(sample.version.as_deref(), Some("0.1.0"));
    assert_eq!(
        (sample.store_up, sample.shared_connected),
        (Some(true), Some(true))
    );
    for (counter, expected) in [
        (Counter::Requests, 1000.0),
        (Counter::ServerErrors, 40.0),
        (Counter::MemoryHits, 750.0),
        (Counter::MemoryMisses, 250.0),
        (Counter::SharedHits, 125.0),
        (Counter::SharedMisses, 125.0),
        (Counter::Stale, 0.0),
    ] {
        assert_eq!(sample.counters.of(counter), expected, "{counter:?}");
    }
    assert_eq!(sample.counters.rejections.iter().sum::<f64>(), 10.0);
    let gauges = &sample.gauges;
    assert_eq!(
        (gauges.store_open, gauges.store_busy, gauges.store_limit),
        (Some(7.0), Some(2.0), Some(10.0))
    );
}

#[test]
fn incomplete_or_foreign_metrics_are_an_error() {
    let text = Activity::of(1).text();
    let long = format!("# {}\n", "x".repeat(LINE_BYTES));
    for (text, expected) in [
        ("", Invalid::Truncated),
        (text.trim_end_matches("# EOF\n"), Invalid::Truncated),
        (
            &text[..text.len() / 2],
            Invalid::Line(text[..text.len() / 2].lines().count()),
        ),
        ("# EOF\n", Invalid::Foreign),
        ("up 1\n# EOF\n", Invalid::Foreign),
        ("# EOF\nup 1\n", Invalid::Line(2)),
        ("<html>\n", Invalid::Line(1)),
        ("\n\nup 1\nup\n", Invalid::Line(4)),
        (&long, Invalid::TooLong(1)),
    ] {
        let start = &text[..text.len().min(40)];
        assert_eq!(read(text), Err(expected), "{start}");
    }
    let mut reader = Reader::default();
    assert_eq!(reader.push(b"up 1\n\xff 1\n"), Err(Invalid::Line(2)));
}

#[test]
fn values_and_versions_of_a_hostile_text_are_harmless() {
    let version = "\u{1b}[31m9\\n\u{202e}.1".to_owned() + &"x".repeat(100);
    let build = format!("reckon_build_info{{version=\"{version}\"}} 1\nreckon_store_up NaN\n");
    let requests = ["NaN", "-1", "+Inf", "1e300"]
        .map(|value| format!("reckon_http_requests_total{{code=\"200\"}} {value}\n"));
    let text = build + &requests.concat();
    let sample = read(&(text + "# EOF\n")).unwrap();
    assert_eq!(sample.version.as_deref(), Some("31m9.1xxxxxxxxxx"));
    assert_eq!(sample.store_up, Some(false));
    assert_eq!(sample.counters.of(Counter::Requests), 2e15);
}

proptest! {
    #[test]
    fn a_text_is_parsed_the_same_in_any_chunks(
        requests in 0..1_000_000_u32,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let text = Activity::of(requests).text();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut reader = Reader::default();
        for piece in cuts.windows(2) {
            reader.push(&text.as_bytes()[piece[0]..piece[1]]).unwrap();
        }
        prop_assert_eq!(reader.finish(), read(&text));
    }

    #[test]
    fn the_reader_accepts_any_bytes_and_buffers_at_most_a_line(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..20),
    ) {
        let mut reader = Reader::default();
        for piece in &pieces {
            if reader.push(piece).is_err() {
                return Ok(());
            }
            prop_assert!(reader.rest.len() <= LINE_BYTES);
        }
        prop_assert!(reader.finish().is_err());
    }

    #[test]
    fn a_damaged_text_is_read_or_rejected(
        at in any::<prop::sample::Index>(),
        garbage in "\\PC{0,12}|[{}\"\\\\\n =,#]{1,4}",
    ) {
        let mut text = Activity::of(1000).text();
        let boundary = (0..=at.index(text.len())).rev().find(|it| text.is_char_boundary(*it));
        text.insert_str(boundary.unwrap_or(0), &garbage);
        if let Ok(sample) = read(&text) {
            prop_assert!(sample.counters.of(Counter::Requests) >= 0.0);
        }
    }
}
