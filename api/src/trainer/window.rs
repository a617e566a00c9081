//! The window of days that a training reads: the newest days of the data.

use crate::model::Day;

const SECONDS_PER_DAY: i64 = 86_400;

/// Days from `first` on, before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first day.
    pub first: Day,
    /// The day after the last one.
    pub end: Day,
}

impl Window {
    /// The newest `days` days, up to and including `newest`.
    #[must_use]
    pub fn newest(newest: Day, days: u32) -> Self {
        let end = newest.0.saturating_add(1);
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        Self {
            first: Day(end.saturating_sub(days)),
            end: Day(end),
        }
    }

    /// The times of the window, from the first value up to, but not including, the second. They are in seconds as
    /// `TO_SECONDS` counts them.
    #[must_use]
    pub fn seconds(self) -> (i64, i64) {
        let seconds = |day: Day| i64::from(day.0) * SECONDS_PER_DAY;
        (seconds(self.first), seconds(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::Window;
    use crate::model::Day;

    #[test]
    fn the_newest_day_is_the_last_one() {
        let window = Window::newest(Day(100), 10);
        assert_eq!((window.first, window.end), (Day(91), Day(101)));
        assert_eq!(window.seconds(), (91 * 86_400, 101 * 86_400));
    }
}
