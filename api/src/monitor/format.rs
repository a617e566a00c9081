//! Formats numbers for display, in at most seven characters.

/// The placeholder of an unknown figure.
pub const UNKNOWN: &str = "-";

/// A figure, or a dash if it is unknown.
pub fn or_dash(value: Option<f64>, format: fn(f64) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), format)
}

/// A number that need not be an integer: `0`, `0.25`, `12.3`, `1,234`, `1.2M`.
pub fn number(value: f64) -> String {
    match value {
        v if v <= 0.0 => "0".to_owned(),
        v if v < 0.005 => "<0.01".to_owned(),
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        _ => whole(value),
    }
}

/// An integer: `7`, `1,234`, `1.2M`.
pub fn whole(value: f64) -> String {
    let rounded = value.round();
    if rounded < 1_000.0 {
        return format!("{rounded:.0}");
    }
    if rounded < 1_000_000.0 {
        let digits = format!("{rounded:.0}");
        let (thousands, rest) = digits.split_at(digits.len() - 3);
        return format!("{thousands},{rest}");
    }
    scaled(value, 1_000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// A ratio in per cent without its sign: `100`, `99.95`, `7.10`. Rounded down, so that 100 means all.
pub fn percent(ratio: f64) -> String {
    let hundredths = (ratio * 10_000.0 + 1e-6).floor();
    if hundredths >= 10_000.0 {
        "100".to_owned()
    } else {
        format!("{:.2}", hundredths / 100.0)
    }
}

/// A ratio in per cent with its sign.
pub fn percent_sign(ratio: f64) -> String {
    percent(ratio) + " %"
}

/// A duration in a suitable unit: `83 µs`, `1.2 ms`, `340 ms`, `2.5 s`.
pub fn seconds(value: f64) -> String {
    for (unit, name) in [(1e-6, "µs"), (1e-3, "ms"), (1.0, "s")] {
        let number = value / unit;
        if number < 9.95 && unit > 1e-6 {
            return format!("{number:.1} {name}");
        }
        if number < 999.5 {
            return format!("{number:.0} {name}");
        }
    }
    span(value)
}

/// A longer duration: `14 s`, `3 min`, `2 h`, `5 d`.
pub fn span(value: f64) -> String {
    match value {
        v if v < 119.5 => format!("{v:.0} s"),
        v if v < 7_199.5 => format!("{:.0} min", v / 60.0),
        v if v < 172_800.0 => format!("{:.0} h", v / 3_600.0),
        v => format!("{:.0} d", v / 86_400.0),
    }
}

/// A size in memory: `512 B`, `1.2 MiB`.
pub fn bytes(value: f64) -> String {
    scaled(
        value,
        1024.0,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"],
    )
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut index = 0;
    while value >= step * 0.9995 && index + 1 < units.len() {
        value /= step;
        index += 1;
    }
    let digits = usize::from(index > 0 && value < 9.95);
    format!("{value:.digits$}{}", units[index])
}

#[cfg(test)]
mod tests {
    use super::{bytes, number, percent, seconds, span, whole};

    #[test]
    fn numbers_are_short_and_incomplete_percentages_stay_below_100() {
        for (found, expected) in [
            (number(0.0), "0"),
            (number(0.001), "<0.01"),
            (number(0.25), "0.25"),
            (number(9.999), "10.0"),
            (number(12.34), "12.3"),
            (number(99.97), "100"),
            (number(1234.4), "1,234"),
            (number(123_456.0), "123,456"),
            (number(1_250_000.0), "1.2M"),
            (number(1e15), "1.0P"),
            (whole(999.6), "1,000"),
            (whole(999_999.7), "1.0M"),
            (percent(1.0), "100"),
            (percent(0.999_999), "99.99"),
            (percent(0.071), "7.10"),
            (percent(0.29), "29.00"),
            (percent(0.0), "0.00"),
            (seconds(0.000_083), "83 µs"),
            (seconds(0.000_999_9), "1.0 ms"),
            (seconds(0.0012), "1.2 ms"),
            (seconds(0.34), "340 ms"),
            (seconds(2.5), "2.5 s"),
            (seconds(5000.0), "83 min"),
            (span(14.2), "14 s"),
            (span(86_400.0 * 5.0), "5 d"),
            (bytes(512.0), "512 B"),
            (bytes(1024.0 * 1024.0 * 1.25), "1.2 MiB"),
            (bytes(64.0 * 1024.0 * 1024.0), "64 MiB"),
        ] {
            assert_eq!(found, expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_number_is_longer_than_seven_characters(value in 0.0..1e15_f64, ratio in 0.0..1.0_f64) {
            for text in [number(value), whole(value), percent(ratio), seconds(value / 1e9)] {
                assert!(text.chars().count() <= 7, "{text}");
            }
        }
    }
}
