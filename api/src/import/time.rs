//! Times as strings.

use std::fmt;

/// The expected format of a time, for messages.
pub const EXPECTED: &str = "a real date and time like 2025-12-31 23:59:59 (from the year 1000 on; T between them, a fraction \
    of at most 6 digits, and Z or an offset like +01:00 may be there)";

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    microseconds: u32,
    /// Whether the string had an offset from UTC; the time is then converted to UTC.
    pub zoned: bool,
}

impl Time {
    /// Parses `YYYY-MM-DD[ T]HH:MM:SS[.f...][Z|±HH:MM]`; a time with a zone is converted to UTC. `None`: the string is not
    /// [`EXPECTED`].
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
        let time = Self {
            year: number(&fixed[..4])?,
            month: number(&fixed[5..7])?,
            day: number(&fixed[8..10])?,
            hour: number(&fixed[11..13])?,
            minute: number(&fixed[14..16])?,
            second: number(&fixed[17..])?,
            microseconds,
            zoned: zone != Zone::Unsaid,
        };
        let time = time.is_real().then_some(time)?;
        match zone {
            Zone::Unsaid | Zone::Ahead(0) => Some(time),
            Zone::Ahead(minutes) => time.earlier(minutes),
        }
    }

    /// As `YYYY-MM-DD HH:MM:SS[.f...]` with at most `digits` (0 to 6) of the fraction, cut and not rounded, without trailing
    /// zeros: equal times are equal strings, and strings sort like the times.
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

    /// Whether [`Self::text`] with this many digits cuts something off.
    #[must_use]
    pub fn is_cut(&self, digits: u32) -> bool {
        self.kept(digits) != self.microseconds
    }

    /// The day, as `YYYY-MM-DD`.
    #[must_use]
    pub fn date(&self) -> String {
        let mut text = self.to_string();
        text.truncate("YYYY-MM-DD".len());
        text
    }

    /// Whether the time is the first moment of the day.
    #[must_use]
    pub fn is_midnight(&self) -> bool {
        self.hour == 0 && self.minute == 0 && self.second == 0 && self.microseconds == 0
    }

    fn kept(&self, digits: u32) -> u32 {
        let unit = 10_u32.pow(6 - digits.min(6));
        self.microseconds / unit * unit
    }

    fn is_real(&self) -> bool {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 31,
        };
        (1000..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
    }

    /// The time `minutes` earlier.
    fn earlier(self, minutes: i64) -> Option<Self> {
        let total = self.day_number() * 1440 + self.hour * 60 + self.minute - minutes;
        let (year, month, day) = date(total.div_euclid(1440));
        let minute = total.rem_euclid(1440);
        let time = Self {
            year,
            month,
            day,
            hour: minute / 60,
            minute: minute % 60,
            ..self
        };
        time.is_real().then_some(time)
    }

    /// Days since 1 March of the year 0. The months are counted from March, so that the leap day is the last one; five
    /// months from any March or August on have 153 days.
    fn day_number(&self) -> i64 {
        let year = if self.month > 2 {
            self.year
        } else {
            self.year - 1
        };
        let month = (self.month + 9) % 12;
        year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + self.day - 1
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            ..
        } = self;
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
        )
    }
}

/// The inverse of [`Time::day_number`].
fn date(number: i64) -> (i64, i64, i64) {
    const FOUR_CENTURIES: i64 = 146_097;
    let era = number.div_euclid(FOUR_CENTURIES);
    let day = number.rem_euclid(FOUR_CENTURIES);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (year, month) = if month < 10 {
        (year, month + 3)
    } else {
        (year + 1, month - 9)
    };
    (era * 400 + year, month, day - first + 1)
}

/// The microseconds at the beginning of a string, if there are any, and the rest.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=6).contains(&length) {
        return None;
    }
    let unit = 10_u32.pow(6 - u32::try_from(length).ok()?);
    let value = u32::try_from(number(&text[..length])?).ok()?;
    Some((value * unit, &text[length..]))
}

/// The offset of a time from UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Zone {
    Unsaid,
    /// Minutes ahead of UTC.
    Ahead(i64),
}

impl Zone {
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            [] => Some(Self::Unsaid),
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
    use super::{Time, date};

    #[test]
    fn times_are_read_and_written_alike() {
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
    fn what_is_no_real_time_is_refused() {
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
        ] {
            assert_eq!(Time::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn fractions_are_cut_to_what_the_column_holds() {
        let time = Time::parse("2025-01-01 00:00:59.999999").unwrap();
        assert_eq!(time.text(0), "2025-01-01 00:00:59");
        assert_eq!(time.text(3), "2025-01-01 00:00:59.999");
        assert!(time.is_cut(5) && !time.is_cut(6));
        assert!(!Time::parse("2025-01-01 00:00:59.50").unwrap().is_cut(1));
    }

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        let mut day = Time::parse("1000-01-01 00:00:00").unwrap();
        while day.year < 2500 {
            let number = day.day_number();
            assert_eq!(date(number), (day.year, day.month, day.day));
            let next = day.earlier(-1440).unwrap();
            assert_eq!(next.day_number(), number + 1);
            day = next;
        }
    }
}
