//! Days as dates.

use crate::model::Day;
use jiff::ToSpan as _;
use jiff::civil::Date;

/// Reads a date like 2026-01-31.
///
/// # Errors
/// It is not a date.
pub fn day(text: &str) -> Result<Day, &'static str> {
    let date: Date = text
        .parse()
        .map_err(|_| "expected a date like 2026-01-31")?;
    let since = Date::constant(1970, 1, 1).until(date);
    let days = since.map_err(|_| "expected a date like 2026-01-31")?;
    Ok(Day(Day::EPOCH.0 + days.get_days()))
}

/// The date of a day.
#[must_use]
pub fn text(day: Day) -> String {
    let date = Date::constant(1970, 1, 1).checked_add((day.0 - Day::EPOCH.0).days());
    date.map_or_else(|_| format!("day {}", day.0), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::{day, text};
    use crate::model::Day;

    #[test]
    fn days_are_counted_as_in_mysql() {
        assert_eq!(day("1970-01-01"), Ok(Day(719_528)));
        assert_eq!(day("2017-07-30"), Ok(Day(736_905)));
        assert_eq!(text(Day(736_905)), "2017-07-30");
        assert!(day("30.7.2017").is_err());
    }
}
