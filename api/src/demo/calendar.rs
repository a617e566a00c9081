//! When people shop: the days of 2025 and the hours of a day, as seconds since the year began.

use super::catalogue::Season;
use super::dice::Dice;

/// Seconds in a day.
const DAY: usize = 24 * 60 * 60;
/// Days in 2025.
const DAYS: usize = 365;
/// The days of each month of 2025.
const MONTHS: [usize; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// The activity in each hour, from midnight on: quiet nights, a lunch break, busy evenings.
const RHYTHM: [usize; 24] = [
    6, 2, 1, 0, 0, 1, 5, 14, 22, 26, 30, 32, 40, 38, 30, 28, 30, 36, 44, 58, 70, 66, 42, 18,
];

/// A moment of the year at which a person may search for a product of `season`.
pub(super) fn moment(dice: &mut Dice, season: Season) -> usize {
    let day = match season {
        // One visit in six is Christmas shopping, in the eight weeks before Christmas.
        Season::Any if dice.below(6) == 0 => dice.between(302, 357),
        Season::Any => dice.below(DAYS),
        Season::Warm => dice.between(73, 250),
        Season::Cold => (dice.between(288, 288 + 150)) % DAYS,
    };
    on(dice, day)
}

/// A random moment on the day that is `days` days after `second`; night hours are rare.
pub(super) fn later(dice: &mut Dice, second: usize, days: usize) -> usize {
    on(dice, second / DAY + days)
}

/// `second` as `YYYY-MM-DD HH:MM:SS`; `None` if it is after 2025.
pub(super) fn stamp(second: usize) -> Option<String> {
    let mut day = second / DAY;
    for (month, days) in (1..).zip(MONTHS) {
        if day < days {
            let (hour, minute) = (second % DAY / 3600, second % 3600 / 60);
            return Some(format!(
                "2025-{month:02}-{:02} {hour:02}:{minute:02}:{:02}",
                day + 1,
                second % 60
            ));
        }
        day -= days;
    }
    None
}

/// A random moment of `day`.
fn on(dice: &mut Dice, day: usize) -> usize {
    day * DAY + dice.weighted(&RHYTHM) * 3600 + dice.below(3600)
}

#[cfg(test)]
mod tests {
    use super::{DAY, DAYS, MONTHS, stamp};

    #[test]
    fn the_months_add_up_to_a_year() {
        assert_eq!(MONTHS.iter().sum::<usize>(), DAYS);
    }

    #[test]
    fn a_second_of_the_year_is_formatted_as_in_the_tables() {
        let at = |second| stamp(second).unwrap_or_default();
        assert_eq!(at(0), "2025-01-01 00:00:00");
        assert_eq!(at(58 * DAY + DAY - 1), "2025-02-28 23:59:59");
        assert_eq!(at(59 * DAY + 3_661), "2025-03-01 01:01:01");
        assert_eq!(at(DAYS * DAY - 1), "2025-12-31 23:59:59");
        assert_eq!(stamp(DAYS * DAY), None);
    }
}
