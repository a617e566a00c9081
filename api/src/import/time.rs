//! Times as strings.

use jiff::SignedDuration;
use jiff::civil;
use std::fmt;

/// The expected format of a time, for messages.
pub const EXPECTED: &str = "a real date and time like 2025-12-31 23:59:59, year 1000 or later (optional: T instead of the \
    space, a fraction of at most 6 digits, and Z or an offset like +01:00)";

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// The date and time, in whole microseconds.
    at: civil::DateTime,
    /// Whether the string had an offset from UTC; the time is then converted to UTC.
    pub zoned: bool,
}

impl Time {
    /// Parses `YYYY-MM-DD[ T]HH:MM:SS[.f...][Z|±HH:MM]`; a time with a zone is converted to UTC. `None`: the string is not
    /// [`EXPECTED`].
    // jiff's own parser accepts more: leap seconds, for instance.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        let (fixed, rest) = text.split_at_checked(19)?;
        let separators = [4, 7, 10, 13, 16].map(|place| fixed[place]);
        if !matches!(separators, [b'-', b'-', b' ' | b'T', b':', b':']) {
            return None;
        }
        let (microseconds, rest) = fraction(rest)?;
        let zone = Zone::parse(rest)?;
        let two = |start: usize| i8::try_from(number(&fixed[start..start + 2])?).ok();
        let year = i16::try_from(number(&fixed[..4])?).ok()?;
        let date = civil::Date::new(year, two(5)?, two(8)?).ok()?;
        let time = civil::Time::new(two(11)?, two(14)?, two(17)?, microseconds * 1000).ok()?;
        let local = held(date.to_datetime(time))?;
        let at = match zone {
            Zone::Unspecified | Zone::Ahead(0) => local,
            Zone::Ahead(minutes) => {
                held(local.checked_sub(SignedDuration::from_mins(minutes)).ok()?)?
            }
        };
        let zoned = zone != Zone::Unspecified;
        Some(Self { at, zoned })
    }

    /// Formats the time as `YYYY-MM-DD HH:MM:SS[.f...]`, with at most `digits` (0 to 6) fraction digits. The fraction is
    /// truncated, and trailing zeros are removed. Equal times give equal strings, and strings sort in the order of the times.
    #[must_use]
    pub fn text(&self, digits: u32) -> String {
        let mut text = self.to_string();
        let kept = self.kept(digits);
        if kept > 0 {
            let fraction = format!(".{kept:06}");
            text.push_str(fraction.trim_end_matches('0'));
        }
        text
    }

    /// Whether [`Self::text`] with this many digits truncates the fraction.
    #[must_use]
    pub fn is_cut(&self, digits: u32) -> bool {
        self.kept(digits) != self.microseconds()
    }

    /// The day, as `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> String {
        self.at.date().to_string()
    }

    /// Whether the time is the first moment of the day.
    #[must_use]
    pub fn is_midnight(&self) -> bool {
        self.at.time() == civil::Time::midnight()
    }

    fn kept(&self, digits: u32) -> i32 {
        let unit = 10_i32.pow(6 - digits.min(6));
        self.microseconds() / unit * unit
    }

    fn microseconds(&self) -> i32 {
        self.at.subsec_nanosecond() / 1000
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        write!(
            formatter,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }
}

/// The time; `None` if MySQL's `DATETIME` cannot hold it.
fn held(time: civil::DateTime) -> Option<civil::DateTime> {
    (1000..=9999).contains(&time.year()).then_some(time)
}

/// The microseconds at the beginning of a string, if there are any, and the rest.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=6).contains(&length) {
        return None;
    }
    let unit = 10_i32.pow(6 - u32::try_from(length).ok()?);
    let value = i32::try_from(number(&text[..length])?).ok()?;
    Some((value * unit, &text[length..]))
}

/// The offset of a time from UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Unspecified,
    /// Minutes ahead of UTC.
    Ahead(i64),
}

impl Zone {
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            [] => Some(Self::Unspecified),
            [b'Z'] => Some(Self::Ahead(0)),
            [sign @ (b'+' | b'-'), time @ ..] if time.len() == 5 && time[2] == b':' => {
                let (hours, minutes) = (number(&time[..2])?, number(&time[3..])?);
                let ahead = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
                Some(Self::Ahead(if *sign == b'-' { -ahead } else { ahead }))
            }
            _ => None,
        }
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn a_time_is_parsed_and_written() {
        for (text, written) in [
            ("2025-12-31 23:59:59", "2025-12-31 23:59:59"),
            ("2024-02-29T00:00:00", "2024-02-29 00:00:00"),
            ("2025-01-01 00:00:00.5", "2025-01-01 00:00:00.5"),
            ("2025-01-01 00:00:00.050000", "2025-01-01 00:00:00.05"),
            ("2025-01-01 00:00:00.000", "2025-01-01 00:00:00"),
            ("2025-01-01T00:30:00Z", "2025-01-01 00:30:00"),
            ("2025-01-01T00:30:00+01:00", "2024-12-31 23:30:00"),
            ("2024-02-28T23:30:00.25-05:30", "2024-02-29 05:00:00.25"),
            ("1900-02-28 23:59:00-00:01", "1900-03-01 00:00:00"),
        ] {
            let time = Time::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(time.text(6), written, "{text}");
        }
    }

    #[test]
    fn an_invalid_time_is_rejected() {
        for text in [
            "",
            "2025-12-31",
            "2025-02-29 00:00:00",
            "1900-02-29 00:00:00",
            "2025-04-31 00:00:00",
            "2025-13-01 00:00:00",
            "2025-00-01 00:00:00",
            "2025-01-00 00:00:00",
            "0000-00-00 00:00:00",
            "0025-01-01 00:00:00",
            "2025-01-01 24:00:00",
            "2025-01-01 00:60:00",
            "2025-01-01 00:00:60",
            "2025-01-01 00:00:00.",
            "2025-01-01 00:00:00.1234567",
            "2025-01-01 00:00:00 ",
            " 2025-01-01 00:00:00",
            "2025-01-01 00:00:00+1:00",
            "2025-01-01 00:00:00+24:00",
            "2025-01-01 00:00:00z",
            "2025/01/01 00:00:00",
            "31.12.2025 00:00:00",
            "2025-01-0a 00:00:00",
            "2025-01-01\u{a0}00:00:0",
            "9999-12-31T23:59:59-01:00",
            "1000-01-01T00:30:00+01:00",
        ] {
            assert_eq!(Time::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn fractions_are_cut_to_the_digits_of_the_column() {
        let time = Time::parse("2025-01-01 00:00:59.999999").unwrap();
        assert_eq!(time.text(0), "2025-01-01 00:00:59");
        assert_eq!(time.text(3), "2025-01-01 00:00:59.999");
        assert!(time.is_cut(5) && !time.is_cut(6));
        assert!(!Time::parse("2025-01-01 00:00:59.50").unwrap().is_cut(1));
    }
}
