//! The values that a time column can hold.

use crate::import::time::Time;

/// The minimum of a `TIMESTAMP`, in UTC.
const TIMESTAMP_FIRST: &str = "1970-01-01 00:00:01";
/// The maximum of a `TIMESTAMP` that every server supports.
const TIMESTAMP_LAST: &str = "2038-01-19 03:14:07";

/// The values that a time column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// From the year 1000 to 9999, with this many fractional digits.
    DateTime(u32),
    /// A point in time from 1970 to 2038, with this many fractional digits; sessions of an import read and write it in UTC.
    Timestamp(u32),
    /// Dates only.
    Date,
}

impl Times {
    /// The text of the time for the column: cut to the precision of the column.
    #[must_use]
    pub fn text(self, time: &Time) -> String {
        match self {
            Self::DateTime(digits) | Self::Timestamp(digits) => time.text(digits),
            Self::Date => time.date(),
        }
    }

    /// Whether [`Self::text`] cuts something off.
    #[must_use]
    pub fn cuts(self, time: &Time) -> bool {
        match self {
            Self::DateTime(digits) | Self::Timestamp(digits) => time.is_cut(digits),
            Self::Date => !time.is_midnight(),
        }
    }

    /// Checks that the time is in the column's range.
    ///
    /// # Errors
    /// The limit that the time exceeds.
    pub fn check(self, time: &Time) -> Result<(), String> {
        let held = TIMESTAMP_FIRST..=TIMESTAMP_LAST;
        match self {
            Self::Timestamp(_) if !held.contains(&time.text(0).as_str()) => Err(format!(
                "{TIMESTAMP_FIRST} to {TIMESTAMP_LAST} in UTC (the range of the table's column, a TIMESTAMP)"
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Time, Times};

    #[test]
    fn a_timestamp_has_a_range_and_a_date_has_no_time_of_day() {
        let time = |text: &str| Time::parse(text).unwrap();
        for (text, held) in [
            ("1970-01-01 00:00:00.9", false),
            ("1970-01-01 00:00:01", true),
            ("2038-01-19 03:14:07.999999", true),
            ("2038-01-19 03:14:08", false),
            ("2038-01-19T04:14:07+01:00", true),
        ] {
            let time = time(text);
            assert_eq!(Times::Timestamp(6).check(&time).is_ok(), held, "{text}");
            assert_eq!(Times::DateTime(6).check(&time), Ok(()), "{text}");
        }
        let noon = time("2025-01-01 12:00:00");
        assert_eq!(Times::Date.text(&noon), "2025-01-01");
        assert!(Times::Date.cuts(&noon) && !Times::Date.cuts(&time("2025-01-01 00:00:00")));
    }
}
